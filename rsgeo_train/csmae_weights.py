"""Released weights of Cross-Sensor Masked Autoencoders under the names of our sensor transformer.

Names as in the authors' backbone (https://github.com/jakhac/CSMAE, MIT), with any prefix before them:

| theirs | ours |
|---|---|
| `patch_embed.proj`, `patch_embed_s2.proj` | `embeddings.s1`, `embeddings.s2` |
| `cls_token`, `cls_token_s2` | `class_tokens.s1`, `class_tokens.s2` |
| `blocks_s1.N`, `blocks_s2.N` | `own.s1.N`, `own.s2.N` |
| `norm_s1`, `norm_s2` | `own_norms.s1`, `own_norms.s2` |
| `blocks.N`, `norm`, `fc_norm` | `shared.N`, `norm`, `pool_norm` |
| `pos_embed` | none: it is computed |

Their reader mirrors images along the diagonal. The patch projections are mirrored here instead, and their positions,
which say the column first, are then ours, which say the row first: images stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

BANDS = {
    "s1": ["VH", "VV"],
    "s2": ["B02", "B03", "B04", "B08", "B05", "B06", "B07", "B11", "B12", "B8A"],
}
"""What the weights take, in order, normalised by the profile `bigearthnet`."""

_MARK = "patch_embed_s2.proj.weight"
_NAMES = (
    (r"patch_embed_s2\.proj\.", "embeddings.s2."),
    (r"patch_embed\.proj\.", "embeddings.s1."),
    (r"cls_token_(s2)$", r"class_tokens.\1"),
    (r"cls_token$", "class_tokens.s1"),
    (r"blocks_(s[12])\.", r"own.\1."),
    (r"norm_(s[12])\.", r"own_norms.\1."),
    (r"blocks\.", "shared."),
    (r"fc_norm\.", "pool_norm."),
    (r"norm\.", "norm."),
)


def translated(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, list[str]] | None]:
    """Weights under our names, and the bands that they take; as they are, and None, where they are not of that layout.

    Args:
        tensors: all of a file, by dotted name.
    """
    mark = next((key for key in tensors if key == _MARK or key.endswith(f".{_MARK}")), None)
    if mark is None:
        return dict(tensors), None
    prefix = mark.removesuffix(_MARK)
    found = {}
    for key, value in tensors.items():
        if not key.startswith(prefix) or key == f"{prefix}pos_embed":
            continue
        name = key.removeprefix(prefix)
        for theirs, ours in _NAMES:
            changed, count = re.subn(rf"^{theirs}", ours, name)
            if count:
                found[changed] = value.transpose(-1, -2) if value.ndim == 4 else value
                break
        else:
            if not name.startswith("head."):
                found[name] = value  # told as unexpected where it is loaded
    return found, BANDS
