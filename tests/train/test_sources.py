"""Every storage kind gives the pixels that were put in; failures are told in one message, from workers too."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from pictures import write_raster
from rasterio.crs import CRS
from stores import csf_example, damage, record_lengths, write_lmdb, write_tfrecord
from torch.utils.data import DataLoader

from rsgeo_core.grid import Grid, Span
from rsgeo_train import tfrecords
from rsgeo_train.catalog import Catalog, CatalogClass, CatalogHeader, CatalogSensor, new_table
from rsgeo_train.errors import DatasetError
from rsgeo_train.feeding import Batches
from rsgeo_train.rasters import resampled
from rsgeo_train.samples import Samples, collate
from rsgeo_train.sources import read_window
from rsgeo_train.warping import grid_text


@pytest.fixture
def bands(tmp_path):
    """Band files of 48, 24 and 16 pixels a side over the same ground: the path, the names and the pixels."""
    random = np.random.default_rng(0)
    pixels = {
        name: random.integers(0, 9000, (side, side)).astype(np.uint16)
        for name, side in (("a", 24), ("b", 48), ("c", 16))
    }
    for name, image in pixels.items():
        write_raster(tmp_path / f"p_{name}.tif", image[None], gsd=480 / len(image))
    return str(tmp_path / "p_{band}.tif"), list(pixels), pixels


def test_band_files_come_to_the_finest_ones_pixels(bands):
    path, names, pixels = bands
    image = read_window(path, None, files=names)
    assert image.shape == (3, 48, 48) and image.dtype == np.uint16
    assert np.array_equal(image[1], pixels["b"])
    for number, name in ((0, "a"), (2, "c")):
        expected = torch.nn.functional.interpolate(
            torch.from_numpy(pixels[name].astype(np.float32))[None, None], (48, 48), mode="bilinear"
        )[0, 0]
        assert np.abs(image[number] - expected.numpy()).max() <= 0.5  # rounded to its dtype
    assert np.array_equal(
        read_window(path, None, [3], files=names), image[2:]
    )  # also where the finest is not asked for


@pytest.mark.parametrize("window", [(0, 0, 10, 7), (5, 11, 20, 13), (33, 30, 15, 18), (47, 47, 1, 1)])
def test_a_window_is_that_part_of_the_whole(bands, window):
    path, names, _ = bands
    column, row, width, height = window
    whole = read_window(path, None, files=names)[:, row : row + height, column : column + width]
    assert np.abs(read_window(path, window, files=names).astype(int) - whole).max() <= 1  # rounding of float32


def test_nodata_of_a_coarse_band_does_not_bleed(tmp_path):
    coarse = np.full((8, 8), 1000, np.int16)
    coarse[2:4] = -9999
    write_raster(tmp_path / "x_fine.tif", np.zeros((1, 16, 16), np.int16), nodata=-9999)
    write_raster(tmp_path / "x_coarse.tif", coarse[None], gsd=20, nodata=-9999)
    image = read_window(str(tmp_path / "x_{band}.tif"), None, files=["fine", "coarse"])[1]
    assert set(np.unique(image)) == {-9999, 1000} and (image[4:8] == -9999).all()


def test_a_raster_is_brought_to_another_grid_by_its_coordinates(tmp_path):
    y, x = np.mgrid[:40, :40]
    ground = (10 * x + 3 * y).astype(np.float32)  # a plane: bilinear interpolation is exact
    write_raster(tmp_path / "moved.tif", (ground - 10 * 2.5 - 3 * 1.0)[None], origin=(500000 - 25, 5300000 + 10))
    grid = Grid(40, 40, Affine(10, 0, 500000, 0, -10, 5300000), CRS.from_epsg(32632))
    found = read_window(str(tmp_path / "moved.tif"), None, grid=grid_text(grid))
    assert np.allclose(found[0, 6:27, 4:24], ground[6:27, 4:24], atol=0.05)
    assert np.isnan(found[0, :, -1]).all() and np.isfinite(found[0, :-1, 0]).all()


def test_band_files_are_each_brought_to_the_grid_and_are_nan_beyond_their_edges(tmp_path):
    """On the grid's own pixels values are as stored; a coarse band is warped; zero is a value without nodata."""
    fine = np.random.default_rng(0).integers(0, 9000, (1, 40, 40)).astype(np.uint16)
    write_raster(tmp_path / "x_fine.tif", fine)
    write_raster(tmp_path / "x_coarse.tif", np.zeros((1, 10, 10), np.uint16), gsd=20, origin=(500000 + 205, 5300000))
    whole = Grid(40, 40, Affine(10, 0, 500000, 0, -10, 5300000), CRS.from_epsg(32632))
    path, files = str(tmp_path / "x_{band}.tif"), ["coarse", "fine"]
    image = read_window(path, None, files=files, grid=grid_text(whole.sub_grid(Span(2, 10, 22, 40))))
    assert image.shape == (2, 20, 30) and image.dtype == np.float32 and np.array_equal(image[1], fine[0, 2:22, 10:])
    assert np.isnan(image[0, :, :10]).all() and (image[0, :18, 11:30] == 0).all() and np.isnan(image[0, 19:]).all()
    only = read_window(path, None, [2], files=files, grid=grid_text(whole), nodata=float(fine[0, 7, 7]))
    assert np.isnan(only[0, 7, 7]) and only.shape == (1, 40, 40)
    np.save(tmp_path / "a.npy", fine[None])
    with pytest.raises(DatasetError, match="no coordinates"):
        read_window(str(tmp_path / "a.npy!0"), None, grid=grid_text(whole))


def test_examples_are_those_of_protobuf(tmp_path):
    path = tmp_path / "a.tfrecord"
    examples = [{"n": [-3, 0, 1 << 40], "f": [0.5, -2.0], "b": [b"", b"xyz"]}, {"n": [7]}]
    write_tfrecord(path, examples)
    assert [tfrecords.read_example(path, at) for at in tfrecords.offsets(path)] == examples
    # int64 values one by one, as protobuf allows
    assert tfrecords.parse_example(b"\x0a\x0c\x0a\x0a\x0a\x01n\x12\x05\x1a\x03\x08\x85\x01")["n"] == [133]


def test_damaged_tfrecords_are_told(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_tfrecord(path, [csf_example(n, 8)[0] for n in range(2)])
    first, _ = record_lengths(path)
    starts = list(tfrecords.offsets(path))
    assert starts == [0, first + 16]
    whole = path.read_bytes()
    damage(path, first + 16 + 12 + 100)
    tfrecords.read_example(path, 0)
    with pytest.raises(DatasetError, match="damaged"):
        tfrecords.read_example(path, starts[1])
    path.write_bytes(whole[:-9])
    with pytest.raises(DatasetError, match="ends within"):
        list(tfrecords.offsets(path))
    path.write_bytes(b"\x1f\x8b" + whole[2:])
    with pytest.raises(DatasetError, match="gunzip"):
        list(tfrecords.offsets(path))


def catalog_of(root, paths, files, classes=2):
    """A catalog of samples with two bands of 8-bit values at the paths."""
    records = [{"id": f"x{n}", "split": "train", "label": n % classes, "k_path": path} for n, path in enumerate(paths)]
    facts = CatalogSensor(bands=["p", "q"], dtype="uint8", mean=[0, 0], std=[1, 1], files=files)
    header = CatalogHeader(
        name="x",
        sensors={"k": facts},
        classes=[CatalogClass(name=str(n), color="#000000") for n in range(classes)],
        split_by="none",
    )
    return Catalog(header, new_table(records), root)


@pytest.fixture(params=["raster", "files", "lmdb", "tfrecord", "npy"])
def stored(request, tmp_path):
    """Eight images (8, 2, 6, 6) in each storage kind, their catalog, and the file of image 3."""
    images = np.random.default_rng(1).integers(0, 256, (8, 2, 6, 6), dtype=np.uint8)
    kind, files = request.param, []
    if kind == "raster":
        paths = [f"{n}.tif" for n in range(8)]
        for path, image in zip(paths, images, strict=True):
            write_raster(tmp_path / path, image)
        vanishing = tmp_path / "3.tif"
    elif kind == "files":
        paths, files = [f"{n}_{{band}}.tif" for n in range(8)], ["P", "Q"]
        for n, image in enumerate(images):
            for band, pixels in zip(files, image, strict=True):
                write_raster(tmp_path / f"{n}_{band}.tif", pixels[None])
        vanishing = tmp_path / "3_Q.tif"
    elif kind == "lmdb":
        paths, files = [f"x.lmdb!key-{n}" for n in range(8)], ["P", "Q"]
        write_lmdb(
            tmp_path / "x.lmdb", {f"key-{n}": dict(zip(files, image, strict=True)) for n, image in enumerate(images)}
        )
        vanishing = tmp_path / "x.lmdb" / "data.mdb"
    elif kind == "tfrecord":
        write_tfrecord(tmp_path / "x.tfrecord-00000-of-1", [{"f": [i.transpose(1, 2, 0).tobytes()]} for i in images])
        paths = [f"x.tfrecord-00000-of-1!{at}" for at in tfrecords.offsets(tmp_path / "x.tfrecord-00000-of-1")]
        files, vanishing = ["f:6x6x2:0", "f:6x6x2:1"], tmp_path / "x.tfrecord-00000-of-1"
    else:
        np.save(tmp_path / "x.npy", images)
        paths, vanishing = [f"x.npy!{n}" for n in range(8)], tmp_path / "x.npy"
    return kind, images, catalog_of(tmp_path, paths, files), vanishing


def test_every_kind_gives_what_was_stored(stored):
    _, images, catalog, _ = stored
    samples = Samples(catalog, range(8), {"k": ["q", "p"]}, cache=False)
    samples.check_files()
    assert all(np.array_equal(samples[n].images.numpy(), images[n, ::-1]) for n in range(8))
    path = catalog.path(catalog.table["k_path"][5])
    part = read_window(path, (1, 2, 3, 4), files=catalog.header.sensors["k"].files)
    assert np.array_equal(part, images[5, :, 2:6, 1:4])


def test_threads_and_copies_read_every_kind(stored):
    _, images, catalog, _ = stored
    samples = Samples(catalog, range(8), {"k": ["p", "q"]}, cache=False)
    loaded = Batches(samples, [[n, n + 1] for n in range(0, 8, 2)], workers=3, prefetch=4)
    assert np.array_equal(np.concatenate([batch.images.numpy() for batch in loaded]), images)
    assert np.array_equal(pickle.loads(pickle.dumps(samples))[3].images.numpy(), images[3])


@pytest.mark.parametrize("stored", ["lmdb"], indirect=True)
def test_a_fork_reads_an_lmdb_that_its_parent_has_open(stored):
    _, images, catalog, _ = stored
    samples = Samples(catalog, range(8), {"k": ["p", "q"]}, cache=False)
    samples[0]
    loader = DataLoader(samples, batch_size=4, num_workers=1, collate_fn=collate, multiprocessing_context="fork")
    assert np.array_equal(np.concatenate([batch.images.numpy() for batch in loader]), images)
    assert np.array_equal(samples[7].images.numpy(), images[7])


def test_a_vanished_file_is_told_with_the_sample(stored):
    kind, _, catalog, vanishing = stored
    vanishing.unlink()
    samples = Samples(catalog, range(8), {"k": ["p", "q"]}, cache=False)
    if kind not in ("files", "lmdb"):  # of these only the folder is looked at
        with pytest.raises(DatasetError, match="that is not there, among them x"):
            samples.check_files()
    with pytest.raises(DatasetError, match="cannot be read") as told:
        samples[3]
    assert str(vanishing.parent) in str(told.value) and "again" in told.value.hint
    if kind != "npy":
        assert "Sample x3" in str(told.value)
    with pytest.raises(DatasetError, match="cannot be read"):
        list(Batches(samples, [list(range(8))], workers=1))


def test_damaged_and_missing_records_are_told(tmp_path):
    import lmdb
    from safetensors.numpy import save

    with lmdb.open(str(tmp_path / "x.lmdb"), map_size=1 << 20) as environment, environment.begin(write=True) as t:
        t.put(b"bad", save({"P": np.zeros((4, 4), np.uint8)})[:-3])
        t.put(b"other", save({"R": np.zeros((4, 4), np.uint8)}))
    for key, said in (("bad", "damaged"), ("other", "has R, not P"), ("none", "no record none")):
        with pytest.raises(DatasetError, match=said):
            read_window(str(tmp_path / f"x.lmdb!{key}"), None, files=["P"])
    (tmp_path / "x.npy").write_bytes(b"no array")
    with pytest.raises(DatasetError, match="no whole packed array"):
        read_window(str(tmp_path / "x.npy!0"), None)
    np.save(tmp_path / "y.npy", np.zeros((2, 1, 4, 4)))
    with pytest.raises(DatasetError, match="2 images"):
        read_window(str(tmp_path / "y.npy!2"), None)


def test_several_classes_a_sample_are_multi_hot(tmp_path):
    write_raster(tmp_path / "a.tif", np.ones((2, 4, 4), np.uint8))
    catalog = catalog_of(tmp_path, ["a.tif", "a.tif"], [], classes=4)
    catalog.header.label_kind = "multilabel"
    catalog.table["labels"] = [[0, 3], []]
    path = tmp_path / "c.parquet"
    catalog.write(path)
    from rsgeo_train.catalog import read_catalog

    samples = Samples(read_catalog(path), [0, 1], {"k": ["p"]})
    batch = collate([samples[0], samples[1]])
    assert batch.labels.tolist() == [[1, 0, 0, 1], [0, 0, 0, 0]] and batch.labels.dtype == torch.int64


def test_resampling_keeps_a_plane():
    y, x = np.mgrid[:6, :6].astype(np.float32)
    fine = resampled((x + 2 * y)[None], (12, 12))[0]
    at = (np.arange(12) + 0.5) / 2 - 0.5
    assert np.allclose(fine[1:-1, 1:-1], (at[None, :] + 2 * at[:, None])[1:-1, 1:-1], atol=1e-5)


def test_real_band_files(data):
    folder = data / "s1s2_pairs/bigearthnet/BigEarthNet-S2/S2A_MSIL2A_20170613T101031_87_48"
    image = read_window(f"{folder}/{folder.name}_{{band}}.tif", None, files=["B02", "B05", "B01"])
    assert image.shape == (3, 120, 120)
    with rasterio.open(folder / f"{folder.name}_B05.tif") as source:
        coarse = source.read(1).astype(float)
    blocks = image[1].reshape(60, 2, 60, 2).mean((1, 3))
    assert abs((blocks - coarse)[1:-1, 1:-1]).mean() < 0.1 * coarse.std()  # the same ground under each coarse pixel
