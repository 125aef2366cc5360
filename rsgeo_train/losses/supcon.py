r"""Supervised contrastive loss (Khosla et al., NeurIPS 2020, eq. 2: L_out): all samples of a class are positives.

Of V views z of B samples, stacked, with A(i) all rows but i and P(i) those of A(i) with the label of i:

    L = −(τ / τ₀) · mean_i  (1 / |P(i)|) Σ_{p ∈ P(i)} log ( exp(z_i · z_p / τ) / Σ_{a ∈ A(i)} exp(z_i · z_a / τ) )

z are compared by direction. A row without any positive (a class of one sample with one view) is left out of the mean.
Where every sample has a label of its own, or none is given, it is NT-Xent of the views.

Two kinds of samples play less of a part. Those left out by `known` play none: neither as anchor nor as positive nor as
negative, since what they show may be any of the classes (255 in DFC2020). Those that are no `anchors` stay negatives of
all others ("Negative" in METER-ML: surely none of the other classes, but not alike among themselves) and are dropped
from the mean, so that the scale of the loss does not hang on their share.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rsgeo_train.gathering import first_row, gathered
from rsgeo_train.losses.similarity import partner_loss, similarity_logits

Anchors = Literal["all", "one"]
"""Which views are anchors: all of them, or the first one alone."""


def supcon(
    features: Tensor,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    temperature: float = 0.07,
    base_temperature: float = 0.07,
    mode: Anchors = "all",
    known: Tensor | None = None,
    anchors: Tensor | None = None,
) -> Tensor:
    """SupCon of this process's samples, told from those of all processes.

    Args:
        features: (B, V, D); every process has as many.
        labels: (B,) int64; without labels and mask a sample is alike itself alone.
        mask: (B, B) bool in place of labels, over several processes (B, processes · B): sample j is alike i.
        temperature: τ.
        base_temperature: τ₀.
        mode: which views are anchors.
        known: (B, V) bool, False for what plays no part.
        anchors: (B,) bool, False for samples that are negatives alone.

    Returns:
        This process's part, whose mean over processes is the mean over all anchors with a positive; 0 without any.

    Raises:
        ValueError: labels and mask are both given.
    """
    if labels is not None and mask is not None:
        raise ValueError("labels and mask both say which samples are alike; expected one of them")
    count, views = features.shape[:2]
    rows = features.flatten(0, 1)
    if labels is None:
        labels = torch.arange(first_row(count), first_row(count) + count, device=rows.device)
    alike = labels[:, None] == gathered(labels)[None] if mask is None else mask.bool()
    alike = alike.repeat_interleave(views, dim=0).repeat_interleave(views, dim=1)
    known = torch.ones(count, views, dtype=torch.bool, device=rows.device) if known is None else known
    there = gathered(known.float()).flatten() > 0.5
    own = torch.arange(first_row(len(rows)), first_row(len(rows)) + len(rows), device=rows.device)
    candidates = (own[:, None] != torch.arange(len(there), device=rows.device)[None]) & there[None]
    asked = known if anchors is None else known & anchors[:, None]
    if mode == "one":
        asked = asked & (torch.arange(views, device=rows.device) == 0)[None]
    logits = similarity_logits(rows, rows, temperature)
    loss = partner_loss(logits, alike & candidates, candidates, asked.flatten())
    return loss * (temperature / base_temperature)
