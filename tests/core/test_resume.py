"""R1: a killed run goes on where it was and gives the same bytes; what is not the same run is refused."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import rasterio
import rasterio.shutil
from making import NORTH_UP, command, random_scene, read, rsgeo, write_scene
from rasterio.crs import CRS

from rsgeo_core import CancelToken, cog, infer
from rsgeo_core.errors import Cancelled, ResumeError, RunError
from rsgeo_core.events import Event, Progress
from rsgeo_core.grid import Grid
from rsgeo_core.rasters import class_product

KILLS = 30
TILE = 64  # cores of 56 pixels: 13 rows of 11 tiles, blended 26 of 22


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    write_scene(folder / "scene.tif", random_scene((3, 700, 600), 1), nodata=0)
    networks.save_known(folder, networks.plain(width=16), "logits")
    networks.save_known(folder, networks.plain(width=16), "values")
    return folder


def arguments(work: Path, blend: str) -> list[str]:
    return [
        "infer",
        f"{work}/scene.tif",
        "-m",
        f"{work}/net-logits.onnx",
        "--tile",
        str(TILE),
        "--blend",
        blend,
        "--threads",
        "1",
        "--resume",
        "-q",
    ]


def journal_rows(folder: Path) -> set[int]:
    path = folder / "journal.jsonl"
    rows = set()
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.add(json.loads(text).get("row", -1))
        except json.JSONDecodeError:
            break
    return rows - {-1}


def part_rows(folder: Path) -> set[int]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:  # before the run began, or just removed
        return set()
    return {int(m[1]) for name in names if (m := re.fullmatch(r"classes-(-?\d+)\.tif", name))}


@pytest.mark.slow
@pytest.mark.parametrize("blend", ["exact", "hann"])
def test_killed_at_random_moments_the_bytes_are_the_same(blend: str, work: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole" / "map.tif", tmp_path / "killed" / "map.tif"
    outputs = {
        p: [p, *(p.with_name(n) for n in ("map.tif.aux.xml", "map.qml", "probabilities.tif"))] for p in (whole, out)
    }
    lines = {
        p: command(*arguments(work, blend), "-o", p, "--probabilities", p.with_name("probabilities.tif"))
        for p in (whole, out)
    }
    out.parent.mkdir()
    start = time.perf_counter()
    subprocess.run(lines[whole], check=True, capture_output=True)
    duration = time.perf_counter() - start
    expected = [file.read_bytes() for file in outputs[whole]]
    dice = random.Random(blend)
    kills = resumed = during_rows = during_finish = 0
    part, item = out.with_name("map.tif.part"), out.with_name(out.name + ".json")
    rows, columns = (-(-side // 56) for side in (700, 600))
    if blend == "hann":
        rows, columns = (-(-side // 28) + 1 for side in (700, 600))
    while True:
        before, last = journal_rows(part), kills == KILLS // 2
        was_whole = item.exists()  # killed while it cleaned up: the next run only says so
        process = subprocess.Popen(lines[out], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if last:
            process.wait(60)
        else:
            _wait_for_a_moment(process, part, dice, kills, duration)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            finishing = (part / "classes.vrt").exists()
            during_finish += finishing
            during_rows += not finishing and bool(journal_rows(part))
            if item.exists():  # killed on its way out, while it deleted what it no longer needs
                assert [file.read_bytes() for file in outputs[out]] == expected
            else:
                assert before <= journal_rows(part) or finishing
                assert len(part_rows(part) - journal_rows(part)) <= 1
        assert process.returncode in (0, -signal.SIGKILL), process.stderr.read() if process.stderr else ""
        for file in outputs[out]:
            if file.suffix == ".tif" and file.exists():  # never half-written
                assert file.read_bytes() == expected[outputs[out].index(file)]
        if process.returncode == 0:
            assert [file.read_bytes() for file in outputs[out]] == expected
            assert not part.exists()
            if before and not was_whole:
                resumed += 1
                again = json.loads(item.read_text())["properties"]["rsgeo:run"]["model_runs"]
                assert again <= (rows - len(before) + 1) * columns, (again, sorted(before))
            if last:
                break
            for file in (*outputs[out], item):
                file.unlink()
    assert during_rows >= 3 and during_finish >= 3 and resumed >= 1


def test_statistics_beside_the_scene_are_no_other_scene(work: Path, tmp_path: Path) -> None:
    """QGIS writes them as soon as a layer is looked at; a nodata value there is another matter."""
    scene = Path(shutil.copy(work / "scene.tif", tmp_path / "scene.tif"))
    infer(scene, tmp_path / "before.tif", work / "net-logits.onnx", tile=TILE)
    side = tmp_path / "scene.tif.aux.xml"
    band = '<PAMDataset><PAMRasterBand band="1">{}</PAMRasterBand></PAMDataset>'
    side.write_text(band.format('<Metadata><MDI key="STATISTICS_MEAN">5</MDI></Metadata>'))
    infer(scene, tmp_path / "after.tif", work / "net-logits.onnx", tile=TILE)
    assert (tmp_path / "before.tif").read_bytes() == (tmp_path / "after.tif").read_bytes()
    side.write_text(band.format("<NoDataValue>9</NoDataValue>"))
    infer(scene, tmp_path / "nodata.tif", work / "net-logits.onnx", tile=TILE)
    with rasterio.open(tmp_path / "before.tif") as before, rasterio.open(tmp_path / "nodata.tif") as after:
        assert before.tags()["RSGEO_SOURCE"] != after.tags()["RSGEO_SOURCE"]


@pytest.mark.parametrize("name", ["classes-overview-0.tif", "classes-000005.tif", "map.tif"])
def test_what_a_kill_has_torn_is_written_anew(name: str, work: Path, tmp_path: Path) -> None:
    """A GeoTIFF that is killed while it is open holds a head and nothing else, which GDAL refuses to open."""
    infer(work / "scene.tif", tmp_path / "whole.tif", work / "net-logits.onnx", tile=TILE)
    half_done(work, tmp_path / "map.tif")
    torn = tmp_path / "map.tif.part" / name
    torn.write_bytes(b"II*\0\x08\0\0\0" + bytes(100))
    infer(work / "scene.tif", tmp_path / "map.tif", work / "net-logits.onnx", tile=TILE, resume=True)
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), read(tmp_path / "whole.tif"))


def _wait_for_a_moment(
    process: subprocess.Popen[str], part: Path, dice: random.Random, number: int, duration: float
) -> None:
    """Any moment; or just after a row was written; or while the final files are made."""
    deadline = time.perf_counter() + dice.uniform(0.1, duration)
    goal = len(journal_rows(part)) + dice.randint(1, 6)
    while process.poll() is None:
        if number % 3 == 0 and time.perf_counter() > deadline:
            return
        if number % 3 == 1 and len(part_rows(part)) >= goal:
            time.sleep(dice.uniform(0, 0.03))
            return
        if number % 3 == 2 and (part / "classes.vrt").exists():
            time.sleep(dice.uniform(0, 0.25))
            return
        time.sleep(0.001)


def stopped_halfway() -> tuple[CancelToken, Any]:
    """A token that is raised when some rows are on disk."""
    cancel = CancelToken()

    def listen(event: Event) -> None:
        if isinstance(event, Progress) and event.done > 0.2 * event.total:
            cancel.cancel()

    return cancel, listen


def half_done(work: Path, out: Path, model: str = "net-logits.onnx", **options: Any) -> None:
    cancel, listen = stopped_halfway()
    with pytest.raises(Cancelled):
        infer(work / "scene.tif", out, work / model, tile=TILE, on_event=listen, cancel=cancel, **options)
    assert not out.exists() and journal_rows(out.with_name(out.name + ".part"))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"halo": 9}, "halo was 4 and is 9"),
        ({"tile": 80}, "tile was 64 and is 80"),
        ({"blend": "hann"}, "blend"),
        ({"nodata": 7.0}, "nodata was null and is 7.0"),
        ({"extent": "500000,5295000,503000,5300000"}, "region"),
        ({"confidence": "c.tif"}, "products"),
        ({"model": "other.onnx"}, "model.sha256"),
    ],
)
def test_another_run_is_not_resumed(change: dict[str, Any], named: str, work: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.tif"
    half_done(work, out)
    networks.save_known(tmp_path, networks.plain(seed=99), "logits").rename(tmp_path / "other.onnx")
    model = tmp_path / change["model"] if "model" in change else work / "net-logits.onnx"
    options = {k: str(tmp_path / v) if k == "confidence" else v for k, v in change.items() if k != "model"}
    with pytest.raises(ResumeError, match=re.escape(named)) as failure:
        infer(work / "scene.tif", out, model, resume=True, **{"tile": TILE, **options})
    assert failure.value.exit_code == 2
    assert not out.exists()


def test_a_changed_source_is_not_resumed(work: Path, tmp_path: Path) -> None:
    scene, out = tmp_path / "scene.tif", tmp_path / "map.tif"
    for change in ("time", "size"):
        scene.write_bytes((work / "scene.tif").read_bytes())
        cancel, listen = stopped_halfway()
        with pytest.raises(Cancelled):
            infer(scene, out, work / "net-logits.onnx", tile=TILE, on_event=listen, cancel=cancel)
        stat = scene.stat()
        if change == "size":
            with scene.open("ab") as file:
                file.write(b"\0" * 10)
            os.utime(scene, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        else:
            os.utime(scene, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
        done = rsgeo("infer", scene, "-o", out, "-m", work / "net-logits.onnx", "--tile", TILE, "--resume")
        assert done.returncode == 2
        assert "sources.x" in done.stderr and "--resume" in done.stderr and "Traceback" not in done.stderr
        assert not out.exists()


def test_a_changed_file_behind_a_vrt_is_not_resumed(work: Path, tmp_path: Path) -> None:
    behind, scene, out = tmp_path / "behind.tif", tmp_path / "scene.vrt", tmp_path / "map.tif"
    behind.write_bytes((work / "scene.tif").read_bytes())
    rasterio.shutil.copy(str(behind), str(scene), driver="VRT")
    cancel, listen = stopped_halfway()
    with pytest.raises(Cancelled):
        infer(scene, out, work / "net-logits.onnx", tile=TILE, on_event=listen, cancel=cancel)
    stat = behind.stat()
    os.utime(behind, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(ResumeError, match=r"sources\.x"):
        infer(scene, out, work / "net-logits.onnx", tile=TILE, resume=True)


def test_without_resume_a_run_starts_over(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.tif"
    half_done(work, out)
    infer(work / "scene.tif", out, work / "net-logits.onnx", tile=TILE, halo=9)
    infer(work / "scene.tif", tmp_path / "b.tif", work / "net-logits.onnx", tile=TILE, halo=9)
    assert out.read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_a_finished_map_is_left_as_it_is(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.tif"
    first = infer(work / "scene.tif", out, work / "net-logits.onnx")
    before = out.stat().st_mtime_ns, out.stat().st_ino
    result = infer(work / "scene.tif", out, work / "net-logits.onnx", resume=True)
    assert (out.stat().st_mtime_ns, out.stat().st_ino) == before
    assert result.was_finished and not first.was_finished
    assert [file.model_dump() for file in result.outputs] == [file.model_dump() for file in first.outputs]


def test_a_finished_map_without_its_other_products_is_not_finished(work: Path, tmp_path: Path) -> None:
    out, vector = tmp_path / "map.tif", tmp_path / "map.gpkg"
    options: dict[str, Any] = {
        "probabilities": str(tmp_path / "p.tif"),
        "vector": str(vector),
        "extent": "500000,5299000,501000,5300000",
    }
    infer(work / "scene.tif", out, work / "net-logits.onnx", **options)
    first = (tmp_path / "p.tif").read_bytes()
    (tmp_path / "p.tif").unlink()
    vector.unlink()
    infer(work / "scene.tif", out, work / "net-logits.onnx", resume=True, **options)
    assert (tmp_path / "p.tif").read_bytes() == first
    assert vector.exists()


def test_an_old_map_is_not_taken_for_the_new_run(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at any rename: the map that stands there is the old or the new one, and --resume makes the new one."""
    out = tmp_path / "map.tif"
    model = work / "net-logits.onnx"
    infer(work / "scene.tif", tmp_path / "new.tif", model, tile=TILE, halo=9)
    real = Path.replace
    for allowed in range(5):
        infer(work / "scene.tif", out, model, tile=TILE)
        done: list[Path] = []

        def replace(self: Path, target: Any, allowed: int = allowed, done: list[Path] = done) -> Path:
            if len(done) == allowed:
                raise KeyboardInterrupt
            done.append(self)
            return real(self, target)

        monkeypatch.setattr(Path, "replace", replace)
        with contextlib.suppress(KeyboardInterrupt):
            infer(work / "scene.tif", out, model, tile=TILE, halo=9)
        monkeypatch.undo()
        infer(work / "scene.tif", out, model, tile=TILE, halo=9, resume=True)
        assert out.read_bytes() == (tmp_path / "new.tif").read_bytes(), allowed


def test_a_journal_cut_off_in_a_line(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.tif"
    infer(work / "scene.tif", tmp_path / "whole.tif", work / "net-logits.onnx", tile=TILE)
    half_done(work, out)
    journal = out.with_name("map.tif.part") / "journal.jsonl"
    text = journal.read_text()
    for cut in (len(text) - 1, len(text) - 9, text.index("\n") + 4, text.index("\n") - 3):
        journal.write_text(text[:cut])
        cancel, listen = stopped_halfway()
        with pytest.raises(Cancelled):
            infer(
                work / "scene.tif",
                out,
                work / "net-logits.onnx",
                tile=TILE,
                resume=True,
                on_event=listen,
                cancel=cancel,
            )
        assert all(json.loads(line) for line in journal.read_text().splitlines())
    infer(work / "scene.tif", out, work / "net-logits.onnx", tile=TILE, resume=True)
    assert out.read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_a_damaged_part_is_computed_again(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.tif"
    infer(work / "scene.tif", tmp_path / "whole.tif", work / "net-logits.onnx", tile=TILE)
    half_done(work, out)
    part = sorted(out.with_name("map.tif.part").glob("classes-*.tif"))[0]
    part.write_bytes(part.read_bytes()[:-5])
    infer(work / "scene.tif", out, work / "net-logits.onnx", tile=TILE, resume=True)
    assert out.read_bytes() == (tmp_path / "whole.tif").read_bytes()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Any]:
    """Mounts a disk of so many kilobytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted: list[bool] = []

    def mount(kilobytes: int) -> Path:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)
            mounted.clear()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"no small disk can be mounted: {done.stderr.strip()}")
        mounted.append(True)
        return place

    yield mount
    if mounted:
        subprocess.run(["umount", str(place)], check=False)


@pytest.mark.slow
def test_a_full_disk_is_one_message_at_every_stage(small_disk: Any, work: Path, tmp_path: Path) -> None:
    """Full at the first byte, in the block rows, in the final file: exit code 5, nothing under the final name."""
    codes = []
    for kilobytes in (4, 16, 600, 2500, 8300, 12000, 40000):
        place = small_disk(kilobytes)
        if kilobytes == 4:
            (place / "full").write_bytes(b"x" * 4096)
        done = rsgeo(
            "infer", work / "scene.tif", "-o", place / "map.tif", "-m", work / "net-values.onnx", "--tile", TILE
        )
        codes.append(done.returncode)
        if done.returncode == 0:
            with rasterio.open(place / "map.tif") as dataset:
                assert np.isfinite(dataset.read()).all()
            continue
        assert done.returncode == 5 or (kilobytes == 4 and done.returncode == 2), (kilobytes, done.stderr)
        assert "Traceback" not in done.stderr and "defect" not in done.stderr, (kilobytes, done.stderr)
        assert (done.stderr.count("Error") == 1 and "full" in done.stderr) or kilobytes == 4, (kilobytes, done.stderr)
        assert not (place / "map.tif").exists()
    assert codes[-1] == 0 and codes[2] == 5 and 5 in codes[3:-1]


def test_after_a_full_disk_the_run_goes_on(small_disk: Any, work: Path, tmp_path: Path) -> None:
    place = small_disk(2500)
    line = [
        "infer",
        work / "scene.tif",
        "-o",
        place / "map.tif",
        "-m",
        work / "net-values.onnx",
        "--tile",
        TILE,
        "--resume",
    ]
    assert rsgeo(*line).returncode == 5
    rows = journal_rows(place / "map.tif.part")
    assert rows
    subprocess.run(["mount", "-o", "remount,size=60000k", str(place)], check=True)
    assert rsgeo(*line).returncode == 0
    infer(work / "scene.tif", tmp_path / "whole.tif", work / "net-values.onnx", tile=TILE)
    np.testing.assert_array_equal(read(place / "map.tif"), read(tmp_path / "whole.tif"))


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_source_is_one_message(share: float, work: Path, tmp_path: Path) -> None:
    data = (work / "scene.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(data[: int(len(data) * share)])
    done = rsgeo("infer", tmp_path / "cut.tif", "-o", tmp_path / "map.tif", "-m", work / "net-logits.onnx")
    assert done.returncode in (2, 5)
    assert "cut.tif" in done.stderr and "cannot be" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "map.tif").exists()


def test_a_file_that_lacks_its_last_bytes_is_not_taken_for_whole(small_disk: Any, tmp_path: Path) -> None:
    """GDAL writes the end of a file on closing and tells no failure then: disks that are a few pages too small."""
    stored = np.random.default_rng(0).integers(1, 4, (1, 600, 700)).astype(np.uint8)
    product = class_product(networks.card(outputs=4).outputs[0])
    grid = Grid(600, 700, NORTH_UP, CRS.from_epsg(32632))
    whole = cog.Part(tmp_path / "part.tif", 0, 600)
    cog.write_part(whole.path, stored)
    cog.build([whole], product, grid, {}, tmp_path, tmp_path / "map.tif", lambda share: None)

    def write_row(place: Path) -> None:
        cog.write_part(place / "x.tif", stored)

    def write_map(place: Path) -> None:
        cog.build([whole], product, grid, {}, tmp_path, place / "x.tif", lambda share: None)

    for write, expected in ((write_row, whole.path), (write_map, tmp_path / "map.tif")):
        pages = -(-expected.stat().st_size // 4096)
        for missing in (1, 2, 5):
            place = small_disk(4 * (pages - missing))
            with pytest.raises(RunError, match="full"):
                write(place)
        write(place := small_disk(4 * (pages + 20)))
        assert (place / "x.tif").read_bytes() == expected.read_bytes()
