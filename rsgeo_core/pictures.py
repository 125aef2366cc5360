"""A map as a picture to show: the map, the scene beside it, a legend with shares, a scale bar and north."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyproj import Geod

from rsgeo_core.bands import block_cache
from rsgeo_core.errors import OutputError, RequestError
from rsgeo_core.grid import Grid, to_lonlat
from rsgeo_core.lettering import draw_text, text_width
from rsgeo_core.png import write_png
from rsgeo_core.portrayal import Entry, Kind, Picture, Portrayal, Ramp, portray, portray_scene, ramp_colors

_MARGIN, _GAP = 20, 16
_TEXT, _SMALL, _ROW, _SWATCH = 10.0, 9.0, 26, 16  # capitals' height, a legend row, a colour field, pixels
_INK, _FAINT, _LINE = (34, 34, 34), (110, 110, 110), (190, 190, 190)


def preview(
    map_path: str | Path,
    out_path: str | Path,
    *,
    width: int = 1200,
    scene: str | Path | None = None,
    scene_bands: tuple[int, ...] | None = None,
    kind: Kind | None = None,
    title: str | None = None,
) -> tuple[int, int]:
    """Draw a map as a PNG.

    Args:
        map_path: class map, probabilities, embedding or any raster.
        out_path: the PNG file.
        width: of the whole picture, pixels.
        scene: shown beside the map, on the map's grid.
        scene_bands: band numbers of red, green and blue, or of one band.
        kind: how to show the map; by default told from the file.
        title: above the map; by default the file's name.

    Returns:
        (height, width) of the picture.

    Raises:
        RequestError: too narrow, or a file that cannot be shown.
        OutputError: the picture cannot be written.
    """
    out_path = Path(out_path)
    if out_path.suffix.lower() != ".png":
        raise RequestError(f"{out_path} is no PNG file.", f"Call it {out_path.with_suffix('.png')}")
    if width < 300:
        raise RequestError(
            f"A picture {width} pixels wide has no room for a map and its legend.",
            "Ask for 300 pixels or more: --width 300",
        )
    with block_cache():
        picture = compose(map_path, width, scene, scene_bands, kind, title)
    try:
        write_png(out_path, picture)
    except OSError as error:
        raise OutputError(f"{out_path} cannot be written: {error}.") from None
    return picture.shape[0], picture.shape[1]


def compose(
    map_path: str | Path,
    width: int = 1200,
    scene: str | Path | None = None,
    scene_bands: tuple[int, ...] | None = None,
    kind: Kind | None = None,
    title: str | None = None,
) -> Picture:
    """The picture of `preview` as (H, W, 3) uint8."""
    panels = 1 if scene is None else 2
    side = _legend_width(portray(map_path, (64, 64), kind), min(420, width // 3))
    room = (width - 2 * _MARGIN - panels * _GAP - side) // panels
    shown = portray(map_path, (round(1.5 * room), room), kind)
    images = [(shown, title if title is not None else Path(map_path).name)]
    if scene is not None:
        images.insert(0, (portray_scene(scene, shown.grid, scene_bands), Path(scene).name))
    high, wide = shown.grid.shape
    head = 26
    height = max(head + high, _legend_height(shown)) + 2 * _MARGIN
    picture = np.full((height, 2 * _MARGIN + panels * (wide + _GAP) + side, 3), 255, np.uint8)
    left = _MARGIN
    for image, name in images:
        _label(picture, left, _MARGIN + 14, name, wide)
        _place(picture, image, left, _MARGIN + head)
        left += wide + _GAP
    _draw_legend(picture, shown, left + 4, _MARGIN + head, side - 4)
    return picture


def _label(picture: Picture, left: int, baseline: int, text: str, room: int) -> None:
    """A panel's name, cut at its width."""
    while text_width(text, _SMALL) > room and len(text) > 4:
        text = text[:-2].rstrip("…") + "…"
    draw_text(picture, left, baseline, text, _SMALL, _FAINT)


def _place(picture: Picture, shown: Portrayal, left: int, top: int) -> None:
    """The map on a light checkerboard, which shows where there is no data, and a thin frame."""
    height, width = shown.valid.shape
    rows, columns = np.mgrid[0:height, 0:width] // 8
    board = np.where((rows + columns) % 2 == 0, 255, 240).astype(np.uint8)[..., None]
    picture[top : top + height, left : left + width] = np.where(shown.valid[..., None], shown.image, board)
    for rows_, columns_ in (
        (slice(top - 1, top), slice(left - 1, left + width + 1)),
        (slice(top + height, top + height + 1), slice(left - 1, left + width + 1)),
        (slice(top, top + height), slice(left - 1, left)),
        (slice(top, top + height), slice(left + width, left + width + 1)),
    ):
        picture[rows_, columns_] = _LINE


def _legend_width(shown: Portrayal, most: int) -> int:
    names = [_SWATCH + 10 + text_width(e.name, _TEXT) + 24 + text_width(e.share, _TEXT) for e in shown.entries]
    notes = [text_width(note, _SMALL) for note in shown.notes]
    ramp = [text_width(shown.ramp.title, _TEXT)] if shown.ramp else []
    return min(most, max([180, *names, *notes, *ramp]) + 6)


def _legend_height(shown: Portrayal) -> int:
    ramp = 70 if shown.ramp else 0
    return 26 + _ROW * (len(shown.entries) + len(shown.notes) + (not shown.valid.all())) + ramp + 110


def _draw_legend(picture: Picture, shown: Portrayal, left: int, top: int, room: int) -> None:
    y = top
    for entry in shown.entries:
        _draw_entry(picture, entry, left, y, room)
        y += _ROW
    if shown.ramp is not None:
        _draw_ramp(picture, shown.ramp, left, y, room)
        y += 70
    if not shown.valid.all():
        board = (np.add.outer(np.arange(_SWATCH) // 4, np.arange(_SWATCH) // 4) % 2 * 15 + 240).astype(np.uint8)
        _field(picture, left, y, np.repeat(board[..., None], 3, axis=2))
        draw_text(picture, left + _SWATCH + 10, y + 13, "no data", _TEXT, _FAINT)
        y += _ROW
    for note in shown.notes:
        draw_text(picture, left, y + 13, note, _SMALL, _FAINT)
        y += 20
    _draw_scale(picture, shown.grid, left, y + 34, room)


def _draw_entry(picture: Picture, entry: Entry, left: int, top: int, room: int) -> None:
    color = np.array([int(entry.color[i : i + 2], 16) for i in (1, 3, 5)], np.uint8)
    _field(picture, left, top, np.broadcast_to(color, (_SWATCH, _SWATCH, 3)))
    share_at = left + room - text_width(entry.share, _TEXT)
    name = entry.name
    while text_width(name, _TEXT) > share_at - left - _SWATCH - 20 and len(name) > 4:
        name = name[:-2].rstrip("…") + "…"
    draw_text(picture, left + _SWATCH + 10, top + 13, name, _TEXT, _INK)
    draw_text(picture, share_at, top + 13, entry.share, _TEXT, _FAINT)


def _field(picture: Picture, left: int, top: int, colors: NDArray[np.uint8]) -> None:
    picture[top : top + _SWATCH, left : left + _SWATCH] = _LINE
    picture[top + 1 : top + _SWATCH - 1, left + 1 : left + _SWATCH - 1] = colors[1:-1, 1:-1]


def _draw_ramp(picture: Picture, ramp: Ramp, left: int, top: int, room: int) -> None:
    draw_text(picture, left, top + 10, ramp.title, _TEXT, _INK)
    length = min(room, 220)
    picture[top + 20 : top + 36, left : left + length] = ramp_colors(np.linspace(0, 1, length))[None]
    high = f"{ramp.high:.3g}"
    draw_text(picture, left, top + 52, f"{ramp.low:.3g}", _SMALL, _FAINT)
    draw_text(picture, left + length - text_width(high, _SMALL), top + 52, high, _SMALL, _FAINT)


def _draw_scale(picture: Picture, grid: Grid, left: int, top: int, room: int) -> None:
    """A bar of a round length and an arrow to the north; nothing without a CRS."""
    ground = _metres_and_north(grid)
    if ground is None:
        return
    step, north = ground
    longest = min(room - 60, 150) * step
    metres = max(m * 10.0**e for e in range(-3, 8) for m in (1, 2, 5) if m * 10.0**e <= longest)
    end = left + round(metres / step)
    picture[top + 18 : top + 21, left:end] = _INK
    for x in (left, end - 2):
        picture[top + 12 : top + 21, x : x + 2] = _INK
    text = next(
        f"{metres * factor:g} {unit}"
        for least, factor, unit in ((1000, 1e-3, "km"), (1, 1, "m"), (0, 100, "cm"))
        if metres >= least
    )
    draw_text(picture, left, top + 38, text, _SMALL, _FAINT)
    _draw_arrow(picture, left + room - 22, top + 16, north)


def _metres_and_north(grid: Grid) -> tuple[float, tuple[float, float]] | None:
    """Metres per picture pixel along a row, and the direction of north (right, down); None where that is unknown."""
    if grid.crs is None:
        return None
    column, row = grid.width / 2, grid.height / 2
    points = [grid.transform * p for p in ((column, row), (column + 1, row), (column, row + 1))]
    lon, lat = to_lonlat(grid.crs, np.array([p[0] for p in points]), np.array([p[1] for p in points]))
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return None
    geod = Geod(ellps="WGS84")
    right, _, across = geod.inv(lon[0], lat[0], lon[1], lat[1])
    down, _, along = geod.inv(lon[0], lat[0], lon[2], lat[2])
    # ground vectors (east, north) of a step to the right and down, inverted to find the step that goes north
    steps = np.array(
        [
            [across * np.sin(np.radians(right)), along * np.sin(np.radians(down))],
            [across * np.cos(np.radians(right)), along * np.cos(np.radians(down))],
        ]
    )
    if abs(np.linalg.det(steps)) < 1e-12:
        return None
    x, y = np.linalg.solve(steps, [0.0, 1.0])
    length = float(np.hypot(x, y))
    return float(across), (float(x) / length, float(y) / length)


def _draw_arrow(picture: Picture, x: int, y: int, north: tuple[float, float]) -> None:
    """An arrow of 30 pixels centred on (x, y) that points along `north`, with an N beside its tip."""
    rows, columns = np.mgrid[-24:25, -24:25].astype(float)
    along = columns * north[0] + rows * north[1]
    across = np.abs(-columns * north[1] + rows * north[0])
    shaft = np.clip(1.6 - across, 0, 1) * np.clip(13.5 - np.abs(along), 0, 1)
    head = np.clip(0.5 + (15 - along) * 0.42 - across, 0, 1) * np.clip(along - 3, 0, 1)
    ink = np.maximum(shaft, head)[..., None]
    part = picture[y - 24 : y + 25, x - 24 : x + 25]
    ink = ink[: part.shape[0], : part.shape[1]]
    part[:] = np.round(part * (1 - ink) + np.array(_INK) * ink)
    draw_text(picture, round(x + 22 * north[0]) - 4, round(y + 24 * north[1]) + 4, "N", 8.0, _INK)
