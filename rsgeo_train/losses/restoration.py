r"""Restoration of what was disturbed (Li, Chen & Shi, 2021): an error weighed by how much each value was changed.

    L = Σ m · |ŷ − y|  /  (Σ m + 1e-6),    m = |y − x|

over all pixels and bands of the batch, with y the picture as it is, x the disturbed one, ŷ what was made of it. What
was not changed does not count; giving x back costs Σ m² / Σ m.
"""

from __future__ import annotations

from torch import Tensor

from rsgeo_train.gathering import fair_count

_EPSILON = 1e-6  # normalised units


def weighted_l1(guess: Tensor, truth: Tensor, disturbed: Tensor, counted: Tensor | None = None) -> Tensor:
    """The loss.

    Args:
        guess, truth, disturbed: (B, C, H, W), ŷ, y and x.
        counted: the same, bool: what counts at all; everything where left out.

    Returns:
        Scalar, whose mean over processes that share the batch is that of the whole batch; 0 where nothing was changed.
    """
    truth = truth.float()
    weights = (truth - disturbed.float()).abs()
    if counted is not None:
        weights = weights * counted
    return (weights * (guess.float() - truth).abs()).sum() / (fair_count(weights.sum()) + _EPSILON)
