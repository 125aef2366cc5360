"""P1 and P2: the shipped models take the values they were made for, and find each band by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from making import random_scene, read, write_scene

from rsgeo_core import infer
from rsgeo_core.bands import MatchedBand, match_bands, numbers_by_sensor, told_bands
from rsgeo_core.card import CardBand, SensorInput, read_card
from rsgeo_core.errors import BandError, ResolutionError, UnitError
from rsgeo_core.events import Warn
from rsgeo_core.selftest import selftest
from rsgeo_core.zoo import find

BANDS = ("B02", "B03", "B04", "B08")
MODELS = ("landcover-s2", "embed-s2", "landcover-aerial")


def digital_numbers(seed: int = 0, side: int = 150) -> np.ndarray:
    """(4, H, W) uint16 like Sentinel-2 reflectance × 10,000."""
    return (random_scene((4, side, side), seed).astype(np.uint16) * 12).astype(np.uint16)


def scene(
    folder: Path, pixels: np.ndarray, names: tuple[str, ...] = BANDS, name: str = "s.tif", **options: Any
) -> Path:
    return write_scene(folder / name, pixels, descriptions=names, photometric="minisblack", **options)


@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_model_gives_its_stored_result(name: str) -> None:
    result = selftest(find(name), "cpu")
    assert result.passed and result.differences


@pytest.mark.parametrize("name", MODELS)
def test_the_engine_gives_what_onnxruntime_gives_on_the_raw_values(name: str, tmp_path: Path) -> None:
    """Whole scene through the engine against bare onnxruntime on raw windows: argmax and vectors are the same."""
    model = find(name)
    if name == "landcover-aerial":
        path = write_scene(
            tmp_path / "s.tif", random_scene((3, 96, 80), 1), photometric="rgb", transform=None, crs=None
        )
        infer(path, tmp_path / "map.tif", name, force=True, threads=1)
        halo = model.card.context.halo
        padded = np.pad(read(path), ((0, 0), (halo, halo), (halo, halo)), "reflect").astype(np.float32)
        expected = networks.run(model.path.read_bytes(), padded[None])[0, :, halo:-halo, halo:-halo].argmax(axis=0) + 1
        np.testing.assert_array_equal(read(tmp_path / "map.tif", 1), expected)
        return
    path = scene(tmp_path, digital_numbers(3))
    infer(path, tmp_path / "map.tif", name, quantisation="float32", threads=1)
    found = read(tmp_path / "map.tif")
    padded = np.pad(read(path)[[2, 1, 0]], ((0, 0), (64, 64), (64, 64)), "reflect").astype(np.float32)
    for row, column in ((0, 0), (3, 5), (9, 9), (0, 9)):
        top, left = 64 + row * 16 - 24, 64 + column * 16 - 24
        vector = networks.run(model.path.read_bytes(), padded[None, :, top : top + 64, left : left + 64])[0]
        if name == "embed-s2":
            np.testing.assert_allclose(found[:, row, column], vector / np.linalg.norm(vector), atol=1e-5)
        else:
            assert found[0, row, column] == vector.argmax() + 1


@pytest.mark.parametrize("name", ["landcover-s2", "embed-s2"])
def test_reflectance_instead_of_digital_numbers_is_refused_and_can_be_declared(name: str, tmp_path: Path) -> None:
    numbers = digital_numbers()
    as_numbers = scene(tmp_path, numbers, name="dn.tif")
    as_reflectance = scene(tmp_path, (numbers * np.float32(1e-4)).astype(np.float32), name="r.tif")
    with pytest.raises(UnitError, match="--value-scale 1"):
        infer(as_reflectance, tmp_path / "map.tif", name)
    assert not (tmp_path / "map.tif").exists()
    infer(as_numbers, tmp_path / "dn_map.tif", name)
    infer(as_reflectance, tmp_path / "r_map.tif", name, value_scale=(1.0, 0.0))
    first, second = read(tmp_path / "dn_map.tif"), read(tmp_path / "r_map.tif")
    if name == "landcover-s2":
        np.testing.assert_array_equal(first, second)
    else:
        assert np.abs(first.astype(int) - second).max() <= 1  # stored steps of 1/127


def test_scale_and_offset_of_the_file_count(tmp_path: Path) -> None:
    """Numbers + 1000 with offset −0.1, as in baseline 04.00, and reflectance / 2e-5: the same map."""
    numbers = digital_numbers()
    infer(scene(tmp_path, numbers, name="dn.tif"), tmp_path / "a.tif", "embed-s2")
    shifted = scene(tmp_path, numbers + np.uint16(1000), name="b4.tif")
    with rasterio.open(shifted, "r+") as dataset:
        dataset.scales, dataset.offsets = (1e-4,) * 4, (-0.1,) * 4
    finer = scene(tmp_path, numbers * np.uint16(5), name="f.tif")
    with rasterio.open(finer, "r+") as dataset:
        dataset.scales = (2e-5,) * 4
    for source in (shifted, finer):
        infer(source, tmp_path / "b.tif", "embed-s2")
        assert np.abs(read(tmp_path / "a.tif").astype(int) - read(tmp_path / "b.tif")).max() <= 1  # stored steps


@pytest.mark.parametrize("name", ["landcover-s2", "embed-s2"])
def test_8_bit_pictures_are_refused_and_force_is_recorded(name: str, tmp_path: Path) -> None:
    path = scene(tmp_path, random_scene((4, 150, 150)))
    with pytest.raises(UnitError, match="8-bit"):
        infer(path, tmp_path / "map.tif", name)
    warnings: list[str] = []
    infer(
        path,
        tmp_path / "map.tif",
        name,
        force=True,
        on_event=lambda e: warnings.append(e.text) if isinstance(e, Warn) else None,
    )
    assert any("8-bit" in text for text in warnings)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert json.loads(dataset.tags()["RSGEO_PARAMETERS"])["force"] is True


def test_a_wrong_resolution_is_refused_and_measured_on_the_ground(tmp_path: Path) -> None:
    from affine import Affine

    # 10 m at 60° north is 0.00009 degrees of latitude and twice as many of longitude.
    numbers = digital_numbers()
    degrees = scene(
        tmp_path, numbers, name="deg.tif", crs="EPSG:4326", transform=Affine(0.0001797, 0, 10, 0, -0.0000898, 60)
    )
    infer(degrees, tmp_path / "map.tif", "landcover-s2")
    mercator = scene(tmp_path, numbers, name="merc.tif", crs="EPSG:3857", transform=Affine(10, 0, 1e6, 0, -10, 1.1e7))
    with pytest.raises(ResolutionError, match="m per pixel"):  # 10 units of Mercator at 70° are about 3.5 m
        infer(mercator, tmp_path / "map2.tif", "landcover-s2")
    infer(mercator, tmp_path / "map2.tif", "landcover-s2", force=True)


def test_permuted_bands_give_the_same_map(tmp_path: Path) -> None:
    numbers = digital_numbers()
    infer(scene(tmp_path, numbers), tmp_path / "a.tif", "landcover-s2", probabilities=str(tmp_path / "pa.tif"))
    for order in ((3, 2, 1, 0), (1, 3, 0, 2)):
        permuted = scene(tmp_path, numbers[list(order)], tuple(BANDS[i] for i in order), "p.tif")
        infer(permuted, tmp_path / "b.tif", "landcover-s2", probabilities=str(tmp_path / "pb.tif"))
        np.testing.assert_array_equal(read(tmp_path / "a.tif"), read(tmp_path / "b.tif"))
        np.testing.assert_array_equal(read(tmp_path / "pa.tif"), read(tmp_path / "pb.tif"))
    wrong = scene(tmp_path, numbers[::-1].copy(), BANDS, "w.tif")  # names that lie do change it
    infer(wrong, tmp_path / "c.tif", "landcover-s2", probabilities=str(tmp_path / "pc.tif"))
    assert (read(tmp_path / "pa.tif") != read(tmp_path / "pc.tif")).any()


@pytest.mark.parametrize("dropped", [0, 1, 2])
def test_a_dropped_band_is_named(dropped: int, tmp_path: Path) -> None:
    kept = [i for i in range(4) if i != dropped]
    path = scene(tmp_path, digital_numbers()[kept], tuple(BANDS[i] for i in kept))
    with pytest.raises(BandError) as failure:
        infer(path, tmp_path / "map.tif", "landcover-s2")
    message = str(failure.value)
    assert f"not found: {BANDS[dropped]}" in message and f"--bands {BANDS[dropped]}=" in message
    assert all(BANDS[i] in message for i in kept)


@pytest.mark.parametrize(
    "names",
    [
        ("B2", "B3", "B4", "B8"),
        ("blue", "green", "red", "nir"),
        ("b02", "B_03", "Band 4", ""),
        ("Blue", "GREEN", "Red", "x"),
    ],
)
def test_other_spellings_are_the_same_bands(names: tuple[str, ...], tmp_path: Path) -> None:
    numbers = digital_numbers()
    infer(scene(tmp_path, numbers), tmp_path / "a.tif", "embed-s2")
    infer(scene(tmp_path, numbers, names, "b_s.tif"), tmp_path / "b.tif", "embed-s2")
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), read(tmp_path / "b.tif"))


def test_bands_are_renamed_by_number(tmp_path: Path) -> None:
    numbers = digital_numbers()
    infer(scene(tmp_path, numbers), tmp_path / "a.tif", "embed-s2")
    unnamed = scene(tmp_path, numbers, ("", "", "", ""), "u.tif")
    infer(unnamed, tmp_path / "b.tif", "embed-s2", bands={"B02": 1, "B03": 2, "B04": 3})
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), read(tmp_path / "b.tif"))
    wrong = scene(tmp_path, numbers, ("B02", "B03", "B01", "B04"), "w.tif")  # the number counts before the name
    infer(wrong, tmp_path / "c.tif", "embed-s2", bands={"red": 3})
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), read(tmp_path / "c.tif"))
    with pytest.raises(BandError, match="4 bands"):
        infer(unnamed, tmp_path / "d.tif", "embed-s2", bands={"B02": 1, "B03": 2, "B04": 5})
    with pytest.raises(BandError, match="B99"):
        infer(unnamed, tmp_path / "d.tif", "embed-s2", bands={"B99": 1})


def test_numbers_count_through_several_files(tmp_path: Path) -> None:
    numbers = digital_numbers()
    infer(scene(tmp_path, numbers), tmp_path / "a.tif", "embed-s2")
    files = [scene(tmp_path, numbers[i : i + 1], ("",), f"b{i}.tif") for i in range(4)]
    infer(files, tmp_path / "b.tif", "embed-s2", bands={"B02": 1, "B03": 2, "B04": 3})
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), read(tmp_path / "b.tif"))


def test_a_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = scene(tmp_path, digital_numbers(), ("B02", "B03", "B04", "red"))
    with pytest.raises(BandError, match="2 times"):
        infer(path, tmp_path / "map.tif", "landcover-s2")
    infer(path, tmp_path / "map.tif", "landcover-s2", bands={"B04": 3})


def test_a_fourth_band_that_the_file_calls_alpha_can_be_named(tmp_path: Path) -> None:
    """GDAL writes four 8-bit bands as RGBA; near infrared in the fourth is data, not a mask."""
    bands = [{"name": n, "common_name": n} for n in ("red", "green", "blue", "nir")]
    card = networks.card(kind="values", outputs=4, channels=4, bands=bands)
    model = networks.save(tmp_path / "m.onnx", networks.band_reader(4), card)
    pixels = random_scene((4, 40, 40), low=0)
    pixels[3, :10] = 0
    path = write_scene(tmp_path / "s.tif", pixels, photometric="rgb", alpha="yes")
    with pytest.raises(BandError, match="nir"):
        infer(path, tmp_path / "map.tif", model)
    infer(path, tmp_path / "map.tif", model, bands={"nir": 4})
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), pixels.astype(np.float32))


def test_the_bands_that_were_taken_are_told(tmp_path: Path) -> None:
    told: list[str] = []
    infer(
        scene(tmp_path, digital_numbers()),
        tmp_path / "a.tif",
        "landcover-s2",
        bands={"B04": 3},
        on_event=lambda e: told.append(getattr(e, "text", "")),
    )
    assert any("B04 = band 3 (--bands), B03 = band 2 (its description)" in text for text in told)


def test_a_real_patch_is_classified_as_its_folder(real_data: Path, tmp_path: Path) -> None:
    """13-band patches as they lie on disk, without names: the class of most patches is that of their folder."""
    hits = total = 0
    names = [c.name for c in read_card(find("landcover-s2").path).output().classes]
    for folder in sorted((real_data / "eurosat_ms").iterdir()):
        for path in sorted(folder.glob("*.tif"))[:3] if folder.is_dir() else []:
            infer(
                path, tmp_path / "map.tif", "landcover-s2", bands={"B04": 4, "B03": 3, "B02": 2}, stride=64, threads=1
            )
            hits += names[read(tmp_path / "map.tif", 1)[0, 0] - 1] == folder.name
            total += 1
    assert total == 30 and hits >= 24


def sensor_input(sensor: str, *names: str) -> SensorInput:
    return SensorInput.model_validate({"sensor": sensor, "bands": [{"name": name} for name in names], "tile_size": 64})


def test_band_numbers_go_to_the_sensor_that_has_the_band() -> None:
    radar, optical, top = (
        sensor_input("s1", "VV", "VH"),
        sensor_input("s2", "B02", "B03"),
        sensor_input("s2_l1c", "B02", "B10"),
    )
    assert numbers_by_sensor({"VV": 1, "B03": 2, "vh": 2}, [radar, optical]) == {
        "s1": {"VV": 1, "vh": 2},
        "s2": {"B03": 2},
    }
    assert numbers_by_sensor({"s2.B02": 3, "s2_l1c.B02": 1, "B10": 2}, [optical, top]) == {
        "s2": {"B02": 3},
        "s2_l1c": {"B02": 1, "B10": 2},
    }
    with pytest.raises(BandError, match=r"could be of s2 or of s2_l1c(.|\n)*--bands s2\.B02=3"):
        numbers_by_sensor({"B02": 3}, [optical, top])
    with pytest.raises(BandError, match=r"names B99; the model's bands are s1 VV, VH; s2 B02, B03"):
        numbers_by_sensor({"B99": 3}, [radar, optical])
    with pytest.raises(BandError, match=r"names s2_l1c\.B02"):
        numbers_by_sensor({"s2_l1c.B02": 1}, [radar, optical])
    assert numbers_by_sensor({"B99": 1}, [optical]) == {"s2": {"B99": 1}}  # told where its file is opened


def test_a_described_band_is_one_though_gdal_calls_it_alpha(tmp_path: Path) -> None:
    pixels = random_scene((4, 16, 16), 0)
    wanted = SensorInput(sensor="s2", bands=tuple(CardBand(name=name) for name in ("B08", "B02")), tile_size=8)
    path = write_scene(tmp_path / "s.tif", pixels, descriptions=BANDS, photometric="rgb", alpha="yes")
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp[3].name == "alpha"
    assert [match.index for match in match_bands([str(path)], wanted)] == [4, 1]
    names = ("B02", "B03", "B04", "Alpha")
    path = write_scene(tmp_path / "a.tif", pixels, descriptions=names, photometric="rgb", alpha="yes")
    with pytest.raises(BandError, match=r"1 \(B02\), 2 \(B03\), 3 \(B04\); .*not found: B08"):
        match_bands([str(path)], wanted)


@pytest.mark.parametrize(
    "named",
    ["S2A_MSIL2A_20170613T101031_87_48_{}.tif", "T33UUP_20170613T101031_{}_20m.tif", "{}.tif", "x-{}.jp2.tif"],
)
def test_a_file_a_band_goes_by_the_files_names(named: str, tmp_path: Path) -> None:
    """As Sentinel-2 and BigEarthNet are delivered; the band's own description counts more, and the order nothing."""
    wanted = sensor_input("s2", "B8A", "B02", "B11")
    files = [tmp_path / named.format(name) for name in ("B02", "B11", "B8A", "B12")]
    for path in files:
        write_scene(path, digital_numbers(side=16)[:1])
    found = match_bands([str(path) for path in files], wanted)
    assert [(Path(match.path), match.why) for match in found] == [
        (files[2], "its file's name"),
        (files[0], "its file's name"),
        (files[1], "its file's name"),
    ]
    with rasterio.open(files[3], "r+") as dataset:
        dataset.descriptions = ("B11",)
    with rasterio.open(files[1], "r+") as dataset:
        dataset.descriptions = ("B12",)
    found = match_bands([str(path) for path in files], wanted)
    assert (Path(found[2].path), found[2].why) == (files[3], "its description")


def test_a_name_of_two_bands_says_neither(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "B02_B11.tif", digital_numbers(side=16)[:1])
    with pytest.raises(BandError, match="needed and not found: B02"):
        match_bands([str(path)], sensor_input("s2", "B02", "B11"))


def matched(count: int, path: str = "a.tif", why: str = "its description") -> list[MatchedBand]:
    return [MatchedBand(CardBand(name=f"N{n}"), path, n, why, n - 1) for n in range(1, count + 1)]


@given(st.permutations(range(1, 30)), st.integers(1, 29))
def test_bands_of_a_file_are_told_together(order: list[int], count: int) -> None:
    """All of them up to sixteen, and in a short line however many there are."""
    found = [MatchedBand(CardBand(name=f"N{n}"), "a.tif", n, "its description", i) for i, n in enumerate(order[:count])]
    text = told_bands(found, several=False)
    assert len(text) < 220
    if count <= 3:
        assert text == ", ".join(f"N{n} = band {n} (its description)" for n in order[:count])
    elif count <= 16:
        names, _, numbers = text.removesuffix(" (their descriptions)").partition(" = bands ")
        runs = [[int(end) for end in part.split("–")] for part in numbers.split(", ")]
        assert names.split(", ") == [f"N{n}" for n in order[:count]]
        assert [n for run in runs for n in range(run[0], run[-1] + 1)] == order[:count]


def test_bands_of_several_files_are_told_by_file() -> None:
    found = [*matched(4), *matched(1, "b.tif", "--bands")]
    assert told_bands(found, several=True) == (
        "N1, N2, N3, N4 = bands 1–4 of a.tif (their descriptions); N1 = band 1 of b.tif (--bands)"
    )
    many = told_bands(matched(224), several=False)
    assert many.endswith("N12, N13, …, N223, N224 = bands 1–224 (their descriptions)")
