"""On which grid a map lies: that of one of the scene's files, or of any raster that is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rsgeo_core.bands import listed, open_raster, raster_grid
from rsgeo_core.card import SensorInput
from rsgeo_core.errors import RequestError, SceneError
from rsgeo_core.grid import Grid
from rsgeo_core.source import Source


@dataclass(frozen=True)
class Reference:
    """The grid of a map.

    Attributes:
        grid: the grid.
        path: the raster that it is of.
        is_point: whether that raster's values belong to points, not to areas.
        is_given: whether that raster is one of the scene's.
    """

    grid: Grid
    path: str
    is_point: bool
    is_given: bool = True

    @property
    def name(self) -> str:
        """The raster without its folder."""
        return listed([self.path])


def choose_reference(
    sources: Mapping[str, Sequence[Source]], inputs: Sequence[SensorInput], asked: str | None = None
) -> Reference:
    """The grid of the map.

    By default that of the finest file of the first sensor (in the order of the model's inputs) that has a file whose
    ground resolution fits the model; without any, of the finest file of the first sensor. Of equally fine files the
    first.

    Args:
        sources: open files by sensor, in the order of `inputs`.
        inputs: the model's inputs that have files.
        asked: a sensor's key, for that sensor's files alone, or a raster.

    Raises:
        RequestError: `asked` is neither a sensor with files nor a raster.
        SceneError: of the files some have a CRS and some have none.
    """
    if asked is None or asked in sources:
        keys = [item.sensor for item in inputs] if asked is None else [asked]
        ranges = {item.sensor: item.gsd_range for item in inputs}
        fitting = (source for key in keys for source in _by_fineness(sources[key]) if _fits(source.grid, ranges[key]))
        chosen = _of_source(next(fitting, None) or _by_fineness(sources[keys[0]])[0])
    else:
        given = [source for group in sources.values() for source in group if source.path == asked]
        chosen = _of_source(given[0]) if given else _of_file(asked, list(sources))
    for source in (source for group in sources.values() for source in group):
        if (source.grid.crs is None) != (chosen.grid.crs is None):
            without, having = source.path, chosen.path
            if chosen.grid.crs is None:
                without, having = having, without
            raise SceneError(
                f"{listed([without])} names no CRS and {listed([having])} does, so they cannot be laid on each other.",
                "Say which CRS all files are in with --crs EPSG:<code>, or assign the one that lacks it: "
                f"rio edit-info {without} --crs EPSG:<code>",
            )
    return chosen


def _of_source(source: Source) -> Reference:
    return Reference(source.grid, source.path, source.dataset.tags().get("AREA_OR_POINT", "Area") == "Point")


def _of_file(path: str, keys: Sequence[str]) -> Reference:
    try:
        with open_raster(path) as dataset:
            is_point = dataset.tags().get("AREA_OR_POINT", "Area") == "Point"
            return Reference(raster_grid(dataset, path), path, is_point, is_given=False)
    except SceneError as error:
        raise RequestError(
            f"--grid {path} is neither a sensor of the scene ({', '.join(keys)}) nor a raster: {error.args[0]}",
            f"Type one of: --grid {keys[0]}, or --grid FILE",
        ) from None


def _by_fineness(sources: Sequence[Source]) -> list[Source]:
    return sorted(sources, key=lambda source: _gsd(source.grid))


def _gsd(grid: Grid) -> float:
    """Metres where the grid has a CRS, else its own units: only sizes of one kind are compared."""
    across, down = grid.pixel_size
    return grid.gsd or (across * down) ** 0.5


def _fits(grid: Grid, wanted: tuple[float, float] | None) -> bool:
    gsd = grid.gsd
    return wanted is None or (gsd is not None and wanted[0] * 0.999 <= gsd <= wanted[1] * 1.001)
