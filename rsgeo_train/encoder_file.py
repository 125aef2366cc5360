"""The encoder of a run as weights alone, for other libraries: timm's names, which for ResNets are torchvision's.

What a model file says by its graph, such a file can only tell: bands and normalisation stand in its metadata.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from rsgeo_train.encoders import TimmEncoder
from rsgeo_train.errors import ExportError
from rsgeo_train.fusion import FusionEncoder
from rsgeo_train.runs import read_run
from rsgeo_train.training import build, input_of, load_best
from rsgeo_train.weights import write_weights

SUFFIXES = (".safetensors", ".pth", ".pt")


def write_encoder(run: Path, output: Path, catalog: Path | None = None) -> list[str]:
    """Write the best, averaged encoder of a run, without normalisation and head.

    Args:
        run: the run folder.
        output: `.safetensors`, with bands and normalisation in its metadata, or `.pth` or `.pt`, a plain state dict.
        catalog: the catalog, where the run's own is not to be used.

    Returns:
        What was written, in words: how its user must normalise.

    Raises:
        RunFolderError: no finished run.
        ExportError: another suffix.
    """
    if output.suffix not in SUFFIXES:
        raise ExportError(f"{output}: weights are written to one of {', '.join(SUFFIXES)}.")
    kind, recipe, samples = read_run(run, catalog)
    taken = input_of(kind, recipe, samples)
    task = build(kind, recipe, samples, taken)
    load_best(task, run)
    whole = task.average.module.encoder
    encoder = whole.backbone if isinstance(whole, FusionEncoder) else whole
    gain = 1 / (1 - whole.rate) if isinstance(whole, FusionEncoder) and whole.scaling == "rate" else 1.0
    own = encoder.backbone if isinstance(encoder, TimmEncoder) else encoder
    tensors = dict(own.state_dict())
    if gain != 1.0:  # what the network is multiplied by when every band is there
        names = {module: name for name, module in own.named_modules()}
        for convolution, _ in encoder.stems(taken.bands):
            tensors[f"{names[convolution]}.weight"] = tensors[f"{names[convolution]}.weight"] * gain
    normalisation = {
        name: value for name, value in dataclasses.asdict(taken.normalisation).items() if not _says_nothing(value)
    }
    facts = {"network": recipe.encoder.name, "normalisation": json.dumps(normalisation)}
    write_weights(output, tensors, taken.bands, facts)
    bands = "; ".join(f"{sensor} {', '.join(names)}" for sensor, names in taken.bands.items())
    steps = "; ".join(f"{name} {list(values)}" for name, values in normalisation.items())
    return [
        f"{output}: {recipe.encoder.name}, {len(tensors)} weights, {output.stat().st_size / 1e6:.2f} MB",
        f"bands: {bands}",
        f"its user normalises, (clip(value, low, high) − zero) / unit: {steps}",
    ]


def _says_nothing(values: tuple[object, ...]) -> bool:
    return all(value in (False, float("inf"), -float("inf")) for value in values)
