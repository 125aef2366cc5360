"""The worker as its own process: the commands' results, true cancelling, a clean stream, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making import random_scene, read, rsgeo, write_scene
from networks import card, plain, save, save_known, slow

from rsgeo_core import leftovers
from rsgeo_core.jobs import JOBS


class Talk:
    """A worker and what it has said."""

    def __init__(self, folder: Path, *arguments: str, code: str = "") -> None:
        start = ["-c", code] if code else ["-m", "rsgeo_core.worker"]
        environ = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, *(() if code else ("-I",)), *start, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=folder,
            env=environ,
        )
        self.said: list[dict[str, Any]] = []

    def ask(self, task: str, request: dict[str, Any]) -> None:
        self.tell({"type": "run", "protocol": 1, "task": task, "request": request})

    def tell(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def hear(self) -> Iterator[dict[str, Any]]:
        """Messages as they come; a line that is no JSON fails the test."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(json.loads(line))
            yield self.said[-1]

    def until(self, kind: str) -> dict[str, Any]:
        for message in self.hear():
            if message["type"] == kind:
                return message
        raise AssertionError(f"no {kind}: {self.said} {self.process.stderr.read() if self.process.stderr else ''}")

    def end(self, timeout: float = 60) -> int:
        """The exit code, once everything was heard."""
        for _ in self.hear():
            pass
        code = self.process.wait(timeout)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()
        return code


def asked(folder: Path, task: str, **request: Any) -> tuple[int, list[dict[str, Any]]]:
    """One whole conversation."""
    talk = Talk(folder)
    talk.ask(task, request)
    return talk.end(), talk.said


def slow_model(folder: Path) -> Path:
    """A model whose one node takes many seconds."""
    return save(folder / "slow.onnx", slow(), card(kind="values", outputs=3, tile=64, dynamic=False))


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", random_scene((3, 150, 130)))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_known(tmp_path, plain(), kind="logits")


def test_a_map_is_that_of_the_command_to_the_byte(tmp_path: Path, scene: Path, model: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    options = {"stride": None, "tile": 64, "extent": "500100,5298900,500900,5299800"}
    more = ("--probabilities", "one/p.tif", "--confidence", "one/c.tif", "--vector", "one/v.gpkg")
    given = ("infer", scene, "-o", "one/map.tif", "-m", model, "--tile", "64", "--extent", options["extent"], *more)
    done = rsgeo(*given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    named = {"out": "two/map.tif", "probabilities": "two/p.tif", "confidence": "two/c.tif", "vector": "two/v.gpkg"}
    code, said = asked(tmp_path, "infer", scene=[str(scene)], model=str(model), **options, **named)
    assert code == 0, said
    for name in ("map.tif", "p.tif", "c.tif", "v.gpkg", "map.qml", "map.tif.aux.xml"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    kinds = [message["type"] for message in said]
    assert kinds[0] == "hello" and kinds[-1] == "result" and "progress" in kinds
    assert said[-1]["outputs"][0] == {**said[-1]["outputs"][0], "role": "classes", "path": "two/map.tif"}
    assert not list(leftovers.notes_folder().glob("*.json"))


def test_every_job_answers_as_its_command(tmp_path: Path, scene: Path, model: Path) -> None:
    rsgeo("infer", scene, "-o", tmp_path / "map.tif", "-m", model)
    code, said = asked(tmp_path, "polygonize", map="map.tif", out="p.gpkg", min_area=500.0)
    assert code == 0
    by_hand = rsgeo("polygonize", tmp_path / "map.tif", "-o", tmp_path / "q.gpkg", "--min-area", "500", "--json")
    assert said[-1]["stats"]["polygons"] == json.loads(by_hand.stdout)["polygons"] > 0
    assert asked(tmp_path, "polygonize", map="map.tif", out="p.gpkg", classes=["no such"])[0] == 2
    code, said = asked(tmp_path, "stats", map="map.tif", csv="areas.csv")
    by_hand = rsgeo("stats", tmp_path / "map.tif", "--json", "--csv", tmp_path / "by_hand.csv")
    told = said[-1]["stats"]
    assert {key: told[key] for key in ("unit", "method", "zones")} == {
        key: value for key, value in json.loads(by_hand.stdout).items() if key in ("unit", "method", "zones")
    }
    assert (tmp_path / "areas.csv").read_bytes() == (tmp_path / "by_hand.csv").read_bytes()
    code, said = asked(tmp_path, "assess", map="map.tif", reference="map.tif", out="report", bootstrap=10)
    assert code == 0 and said[-1]["stats"]["overall_accuracy"] == 1.0, said[-1]
    assert {Path(file["path"]).name for file in said[-1]["outputs"]} >= {"index.html", "metrics.json"}
    code, said = asked(tmp_path, "preview", map="map.tif", out="map.png", width=400)
    assert code == 0 and (tmp_path / "map.png").stat().st_size > 1000
    code, said = asked(tmp_path, "describe_model", model=str(model))
    assert code == 0 and said[-1]["stats"]["card"]["name"] == "net" and "selftest" not in said[-1]["stats"]["card"]
    code, said = asked(tmp_path, "describe_scene", scene=str(scene))
    assert code == 0 and "150" in said[-1]["stats"]["text"]


def test_models_are_added_listed_and_removed(tmp_path: Path, model: Path) -> None:
    assert asked(tmp_path, "add_model", model=str(model))[0] == 0
    _, said = asked(tmp_path, "models")
    listed = {m["card"]["name"]: m["built_in"] for m in said[-1]["stats"]["models"]}
    assert listed["net"] is False and listed["landcover-s2"] is True
    assert asked(tmp_path, "add_model", model=str(model))[0] == 2
    assert asked(tmp_path, "remove_model", model="net")[0] == 0
    _, said = asked(tmp_path, "models")
    assert "net" not in {m["card"]["name"] for m in said[-1]["stats"]["models"]}


def test_a_plan_tells_model_bands_tiles_and_time(tmp_path: Path, scene: Path, model: Path) -> None:
    code, said = asked(tmp_path, "plan", scene=[str(scene)], model=str(model), out="map.tif", tile=64)
    assert code == 0, said
    told = said[-1]["stats"]
    assert told["model"]["name"] == "net" and told["device"] == "cpu" and told["seconds"] > 0
    assert [(band["band"], band["number"]) for band in told["bands"]] == [(f"band {i}", i) for i in (1, 2, 3)]
    done = rsgeo("infer", scene, "-o", tmp_path / "map.tif", "-m", model, "--tile", "64", "--json")
    stats = json.loads(done.stdout.splitlines()[-1])["stats"]
    assert told["tiles"] == stats["model_runs"] and told["layout"]["tile"] == stats["tile"]
    assert told["megapixels"] == stats["megapixels"]
    assert (told["grid"]["height"], told["grid"]["width"]) == read(tmp_path / "map.tif", 1).shape
    assert asked(tmp_path, "plan", scene=[str(scene)], model="nowhere", out="map.tif")[0] == 2


def test_a_plan_counts_what_lies_inside_the_mask(tmp_path: Path, model: Path) -> None:
    import geopandas
    from shapely import box

    scene = write_scene(tmp_path / "scene.tif", random_scene((3, 400, 400)))
    area = geopandas.GeoDataFrame(geometry=[box(500000, 5299000, 500500, 5300000)], crs="EPSG:32632")
    area.to_file(tmp_path / "area.gpkg")
    request = {"scene": [str(scene)], "model": str(model), "out": "map.tif", "tile": 64}
    whole = asked(tmp_path, "plan", **request)[1][-1]["stats"]
    part = asked(tmp_path, "plan", mask="area.gpkg", **request)[1][-1]["stats"]
    done = asked(tmp_path, "infer", mask="area.gpkg", **request)[1][-1]["stats"]
    assert part["tiles"] == done["model_runs"] < whole["tiles"]
    assert part["cells"] == 50 * 100 == np.count_nonzero(read(tmp_path / "map.tif", 1)) and whole["cells"] == 400 * 400


def test_the_crs_may_be_assigned(tmp_path: Path, model: Path) -> None:
    import rasterio

    bare = write_scene(tmp_path / "bare.tif", random_scene((3, 80, 90)), crs=None)
    code, said = asked(tmp_path, "infer", scene=[str(bare)], model=str(model), out="map.tif", crs="EPSG:32633")
    assert code == 0, said
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.crs.to_epsg() == 32633
    code, said = asked(tmp_path, "infer", scene=[str(bare)], model=str(model), out="map.tif", crs="EPSG:999999")
    assert code == 2 and "EPSG:999999" in said[-1]["text"]


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("nonsense", "protocol", "no request"),
        ('{"type": "run", "protocol": 2, "task": "infer"}', "protocol", "speaks protocol 2"),
        ('{"type": "run", "protocol": 1, "task": "dance"}', "protocol", "no task 'dance'"),
        ('{"type": "run", "protocol": 1, "task": "infer", "request": {"out": "a", "stride": 0}}', "request", "stride"),
        ('{"type": "run", "protocol": 1, "task": "infer", "request": {"wrong": 1, "out": "a"}}', "request", "wrong"),
        ('{"type": "run", "protocol": 1, "task": "stats", "request": {}}', "request", "map"),
        ('{"type": "run", "protocol": 1, "task": "stats", "request": {"map": "no.tif"}}', "map", "There is no file"),
    ],
)  # fmt: skip
def test_wrong_requests_are_one_message(line: str, code: str, words: str, tmp_path: Path) -> None:
    talk = Talk(tmp_path)
    assert talk.process.stdin is not None
    talk.process.stdin.write(line + "\n")
    talk.process.stdin.flush()
    assert talk.end() == 2
    last = talk.said[-1]
    assert last["type"] == "error" and last["code"] == code and words in last["text"] and "traceback" not in last


def test_a_request_from_a_file_needs_no_listener(tmp_path: Path, scene: Path, model: Path) -> None:
    wanted = {"scene": [str(scene)], "model": str(model), "out": str(tmp_path / "map.tif")}
    text = json.dumps({"type": "run", "protocol": 1, "task": "infer", "request": wanted})
    (tmp_path / "request.json").write_text(text)
    done = rsgeo("worker", tmp_path / "request.json")
    assert done.returncode == 0 and json.loads(done.stdout.splitlines()[-1])["type"] == "result"
    assert (tmp_path / "map.tif").exists()


def test_what_c_code_prints_does_not_enter_the_stream(tmp_path: Path, scene: Path, model: Path) -> None:
    code = """
import ctypes, os, sys
from rsgeo_core import jobs, worker
real = jobs.JOBS["infer"]
def noisy(request, tell, cancel):
    libc = ctypes.CDLL(None)
    def loud(event):
        libc.puts(b"C says hello"); libc.fflush(None); os.write(1, b"{raw bytes}"); print("Python too")
        tell(event)
    return real.run(request, loud, cancel)
jobs.JOBS["infer"] = jobs.Job(real.request, noisy, real.outputs, real.keeps)
sys.exit(worker.main([]))
"""
    talk = Talk(tmp_path, code=code)
    talk.ask("infer", {"scene": [str(scene)], "model": str(model), "out": "map.tif"})
    for _ in talk.hear():  # each line must be JSON
        pass
    assert talk.said[-1]["type"] == "result"
    assert talk.process.stderr is not None
    noise = talk.process.stderr.read()
    assert "C says hello" in noise and "{raw bytes}" in noise and "Python too" in noise
    assert talk.end() == 0


def _no_trace(folder: Path) -> None:
    left = [path.name for path in folder.iterdir() if path.name.startswith(("map", ".map", "v"))]
    assert not left


@pytest.mark.alone
@pytest.mark.parametrize("how", ["line", "end", "term", "int"])
def test_a_slow_tile_is_cancelled_within_two_seconds(how: str, tmp_path: Path, scene: Path) -> None:
    """A node of eight seconds cannot be ended from within: the process ends, and leaves nothing."""
    talk = Talk(tmp_path)
    talk.ask("infer", {"scene": [str(scene)], "model": str(slow_model(tmp_path)), "out": "map.tif"})
    talk.until("stage")
    time.sleep(1.5)  # now the model runs
    began = time.perf_counter()
    if how == "line":
        talk.tell({"type": "cancel"})
    elif how == "end":
        assert talk.process.stdin is not None
        talk.process.stdin.close()
    else:
        talk.process.send_signal(signal.SIGTERM if how == "term" else signal.SIGINT)
    assert talk.end() == 3
    assert 0.5 < time.perf_counter() - began < 2
    assert talk.said[-1]["type"] == "cancelled"
    _no_trace(tmp_path)
    assert not list(leftovers.notes_folder().glob("*.json")) or leftovers.sweep() == []


def test_a_cancelled_run_that_resumes_keeps_its_parts(tmp_path: Path, model: Path) -> None:
    big = write_scene(tmp_path / "scene.tif", random_scene((3, 1600, 1400)))
    request = {"scene": [str(big)], "model": str(model), "out": "map.tif", "tile": 64, "resume": True, "threads": 1}
    talk = Talk(tmp_path)
    talk.ask("infer", request)
    for message in talk.hear():
        if message["type"] == "progress" and message["done"] > 0.3 * message["total"]:  # rows are on disk
            talk.tell({"type": "cancel"})
            break
    assert talk.end() == 3
    assert not (tmp_path / "map.tif").exists() and (tmp_path / "map.tif.part" / "journal.jsonl").exists()
    code, said = asked(tmp_path, "infer", **request)
    assert code == 0 and any("Resuming" in m.get("text", "") for m in said)
    once = asked(tmp_path, "infer", **{**request, "out": "once.tif", "resume": False})
    assert once[0] == 0
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), read(tmp_path / "once.tif"))


def _killed(folder: Path, scene: Path) -> None:
    talk = Talk(folder)
    talk.ask("infer", {"scene": [str(scene)], "model": str(slow_model(folder)), "out": "map.tif"})
    talk.until("stage")
    time.sleep(1.0)
    talk.process.kill()
    talk.end()
    assert (folder / "map.tif.part").is_dir() and not (folder / "map.tif").exists()


def test_what_a_killed_run_leaves_is_swept_by_the_next(tmp_path: Path, scene: Path, model: Path) -> None:
    _killed(tmp_path, scene)
    keep = tmp_path / "other.tif.part"  # of somebody else
    keep.mkdir()
    assert asked(tmp_path, "infer", scene=[str(scene)], model=str(model), out="other2.tif")[0] == 0
    assert not (tmp_path / "map.tif.part").exists() and keep.exists()


def test_a_killed_run_is_not_swept_by_the_one_that_resumes_it(tmp_path: Path, scene: Path, model: Path) -> None:
    _killed(tmp_path, scene)
    code, said = asked(tmp_path, "infer", scene=[str(scene)], model=str(model), out="map.tif", resume=True)
    assert code == 2 and said[-1]["code"] == "resume"  # another model: told, not lost
    assert (tmp_path / "map.tif.part").is_dir()


def test_running_runs_are_not_swept(tmp_path: Path) -> None:
    (tmp_path / "map.tif.part").mkdir()
    with leftovers.noted([str(tmp_path / "map.tif")]):
        assert leftovers.sweep() == []
        assert (tmp_path / "map.tif.part").exists()


def test_the_selftest_maps_and_tells_the_device(tmp_path: Path) -> None:
    talk = Talk(tmp_path, "--selftest")
    assert talk.end() == 0
    assert talk.said[-1]["stats"]["device"] == "cpu" and "landcover-s2" in talk.said[-1]["stats"]["differences"]


def test_requests_have_the_options_of_their_commands() -> None:
    """What a command can, the worker can, and the other way round."""
    from rsgeo_cli.rsgeo import cli

    elsewhere = {
        "infer": {"scenes", "as_json", "quiet"},
        "polygonize": {"as_json", "quiet"},
        "stats": {"as_json"},
        "assess": {"as_json"},
        "preview": {"quiet"},
    }
    same = {"map_path": "map", "csv_path": "csv", "scenes": "scene"}
    import importlib

    for name, mine in elsewhere.items():
        command = importlib.import_module(cli.table[name][0]).command  # type: ignore[attr-defined]
        options = {same.get(p.name, p.name) for p in command.params} - mine - {"help"}
        if name == "infer":
            options |= {"scene"}
        assert options - {"scene"} == set(JOBS[name].request.model_fields) - {"scene"}, name


def test_a_note_that_another_run_looks_at_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep may hold the lock of a note that is just being made; a home that cannot be written is no failure."""
    import fcntl
    import threading

    real, waited = leftovers._lock, []

    def contested(file: Any, wait: bool = False) -> None:
        with Path(file.name).open("r+") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            release = threading.Timer(0.2, lambda: fcntl.flock(other, fcntl.LOCK_UN))
            release.start()
            real(file, wait)
            release.join()
        waited.append(wait)

    monkeypatch.setattr(leftovers, "_lock", contested)
    with leftovers.noted([str(tmp_path / "map.tif")]):
        (note,) = leftovers.notes_folder().glob("*.json")
        assert json.loads(note.read_text()) == [str(tmp_path / "map.tif")]
    assert waited == [True] and not note.exists()
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RSGEO_HOME", str(tmp_path / "file"))
    with leftovers.noted([str(tmp_path / "map.tif")]):
        pass
