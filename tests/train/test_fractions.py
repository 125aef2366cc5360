"""One class a sample by how much of it a class covers: the median of train, a given share, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pictures import write_raster

from rsgeo_cli.rsgeo_train import cli
from rsgeo_train.catalog import IGNORED, Catalog, CatalogClass, CatalogHeader, CatalogSensor, new_table, read_catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare.fractions import prepare

WET = [0, 10, 20, 40, 60, 100, 30]  # of 100 pixels; the last is held out


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven samples of 10 × 10 pixels, so many of them wet; of one more nothing is known, half of the second too."""
    root = tmp_path_factory.mktemp("maps")
    records = []
    for number, wet in enumerate([*WET, None]):
        label = np.full(100, IGNORED, np.uint8)
        if wet is not None:
            label[:] = np.arange(100) < wet
        if number == 1:
            label[50:] = IGNORED  # 10 of 50: a fifth of what is known
        for name, values in (("image", np.zeros((1, 10, 10), np.uint8)), ("label", label.reshape(1, 10, 10))):
            write_raster(root / f"{name}{number}.tif", values)
        split = "val" if number == 6 else "train"
        paths = {"any_path": f"image{number}.tif", "label_path": f"label{number}.tif"}
        records.append({"id": f"m{number}", "split": split, "label": -1, **paths})
    classes = [
        CatalogClass(name="dry", color="#000000", value="0"),
        CatalogClass(name="wet", color="#0000ff", value="1"),
    ]
    sensors = {"any": CatalogSensor(bands=["b"], dtype="uint8", mean=[0.0], std=[1.0])}
    header = CatalogHeader(name="maps", sensors=sensors, classes=classes, split_by="hand", label_kind="raster")
    Catalog(header, new_table(records), root).write(root / "maps.parquet")
    return root / "maps.parquet"


def test_the_median_is_that_of_train_over_labelled_pixels(maps: Path, tmp_path: Path) -> None:
    words = ["prepare", "fractions", "--data", maps, "--class", "wet", "-o", tmp_path / "out.parquet"]
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    # Shares of train are 0, 0.2, 0.2, 0.4, 0.6, 1: the median is 0.3, of which the held-out sample has no more.
    assert "more than 0.3 of" in result.output and "1 samples without labels" in result.output
    made = read_catalog(tmp_path / "out.parquet")
    assert made.table["label"].tolist() == [0, 0, 0, 1, 1, 1, 0] and made.header.label_kind == "class"
    assert [entry.name for entry in made.header.classes] == ["little wet", "much wet"]
    assert made.header.classes[1].color == "#0000ff" and "label_path" not in made.table
    assert Path(made.path(made.table["any_path"].iloc[0])).is_file()


def test_a_share_can_be_given(maps: Path, tmp_path: Path) -> None:
    made = prepare(read_catalog(maps), tmp_path / "out.parquet", name="wet", threshold=0.2)
    assert made.table["label"].tolist() == [0, 0, 0, 1, 1, 1, 1]
    made = prepare(read_catalog(maps), tmp_path / "out.parquet", name="dry", threshold=0.5)
    assert made.table["label"].tolist() == [1, 1, 1, 1, 0, 0, 1]


def test_what_cannot_be_is_refused(maps: Path, tmp_path: Path, eurosat_catalog: Path) -> None:
    catalog, out = read_catalog(maps), tmp_path / "out.parquet"
    with pytest.raises(DatasetError, match="no such class; the catalog has dry, wet") as error:
        prepare(catalog, out, name="nope")
    assert error.value.hint == "Type: --class wet"
    catalog.header.classes[0].name = "not wet"
    with pytest.raises(DatasetError, match='the catalog has "not wet", wet') as error:
        prepare(catalog, out, name="not_wet")
    assert error.value.hint == "Type: --class 'not wet'"
    with pytest.raises(DatasetError, match="labels of the kind class"):
        prepare(read_catalog(eurosat_catalog), out, name="Forest")
    few = Catalog(catalog.header, catalog.table.iloc[[0, 6]].reset_index(drop=True), catalog.root)
    with pytest.raises(DatasetError, match=r"on one side of a share of 0\.5"):
        prepare(few, out, name="wet", threshold=0.5)
    words = ["prepare", "fractions", "--data", maps, "--class", "wet", "--threshold", "much", "-o", out]
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == 2 and "expected median, or a share" in result.output
