"""SpaceNet 7 in its official layout: odd sizes, blanks, months, countries, splits, and files that are no mosaics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer

from rsgeo_train.dates import Dates
from rsgeo_train.errors import DatasetError
from rsgeo_train.packing import pack
from rsgeo_train.prepare import spacenet7
from rsgeo_train.prepare.countries import countries_of
from rsgeo_train.samples import Samples

# Two in Uganda, two in Spain, one in Japan.
PLACES = {
    "L15-1203E-1203N_4815_3378_13": (32.5, 1.2),
    "L15-1204E-1202N_4816_3380_13": (33.1, 0.9),
    "L15-0977E-1187N_3911_3441_13": (-3.9, 40.2),
    "L15-0978E-1188N_3912_3442_13": (-1.2, 39.4),
    "L15-1848E-0793N_7394_5018_13": (138.4, 36.1),
}


def mosaic(root: Path, aoi: str, month: int, height: int = 64, folder: str = "images") -> Path:
    """64 columns of 4 m: a noise that differs by month, the lower right quarter without data."""
    x, y = Transformer.from_crs(4326, 3857, always_xy=True).transform(*PLACES[aoi])
    random = np.random.default_rng([month, len(aoi), height])
    pixels = random.integers(1, 255, (4, height, 64), dtype=np.uint8)
    pixels[3] = 255
    pixels[:, 32:, 32:] = 0
    path = root / aoi / folder / f"global_monthly_2020_{month:02d}_mosaic_{aoi}.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "width": 64, "height": height, "count": 4, "dtype": "uint8", "crs": "EPSG:3857"}
    with rasterio.open(path, "w", transform=Affine(4.77, 0, x, 0, -4.77, y), **profile) as target:
        target.write(pixels)
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sn7")
    for number, aoi in enumerate(PLACES):
        for month in (1, 2, 3):
            mosaic(folder / "train", aoi, month, 63 if number == 0 else 64)
        (folder / "train" / aoi / "labels").mkdir()
    (folder / "train" / next(iter(PLACES)) / "images" / "notes.tif").write_text("no mosaic")
    return folder


def test_points_lie_in_their_countries() -> None:
    points = [(32.5, 1.2), (-3.9, 40.2), (138.4, 36.1), (5.3, 43.2), (-150.0, -40.0)]  # off Marseille; the open sea
    names, inside = zip(*countries_of(points), strict=True)
    assert names == ("Uganda", "Spain", "Japan", "France", None) and inside == (True, True, True, False, False)
    small = [(103.82, 1.36), (14.43, 35.89), (50.55, 26.05), (55.48, -4.68), (57.55, -20.28), (14.45, 50.08)]
    wanted = ["Singapore", "Malta", "Bahrain", "Seychelles", "Mauritius", "Czechia"]
    assert [country.name for country in countries_of(small)] == wanted and countries_of([]) == []


def test_areas_named_by_the_nearest_coast_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = next(iter(PLACES))
    monkeypatch.setitem(PLACES, first, (5.3, 43.2))  # off Marseille
    for aoi in list(PLACES)[:2]:
        mosaic(tmp_path / "sn7", aoi, 1)
    catalog = spacenet7.prepare(tmp_path / "sn7", tmp_path / "c.parquet", chip=16)
    (note,) = [note for note in catalog.header.notes if "nearest coast" in note]
    assert note.startswith("1 AOIs lie in no country") and note.endswith(f"within 100 km: {first} (France)")


def test_pieces_are_read_in_place_with_their_country_month_and_number(root: Path, tmp_path: Path) -> None:
    catalog = spacenet7.prepare(root, tmp_path / "c.parquet", chip=16)
    table = catalog.table
    # Sixteen pieces a month, of which four are blank.
    assert len(table) == 5 * 3 * 12 and sorted(table["piece"].unique()) == [
        n for n in range(16) if n not in (10, 11, 14, 15)
    ]
    assert [entry.name for entry in catalog.header.classes] == ["Japan", "Spain", "Uganda"]
    assert any("60 pieces left out" in note for note in catalog.header.notes)
    samples = Samples(catalog, range(len(table)), {"planet_sn7": spacenet7.BANDS}, with_labels=True)
    for row in (0, 5, 100):
        entry = table.iloc[row]
        sample = samples[row]
        column, line = entry["piece"] % 4 * 16, entry["piece"] // 4 * 16
        with rasterio.open(catalog.path(entry["planet_sn7_path"])) as source:
            window = rasterio.windows.Window(column, line, 16, 16)
            expected = source.read([1, 2, 3], window=window, boundless=True)
        high = min(16, 63 - line) if "4815" in entry["place"] else 16
        assert np.array_equal(sample.images[:, :high].numpy(), expected[:, :high])
        assert catalog.header.classes[int(sample.labels)].name in ("Uganda", "Spain", "Japan")
        assert entry["date"].startswith("2020-0") and entry["geometry"].area > 0
    odd = table.index[(table["place"] == next(iter(PLACES))) & (table["piece"] == 12)][0]
    image = samples[odd].images.numpy()
    mean = np.array(catalog.header.sensors["planet_sn7"].mean, np.float32)
    assert image.shape == (3, 16, 16) and np.allclose(image[:, 15], mean[:, None]) and (image[:, :15] >= 1).all()


def test_transparent_pixels_are_missing_and_black_ones_are_not(tmp_path: Path) -> None:
    for number, aoi in enumerate(list(PLACES)[:2]):
        path = mosaic(tmp_path / "sn7", aoi, 1, 64 - number)  # one of them with pieces on a grid
        with rasterio.open(path, "r+") as target:
            pixels = target.read()
            pixels[:] = np.array([50, 100, 150, 255], np.uint8)[:, None, None]
            pixels[:, :, 3:7] = 0  # transparent
            pixels[:3, :, 9] = 0  # black
            target.write(pixels)
    catalog = spacenet7.prepare(tmp_path / "sn7", tmp_path / "c.parquet", chip=16)
    facts = catalog.header.sensors["planet_sn7"]
    whole, black = 60, 1  # columns that have data, and those of them that are black
    for band, value in enumerate((50, 100, 150)):
        share = (whole - black) / whole
        assert facts.mean[band] == pytest.approx(value * share, abs=1e-3)
        assert facts.std[band] == pytest.approx(value * (share * (1 - share)) ** 0.5, abs=1e-3)
    row = int(np.flatnonzero(catalog.table["piece"] == 0)[0])
    image = Samples(catalog, [row], {"planet_sn7": spacenet7.BANDS})[0].images
    assert np.allclose(image[:, :, 3:7], np.array(facts.mean, np.float32)[:, None, None])
    assert (image[:, :, 9] == 0).all() and (image[0, :, 10:] == 50).all()
    packed = pack(catalog, tmp_path / "packed", tell=lambda line: None)
    rows, bands = range(len(catalog)), {"planet_sn7": spacenet7.BANDS}
    for one, other in zip(Samples(catalog, rows, bands), Samples(packed, rows, bands), strict=True):
        assert np.array_equal(one.images, other.images)


def test_splits_are_by_area_and_single_areas_are_counted(root: Path, tmp_path: Path) -> None:
    catalog = spacenet7.prepare(root, tmp_path / "c.parquet", chip=16)
    sides = catalog.table.groupby("place")["split"].unique()
    assert all(len(side) == 1 for side in sides)
    held = {place for place, side in sides.items() if side[0] == "val"}
    labels = catalog.table.drop_duplicates("place").set_index("place")["label"]
    assert sorted(labels[list(held)]) == [1, 2]  # one of Spain, one of Uganda
    assert any("1 classes have one AOI" in note and "Japan" in note for note in catalog.header.notes)
    leaky = spacenet7.prepare(root, tmp_path / "l.parquet", chip=16, split="patch")
    assert leaky.header.split_by.startswith("LEAKY") and leaky.splits() == {"train": 135, "val": 45}
    assert all(len(side) == 2 for side in leaky.table.groupby("place")["split"].unique())


def test_months_of_a_piece_are_partners(root: Path, tmp_path: Path) -> None:
    import torch

    catalog = spacenet7.prepare(root, tmp_path / "c.parquet", chip=16)
    dates = Dates(catalog, range(len(catalog)))
    found = dates.partners(torch.Generator().manual_seed(0))
    table = catalog.table
    for column in ("place", "piece"):
        assert (table[column].to_numpy() == table[column].to_numpy()[found]).all()
    assert dates.alone == 0 and (table["date"].to_numpy() != table["date"].to_numpy()[found]).all()


def test_labels_of_ones_own(root: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("aoi,label\n" + "".join(f"{aoi},{'b' if n % 2 else 'a'}\n" for n, aoi in enumerate(PLACES)))
    catalog = spacenet7.prepare(root, tmp_path / "c.parquet", chip=16, labels=table)
    assert [entry.name for entry in catalog.header.classes] == ["a", "b"]
    table.write_text("aoi,label\n" + f"{next(iter(PLACES))},a\n")
    with pytest.raises(DatasetError, match="lacks 4 of 5 AOIs"):
        spacenet7.prepare(root, tmp_path / "c.parquet", chip=16, labels=table)
    table.write_text("area,label\n")
    with pytest.raises(DatasetError, match="no columns aoi and label"):
        spacenet7.prepare(root, tmp_path / "c.parquet", labels=table)


def test_labels_as_spreadsheets_write_them(root: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    lines = "aoi,label\r\n" + "".join(f"{aoi},{'é' if n % 2 else 'a'}\r\n" for n, aoi in enumerate(PLACES))
    table.write_bytes(lines.encode("utf-8-sig"))
    catalog = spacenet7.prepare(root, tmp_path / "c.parquet", chip=16, labels=table)
    assert [entry.name for entry in catalog.header.classes] == ["a", "é"]
    for content, words in (
        (lines.encode("latin-1"), "labels.csv is no CSV in UTF-8"),
        (lines.encode("utf-16"), "labels.csv is no CSV in UTF-8"),
        (b"aoi,label\nL15-1203E\n", "line 2: L15-1203E has no label"),
        (b"aoi,label\nx,a\n\nx,b\n", "line 4: x is b here and a before"),
        (b"", "no columns aoi and label"),
    ):
        table.write_bytes(content)
        with pytest.raises(DatasetError, match=words):
            spacenet7.prepare(root, tmp_path / "c.parquet", chip=16, labels=table)


def test_what_is_no_spacenet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected AOI/images/global_monthly"):
        spacenet7.prepare(tmp_path, tmp_path / "c.parquet")
    path = mosaic(tmp_path / "a", next(iter(PLACES)), 1)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DatasetError, match="cannot be read"):
        spacenet7.prepare(tmp_path / "a", tmp_path / "c.parquet")
    masked = mosaic(tmp_path / "b", next(iter(PLACES)), 1, folder="images_masked")
    with rasterio.open(masked, "r+") as target:
        target.write(np.zeros((4, 64, 64), np.uint8))
    with pytest.raises(DatasetError, match="are blank"):
        spacenet7.prepare(tmp_path / "b", tmp_path / "c.parquet", images="images_masked", chip=16)
