"""How a model meets a scene: tile, halo and stride from its card, the request and the scene's size. No I/O."""

from __future__ import annotations

from rsgeo_core import tiling
from rsgeo_core.card import ModelCard, Output
from rsgeo_core.errors import RequestError
from rsgeo_core.request import InferRequest


def choose_layout(card: ModelCard, output: Output, request: InferRequest, shape: tuple[int, int]) -> tiling.Layout:
    """How a model meets a scene, from its card and the request; the same for the same scene on every machine.

    Raises:
        RequestError: stride, tile or halo cannot be had with this model.
    """
    item = card.inputs[0]
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
    if item.dynamic_size:
        tile = request.tile or _best_tile(halo, unit, request.memory)
        needed = max(-(-(side + 2 * halo) // unit) * unit + 2 * unit for side in shape)
        tile = min(tile, needed) if request.tile is None and blend == "exact" else tile
    else:
        tile = item.tile_size
        if request.tile not in (None, tile):
            raise RequestError(f"{card.name} takes tiles of {tile} pixels only; --tile {request.tile} is not possible.")
    try:
        return tiling.dense_layout(tile, halo, output.stride, unit, blend)
    except ValueError as error:
        raise RequestError(f"{error}.", "Choose a larger --tile or a smaller --halo.") from None


def _best_tile(halo: int, unit: int, memory: int) -> int:
    """The smallest of the usual tile sides that wastes less than a tenth on the halo, or the largest that fits.

    A kilobyte of activations a pixel is what a U-Net of 16 to 32 channels takes.
    """
    sides = [side for side in (512, 768, 1024) if side * side * 1024 <= memory] or [256]
    for side in sides:
        if (side / max(1, side - 2 * halo)) ** 2 <= 1.1:
            return side // unit * unit
    return sides[-1] // unit * unit
