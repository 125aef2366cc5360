"""One model on one device: what does not match its card is refused, out of memory is met, cancelling is quick."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from making import random_scene, write_scene

from rsgeo_core import CancelToken, infer
from rsgeo_core.errors import Cancelled, EnvironmentProblem, ModelFileError, RunError
from rsgeo_core.session import Session, devices
from rsgeo_core.zoo import find


def session(path: Path, **options: Any) -> Session:
    card = find(str(path)).card
    return Session(path, card, card.output(), **options)


def test_a_batch_gives_what_onnxruntime_gives(tmp_path: Path) -> None:
    known = networks.plain()
    path = networks.save_known(tmp_path, known)
    batch = np.random.default_rng(0).normal(size=(3, 3, 20, 30)).astype(np.float32)
    np.testing.assert_array_equal(session(path, threads=1).run({"x": batch}), networks.run(known.data, batch))


def test_a_model_of_a_fixed_batch_is_filled_up(tmp_path: Path) -> None:
    data = networks.window_classifier(batch=4)
    path = networks.save(tmp_path / "m.onnx", data, networks.card(dense=False, stride=8, tile=16, dynamic=False))
    batch = np.random.default_rng(0).normal(size=(11, 3, 16, 16)).astype(np.float32)
    expected = networks.run(networks.window_classifier(), batch)
    np.testing.assert_allclose(session(path).run({"x": batch}), expected, rtol=1e-6)


def test_a_batch_that_does_not_fit_is_halved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU that runs out of memory is outside our reach: its error is made up, the results are real."""
    made = session(networks.save_known(tmp_path, networks.plain()))
    batch = np.random.default_rng(0).normal(size=(8, 3, 20, 30)).astype(np.float32)
    expected, real, sizes = made.run({"x": batch}), made._run_once, []

    def small(part: dict[str, Any]) -> Any:
        sizes.append(len(part["x"]))
        if sizes[-1] > 2:
            raise RunError("BFCArena: Failed to allocate memory for requested buffer")
        return real(part)

    monkeypatch.setattr(made, "_run_once", small)
    np.testing.assert_array_equal(made.run({"x": batch}), expected)
    assert sizes == [8, 4, 2, 2, 2, 2]
    assert "batches of 2" in made.warnings[-1]


def test_a_device_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = networks.save_known(tmp_path, networks.plain())
    with pytest.raises(EnvironmentProblem, match="warp"):
        session(path, device="warp")
    for device in {"cuda", "coreml", "directml"} - set(devices()):
        with pytest.raises(EnvironmentProblem, match=device) as failure:
            session(path, device=device)
        assert failure.value.exit_code == 4
    assert session(path, device="cpu").device == "cpu"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outputs": 3}, "card says"),
        ({"outputs": 5}, "card says"),
        ({"stride": 2, "multiple": 2}, "card says"),
        ({"channels": 4}, r"expected \(N, 4"),
        ({"graph_name": "other"}, "names input other"),
        ({"kind": "embedding", "outputs": 9}, "card says"),
    ],
)
def test_a_card_that_does_not_fit_its_graph_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", random_scene((4, 40, 40)), photometric="minisblack")
    model = networks.save(tmp_path / "m.onnx", networks.plain().data, networks.card(**{"halo": 4, **change}))
    with pytest.raises(ModelFileError, match=words):
        infer(scene, tmp_path / "map.tif", model)
    assert not (tmp_path / "map.tif").exists()


def test_an_output_that_the_graph_lacks_is_refused(tmp_path: Path) -> None:
    card = networks.card()
    card = card.model_copy(update={"outputs": (card.outputs[0].model_copy(update={"name": "z"}),)})
    with pytest.raises(ModelFileError, match="names output z; the graph has y"):
        session(networks.save(tmp_path / "m.onnx", networks.plain().data, card))


def test_a_graph_that_shrinks_its_input_is_refused(tmp_path: Path) -> None:
    """Without padding the output is smaller than the card says: cropping it would shift the map."""
    net = networks.Network(3)
    net.conv("x", 3, 4, relu=False, pad=False)
    scene = write_scene(tmp_path / "s.tif", random_scene((3, 40, 40)))
    with pytest.raises(ModelFileError, match="card says"):
        infer(scene, tmp_path / "map.tif", networks.save(tmp_path / "m.onnx", net.bytes(), networks.card()))


def test_a_fixed_tile_that_is_not_the_graphs_is_refused(tmp_path: Path) -> None:
    card = networks.card(outputs=3, tile=128, dynamic=False)
    with pytest.raises(ModelFileError, match="64 × 64"):
        session(networks.save(tmp_path / "m.onnx", networks.vision_transformer().data, card))


def test_a_graph_that_fails_while_it_runs_is_one_message(tmp_path: Path) -> None:
    net = networks.Network(3)
    net.op("Reshape", "x", net.constant([1, 3, 7, 7], np.int64))
    scene = write_scene(tmp_path / "s.tif", random_scene((3, 40, 40)))
    with pytest.raises(RunError, match="failed on cpu"):
        infer(scene, tmp_path / "map.tif", networks.save(tmp_path / "m.onnx", net.bytes(), networks.card(outputs=3)))


@pytest.mark.alone
def test_a_running_batch_is_stopped(tmp_path: Path) -> None:
    """A batch of some seconds ends within one second of the token: between two operators, not after the last."""
    net = networks.Network(3)
    x = net.conv("x", 3, 24)
    for _ in range(8):
        x = net.conv(x, 24, 24)
    net.conv(x, 24, 4, relu=False)
    scene = write_scene(tmp_path / "s.tif", random_scene((3, 1024, 1024)))
    model = networks.save(tmp_path / "m.onnx", net.bytes(), networks.card(halo=0))
    cancel = CancelToken()
    told: list[float] = []

    def stop() -> None:
        time.sleep(0.7)
        told.append(time.perf_counter())
        cancel.cancel()

    threading.Thread(target=stop).start()
    with pytest.raises(Cancelled):
        infer(scene, tmp_path / "map.tif", model, tile=1024, cancel=cancel, threads=1)
    assert told and time.perf_counter() - told[0] < 1.0
