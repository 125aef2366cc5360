"""Whether a model gives on this machine what it gave where it was exported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsgeo_core.errors import RequestError
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
        expected = stored.outputs[output.name].array().astype(np.float32)
        got = session.run(batch)
        differences[output.name] = float(np.abs(got - expected).max()) if got.shape == expected.shape else float("inf")
        used = session.device
    return SelfTestResult(used, differences, stored.tolerance)
