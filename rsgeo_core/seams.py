"""Whether tiling shows: the same scene mapped on two tile lattices, and where the maps differ.

D is the mean total variation between the class probabilities of both runs, C how much more often the class changes
across a tile seam than elsewhere (Buglakova et al., ICCV 2025, call the cause tile mismatch). For an exact model D = 0
and C = 1. Embeddings are compared by the angles between their vectors: what maps store of them is their direction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rsgeo_core.card import ModelCard, Output
from rsgeo_core.errors import RequestError
from rsgeo_core.grid import Span
from rsgeo_core.scene import Scene
from rsgeo_core.session import Session
from rsgeo_core.tiling import Layout, plan


@dataclass(frozen=True)
class SeamReport:
    """What `measure` found.

    Attributes:
        tile, halo: of the lattice, pixels.
        largest_difference: max |a − b| of the model's raw output between both lattices, relative to max |a|.
        mean_variation: D, mean over cells of half the summed |p₁ − p₂| (for values: relative mean difference).
        flip_rate: share of cells whose class differs; None without classes.
        cosine: mean and least cosine between both lattices' vectors of a cell; None of other models than embeddings.
        seam_contrast: C with its 95 % bootstrap interval over seams; None without classes or seams.
        tile_invariant: whether both lattices agree to 1e-6 and no class differs.
        cells: number of cells compared.
    """

    tile: int
    halo: int
    largest_difference: float
    mean_variation: float
    flip_rate: float | None
    cosine: tuple[float, float] | None
    seam_contrast: tuple[float, float, float] | None
    tile_invariant: bool
    cells: int


def measure(
    scene: Scene, session: Session, card: ModelCard, output: Output, layout: Layout, size: int = 1024, seed: int = 0
) -> SeamReport:
    """Map up to `size` × `size` pixels of a scene's middle on two lattices, half a tile apart.

    Args:
        scene: what is mapped.
        session: the model.
        card, output: what it gives; dense outputs only.
        layout: the tiles to judge.
        size: side of the part that is mapped, pixels.
        seed: of the bootstrap.

    Raises:
        RequestError: the core is so small that there is no second lattice.
    """
    grid = scene.grid
    step = layout.step * layout.stride
    height, width = min(grid.height, size), min(grid.width, size)
    top, left = (grid.height - height) // 2 // step * step, (grid.width - width) // 2 // step * step
    region = Span(
        top // layout.stride, left // layout.stride, (top + height) // layout.stride, (left + width) // layout.stride
    )
    shift = max(1, layout.step // 2)
    unit = math.lcm(card.inputs[0].size_multiple, layout.stride) // layout.stride
    shift = max(unit, shift // unit * unit)
    if shift % layout.step == 0:  # the same lattice again would call any network exact
        if card.inputs[0].dynamic_size:
            raise RequestError(
                f"With a core of {layout.core} cells there is no second lattice at multiples of {unit} cells.",
                "Take a larger --tile or a smaller --halo.",
            )
        shift = max(1, layout.step // 2)
    first = _map(scene, session, layout, region, 0)
    second = _map(scene, session, layout, region, shift)
    scale = max(float(np.abs(first).max()), 1e-12)
    largest = float(np.abs(first - second).max()) / scale
    flips: float | None = None
    contrast: tuple[float, float, float] | None = None
    if output.kind in ("logits", "probabilities"):
        p, q = _probabilities(first, output), _probabilities(second, output)
        variation = float(np.abs(p - q).sum(axis=0).mean() / 2)
        classes, others = p.argmax(axis=0), q.argmax(axis=0)
        flips = float((classes != others).mean())
        contrast = _contrast(classes, layout, region, np.random.default_rng(seed))
    else:
        variation = float(np.abs(first - second).mean() / scale)
    return SeamReport(
        layout.tile,
        max(0, layout.lead),
        largest,
        variation,
        flips,
        _cosine(first, second) if output.kind == "embedding" else None,
        contrast,
        largest <= 1e-6 and not flips,
        first[0].size,
    )


def _map(scene: Scene, session: Session, layout: Layout, region: Span, shift: int) -> NDArray[np.float32]:
    """The raw output over a region, (C, h, w), on a lattice moved by `shift` cells; exact crop."""
    layout = replace(layout, blend="exact", ends=None)
    moved = region.shifted(shift, shift)
    result: NDArray[np.float32] | None = None
    for row in plan(moved, layout):
        for tile in row.tiles:
            read = tile.read.shifted(-shift * layout.stride, -shift * layout.stride)
            values, _ = scene.read(read)
            out = session.run({key: session.prepare(key, array)[None] for key, array in values.items()})[0]
            if result is None:
                result = np.zeros((len(out), *region.shape), np.float32)
            rows, columns = tile.valid.slices
            target = tile.write.shifted(-moved.top, -moved.left).slices
            result[:, target[0], target[1]] = out[:, rows, columns]
    assert result is not None
    return result


def _probabilities(scores: NDArray[np.float32], output: Output) -> NDArray[np.float32]:
    if len(scores) == 1:
        foreground = scores if output.kind == "probabilities" else 1 / (1 + np.exp(-scores))
        return np.concatenate([1 - foreground, foreground])
    if output.kind == "probabilities":
        return scores
    exponentials = np.exp(scores - scores.max(axis=0, keepdims=True))
    normalised: NDArray[np.float32] = exponentials / exponentials.sum(axis=0, keepdims=True)
    return normalised


def _cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> tuple[float, float]:
    """Mean and least cosine between the vectors, (D, h, w) each, of a cell; 1 where both are zero."""
    a, b = (each.astype(np.float64) for each in (first, second))
    lengths = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    cosines = np.divide((a * b).sum(axis=0), lengths, out=np.ones(lengths.shape), where=lengths > 0)
    return float(cosines.mean()), float(cosines.min())


def _contrast(
    classes: NDArray[np.intp], layout: Layout, region: Span, random: np.random.Generator
) -> tuple[float, float, float] | None:
    """P(class change | edge on a seam) / P(change | other edge), with a bootstrap over seam lines."""
    on: list[tuple[int, int]] = []  # changes and edges of each seam line
    off_changes = off_edges = 0
    for axis, start in ((0, region.top), (1, region.left)):
        changes = np.diff(classes, axis=axis) != 0
        counts = changes.sum(axis=1 - axis)
        length = changes.shape[1 - axis]
        for index, count in enumerate(counts):
            if (start + index + 1) % layout.core == 0:
                on.append((int(count), length))
            else:
                off_changes, off_edges = off_changes + int(count), off_edges + length
    if not on or not off_changes:
        return None
    lines = np.array(on, float)
    base = off_changes / off_edges
    draws = lines[random.integers(0, len(lines), (1000, len(lines)))].sum(axis=1)
    ratios = draws[:, 0] / draws[:, 1] / base
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(lines[:, 0].sum() / lines[:, 1].sum() / base), float(low), float(high)
