"""Whether a model gives on this machine what it gave where it was exported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from rsgeo_core.card import Objects, SelfTest
from rsgeo_core.detections import Detections, difference
from rsgeo_core.errors import RequestError, RunError
from rsgeo_core.inference import infer
from rsgeo_core.session import Session
from rsgeo_core.zoo import Model


@dataclass(frozen=True)
class SelfTestResult:
    """How far the outputs are off, by output, and whether that is within the card's tolerance."""

    device: str
    differences: dict[str, float]
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether every output is within the tolerance."""
        return all(difference <= self.tolerance for difference in self.differences.values())


def selftest(model: Model, device: str = "auto") -> SelfTestResult:
    """Run the input stored in a model's card and compare with the stored output.

    Raises:
        RequestError: the card stores none.
        ModelFileError, EnvironmentProblem: the model cannot be loaded.
    """
    stored = model.card.selftest
    if stored is None:
        raise RequestError(f"{model.card.name} carries no self-test.", "Export it again with rsgeo-train export.")
    differences = {}
    for output in model.card.outputs:
        if output.name not in stored.outputs:
            continue
        session = Session(model.path, model.card, output, device)
        batch = {
            item.sensor: session.prepare(item.sensor, stored.inputs[item.name].array().astype(np.float32))
            for item in model.card.inputs
        }
        if output.objects is not None:
            differences[output.name] = _objects_apart(session, output.objects, stored, output.name, batch)
            used = session.device
            continue
        expected = stored.outputs[output.name].array().astype(np.float32)
        got = session.run(batch)
        differences[output.name] = float(np.abs(got - expected).max()) if got.shape == expected.shape else float("inf")
        used = session.device
    return SelfTestResult(used, differences, stored.tolerance)


def _objects_apart(
    session: Session, names: Objects, stored: SelfTest, boxes: str, batch: dict[str, NDArray[Any]]
) -> float:
    """How far what a detector finds is from what is stored; objects beside those do not count."""
    arrays = {name: stored.outputs[name].array() for name in (boxes, names.scores, names.labels)}
    masks = None if names.masks is None else stored.outputs[names.masks].array()
    expected = Detections(arrays[boxes].astype(np.float64), arrays[names.scores], arrays[names.labels], masks)
    (got,) = session.detect(batch)
    return difference(expected, got, float(max(next(iter(batch.values())).shape[-2:])), 0.0)


def map_selftest(model: Model, device: str = "auto") -> str:
    """Map a scene made of a classifier's stored input, from file to file, and compare with the stored answer.

    Tries what `selftest` does not: reading and writing rasters, CRS, tiling and the final file.

    Returns:
        The device that ran.

    Raises:
        RunError: the map is not what was stored.
        RequestError: the model is no classifier of one sensor with a self-test.
    """
    card, output = model.card, model.card.outputs[0]
    if card.selftest is None or output.dense or not output.classes or len(card.inputs) != 1:
        raise RequestError(f"{card.name} is no classifier with a self-test.")
    stored = card.selftest.inputs[card.inputs[0].name].array()[0]
    expected = int(card.selftest.outputs[output.name].array()[0].argmax()) + 1
    with TemporaryDirectory(prefix="rsgeo-selftest-") as folder:
        scene, out = Path(folder) / "scene.tif", Path(folder) / "map.tif"
        count, height, width = stored.shape
        gsd = card.inputs[0].gsd or 10.0
        with rasterio.open(
            scene, "w", driver="GTiff", count=count, height=height, width=width, dtype="float32",
            crs="EPSG:32633", transform=from_origin(500000, 5500000, gsd, gsd),
        ) as dataset:  # fmt: skip
            dataset.write(stored.astype(np.float32))
        numbers = {band.name: number for number, band in enumerate(card.inputs[0].bands, start=1)}
        result = infer(scene, out, model.path, bands=numbers, stride=height, device=device, force=True)
        with rasterio.open(out) as dataset:
            got, grid = dataset.read(1), (dataset.crs.to_epsg(), dataset.transform.c, dataset.transform.f)
    if grid != (32633, 500000.0, 5500000.0) or got.shape != (1, 1) or got[0, 0] != expected:
        raise RunError(
            f"{card.name} mapped its stored window as class {got.ravel().tolist()} on the grid {grid}; "
            f"expected class {expected} on EPSG:32633.",
            "Install rsgeo again, with the versions that it names.",
        )
    return str(result.stats["device"])
