"""Small datasets in the layouts of the real ones, and where the real ones are."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import BANDS, CLASSES, patch, write_raster
from PIL import Image

if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]


def pytest_report_header() -> str | None:
    """Say what is left out."""
    return None if importlib.util.find_spec("torch") else "tests/train is left out: the train extra is not installed"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with the real data."""
    path = Path(os.environ.get("RSGEO_DATA", Path(__file__).parents[2] / "../shared/data"))
    if not (path / "eurosat_rgb/samples.csv").is_file():
        pytest.skip("RSGEO_DATA is not set and ../shared/data is not there")
    return path


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sheets that are drawn."""
    from rsgeo_train.evaluate.sheets import Sheet

    kept: list[Any] = []
    normal = Sheet.png

    def png(self: Sheet) -> bytes:
        kept.append(self)
        return normal(self)

    monkeypatch.setattr(Sheet, "png", png)
    return kept


@pytest.fixture(scope="session")
def eurosat_rgb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official RGB layout, `2750/<Class>/<Class>_<n>.jpg`, 12 patches of 3 classes."""
    root = tmp_path_factory.mktemp("eurosat_rgb")
    for name in CLASSES:
        (root / "2750" / name).mkdir(parents=True)
        for number in range(1, 13):
            Image.fromarray(patch(name, number).transpose(1, 2, 0)).save(root / f"2750/{name}/{name}_{number}.jpg")
    return root


@pytest.fixture(scope="session")
def eurosat_catalog(eurosat_rgb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of `eurosat_rgb`."""
    from rsgeo_train.prepare import eurosat

    path = tmp_path_factory.mktemp("catalog") / "eurosat.parquet"
    eurosat.prepare(eurosat_rgb, path).write(path)
    return path


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three places with two scenes each; label pictures, label values and polygons: left Land, right Water."""
    import geopandas as gpd
    from shapely import box

    root = tmp_path_factory.mktemp("scenes")
    shapes = []
    for p, place in enumerate(("north", "south", "west")):
        for number in (1, 2):
            random = np.random.default_rng([p, number])
            pixels = np.zeros((3, 80, 96), np.uint8)
            pixels[:, :, :48], pixels[:, :, 48:] = 170, 60
            pixels += random.integers(0, 30, pixels.shape, dtype=np.uint8)
            origin = 500000 + 20000 * p, 5300000 + 2000 * number
            write_raster(root / place / "images" / f"s{number}.tif", pixels, origin=origin)
            colours = np.full((80, 96, 3), (0x9B, 0x9B, 0x9B), np.uint8)
            colours[:, :48], colours[4:, 48:] = (0x84, 0x29, 0xF6), (0xE2, 0xA9, 0x29)
            (root / place / "masks").mkdir(exist_ok=True)
            Image.fromarray(colours).save(root / place / "masks" / f"s{number}.png")
            values = np.zeros((1, 80, 96), np.uint8)
            values[:, :, :48], values[:, 4:, 48:] = 7, 9
            write_raster(root / place / "values" / f"s{number}.tif", values, origin=origin)
            x, y = origin
            shapes += [("land", box(x, y - 800, x + 480, y)), ("water", box(x + 480, y - 800, x + 960, y - 40))]
    frame = gpd.GeoDataFrame({"kind": [s[0] for s in shapes]}, geometry=[s[1] for s in shapes], crs="EPSG:32632")
    frame.to_crs("EPSG:4326").to_file(root / "labels.gpkg")
    (root / "classes.yaml").write_text(
        "- {name: Land, color: '#aa8844', mask: '#8429f6', value: land}\n"
        "- {name: Water, color: '#0044aa', mask: '#e2a929', value: water}\n"
    )
    (root / "values.yaml").write_text("- {name: Land, value: 7}\n- {name: Water, value: 9}\n")
    (root / "polygons.yaml").write_text("- {name: Land, value: land}\n- {name: Water, value: water}\n")
    return root


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 places with two sensors: four kinds of texture that both sensors show; one place lacks its S1."""
    from rsgeo_train.band_statistics import statistics
    from rsgeo_train.catalog import Catalog, CatalogClass, CatalogHeader, CatalogSensor, new_table, relative_path

    root = tmp_path_factory.mktemp("pairs")
    records = []
    for number in range(48):
        random = np.random.default_rng(number)
        kind = number % 4
        y, x = np.mgrid[:32, :32]
        turn = random.uniform(0, np.pi)
        wave = np.sin((x * np.cos(turn) + y * np.sin(turn)) * (0.3, 0.7, 1.2, 2.0)[kind] + random.uniform(0, 6))
        s2 = 1000 + 300 * wave + random.normal(0, 60, (4, 32, 32)) + random.normal(0, 100, (4, 1, 1))
        s1 = -12 + 4 * wave + random.normal(0, 1.0, (2, 32, 32))
        record = {"id": f"p{number}", "split": "train", "label": kind, "place": f"p{number}"}
        for sensor, pixels in (("s2", s2.astype(np.uint16)), ("s1", s1.astype(np.float32))):
            path = root / f"{sensor}-{number}.tif"
            write_raster(path, pixels)
            missing = sensor == "s1" and number == 5
            record[f"{sensor}_path"] = None if missing else relative_path(path, root / "pairs.parquet")
        records.append(record)
    sensors = {
        "s2": CatalogSensor(bands=BANDS["s2"], dtype="uint16", gsd=10),
        "s1": CatalogSensor(bands=BANDS["s1"], dtype="float32", gsd=10),
    }
    classes = [CatalogClass(name=f"texture {n}", color=f"#{n}0{n}0{n}0") for n in range(4)]
    header = CatalogHeader(name="pairs", sensors=sensors, classes=classes, split_by="none")
    catalog = Catalog(header, new_table(records), root)
    for key, facts in sensors.items():
        facts.mean, facts.std = statistics(catalog, key, range(48))
    catalog.write(root / "pairs.parquet")
    return root / "pairs.parquet"


@pytest.fixture(scope="session")
def chips(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, 40-pixel chips of three places, some with both."""
    from rsgeo_train.prepare import scenes as adapter

    path = tmp_path_factory.mktemp("chips") / "c.parquet"
    adapter.prepare(
        scenes,
        path,
        images="*/images/*.tif",
        labels="*/masks/*.png",
        classes=scenes / "classes.yaml",
        chip=40,
        held_out=["south"],
    ).write(path)
    return path
