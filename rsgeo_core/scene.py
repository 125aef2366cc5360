"""What the model sees: rasters per sensor on one reference grid, read window by window as values and validity.

Bands are matched by name, never by count; files on other grids are resampled; nodata, alpha, masks and NaN become
validity; values are converted to the unit the model was made for. Knows cards, not models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from rsgeo_core.bands import listed, numbers_by_sensor
from rsgeo_core.card import SensorInput
from rsgeo_core.errors import RequestError, SceneError, nearest
from rsgeo_core.grid import Span
from rsgeo_core.reference_grid import choose_reference
from rsgeo_core.sensor_reader import ReadOptions, SensorReader
from rsgeo_core.source import Source

__all__ = ["ReadOptions", "Reading", "Scene"]


@dataclass(frozen=True)
class Reading:
    """A rectangle of a scene.

    Attributes:
        values: (C, h, w) float32 per sensor of the model, in the model's stored units, fill values without data.
        has: (h, w) per sensor that has files: where it has data.
        bands: (C, h, w) where each band has data, of the sensors whose bands differ in that.
    """

    values: dict[str, NDArray[np.float32]]
    has: dict[str, NDArray[np.bool_]]
    bands: dict[str, NDArray[np.bool_]]


class Scene:
    """Rasters per sensor on one reference grid: that of a file, by default of the finest that fits the model.

    Args:
        files: sensor key to its files.
        inputs: the model's inputs.
        options: how values are taken.

    Raises:
        SceneError: a sensor the model cannot do without has no file or none that meets the reference grid, or files
            with and without a CRS are mixed.
        RequestError: one CRS is assigned to files that name several, or a file is given twice.
    """

    def __init__(self, files: Mapping[str, Sequence[str]], inputs: Sequence[SensorInput], options: ReadOptions) -> None:
        _check_sensors(files, inputs, options)
        self._inputs = tuple(inputs)
        there = [item for item in inputs if item.sensor in files]
        numbers = numbers_by_sensor(options.bands or {}, there)
        self.sensors = {
            item.sensor: SensorReader(files[item.sensor], item, replace(options, bands=numbers[item.sensor]))
            for item in there
        }
        sources = {key: reader.sources for key, reader in self.sensors.items()}
        if options.crs is not None:
            _check_assigned(options.crs, [source for group in sources.values() for source in group])
        self.reference = choose_reference(sources, there, options.grid)
        self.grid = self.reference.grid
        for reader in self.sensors.values():
            reader.align(self.grid)
            self._check_overlap(reader)
        given = [source for reader in self.sensors.values() for source in reader.sources]
        if not any(source.alignment.is_same or source.alignment.covered() for source in given):
            raise SceneError(
                f"None of {listed([source.path for source in given])} meets the map's grid, that of "
                f"{self.reference.name}.",
                f"Name a grid on the same ground: --grid {given[0].path}",
            )

    def _check_overlap(self, reader: SensorReader) -> None:
        if reader.wanted.missing_bands != "refuse":
            return
        for source in reader.sources:
            if not source.alignment.is_same and source.alignment.covered() == 0:
                raise SceneError(
                    f"{listed([source.path])} does not meet the map's grid, that of {self.reference.name}.",
                    f"Give files of one place, or another grid: --grid {source.path}",
                )

    @property
    def is_aligned(self) -> bool:
        """Whether all files are on the reference grid by themselves."""
        return all(reader.is_aligned for reader in self.sensors.values())

    def nodata_rule(self) -> str:
        """Where the map has no data, in words."""
        rule = self.sensors[next(iter(self.sensors))].options.nodata_rule
        within = f"a sensor has none where {rule} of its bands {'has' if rule == 'any' else 'have'} none"
        if len(self._inputs) == 1:
            return f"no data where the sensor has none; {within}"
        needed = [item.sensor for item in self._inputs if item.missing_bands == "refuse"]
        union = f"any of {', '.join(needed)} has none" if needed else f"none of {', '.join(self.sensors)} has any"
        return f"no data where {union}; {within}"

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which bands of all inputs, one behind the other, the scene has, (C,)."""
        return np.concatenate(
            [
                self.sensors[item.sensor].present if item.sensor in self.sensors else np.zeros(len(item.bands), bool)
                for item in self._inputs
            ]
        )

    @property
    def lacking(self) -> list[str]:
        """The sensors that the model takes and the scene has no file of."""
        return [item.sensor for item in self._inputs if item.sensor not in self.sensors]

    def read(self, span: Span) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.bool_]]:
        """Values per sensor, (C, h, w) float32, and the pixels, (h, w), that have data by the rule of `nodata_rule`.

        A sensor without a file has its fill values.
        """
        reading = self.reading(span)
        needed = [reading.has[i.sensor] for i in self._inputs if i.missing_bands == "refuse"]
        return reading.values, np.logical_and.reduce(needed) if needed else np.logical_or.reduce(
            [*reading.has.values()]
        )

    def reading(self, span: Span) -> Reading:
        """Values per sensor, and where each has data."""
        values, has, bands = {}, {}, {}
        for item in self._inputs:
            reader = self.sensors.get(item.sensor)
            if reader is None:
                fill = np.array([band.fill for band in item.bands], np.float32)[:, None, None]
                values[item.sensor] = np.broadcast_to(fill, (len(item.bands), *span.shape)).copy()
                continue
            values[item.sensor], has[item.sensor], by_band = reader.read(span)
            if by_band is not None:
                bands[item.sensor] = by_band
        return Reading(values, has, bands)

    def check(self) -> list[str]:
        """Refuse misuse; see `SensorReader.check`. What is wrong with the grid of all sensors is told once."""
        return list(
            dict.fromkeys(
                problem for reader in self.sensors.values() for problem in reader.check(self.reference, self.is_aligned)
            )
        )

    def row_bytes(self, rows: int) -> int:
        """Bytes of decoded blocks that a strip of so many rows touches at most."""
        return sum(reader.row_bytes(rows) for reader in self.sensors.values())

    def close(self) -> None:
        """Close all files."""
        for reader in self.sensors.values():
            reader.close()

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_sensors(files: Mapping[str, Sequence[str]], inputs: Sequence[SensorInput], options: ReadOptions) -> None:
    """Refuse files of no sensor of the model's, and a sensor without files that the model cannot do without."""
    names = [item.sensor for item in inputs]
    if "" in files:
        raise SceneError(
            f"The model takes {', '.join(names)}; which of them the scene is was not said.",
            f"Name it with --sensor {names[0]}=FILE",
        )
    if strange := [key for key in files if key not in names]:
        raise SceneError(
            f"The model has no sensor {strange[0]}; it takes {', '.join(names)}.",
            f"Type one of them, such as --sensor {_nearest(strange[0], names)}=FILE, or leave those files out.",
        )
    given = [name for name in names if name in files]
    missing = [item.sensor for item in inputs if item.sensor not in files and item.missing_bands == "refuse"]
    if missing or not given:
        raise SceneError(
            f"The model needs {', '.join(missing or names)}; given: {', '.join(files) or 'nothing'}.",
            f"Give it with --sensor {(missing or names)[0]}=FILE",
        )
    for key, paths in files.items():
        if twice := [path for number, path in enumerate(paths) if path in paths[:number]]:
            raise RequestError(f"--sensor {key} has {twice[0]} twice.", "Give each file once.")
    for option, value in (("--nodata", options.nodata), ("--value-scale", options.value_scale)):
        unknown = [key for key in value if key and key not in names] if isinstance(value, Mapping) else []
        if unknown:
            raise RequestError(
                f"{option} names {', '.join(unknown)}; the model's sensors are {', '.join(names)}.",
                f"Type: {option} {_nearest(unknown[0], names)}=VALUE",
            )


def _nearest(key: str, names: Sequence[str]) -> str:
    """The sensor that was probably meant."""
    return nearest(key, names) or names[0]


def _check_assigned(crs: str, sources: Sequence[Source]) -> None:
    """Refuse one CRS for files that name several: all but one would come to lie elsewhere."""
    named = {source.dataset.crs.to_string(): source.path for source in sources if source.dataset.crs}
    if len(named) > 1:
        raise RequestError(
            f"--crs {crs} is of all files, but they name several: "
            f"{'; '.join(f'{listed([path])} {text[:40]}' for text, path in named.items())}.",
            "Assign it to the files that are wrong: rio edit-info FILE --crs EPSG:<code>",
        )
