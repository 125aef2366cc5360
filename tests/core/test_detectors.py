"""Detectors over scenes: every object once, in its place, whatever the tiles are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from click.testing import CliRunner
from finders import finder
from hypothesis import given, settings
from hypothesis import strategies as st
from making import NORTH_UP, write_scene

from rsgeo_cli.rsgeo import cli
from rsgeo_core import infer, prospect
from rsgeo_core.card import ModelCard, read_card, write_card
from rsgeo_core.description import describe_card
from rsgeo_core.detections import pasted
from rsgeo_core.errors import ModelFileError, OutputError, RequestError, ResumeError, RunError
from rsgeo_core.grid import Span
from rsgeo_core.request import InferRequest
from rsgeo_core.session import Session

TURNED = Affine.translation(500000, 5300000) * Affine.rotation(17) * Affine.scale(0.5, -0.5)


def scene_of(boxes: list[tuple[int, int, int, int]], shape: tuple[int, int]) -> np.ndarray:
    """(1, H, W) float32 with rectangle k of (left, top, right, bottom) filled with k + 1."""
    pixels = np.zeros((1, *shape), np.float32)
    for number, (left, top, right, bottom) in enumerate(boxes):
        assert (pixels[0, top:bottom, left:right] == 0).all()
        pixels[0, top:bottom, left:right] = number + 1
    return pixels


def on_every_seam(core: int, shape: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Objects of 10 × 8 pixels on every seam, on every corner of four tiles, and in the middle of tiles."""
    found = []
    half = core // 2
    for y in range(0, shape[0] + 1, half):
        for x in range(0, shape[1] + 1, half):
            box = (max(0, x - 5), max(0, y - 4), min(shape[1], x + 5), min(shape[0], y + 4))
            if box[2] - box[0] > 3 and box[3] - box[1] > 3:
                found.append(box)
    return found


def found_in(out: Path, transform: Affine, layer: str | None = None) -> dict[int, np.ndarray]:
    """Bounds in pixels of what was found, by the number of the object; each must come once."""
    frame = gpd.read_file(out, layer=layer or out.stem)
    numbers = [round((score - 0.5) * 1000) - 1 for score in frame["score"]]
    assert len(numbers) == len(set(numbers)), "an object was counted twice"
    inverse = ~transform
    bounds = {}
    for number, geometry in zip(numbers, frame.geometry, strict=True):
        corners = np.array(geometry.convex_hull.exterior.coords)
        pixels = np.array([inverse * tuple(corner) for corner in corners])
        bounds[number] = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])
    return bounds


@pytest.mark.parametrize("transform", [NORTH_UP, TURNED], ids=["north-up", "turned"])
@pytest.mark.parametrize("tile", [64, 80, 144])
def test_an_object_on_every_seam_and_corner_counts_once(tmp_path: Path, tile: int, transform: Affine) -> None:
    model = finder(tmp_path / "finder.onnx", values=200, largest=16)
    core = tile - 2 * 12
    boxes = on_every_seam(core, (190, 210))[:200]
    scene = write_scene(tmp_path / "s.tif", scene_of(boxes, (190, 210)), transform=transform, descriptions=("value",))
    out = tmp_path / "o.gpkg"
    result = infer(scene, out, model, tile=tile)
    assert result.stats["tile"] == tile and result.stats["model_runs"] > 1
    for layer in ("o", "o_boxes"):
        got = found_in(out, transform, layer)
        assert sorted(got) == list(range(len(boxes)))
        for number, box in enumerate(boxes):
            np.testing.assert_allclose(got[number], box, atol=1e-6)
    frame = gpd.read_file(out, layer="o")
    pixel = abs(transform.determinant)
    sides = np.array(boxes)[[round((score - 0.5) * 1000) - 1 for score in frame["score"]]]
    areas = (sides[:, 2] - sides[:, 0]) * (sides[:, 3] - sides[:, 1])
    np.testing.assert_array_equal(frame["pixels"], areas)
    np.testing.assert_allclose(frame["area_m2"], areas * pixel, rtol=1e-9)
    np.testing.assert_allclose(frame.area, areas * pixel, rtol=1e-6)


@pytest.mark.parametrize("with_masks", [True, False])
def test_edges_that_depend_on_the_tile_make_no_second_object(tmp_path: Path, with_masks: bool) -> None:
    boxes = on_every_seam(48, (200, 170))
    scene = write_scene(tmp_path / "s.tif", scene_of(boxes, (200, 170)), descriptions=("value",))
    model = finder(tmp_path / "f.onnx", values=len(boxes), largest=20, noise=1.5, with_masks=with_masks)
    for tile in (76, 92):
        out = tmp_path / f"{tile}.gpkg"
        infer(scene, out, model, tile=tile)
        got = found_in(out, NORTH_UP)
        assert sorted(got) == list(range(len(boxes)))
        for number, box in enumerate(boxes):
            assert np.abs(got[number] - box).max() <= 2.0


def test_objects_larger_than_the_overlap_are_joined_from_parts(tmp_path: Path) -> None:
    boxes = [(10, 10, 190, 30), (60, 50, 90, 190), (110, 60, 185, 140), (5, 195, 12, 199)]
    scene = write_scene(tmp_path / "s.tif", scene_of(boxes, (200, 200)), descriptions=("value",))
    model = finder(tmp_path / "f.onnx", values=4, largest=16)
    for tile in (64, 96, 256):
        out = tmp_path / f"{tile}.gpkg"
        infer(scene, out, model, tile=tile)
        got = found_in(out, NORTH_UP)
        assert sorted(got) == [0, 1, 2, 3]
        for number, box in enumerate(boxes):
            np.testing.assert_allclose(got[number], box, atol=1e-6)
        frame = gpd.read_file(out, layer=str(tile))
        assert set(frame["pixels"]) == {180 * 20, 30 * 140, 75 * 80, 7 * 4}


def test_parts_of_any_shape_are_joined_by_their_masks(tmp_path: Path) -> None:
    """Two nested angles, larger than the overlap: their boxes cover each other, their masks do not."""
    pixels = np.zeros((1, 200, 200), np.float32)
    pixels[0, 10:180, 10:40] = pixels[0, 150:180, 10:190] = 1
    pixels[0, 10:120, 70:100] = pixels[0, 90:120, 70:190] = 2
    scene = write_scene(tmp_path / "s.tif", pixels, descriptions=("value",))
    model = finder(tmp_path / "f.onnx", values=2, largest=16)
    for tile in (64, 100):
        infer(scene, tmp_path / f"{tile}.gpkg", model, tile=tile)
        got = found_in(tmp_path / f"{tile}.gpkg", NORTH_UP)
        assert sorted(got) == [0, 1]
        np.testing.assert_allclose(got[0], (10, 10, 190, 180), atol=1e-6)
        frame = gpd.read_file(tmp_path / f"{tile}.gpkg", layer=str(tile)).sort_values("score")
        for number, value in enumerate((1, 2)):
            area = (pixels == value).sum()
            assert frame["pixels"].iloc[number] == pytest.approx(area, rel=0.03)  # cells of two to four pixels


def test_objects_that_stand_close_stay_two(tmp_path: Path) -> None:
    boxes = [(x, y, x + 9, y + 9) for y in range(2, 150, 10) for x in range(2, 150, 10)]
    scene = write_scene(tmp_path / "s.tif", scene_of(boxes, (160, 160)), descriptions=("value",))
    model = finder(tmp_path / "f.onnx", values=len(boxes), largest=12, noise=0.8)
    out = tmp_path / "o.gpkg"
    infer(scene, out, model, tile=60)
    assert sorted(found_in(out, NORTH_UP)) == list(range(len(boxes)))


def test_what_the_fill_of_no_data_looks_like_is_no_object(tmp_path: Path) -> None:
    boxes = [(10, 10, 20, 20), (62, 10, 66, 14), (70, 10, 80, 20), (100, 60, 110, 70)]
    mask = np.full((128, 128), 255, np.uint8)
    mask[5:25, 50:60] = mask[5:25, 77:90] = 0
    scene = write_scene(tmp_path / "s.tif", scene_of(boxes, (128, 128)), descriptions=("value",), mask=mask)
    model = finder(tmp_path / "f.onnx", values=4, largest=16, fill=2.0)  # as the second object
    infer(scene, tmp_path / "o.gpkg", model, tile=64)
    got = found_in(tmp_path / "o.gpkg", NORTH_UP)
    assert sorted(got) == [0, 2, 3]
    np.testing.assert_allclose(got[2], (70, 10, 77, 20), atol=1e-6)


def test_extent_and_polygons_keep_objects_whose_centre_is_inside(tmp_path: Path) -> None:
    boxes = on_every_seam(40, (160, 160))
    scene = write_scene(tmp_path / "s.tif", scene_of(boxes, (160, 160)), descriptions=("value",))
    model = finder(tmp_path / "f.onnx", values=len(boxes), largest=16)
    infer(scene, tmp_path / "all.gpkg", model, tile=64)
    infer(scene, tmp_path / "part.gpkg", model, tile=64, extent=(500450, 5298900, 501010, 5299510))
    whole, part = (found_in(tmp_path / f"{name}.gpkg", NORTH_UP) for name in ("all", "part"))
    centres = {n: ((b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for n, b in whole.items()}
    wanted = {n for n, (x, y) in centres.items() if 45 <= int(x) < 101 and 49 <= int(y) < 110}
    assert wanted and set(part) == wanted
    for number in wanted:
        np.testing.assert_array_equal(part[number], whole[number])
    area = gpd.GeoDataFrame(geometry=gpd.points_from_xy([500800], [5299200]).buffer(300), crs="EPSG:32632")
    area.to_file(tmp_path / "area.gpkg")
    infer(scene, tmp_path / "masked.gpkg", model, tile=64, mask=tmp_path / "area.gpkg")
    masked = found_in(tmp_path / "masked.gpkg", NORTH_UP)
    assert set(masked) == {n for n, (x, y) in centres.items() if np.hypot(int(x) + 0.5 - 80, int(y) + 0.5 - 80) < 30}


def test_a_killed_run_goes_on_and_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = on_every_seam(40, (200, 160))
    scene = write_scene(tmp_path / "s.tif", scene_of(boxes, (200, 160)), descriptions=("value",))
    model = finder(tmp_path / "f.onnx", values=len(boxes), largest=16)
    once = infer(scene, tmp_path / "once" / "o.gpkg", model, tile=64)
    normal, runs = Session.detect, []

    def broken(self: Session, batch: Any) -> Any:
        if len(runs) == 9:
            raise RunError("gone")
        runs.append(1)
        return normal(self, batch)

    monkeypatch.setattr(Session, "detect", broken)
    with pytest.raises(RunError, match="gone"):
        infer(scene, tmp_path / "o.gpkg", model, tile=64, threads=1)
    assert not (tmp_path / "o.gpkg").exists()
    monkeypatch.setattr(Session, "detect", normal)
    with pytest.raises(ResumeError, match=r"parameters.min_score was 0.5 and is 0.9"):
        infer(scene, tmp_path / "o.gpkg", model, tile=64, threads=1, resume=True, min_score=0.9)
    again = infer(scene, tmp_path / "o.gpkg", model, tile=64, threads=1, resume=True)
    assert 0 < again.stats["model_runs"] < once.stats["model_runs"]
    assert (tmp_path / "o.gpkg").read_bytes() == (tmp_path / "once" / "o.gpkg").read_bytes()
    assert infer(scene, tmp_path / "o.gpkg", model, tile=64, resume=True).was_finished
    assert sorted(path.name for path in tmp_path.glob("o.*")) == ["o.gpkg", "o.gpkg.json"]


def test_scores_classes_and_the_card_say_what_is_written(tmp_path: Path) -> None:
    boxes = [(10 + 20 * n, 10, 20 + 20 * n, 22) for n in range(5)]
    scene = write_scene(tmp_path / "s.tif", scene_of(boxes, (40, 120)), descriptions=("value",))
    model = finder(tmp_path / "f.onnx", values=5, largest=16, classes=2)
    infer(scene, tmp_path / "o.geojson", model, min_score=0.503)
    frame = gpd.read_file(tmp_path / "o.geojson").sort_values("score")
    assert frame["score"].tolist() == [0.503, 0.504, 0.505]
    assert frame["class"].tolist() == ["kind 1", "kind 2", "kind 1"] and frame["value"].tolist() == [1, 2, 1]
    assert frame.crs.to_epsg() == 4326
    card = read_card(model)
    assert "detections, 2 classes, score from 0.5, boxes and masks; whole up to 16 pixels" in describe_card(card, model)
    plan = prospect.plan(InferRequest(scene=(str(scene),), out=str(tmp_path / "p.gpkg"), model=str(model)))
    assert plan.stats["model"]["kind"] == "detections" and plan.stats["seconds"] > 0


def test_an_empty_scene_gives_an_empty_layer(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", np.zeros((1, 40, 40), np.float32), descriptions=("value",))
    result = infer(scene, tmp_path / "o.gpkg", finder(tmp_path / "f.onnx"))
    frame = gpd.read_file(tmp_path / "o.gpkg", layer="o")
    assert result.stats["objects"] == len(frame) == 0
    assert list(frame.columns) == ["value", "class", "score", "pixels", "area_m2", "geometry"]


def test_what_does_not_go_together_is_refused_with_what_to_type(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", np.zeros((1, 40, 40), np.float32), descriptions=("value",))
    model = finder(tmp_path / "f.onnx")
    with pytest.raises(OutputError, match="the objects that finder finds are written as") as refused:
        infer(scene, tmp_path / "o.tif", model)
    assert refused.value.hint == "Name it o.gpkg"
    for option in ({"blend": "hann"}, {"stride": 2}, {"vector": tmp_path / "v.gpkg"}, {"probabilities": "p.tif"}):
        with pytest.raises(RequestError):
            infer(scene, tmp_path / "o.gpkg", model, **option)
    with pytest.raises(RequestError, match="tile of 32 pixels"):
        infer(scene, tmp_path / "o.gpkg", model, tile=32)
    rgb = write_scene(tmp_path / "rgb.tif", np.full((3, 80, 80), 90, np.uint8), descriptions=("red", "green", "blue"))
    with pytest.raises(OutputError, match="a map is a GeoTIFF"):
        infer(rgb, tmp_path / "m.gpkg", "landcover-aerial", force=True)
    with pytest.raises(RequestError, match="--min-score is of detectors"):
        infer(rgb, tmp_path / "m.tif", "landcover-aerial", min_score=0.5, force=True)
    assert [path.name for path in tmp_path.iterdir() if path.suffix not in (".tif", ".onnx")] == []
    wrong = finder(tmp_path / "w.onnx", classes=2)
    facts = read_card(wrong).model_dump(mode="json", exclude_none=True)
    facts["outputs"][0]["classes"] = facts["outputs"][0]["classes"][:1]
    write_card(wrong, ModelCard.model_validate(facts))
    two = write_scene(
        tmp_path / "two.tif", scene_of([(2, 2, 9, 9), (20, 20, 30, 30)], (40, 40)), descriptions=("value",)
    )
    with pytest.raises(ModelFileError, match="found label 1; its card has 1 classes"):
        infer(two, tmp_path / "o.gpkg", wrong)


def test_detections_without_their_facts_are_no_card(tmp_path: Path) -> None:
    facts = read_card(finder(tmp_path / "f.onnx")).model_dump(mode="json", exclude_none=True)
    del facts["outputs"][0]["objects"]
    with pytest.raises(ValueError, match="they alone, have objects"):
        ModelCard.model_validate(facts)


def test_several_scenes_become_vector_files_of_their_names(tmp_path: Path) -> None:
    model = finder(tmp_path / "f.onnx")
    for name in ("a", "b"):
        write_scene(tmp_path / f"{name}.tif", scene_of([(5, 5, 15, 15)], (40, 40)), descriptions=("value",))
    done = CliRunner().invoke(
        cli,
        [
            "infer",
            str(tmp_path / "a.tif"),
            str(tmp_path / "b.tif"),
            "-m",
            str(model),
            "-o",
            str(tmp_path / "out"),
            "-q",
        ],
    )
    assert done.exit_code == 0, done.output
    seams = CliRunner().invoke(cli, ["check-seams", str(model), str(tmp_path / "a.tif")])
    assert isinstance(seams.exception, RequestError) or "finds objects" in seams.output
    assert sorted(path.name for path in (tmp_path / "out").glob("*.gpkg")) == ["a.gpkg", "b.gpkg"]


@settings(max_examples=60, deadline=None)
@given(
    box=st.tuples(st.integers(-5, 40), st.integers(-5, 40), st.integers(1, 30), st.integers(1, 30)),
    seed=st.integers(0, 2**16),
)
def test_a_pasted_mask_does_not_depend_on_the_window(box: tuple[int, int, int, int], seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = random.random((28, 28)).astype(np.float32)
    edges = np.array([box[0], box[1], box[0] + box[2], box[1] + box[3]], float) + random.random(4) * 0.9
    whole = pasted(mask, edges, Span(-10, -10, 90, 90))
    part = pasted(mask, edges, Span(3, 7, 31, 25))
    np.testing.assert_array_equal(part, whole[13:41, 17:35])
    inside = np.zeros_like(whole, bool)
    rows, columns = np.mgrid[-10:90, -10:90] + 0.5
    inside[(columns >= edges[0]) & (columns < edges[2]) & (rows >= edges[1]) & (rows < edges[3])] = True
    assert (whole[~inside] == 0).all() and whole.max() <= mask.max() + 1e-6


def test_a_mask_is_stretched_over_its_box_without_a_shift() -> None:
    mask = np.zeros((28, 28), np.float32)
    mask[:, 14:] = 1  # the right half
    found = pasted(mask, np.array([10.0, 0, 66, 28]), Span(0, 0, 28, 80)) >= 0.5
    assert np.flatnonzero(found[5]).tolist() == list(range(38, 66))
