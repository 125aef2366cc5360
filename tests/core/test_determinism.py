"""D1: the same command gives the same bytes, whatever the threads and the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networks
import pytest
from making import random_scene, rsgeo, write_scene

from rsgeo_core import infer


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("s") / "s.tif", random_scene((3, 420, 390), 6), nodata=0)


MODELS = ("dense", "dense embedding", "window", "window embedding", "blended")


@pytest.mark.parametrize("name", MODELS)
def test_threads_and_batches_do_not_change_a_byte(name: str, scene: Path, tmp_path: Path) -> None:
    kind = "embedding" if "embedding" in name else "logits"
    options: dict[str, Any] = (
        {"quantisation": "float32"}
        if kind == "embedding"
        else {
            "probabilities": str(tmp_path / "p.tif"),
            "confidence": str(tmp_path / "c.tif"),
            "quantisation": "float32",
        }
    )
    if name.startswith("window"):
        card = networks.card(kind=kind, dense=False, stride=8, tile=16, dynamic=False)
        model = networks.save(tmp_path / "m.onnx", networks.window_classifier(), card)
    else:
        model = networks.save_known(tmp_path, networks.strided(), kind)
        options |= {"tile": 128, **({"blend": "hann"} if name == "blended" else {})}

    def run(**how: Any) -> list[bytes]:
        infer(scene, tmp_path / "map.tif", model, **options, **how)
        return [(tmp_path / n).read_bytes() for n in ("map.tif", "p.tif", "c.tif") if (tmp_path / n).exists()]

    first = run(threads=1, batch=1)
    for how in (
        {"threads": 1, "batch": 1},
        {"threads": 2, "batch": 1},
        {"threads": 1, "batch": 16},
        {"threads": 2, "batch": 16},
        {},
    ):
        assert run(**how) == first, how


@pytest.mark.parametrize("name", ["landcover-s2", "embed-s2"])
def test_the_shipped_models_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    pixels = (random_scene((3, 200, 170)) * 12.0).astype("uint16")
    path = write_scene(tmp_path / "s.tif", pixels, descriptions=("B02", "B03", "B04"), photometric="minisblack")
    made = []
    for how in ({"threads": 1, "batch": 1}, {"threads": 2, "batch": 16}, {}):
        infer(path, tmp_path / "map.tif", name, quantisation="float32", **how)
        made.append((tmp_path / "map.tif").read_bytes())
    assert made[1:] == made[:1] * 2


@pytest.mark.slow
def test_two_processes_give_the_same_files(scene: Path, tmp_path: Path) -> None:
    model = networks.save_known(tmp_path, networks.plain(), "logits")
    made = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        assert rsgeo("infer", scene, "-o", folder / "map.tif", "-m", model, "--tile", "96").returncode == 0
        made.append({p.name: p.read_bytes() for p in folder.iterdir() if p.suffix != ".json"})
    assert made[0] == made[1] and set(made[0]) == {"map.tif", "map.tif.aux.xml", "map.qml"}
