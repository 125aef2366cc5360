"""What the model sees: rasters per sensor on one reference grid, read window by window as values and validity.

Bands are matched by name, never by count; files on other grids are resampled; nodata, alpha, masks and NaN become
validity; values are converted to the unit the model was made for. Knows cards, not models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError

from rsgeo_core.bands import MatchedBand, listed, match_bands, numbers_by_sensor
from rsgeo_core.card import Resampling, SensorInput
from rsgeo_core.errors import RequestError, ResolutionError, SceneError, UnitError
from rsgeo_core.grid import Grid, Span
from rsgeo_core.reference_grid import Reference, choose_reference
from rsgeo_core.source import Gone, Source

Border = Literal["reflect", "edge", "fill"]
NodataRule = Literal["any", "all"]
_Value = TypeVar("_Value")

_BLIND = 10.0
"""How many times coarser than in training a file may be: beyond it one pixel fills what a model looks at."""


@dataclass(frozen=True)
class ReadOptions:
    """How a scene's values are taken.

    Attributes:
        bands: band name (with several sensors `KEY.NAME`, where more than one has it) to 1-based band number, where
            the file does not say or says it wrong.
        nodata: stored value that means "no data", beside what the file declares; or one by sensor key, that of the
            key "" for the other sensors.
        nodata_rule: a pixel of a sensor is nodata where `any` or where `all` of its bands read are.
        value_scale: (scale, offset) of physical values, where the file does not say; or by sensor key, like `nodata`.
        border: padding of the scene's own border.
        force: take values and resolutions outside the model's declared range.
        crs: the scene's CRS where the files have none or a wrong one, anything that rasterio understands.
        grid: the file or sensor on whose grid everything is read; None for `reference_grid.choose_reference`'s choice.
        resampling: how all bands of files on other grids are resampled; None for what each band of the card declares.
    """

    bands: Mapping[str, int] | None = None
    nodata: float | Mapping[str, float] | None = None
    nodata_rule: NodataRule = "any"
    value_scale: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None
    border: Border = "reflect"
    force: bool = False
    crs: str | None = None
    grid: str | None = None
    resampling: Resampling | None = None

    def of_sensor(self, key: str) -> ReadOptions:
        """The options of one sensor: its own nodata and scale, or those of all."""
        nodata: float | None = _of_sensor(self.nodata, key)
        scale: tuple[float, float] | None = _of_sensor(self.value_scale, key)
        return replace(self, nodata=nodata, value_scale=scale)


def _of_sensor(value: _Value | Mapping[str, _Value] | None, key: str) -> _Value | None:
    return value.get(key, value.get("")) if isinstance(value, Mapping) else value


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


class SensorReader:
    """The bands of one sensor on the reference grid, read as the model's stored values.

    Args:
        paths: the sensor's files.
        wanted: the model's input.
        options: how values are taken.

    Raises:
        BandError, SceneError: a band or file does not fit.
    """

    def __init__(self, paths: Sequence[str], wanted: SensorInput, options: ReadOptions) -> None:
        self.paths = tuple(paths)
        self.wanted = wanted
        self.options = options
        self.matched = match_bands(paths, wanted, options.bands)
        crs = None if options.crs is None else _crs(options.crs)
        nodata = options.of_sensor(wanted.sensor).nodata
        assert not isinstance(nodata, Mapping)
        self.sources = [
            Source(path, [m for m in self.matched if m.path == path], nodata, crs, options.resampling)
            for path in dict.fromkeys(match.path for match in self.matched)
        ]
        self._fill = np.array([b.fill for b in wanted.bands], np.float32)
        self._gain = {match.channel: self._conversion(match) for match in self.matched}
        self.present = np.zeros(len(wanted.bands), bool)
        self.present[[match.channel for match in self.matched]] = True
        self.grid = self.sources[0].grid

    def align(self, reference: Grid) -> None:
        """Read on this grid from now on."""
        self.grid = reference
        for source in self.sources:
            source.align(reference)

    @property
    def is_aligned(self) -> bool:
        """Whether all files are on the reference grid by themselves."""
        return all(source.alignment.is_same for source in self.sources)

    def _conversion(self, match: MatchedBand) -> tuple[float, float] | None:
        """(gain, offset) from the file's stored values to the model's; None where they are the same."""
        dataset = next(s.dataset for s in self.sources if s.path == match.path)
        scale, offset = dataset.scales[match.index - 1], dataset.offsets[match.index - 1]
        if (scale, offset) == (1.0, 0.0):
            given = self.options.of_sensor(self.wanted.sensor).value_scale
            if given is None:
                return None
            assert not isinstance(given, Mapping)
            scale, offset = given
        gain, shift = scale / match.band.scale, (offset - match.band.offset) / match.band.scale
        return None if abs(gain - 1) < 1e-9 and abs(shift) < 1e-9 else (gain, shift)

    def read(self, span: Span) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_] | None]:
        """Values and validity under a rectangle that may reach beyond the scene.

        Args:
            span: scene pixels.

        Returns:
            (C, h, w) float32 in the model's stored units, the bands' fill values where there is no data; (h, w) True
            where there is data; and the same by band, (C, h, w), or None where all bands of the files agree. Outside
            the scene all follow the declared border.

        Raises:
            RunError: a file cannot be read there.
        """
        rows, row_in = border_indices(span.top, span.bottom, self.grid.height, self.options.border)
        columns, column_in = border_indices(span.left, span.right, self.grid.width, self.options.border)
        inner = Span(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
        values, valid, bands = self._read_inside(inner)
        if span == inner:
            return values, valid, bands
        values = _extend(values, rows, row_in, columns, column_in)
        valid = _extend(valid, rows, row_in, columns, column_in)
        bands = None if bands is None else _extend(bands, rows, row_in, columns, column_in)
        if self.options.border == "fill":
            outside = ~(row_in[:, None] & column_in[None, :])
            values[:, outside] = self._fill[:, None]
            valid &= ~outside
            if bands is not None:
                bands[:, outside] = False
        return values, valid, bands

    def _read_inside(self, span: Span) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_] | None]:
        values = np.empty((len(self.present), *span.shape), np.float32)
        values[~self.present] = self._fill[~self.present, None, None]
        lost: dict[int, Gone] = {}
        for source in self.sources:
            if source.is_plain(len(self.present)):
                source.read_into(span, values)
                gone: list[Gone] = [None] * len(source.channels)
            else:
                stored, gone = source.read(span)
                for channel, band in zip(source.channels, stored, strict=True):
                    values[channel] = band
            for channel, mask in zip(source.channels, gone, strict=True):
                if (conversion := self._gain[channel]) is not None:
                    values[channel] *= np.float32(conversion[0])
                    values[channel] += np.float32(conversion[1])
                if mask is not None:
                    np.copyto(values[channel], self._fill[channel], where=mask)
                    lost[channel] = mask
        absent = [mask for mask in lost.values() if mask is not None]
        if not absent:
            return values, np.ones(span.shape, bool), None
        if self.options.nodata_rule == "any":
            nothing = np.logical_or.reduce(absent)
            if nothing.any():
                for channel in range(len(values)):
                    np.copyto(values[channel], self._fill[channel], where=nothing)
            return values, ~nothing, None
        everywhere = len(absent) == len(self.matched)
        nothing = np.logical_and.reduce(absent) if everywhere else np.zeros(span.shape, bool)
        bands = np.zeros(values.shape, bool)
        for match in self.matched:
            mask = lost.get(match.channel)
            bands[match.channel] = True if mask is None else ~mask
        return values, ~nothing, bands

    def check(self, reference: Reference) -> list[str]:
        """Refuse values and resolutions that the model was not made for, unless forced.

        Args:
            reference: the grid of the map.

        Returns:
            What was overridden by force, one sentence each.

        Raises:
            UnitError, ResolutionError: values or ground resolution are outside the declared range.
        """
        overridden: list[str] = []
        problems = (self._resolution_problem(reference), *map(self._coarseness_problem, self.sources))
        for problem in (*problems, self._unit_problem()):
            if problem is None:
                continue
            if not self.options.force:
                raise problem
            overridden.append(str(problem.args[0]))
        return overridden

    def _resolution_problem(self, reference: Reference) -> ResolutionError | None:
        if self.wanted.gsd_range is None:
            return None
        low, high = self.wanted.gsd_range
        gsd, wish = self.grid.gsd, self.wanted.gsd or low
        whose = listed(self.paths) if self.is_aligned else f"The map's grid, that of {reference.name},"
        if gsd is None:
            return ResolutionError(
                f"{whose} has no coordinate system, so its ground resolution is unknown; the model needs "
                f"{low:g} to {high:g} m per pixel.",
                "If you know that it fits, run with --force.",
            )
        if low * 0.999 <= gsd <= high * 1.001:
            return None
        other = "" if self.is_aligned else "choose a grid that fits with --grid FILE, "
        return ResolutionError(
            f"{whose} has {gsd:.3g} m per pixel; the model was made for {low:g} to {high:g} m.",
            f"Resample it first (gdalwarp -tr {wish:g} {wish:g} -r average, in a CRS in "
            f"metres), {other}choose another model (rsgeo models list), or insist with --force.",
        )

    def finest_shown(self, source: Source) -> float | None:
        """The coarsest resolution, metres, at which a file still shows what the model's bands showed in training."""
        if self.wanted.gsd_range is None:
            return None
        return max(self.wanted.gsd_range[1], *(1.5 * (match.band.gsd or 0) for match in source.bands))

    def _coarseness_problem(self, source: Source) -> ResolutionError | None:
        """A file that is fitted to the map's grid, but so coarse that it shows next to nothing on it."""
        limit, gsd = self.finest_shown(source), source.grid.gsd
        if not source.is_resampled or limit is None or gsd is None or gsd <= _BLIND * limit:
            return None
        return ResolutionError(
            f"{listed([source.path])} has {gsd:.3g} m per pixel; the model's {source.bands[0].band.name} was made of "
            f"pixels up to {limit:g} m.",
            "Give a finer file, choose another model (rsgeo models list), or insist with --force.",
        )

    def _unit_problem(self) -> UnitError | None:
        ranges = [b.typical_top for b in self.wanted.bands]
        if any(r is None for r in ranges):
            return None
        low = max(r[0] for r in ranges if r)
        high = min(r[1] for r in ranges if r)
        band = self.wanted.bands[0]
        unit = (
            f"{band.unit} / {band.scale:g}" if band.scale != 1 else (band.unit if band.unit != "1" else "8-bit values")
        )
        dtypes = {s.dataset.dtypes[i - 1] for s in self.sources for i in s.indexes}
        if dtypes <= {"uint8", "int8"} and high > 255 and all(gain is None for gain in self._gain.values()):
            return UnitError(
                f"{listed(self.paths)} holds 8-bit values; the model needs {unit} (up to about 10000).",
                "Use the product before it was stretched to 8 bit, or choose a model for 8-bit images.",
            )
        top = self.top_percentile()
        if top is not None and not low <= top <= high:
            top = self.top_percentile(thorough=True)  # what a few blocks show is not enough to refuse a scene
        if top is None or low <= top <= high:
            return None
        hint = "Say how values become physical ones with --value-scale SCALE[,OFFSET]"
        if top <= 2 and band.unit == "reflectance":
            hint += " (reflectance of 0 to 1: --value-scale 1)"
        return UnitError(
            f"The brightest values of {listed(self.paths)} (99.9th percentile: {top:g}) are not {unit}, "
            f"where they lie between {low:g} and {high:g}.",
            hint + ", or insist with --force.",
        )

    def top_percentile(self, thorough: bool = False) -> float | None:
        """The 99.9th percentile of the brightest band over evenly spread blocks; None where all is nodata.

        16 blocks of 256 pixels a side, and 48 more where the first hold little but nodata or `thorough` asks for them.
        """
        side = 256
        tops, lefts = (
            np.unique(np.linspace(0, max(0, size - side), min(8, -(-size // side))).astype(int))
            for size in self.grid.shape
        )
        first = [(top, left) for top in tops[::2] for left in lefts[::2]]
        rest = [(top, left) for top in tops for left in lefts if (top, left) not in first]
        blocks: list[NDArray[np.float32]] = []
        for corners in (first, rest):
            for top, left in corners:
                span = Span(int(top), int(left), int(top) + side, int(left) + side).intersection(self.grid.span)
                values, valid, _ = self._read_inside(span)
                blocks.append(values[self.present][:, valid][:, ::4])
            if not thorough and sum(block.shape[1] for block in blocks) >= 1 << 16:
                break
        sample = np.concatenate(blocks, axis=1)
        if not sample.shape[1]:
            return None
        return float(np.percentile(sample, 99.9, axis=1).max())

    def row_bytes(self, rows: int) -> int:
        """Bytes of decoded blocks that a strip of so many rows touches at most."""
        total = 0
        for source in self.sources:
            touched, (height, width) = int(np.ceil(source.source_rows(rows))), source.grid.shape
            for index in source.indexes:
                block = source.dataset.block_shapes[index - 1][0]
                item = np.dtype(source.dataset.dtypes[index - 1].replace("complex_int16", "complex64")).itemsize
                total += min(touched + 2 * block, height + block) * width * item
        return total

    def close(self) -> None:
        """Close the files."""
        for source in self.sources:
            source.close()


class Scene:
    """Rasters per sensor on one reference grid: that of a file, by default of the finest that fits the model.

    Args:
        files: sensor key to its files.
        inputs: the model's inputs.
        options: how values are taken.

    Raises:
        SceneError: a sensor the model cannot do without has no file or none that meets the reference grid, or files
            with and without a CRS are mixed.
        RequestError: one CRS is assigned to files that name several.
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
    def needs_all(self) -> bool:
        """Whether a pixel without one of the sensors is nodata: the model cannot do without some sensor."""
        return any(item.missing_bands == "refuse" for item in self._inputs)

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
        """Refuse misuse; see `SensorReader.check`."""
        return [problem for reader in self.sensors.values() for problem in reader.check(self.reference)]

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
    given = [name for name in names if name in files]
    missing = [item.sensor for item in inputs if item.sensor not in files and item.missing_bands == "refuse"]
    if missing or not given:
        raise SceneError(
            f"The model needs {', '.join(missing or names)}; given: {', '.join(files) or 'nothing'}.",
            f"Give it with --sensor {(missing or names)[0]}=FILE",
        )
    for option, value in (("--nodata", options.nodata), ("--value-scale", options.value_scale)):
        unknown = [key for key in value if key and key not in names] if isinstance(value, Mapping) else []
        if unknown:
            raise RequestError(f"{option} names {', '.join(unknown)}; the model's sensors are {', '.join(names)}.")


def _check_assigned(crs: str, sources: Sequence[Source]) -> None:
    """Refuse one CRS for files that name several: all but one would come to lie elsewhere."""
    named = {source.dataset.crs.to_string(): source.path for source in sources if source.dataset.crs}
    if len(named) > 1:
        raise RequestError(
            f"--crs {crs} is of all files, but they name several: "
            f"{'; '.join(f'{listed([path])} {text[:40]}' for text, path in named.items())}.",
            "Assign it to the files that are wrong: rio edit-info FILE --crs EPSG:<code>",
        )


def _crs(text: str) -> CRS:
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise RequestError(f"--crs {text} is no known CRS: {error}.", "Give an EPSG code: --crs EPSG:32633") from None


def border_indices(start: int, stop: int, size: int, border: Border) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The pixel of an axis that each position start…stop shows, and whether it lies inside.

    `reflect` mirrors about the outermost pixel (which is not repeated) as often as needed; `edge` and `fill` give the
    nearest pixel.
    """
    positions = np.arange(start, stop)
    inside = (positions >= 0) & (positions < size)
    if border == "reflect" and size > 1:
        period = 2 * (size - 1)
        folded = positions % period
        return np.where(folded < size, folded, period - folded), inside
    return np.clip(positions, 0, size - 1), inside


def _extend(
    inner: NDArray[Any],
    rows: NDArray[np.intp],
    row_in: NDArray[np.bool_],
    columns: NDArray[np.intp],
    column_in: NDArray[np.bool_],
) -> NDArray[Any]:
    """`inner[..., rows, columns]` of absolute indices, copying the inside in one go and gathering only the border."""
    rows, columns = rows - rows.min(), columns - columns.min()
    top, left = np.flatnonzero(row_in), np.flatnonzero(column_in)
    if not (top.size and left.size) or top.size != inner.shape[-2] or left.size != inner.shape[-1]:
        gathered: NDArray[Any] = inner[..., rows[:, None], columns[None, :]]
        return gathered
    whole = np.empty((*inner.shape[:-2], rows.size, columns.size), inner.dtype)
    middle = slice(int(top[0]), int(top[-1]) + 1)
    whole[..., middle, int(left[0]) : int(left[-1]) + 1] = inner
    beside = np.flatnonzero(~column_in)
    whole[..., middle, beside] = inner[..., :, columns[beside]]
    above = np.flatnonzero(~row_in)
    whole[..., above, :] = whole[..., rows[above] + middle.start, :]
    return whole
