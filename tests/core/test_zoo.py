"""Which model a scene gets: by bands, units and resolution; never an experimental one, never a guess."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from affine import Affine
from making import random_scene, write_scene

from rsgeo_core import zoo
from rsgeo_core.errors import NoModelError, OutputError, RequestError, SceneError
from rsgeo_core.scene import ReadOptions


def scene(
    folder: Path, names: tuple[str, ...] = ("B02", "B03", "B04"), gsd: float = 10, dtype: Any = np.uint16
) -> Path:
    pixels = (random_scene((len(names), 150, 150)).astype(float) * (1 if dtype == np.uint8 else 12)).astype(dtype)
    return write_scene(
        folder / "s.tif",
        pixels,
        descriptions=names,
        transform=Affine(gsd, 0, 5e5, 0, -gsd, 5e6),
        photometric="minisblack",
    )


def choose(path: Path, task: Any = None) -> str:
    return zoo.choose({"": (str(path),)}, ReadOptions(), task)[0].card.name


def test_sentinel_2_gets_land_cover_and_embeddings_on_request(tmp_path: Path) -> None:
    assert choose(scene(tmp_path)) == "landcover-s2"
    assert choose(scene(tmp_path), "classification") == "landcover-s2"
    assert choose(scene(tmp_path), "embedding") == "embed-s2"


def test_an_experimental_model_is_never_chosen(tmp_path: Path) -> None:
    aerial = scene(tmp_path, ("red", "green", "blue"), 0.3, np.uint8)
    with pytest.raises(NoModelError, match="landcover-aerial: fits, but is experimental"):
        choose(aerial)
    with pytest.raises(NoModelError, match="experimental"):
        choose(aerial, "segmentation")


def test_what_no_model_fits_gets_the_list_with_reasons(tmp_path: Path) -> None:
    with pytest.raises(NoModelError) as failure:
        choose(scene(tmp_path, gsd=30))
    text = str(failure.value)
    assert "landcover-s2: s.tif has 30 m per pixel" in text and "embed-s2: " in text and "--model" in text
    with pytest.raises(SceneError, match="no such file"):
        choose(tmp_path / "none.tif")


def test_own_models_come_first(own_models: Path, tmp_path: Path) -> None:
    bands = [{"name": n, "common_name": c} for n, c in (("B04", "red"), ("B03", "green"))]
    card = networks.card(channels=2, bands=bands, name="mine", outputs=4)
    networks.save(own_models / "x.onnx", networks.window_classifier(channels=2), card)
    assert choose(scene(tmp_path)) == "mine"
    assert zoo.find("mine").path == own_models / "x.onnx" and not zoo.find("mine").built_in


def test_a_name_a_file_and_neither(tmp_path: Path) -> None:
    path = networks.save_known(tmp_path, networks.plain(), name="net")
    assert zoo.find(str(path)).card.name == "net"
    assert zoo.find("landcover-s2").built_in
    with pytest.raises(RequestError, match="Known models: "):
        zoo.find("none")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = networks.save_known(tmp_path, networks.plain())
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RSGEO_MODELS", str(tmp_path / "file" / "models"))
    with pytest.raises(OutputError, match="RSGEO_MODELS"):
        zoo.add(path)
