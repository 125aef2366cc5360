r"""Reconstruction of hidden patches (He et al., 2022, section 3): an error per pixel over the patches asked for.

    L = Σ_t m_t · mean over the patch's values of e(x̂_t − x_t)  /  Σ_t m_t

with m_t 1 for patches asked for and 0 for others, summed over the whole batch, e(d) = d² (`mse`) or |d| (`l1`). With
`norm_pix` the target is each patch's own (x − mean) / sqrt(variance + 1e-6), over its pixels and bands.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from rsgeo_train.gathering import fair_count

Error = Literal["mse", "l1"]

_EPSILON = 1e-6  # normalised units squared, beside a patch's variance


def standardised(patches: Tensor) -> Tensor:
    """Each patch (B, T, V) by its own mean and spread."""
    mean, variance = patches.mean(dim=2, keepdim=True), patches.var(dim=2, keepdim=True)
    return (patches - mean) / (variance + _EPSILON).sqrt()


def reconstruction_error(guess: Tensor, truth: Tensor, asked: Tensor, error: Error = "mse") -> Tensor:
    """The loss.

    Args:
        guess, truth: (B, T, V) patches.
        asked: (B, T) bool, the patches that count.
        error: e of the formula.

    Returns:
        Scalar, whose mean over processes that share the batch is that of the whole batch; 0 where nothing is asked.
    """
    off = guess.float() - truth.float()
    each = (off.square() if error == "mse" else off.abs()).mean(dim=2)
    weights = asked.to(each.dtype)
    return (each * weights).sum() / fair_count(weights.sum())
