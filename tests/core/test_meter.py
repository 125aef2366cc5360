"""Progress is told while a row is worked on, not only when it is on disk; it never goes back and ends at the whole."""

from __future__ import annotations

from pathlib import Path

import networks
import pytest
from making import random_scene, write_scene

from rsgeo_core import infer, meter
from rsgeo_core.events import Progress, Stage


@pytest.mark.parametrize("kind", ["windows", "tiles", "blended"])
def test_progress_comes_within_a_row(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "EVERY_S", 0.0)
    scene = write_scene(tmp_path / "scene.tif", random_scene((3, 64, 400)))
    if kind == "windows":
        card = networks.card(outputs=4, dense=False, stride=8, tile=16, dynamic=False)
        model = networks.save(tmp_path / "net.onnx", networks.window_classifier(), card)
        options = {"batch": 16}
    else:
        model = networks.save_known(tmp_path, networks.plain(), kind="logits")
        options = {"tile": 64, "blend": "hann" if kind == "blended" else "exact"}
    seen: list[float] = []
    stage = ""

    def listen(event: object) -> None:
        nonlocal stage
        if isinstance(event, Stage):
            stage = event.name
        elif isinstance(event, Progress) and stage == "map":
            assert event.total == pytest.approx(25.6) and event.unit == "kPix"
            seen.append(event.done)

    infer(scene, tmp_path / "map.tif", model, on_event=listen, threads=1, **options)
    assert seen == sorted(seen) and seen[-1] == pytest.approx(25.6)
    assert len({value for value in seen if value < 0.99 * 25.6}) >= 5
