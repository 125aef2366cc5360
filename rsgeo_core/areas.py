"""How much ground each class covers: of a whole map, and of polygons on it. Streams over windows."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from rsgeo_core.classmap import ClassMap
from rsgeo_core.errors import Cancelled, OutputError, RequestError
from rsgeo_core.events import CancelToken, Listener, Progress, Stage, ignore
from rsgeo_core.grid import Span
from rsgeo_core.ground import PixelAreas
from rsgeo_core.legend import Legend
from rsgeo_core.vectors import burn, read_polygon_frame, to_pixels


@dataclass(frozen=True)
class ClassArea:
    """What one class covers.

    Attributes:
        area: m², or squared map units where the map has no CRS.
        share: of the area of all classified pixels of the map or zone, 0…1.
    """

    value: int
    name: str
    pixels: int
    area: float
    share: float


@dataclass(frozen=True)
class Zone:
    """Class areas of a part of the map; `name` is None for the whole map.

    Attributes:
        nodata_pixels: pixels without a class.
        outside: whether the zone's polygons reach beyond the map, whose pixels alone are counted.
    """

    name: str | None
    classes: tuple[ClassArea, ...]
    nodata_pixels: int
    outside: bool = False

    @property
    def pixels(self) -> int:
        """Number of classified pixels."""
        return sum(c.pixels for c in self.classes)

    @property
    def area(self) -> float:
        """Area of all classified pixels."""
        return sum(c.area for c in self.classes)


@dataclass(frozen=True)
class AreaReport:
    """Class areas of a map, or of each zone on it, and how they were computed."""

    zones: tuple[Zone, ...]
    unit: str
    method: str
    statement: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "unit": self.unit,
            "method": self.method,
            "statement": self.statement,
            "zones": [{**asdict(zone), "pixels": zone.pixels, "area": zone.area} for zone in self.zones],
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row per zone and class, for tables: areas in m², hectares and km² (or map units)."""
        in_metres = self.unit == "m²"
        return [
            {
                "zone": zone.name or "",
                "value": c.value,
                "class": c.name,
                "pixels": c.pixels,
                **(
                    {"area_m2": c.area, "area_ha": c.area / 1e4, "area_km2": c.area / 1e6}
                    if in_metres
                    else {"area": c.area}
                ),
                "share": c.share,
            }
            for zone in self.zones
            for c in zone.classes
        ]


def measured(
    map_path: str | Path,
    polygons: str | Path | None = None,
    *,
    by: str | None = None,
    layer: str | None = None,
    on_event: Listener = ignore,
    cancel: CancelToken | None = None,
) -> AreaReport:
    """Areas of a whole map, or within polygons; see `class_areas` and `zonal_areas`.

    Raises:
        RequestError: `by` or `layer` without polygons.
    """
    if polygons is not None:
        return zonal_areas(map_path, polygons, by=by, layer=layer, on_event=on_event, cancel=cancel)
    if by or layer:
        raise RequestError("--by and --layer say how to read --polygons, which was not given.")
    return class_areas(map_path, on_event=on_event, cancel=cancel)


def class_areas(map_path: str | Path, *, on_event: Listener = ignore, cancel: CancelToken | None = None) -> AreaReport:
    """Pixels, area and share of each class of a map.

    Classes of the legend that do not occur are listed with 0.
    """
    with ClassMap(map_path) as source:
        ground, tally = PixelAreas(source.grid), _Tally()
        for span in _told(source, on_event, cancel):
            tally.add(source.read(span), ground.window(span))
        return _report((tally.zone(None, source.legend),), ground)


def zonal_areas(
    map_path: str | Path,
    polygons: str | Path,
    *,
    by: str | None = None,
    layer: str | None = None,
    on_event: Listener = ignore,
    cancel: CancelToken | None = None,
) -> AreaReport:
    """Pixels, area and share of each class within polygons.

    A pixel counts where its centre is inside. Zones may overlap: then a pixel counts in each of them.

    Args:
        map_path: class map.
        polygons: vector file in any CRS.
        by: column whose value names a zone, made of all polygons that share it; by default every feature is a zone,
            named by its number in the file, counted from 1.
        layer: needed where the file has several.
        on_event: told the progress.
        cancel: looked at once a window.
    """
    with ClassMap(map_path) as source:
        frame = read_polygon_frame(polygons, source.grid.crs, layer, [by] if by else [], source.grid.bounds())
        if by is None:
            names, zone_of = [str(number + 1) for number in range(len(frame))], np.arange(len(frame))
        else:
            if frame[by].isna().any():
                raise RequestError(
                    f"{polygons}: the column {by} is empty for {int(frame[by].isna().sum())} polygons.",
                    "Fill it, or choose another column.",
                )
            unique, zone_of = np.unique(frame[by].astype(str).to_numpy(), return_inverse=True)
            names = [str(name) for name in unique]
        shapes = to_pixels(frame.geometry.array, source.grid.transform)
        ground, tallies = PixelAreas(source.grid), [_Tally() for _ in names]
        tree = shapely.STRtree(shapes)
        for span in _told(source, on_event, cancel):
            _add_zones(source, span, ground, shapes, zone_of, tree, tallies)
        whole = shapely.box(0, 0, source.grid.width, source.grid.height)
        inside = shapely.covers(whole, shapes)
        return _report(
            tuple(
                tally.zone(name, source.legend, not inside[zone_of == number].all())
                for number, (name, tally) in enumerate(zip(names, tallies, strict=True))
            ),
            ground,
        )


def write_csv(report: AreaReport, path: str | Path) -> None:
    """Write a report's rows as a table with a head, UTF-8; it appears under its name when it is whole.

    Raises:
        OutputError: it cannot be written.
    """
    path, rows = Path(path), report.rows()
    fresh = path.with_name(path.name + ".part")
    try:
        with fresh.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]) if rows else ["zone"])
            writer.writeheader()
            writer.writerows(rows)
        fresh.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from None


def _add_zones(
    source: ClassMap,
    span: Span,
    ground: PixelAreas,
    shapes: NDArray[Any],
    zone_of: NDArray[np.intp],
    tree: shapely.STRtree,
    tallies: Sequence[_Tally],
) -> None:
    hits = tree.query(shapely.box(span.left, span.top, span.right, span.bottom), predicate="intersects")
    if not hits.size:
        return
    values = source.read(span)
    areas = np.broadcast_to(ground.window(span), values.shape)
    for zone in np.unique(zone_of[hits]):
        members = np.sort(hits[zone_of[hits] == zone])
        left, top, right, bottom = shapely.total_bounds(shapes[members])
        part = Span(int(np.floor(top)), int(np.floor(left)), int(np.ceil(bottom)), int(np.ceil(right)))
        part = part.intersection(span)
        here = part.shifted(-span.top, -span.left).slices
        inside = burn([(shape, 1) for shape in shapes[members]], part, np.uint8) > 0
        tallies[zone].add(values[here][inside], areas[here][inside])


def _told(source: ClassMap, on_event: Listener, cancel: CancelToken | None) -> Any:
    """The map's windows, with progress and cancelling."""
    on_event(Stage(name="Counting", index=0, count=1, weight=1.0))
    for span in source.windows():
        if cancel is not None and cancel.is_cancelled:
            raise Cancelled("Cancelled.")
        yield span
        on_event(Progress(done=span.bottom, total=source.grid.height, unit="rows"))


class _Tally:
    """Sums of pixels and areas by class value."""

    def __init__(self) -> None:
        self._pixels = np.zeros(256, np.int64)
        self._areas = np.zeros(256, np.float64)

    def add(self, values: NDArray[np.int32], areas: NDArray[np.float64]) -> None:
        """Count values (any shape) with the areas of their pixels (broadcast to it)."""
        weights = np.broadcast_to(areas, values.shape).ravel()
        self._grow(int(values.max(initial=0)) + 1)
        self._pixels += np.bincount(values.ravel(), minlength=len(self._pixels))
        self._areas += np.bincount(values.ravel(), weights=weights, minlength=len(self._pixels))

    def zone(self, name: str | None, legend: Legend, outside: bool = False) -> Zone:
        """The sums as class areas: the legend's classes and those found, by value."""
        values = sorted({c.value for c in legend} | set((np.flatnonzero(self._pixels[1:]) + 1).tolist()))
        total = float(self._areas[1:].sum())
        self._grow(max(values, default=0) + 1)
        classes = tuple(
            ClassArea(
                value,
                legend.name(value),
                int(self._pixels[value]),
                float(self._areas[value]),
                float(self._areas[value]) / total if total else 0.0,
            )
            for value in values
        )
        return Zone(name, classes, int(self._pixels[0]), bool(outside))

    def _grow(self, size: int) -> None:
        more = max(0, size - len(self._pixels))
        self._pixels, self._areas = np.pad(self._pixels, (0, more)), np.pad(self._areas, (0, more))


def _report(zones: tuple[Zone, ...], ground: PixelAreas) -> AreaReport:
    return AreaReport(zones, ground.unit, ground.method, ground.statement)
