"""A learning rate that falls when the selection score stops rising."""

from __future__ import annotations

import math

_RISE = 1e-4  # share of the best score that counts as better, as in torch


class Plateau:
    """How far the rate has fallen, as torch's ReduceLROnPlateau counts it for scores that should rise.

    After more than `patience` epochs without a better score the rate is multiplied by `gamma`, and counting begins
    again.

    Args:
        patience: epochs.
        gamma: factor.
    """

    def __init__(self, patience: int, gamma: float) -> None:
        self.patience = patience
        self.gamma = gamma
        self.best = -math.inf
        self.waited = 0
        self.falls = 0

    @property
    def factor(self) -> float:
        """Share of the rate that is left."""
        return self.gamma**self.falls

    def see(self, score: float) -> None:
        """Take the score of an epoch."""
        if score > self.best + _RISE * abs(self.best) or self.best == -math.inf:
            self.best, self.waited = score, 0
            return
        self.waited += 1
        if self.waited > self.patience:
            self.falls, self.waited = self.falls + 1, 0

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"best": self.best, "waited": self.waited, "falls": self.falls}

    def load(self, state: dict[str, float]) -> None:
        """Go on where a checkpoint was."""
        self.best, self.waited, self.falls = state["best"], int(state["waited"]), int(state["falls"])
