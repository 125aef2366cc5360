"""Weights in files of many makers: read without running code, found under whatever prefix, compared by name.

What rsgeo writes itself (`write_weights`) has the names of timm, which for ResNets and VGGs are torchvision's.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rsgeo_train.errors import RecipeError

CLASSIFIERS = ("fc", "head", "heads", "head_dist", "classifier", "pre_logits")
"""What timm and torchvision call the layers after the pooled features; no part of an encoder."""

_BANDS = "bands"  # in the metadata of a safetensors file: JSON, band names by sensor

_AVERAGED = "average.module."  # of rsgeo's own checkpoints: what is scored and exported
_SHOWN = 10
_COUNTER = "num_batches_tracked"  # absent in old files, and only used by BatchNorm without momentum


@dataclass(frozen=True)
class Match:
    """Weights of a file by the names of a network.

    Attributes:
        weights: those that the network has, by its names.
        prefix: what stood before these names in the file.
        missing: names that the file lacks.
        unexpected: names below the prefix that the network lacks.
        reshaped: names whose shapes differ, with both shapes in words; not among the weights.
        classifier: names of the classifier, left out.
    """

    weights: dict[str, Tensor]
    prefix: str
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    reshaped: list[str] = field(default_factory=list)
    classifier: list[str] = field(default_factory=list)

    def differences(self) -> list[str]:
        """What does not fit, in words: the first ten of each kind, and how many there are."""
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.reshaped}
        return [
            f"{len(names)} {kind}: {', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''}"
            for kind, names in kinds.items()
            if names
        ]


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a file by dotted name, nested tables included; no code of the file is run.

    Args:
        path: `.safetensors`, or anything that `torch.save` wrote.

    Raises:
        RecipeError: no such file, none of weights, or one that holds code.
    """
    if not path.is_file():
        raise RecipeError(
            f"encoder.init: {path}: no such file or run folder.",
            "Give random, pretrained, a run folder, or a file of weights (.ckpt, .pt, .pth, .safetensors).",
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        if not zipfile.is_zipfile(path) and path.read_bytes()[:1] != b"\x80":
            raise RecipeError(f"encoder.init: {path} is no file of weights.") from None
        raise RecipeError(
            f"encoder.init: {path} holds more than weights, and what it holds would have to be run to be read.",
            "Save the weights alone where the file comes from: torch.save(network.state_dict(), 'weights.pt')",
        ) from None
    except Exception as error:  # torch and safetensors raise many kinds for a damaged file
        raise RecipeError(f"encoder.init: {path} is no file of weights: {error}") from None
    tensors = dict(_flat(content))
    if not tensors:
        raise RecipeError(f"encoder.init: {path} holds no weights.")
    return tensors


def bands_of(path: Path) -> dict[str, list[str]] | None:
    """Which bands a file's weights take, in order, by sensor; None where it does not say."""
    if path.suffix != ".safetensors":
        return None
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        told = (file.metadata() or {}).get(_BANDS)
    return None if told is None else json.loads(told)


def write_weights(
    path: Path, tensors: Mapping[str, Tensor], bands: Mapping[str, Sequence[str]], facts: Mapping[str, str]
) -> None:
    """Write weights; the bands and facts go into the metadata of `.safetensors`, `.pth` and `.pt` have no place for it.

    Args:
        path: replaced when everything is written.
        tensors: by name.
        bands: what the weights take, by sensor.
        facts: what else their user must know.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    part = path.with_name(f"{path.name}.part")
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(plain, part, {_BANDS: json.dumps({k: list(v) for k, v in bands.items()}), **facts})
    else:
        torch.save(plain, part)
    part.replace(path)


def match(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], source: str, prefix: str = "") -> Match:
    """Find a network's weights in a file: under the prefix below which most of its names are.

    Shapes are compared by the caller's `wanted`; a name whose shape differs does not count as loaded.

    Args:
        tensors: all of the file, by dotted name.
        wanted: the network's own weights.
        source: the file in words.
        prefix: the prefix to take, where the file has several networks.

    Raises:
        RecipeError: none of the names is there, or several prefixes have equally many.
    """
    votes = _prefixes(tensors, wanted)
    if prefix:
        chosen = [found for found in votes if found.rstrip(".").endswith(prefix.rstrip("."))]
        votes = Counter({found: votes[found] for found in chosen})
    if not votes:
        has = ", ".join(list(tensors)[:3])
        raise RecipeError(
            f"encoder.init: none of the encoder's {len(wanted)} weights is in {source}"
            + (f" below {prefix}" if prefix else "")
            + f"; the file has {has} …, the encoder {', '.join(list(wanted)[:3])} …",
            "Set encoder.name to the network that the file is of.",
        )
    most = max(votes.values())
    best = [found for found, count in votes.items() if count == most]
    best = [found for found in best if _AVERAGED in found] or best
    if len(best) > 1:
        raise RecipeError(
            f"encoder.init: {source} holds several such networks, below {', '.join(repr(b) for b in best)}.",
            f"Choose one: --set encoder.prefix={best[0]}",
        )
    return _matched(tensors, wanted, best[0])


def _matched(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], prefix: str) -> Match:
    below = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    classifier = [key for key in below if key not in wanted and key.split(".")[0] in CLASSIFIERS]
    weights, reshaped = {}, []
    for key, own in wanted.items():
        if key not in below:
            continue
        if below[key].shape == own.shape:
            weights[key] = below[key]
        else:
            reshaped.append(f"{key} ({_shape(below[key])} in the file, {_shape(own)} in the encoder)")
    return Match(
        weights,
        prefix,
        missing=[key for key in wanted if key not in below and not key.endswith(_COUNTER)],
        unexpected=[key for key in below if key not in wanted and key not in classifier],
        reshaped=reshaped,
        classifier=classifier,
    )


def _prefixes(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Counter[str]:
    """How many of the wanted names stand below each prefix."""
    votes: Counter[str] = Counter()
    for key in tensors:
        if key in wanted:
            votes[""] += 1
        for place, letter in enumerate(key):
            if letter == "." and key[place + 1 :] in wanted:
                votes[key[: place + 1]] += 1
    return votes


def _flat(content: Any, prefix: str = "") -> list[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        return [(prefix.removesuffix("."), content)] if prefix else []
    if not isinstance(content, Mapping):
        return []
    return [pair for key, value in content.items() for pair in _flat(value, f"{prefix}{key}.")]


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "1"
