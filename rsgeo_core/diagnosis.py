"""What an installation has, and whether it works: versions, devices, models, self-tests."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import rasterio

from rsgeo_core import __version__, zoo
from rsgeo_core.errors import RsgeoError
from rsgeo_core.selftest import selftest
from rsgeo_core.session import devices, onnxruntime


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
        facts: name to what was found, in the order in which people read them.
        models: a line for each model.
        failed: the names of what does not work here.
    """

    facts: dict[str, str]
    models: list[str]
    failed: list[str]

    def text(self) -> str:
        """The facts as lines."""
        return "\n".join(
            [f"{name:<13}{value}" for name, value in self.facts.items()] + [f"{'model':<13}{m}" for m in self.models]
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"facts": self.facts, "models": self.models, "failed": self.failed, "text": self.text()}


def diagnose(with_selftest: bool = True) -> Diagnosis:
    """Look at this installation; the home folder's name is left out, so that the text may be shown to others.

    Raises:
        EnvironmentProblem: there is no inference engine.
    """
    engine = onnxruntime()
    facts = {
        "rsgeo": __version__,
        "Python": f"{platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores",
        "numpy": numpy.__version__,
        "rasterio": f"{rasterio.__version__}, GDAL {rasterio.__gdal_version__}",
        "onnxruntime": f"{engine.__version__}, devices: {', '.join(devices())}",
        "own models": f"{len(list(zoo.user_folder().glob('*.onnx')))} in {scrubbed(str(zoo.user_folder()))}",
    }
    models, broken = zoo.all_models()
    lines, failed = [], [scrubbed(text) for text in broken]
    for model in models:
        state = ""
        if with_selftest and model.card.selftest is not None:
            try:
                result = selftest(model)
                state = f": self-test {'passed' if result.passed else 'FAILED'} on {result.device}"
                passed = result.passed
            except RsgeoError as error:
                state, passed = f": {scrubbed(str(error))}", False
            if not passed:
                failed.append(model.card.name)
        lines.append(f"{model.card.name} {model.card.version}{state}")
    return Diagnosis(facts, [*lines, *(f"not usable: {scrubbed(text)}" for text in broken)], failed)


def scrubbed(text: str) -> str:
    """Text without the names of the user's folders."""
    folders = {str(Path.home()): "~", str(zoo.user_folder()): "<own models>", str(zoo.home()): "<rsgeo>"}
    for folder, name in folders.items():
        text = text.replace(folder, name) if len(folder) > 1 else text
    return text
