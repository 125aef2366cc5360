"""The expander of a released VICReg checkpoint: pre-training goes on with it where everything fits.

Names as in the authors' full checkpoints (https://github.com/facebookresearch/vicreg): under `model`, after `module.`,

| theirs | ours |
|---|---|
| `backbone.…` | the encoder's, found by `weights` under any prefix |
| `projector.0`, `1`, `3`, `4`, `6` | `layers.0`, `1`, `3`, `4`, `6`: linear, BatchNorm, linear, BatchNorm, linear |

Their backbone-only files have no expander. Their stem pads before it convolves, which is the padding of torchvision's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from rsgeo_train.runs import run_around
from rsgeo_train.weights import read_weights

_MARK = "projector.0.weight"


def expander_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the expander by our names; none where the file has no expander.

    Args:
        tensors: all of a file, by dotted name.
    """
    mark = next((key for key in tensors if key == _MARK or key.endswith(f".{_MARK}")), None)
    if mark is None:
        return {}
    prefix = mark.removesuffix("0.weight")
    return {f"layers.{key.removeprefix(prefix)}": value for key, value in tensors.items() if key.startswith(prefix)}


def continue_expander(network: nn.Module, path: Path, tell: Callable[[str], None]) -> None:
    """Give the network's expander the weights of a released checkpoint, where it has an expander of these widths.

    Args:
        network: of a method; nothing is done to one without an expander.
        path: what the encoder came from.
        tell: takes a line: that they were taken, or why not.
    """
    expander = getattr(network, "expander", None)
    if expander is None or run_around(path) is not None:
        return
    found = expander_of(read_weights(path))
    if not found:
        return
    own = expander.state_dict()
    if {name: value.shape for name, value in found.items()} != {name: value.shape for name, value in own.items()}:
        widths = [value.shape[0] for name, value in found.items() if name.endswith("weight") and value.ndim == 2]
        tell(f"  the expander of {path} is another one and starts anew; its widths: method.expander={widths}")
        return
    expander.load_state_dict(found)
    tell(f"expander from {path}: {len(found)} of {len(own)} weights")
