"""Pooled features of frozen encoders over samples, with all bands or with some of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from rsgeo_train.samples import Samples, collate
from rsgeo_train.widening import WidenedSamples


@torch.no_grad()
def pooled(
    encoder: nn.Module, samples: Samples | WidenedSamples, keep: Sequence[int] | None = None
) -> NDArray[np.float32]:
    """Features of every sample, (N, D).

    Args:
        encoder: (images, present) → (B, D), such as `methods.csf.FusionEncoder`.
        samples: what is encoded.
        keep: positions of the bands that may be seen; None for all.
    """
    encoder.eval()
    found = []
    for batch in DataLoader(samples, batch_size=128, collate_fn=collate):
        present = batch.present.clone()
        if keep is not None:
            allowed = torch.zeros(present.shape[1], dtype=torch.bool)
            allowed[list(keep)] = True
            present &= allowed
        found.append(encoder(batch.images, present).float().numpy())
    return np.concatenate(found)
