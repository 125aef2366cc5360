"""What methods have cost, as cells of a table."""

from __future__ import annotations

import torch

from rsgeo_train.cost import Cost, macs_of, total, weights_of
from rsgeo_train.evaluate.subjects import Subject


def cost_cells(known: list[Cost]) -> tuple[str, ...]:
    """Time, samples, speed, memory and device for people; dashes where nothing is known."""
    if not known:
        return ("–",) * 5
    cost = total(known)
    minutes, seconds = divmod(round(cost.seconds), 60)
    memory = "–" if cost.peak_memory_bytes is None else f"{cost.peak_memory_bytes / 1e9:.2f} GB"
    threads = f"{cost.threads} thread{'s' if cost.threads > 1 else ''}"
    where = f"{cost.device}, {threads}" if cost.device == "cpu" else cost.device
    time = f"{minutes} min {seconds:02d} s" if minutes else f"{cost.seconds:.1f} s"
    return (time, f"{cost.samples:,}", f"{cost.samples_per_second:,.0f}", memory, f"{where} {cost.precision}")


def network_cells(subject: Subject) -> tuple[str, ...]:
    """Weights of encoder and of all that is trained, multiplications a sample, width of the features."""
    learner = subject.members[0].learner
    if learner is None:
        return ("–",) * 4
    macs = macs_of(learner, len(subject.taken.normalisation), subject.taken.side)
    return (
        f"{weights_of(learner.backbone) / 1e6:.2f} M",
        f"{weights_of(learner.network) / 1e6:.2f} M",
        "–" if macs is None else f"{macs / 1e6:,.0f} M",
        str(width_of(subject)),
    )


def width_of(subject: Subject) -> int:
    """How many pooled features an encoder gives."""
    learner = subject.members[0].learner
    assert learner is not None
    bands, side = len(subject.taken.normalisation), subject.taken.side
    with torch.no_grad():
        images, present = torch.zeros(1, bands, side, side), torch.ones(1, bands, dtype=torch.bool)
        return learner.encoded(images, present).pooled.shape[1]
