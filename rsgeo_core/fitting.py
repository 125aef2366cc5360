"""How a model meets a scene: tile, halo and stride from its card, the request and the scene's size. No I/O."""

from __future__ import annotations

from rsgeo_core import tiling
from rsgeo_core.card import ModelCard, Output
from rsgeo_core.errors import RequestError
from rsgeo_core.request import InferRequest

_BYTES_PER_PIXEL = 1024  # of activations: what a U-Net of 16 to 32 channels takes


def choose_layout(card: ModelCard, output: Output, request: InferRequest, shape: tuple[int, int]) -> tiling.Layout:
    """How a model meets a scene, from its card and the request; the same for the same scene on every machine.

    Raises:
        RequestError: stride, tile or halo cannot be had with this model.
    """
    item = card.inputs[0]
    if output.objects is not None:
        return _detector_layout(card, output, request, shape)
    if not output.dense:
        stride = request.stride or output.stride
        if stride > item.tile_size:
            raise RequestError(
                f"--stride {stride} is larger than the model's window of {item.tile_size} pixels: "
                "pixels between windows would not be seen.",
                f"Choose at most {item.tile_size}.",
            )
        if request.tile is not None and request.tile != item.tile_size:
            raise RequestError(
                f"{card.name} looks at windows of {item.tile_size} pixels; --tile {request.tile} is another size."
            )
        if request.halo != "auto" or request.blend is not None:
            raise RequestError(
                f"{card.name} classifies windows, each on its own: --halo and --blend do not apply.", "Leave them out."
            )
        cells = max(1, min(512 // stride, -(-max(shape) // stride)))
        return tiling.window_layout(item.tile_size, stride, cells)
    if request.stride is not None and request.stride != output.stride:
        raise RequestError(
            f"{card.name} gives one cell per {output.stride} pixels; --stride {request.stride} is not possible."
        )
    unit = item.size_multiple
    halo = card.context.halo if request.halo == "auto" else request.halo
    blend: tiling.Blend = request.blend or ("hann" if card.context.tile_invariant is False else "exact")
    scene = None
    if item.dynamic_size:
        tile = request.tile or _best_tile(halo, unit, request.memory)
        scene = shape if blend == "exact" and card.context.tile_invariant is not False else None
    else:
        tile = item.tile_size
        if request.tile not in (None, tile):
            raise RequestError(f"{card.name} takes tiles of {tile} pixels only; --tile {request.tile} is not possible.")
    try:
        return tiling.dense_layout(tile, halo, output.stride, unit, blend, scene)
    except ValueError as error:
        raise RequestError(f"{error}.", "Choose a larger --tile or a smaller --halo.") from None


def _detector_layout(card: ModelCard, output: Output, request: InferRequest, shape: tuple[int, int]) -> tiling.Layout:
    """Tiles that overlap by twice the halo, so that objects as large as that are seen whole by one of them.

    The tile is the card's, whatever the memory: how many objects a tile can have is set for it.
    """
    item = card.inputs[0]
    for name in ("stride", "blend"):
        if getattr(request, name) is not None:
            raise RequestError(f"{card.name} finds objects: --{name} does not apply.", "Leave it out.")
    unit, halo = item.size_multiple, card.context.halo if request.halo == "auto" else request.halo
    tile = item.tile_size
    if item.dynamic_size:
        tile = request.tile or max(tile, 3 * halo)
    elif request.tile not in (None, tile):
        raise RequestError(f"{card.name} takes tiles of {tile} pixels only; --tile {request.tile} is not possible.")
    try:
        return tiling.dense_layout(
            -(-tile // unit) * unit, halo, 1, unit, "exact", shape if item.dynamic_size else None
        )
    except ValueError as error:
        raise RequestError(f"{error}.", "Choose a larger --tile or a smaller --halo.") from None


def share_threads(layout: tiling.Layout, batch: int, memory: int, threads: int) -> tuple[int, int]:
    """Runs of the model at a time, and threads of each, on a CPU.

    Single-threaded runs side by side never wait for each other, which two threads of one run do at every layer; they
    take as much more memory, so there are as many as fit. Results do not depend on it.
    """
    pixels = batch * (layout.window or layout.tile) ** 2
    runs = max(1, min(threads, memory * 3 // 4 // (pixels * _BYTES_PER_PIXEL)))
    return runs, max(1, threads // runs)


def _best_tile(halo: int, unit: int, memory: int) -> int:
    """The smallest usual tile side that wastes less than a tenth on the halo, or the largest that fits twice."""
    sides = [side for side in (512, 768) if 2 * side * side * _BYTES_PER_PIXEL <= memory * 3 // 4] or [256]
    for side in sides:
        if (side / max(1, side - 2 * halo)) ** 2 <= 1.1:
            return side // unit * unit
    return sides[-1] // unit * unit
