"""The projector between an encoder and a loss: trained with them, dropped afterwards."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn


class Projector(nn.Module):
    """Linear layers with BatchNorm and ReLU between them; the last one is plain.

    Args:
        widths: of the input, the hidden layers and the output.
        bias: give hidden layers the bias that BatchNorm takes away again: the number of weights of the literature.
    """

    def __init__(self, widths: Sequence[int], *, bias: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths[:-1]):
            layers += [nn.Linear(before, after, bias=bias), nn.BatchNorm1d(after), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1], bias=False))

    def forward(self, values: Tensor) -> Tensor:
        """(B, widths[0]) → (B, widths[-1])."""
        return self.layers(values)
