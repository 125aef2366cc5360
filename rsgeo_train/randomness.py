"""Random state as a function of (seed, purpose, counters), so that a run can stop and go on anywhere.

No stream has to be saved: order, augmentation and dropout of step n are functions of n.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch


def seed_of(seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit seed for a purpose (`order`, `augment`, `dropout`) and its counters."""
    words = np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), *counters]).generate_state(2, np.uint32)
    return int(words[0]) << 31 | int(words[1])


def generator(seed: int, purpose: str, *counters: int) -> torch.Generator:
    """A CPU generator seeded by `seed_of`."""
    return torch.Generator().manual_seed(seed_of(seed, purpose, *counters))
