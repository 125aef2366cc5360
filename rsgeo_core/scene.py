"""What the model sees: rasters per sensor on one reference grid, read window by window as values and validity.

Bands are matched by name, never by count; nodata, alpha, masks and NaN become one validity mask; values are converted
to the unit the model was made for. Knows cards, not models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError, RasterioError
from rasterio.windows import Window

from rsgeo_core.bands import MatchedBand, listed, match_bands, numbers_by_sensor, open_raster, raster_grid
from rsgeo_core.card import SensorInput
from rsgeo_core.errors import RequestError, ResolutionError, RunError, SceneError, UnitError
from rsgeo_core.grid import Span

Border = Literal["reflect", "edge", "fill"]
NodataRule = Literal["any", "all"]


@dataclass(frozen=True)
class ReadOptions:
    """How a scene's values are taken.

    Attributes:
        bands: band name (with several sensors `KEY.NAME`, where more than one has it) to 1-based band number, where
            the file does not say or says it wrong.
        nodata: stored value that means "no data", beside what the file declares.
        nodata_rule: a pixel is nodata where `any` or where `all` of the bands read are.
        value_scale: (scale, offset) of physical values, where the file does not say.
        border: padding of the scene's own border.
        force: take values and resolutions outside the model's declared range.
        crs: the scene's CRS where the files have none or a wrong one, anything that rasterio understands.
    """

    bands: Mapping[str, int] | None = None
    nodata: float | None = None
    nodata_rule: NodataRule = "any"
    value_scale: tuple[float, float] | None = None
    border: Border = "reflect"
    force: bool = False
    crs: str | None = None


@dataclass
class _Source:
    """One open file and the input channels that come from it."""

    dataset: Any
    channels: list[int]
    indexes: list[int]
    nodata: list[float | None]
    has_mask: bool


class SensorReader:
    """The bands of one sensor on one grid, read as the model's stored values.

    Args:
        paths: the sensor's files, all on the same grid.
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
        self._sources: list[_Source] = []
        for path in dict.fromkeys(match.path for match in self.matched):
            self._sources.append(self._source(path))
        grids = [raster_grid(source.dataset, source.dataset.name) for source in self._sources]
        if options.crs is not None:
            grids = [replace(grid, crs=_crs(options.crs)) for grid in grids]
        self.grid = grids[0]
        self.area_or_point = self._sources[0].dataset.tags().get("AREA_OR_POINT", "Area")
        for source, grid in zip(self._sources[1:], grids[1:], strict=True):
            if grid != self.grid:
                raise SceneError(
                    f"{source.dataset.name} is not on the grid of {self._sources[0].dataset.name}.",
                    "Resample it first: rio warp FILE out.tif --like REFERENCE",
                )
        self._fill = np.array([b.fill for b in wanted.bands], np.float32)
        self._gain = {match.channel: self._conversion(match) for match in self.matched}
        self.present = np.zeros(len(wanted.bands), bool)
        self.present[[match.channel for match in self.matched]] = True

    def _source(self, path: str) -> _Source:
        dataset = open_raster(path)
        found = [match for match in self.matched if match.path == path]
        channels, indexes = [match.channel for match in found], [match.index for match in found]
        flags = [set(dataset.mask_flag_enums[n - 1]) for n in indexes]
        # An alpha band that was named as a band of the model is data, not a mask.
        is_data = any(dataset.colorinterp[n - 1] == ColorInterp.alpha for n in indexes)
        has_mask = not is_data and any(MaskFlags.per_dataset in flag or MaskFlags.alpha in flag for flag in flags)
        nodata = [
            None if MaskFlags.all_valid in flag and self.options.nodata is None else dataset.nodatavals[n - 1]
            for flag, n in zip(flags, indexes, strict=True)
        ]
        return _Source(dataset, channels, indexes, nodata, has_mask)

    def _conversion(self, match: MatchedBand) -> tuple[float, float] | None:
        """(gain, offset) from the file's stored values to the model's; None where they are the same."""
        dataset = next(s.dataset for s in self._sources if s.dataset.name == match.path)
        scale, offset = dataset.scales[match.index - 1], dataset.offsets[match.index - 1]
        if (scale, offset) == (1.0, 0.0):
            if self.options.value_scale is None:
                return None
            scale, offset = self.options.value_scale
        gain, shift = scale / match.band.scale, (offset - match.band.offset) / match.band.scale
        return None if abs(gain - 1) < 1e-9 and abs(shift) < 1e-9 else (gain, shift)

    def read(self, span: Span) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Values and validity under a rectangle that may reach beyond the scene.

        Args:
            span: scene pixels.

        Returns:
            (C, h, w) float32 in the model's stored units, the bands' fill values where there is no data; and (h, w)
            True where there is data. Outside the scene both follow the declared border.

        Raises:
            RunError: the file cannot be read there.
        """
        rows, row_in = border_indices(span.top, span.bottom, self.grid.height, self.options.border)
        columns, column_in = border_indices(span.left, span.right, self.grid.width, self.options.border)
        inner = Span(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
        values, valid = self._read_inside(inner)
        if span == inner:
            return values, valid
        values = _extend(values, rows, row_in, columns, column_in)
        valid = _extend(valid, rows, row_in, columns, column_in)
        if self.options.border == "fill":
            outside = ~(row_in[:, None] & column_in[None, :])
            values[:, outside] = self._fill[:, None]
            valid &= ~outside
        return values, valid

    def _read_inside(self, span: Span) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        values = np.empty((len(self.present), *span.shape), np.float32)
        values[~self.present] = self._fill[~self.present, None, None]
        window = Window(span.left, span.top, span.width, span.height)
        absent: list[NDArray[np.bool_]] = []
        for source in self._sources:
            try:
                if self._is_plain(source):
                    source.dataset.read(source.indexes, window=window, out=values)
                    stored, masked = values, None
                else:
                    stored = source.dataset.read(source.indexes, window=window)
                    masked = source.dataset.dataset_mask(window=window) == 0 if source.has_mask else None
            except RasterioError as error:
                raise RunError(
                    f"{source.dataset.name} cannot be read at rows {span.top}-{span.bottom}, columns "
                    f"{span.left}-{span.right}: {error}",
                    "The file seems to be cut off or damaged; get it again.",
                ) from None
            for position, channel in enumerate(source.channels):
                gone = None
                if stored is not values:
                    gone = self._absent(stored[position], source.nodata[position], masked)
                    values[channel] = stored[position]
                if (conversion := self._gain[channel]) is not None:
                    values[channel] *= np.float32(conversion[0])
                    values[channel] += np.float32(conversion[1])
                if gone is not None:
                    np.copyto(values[channel], self._fill[channel], where=gone)
                    absent.append(gone)
        if not absent:
            return values, np.ones(span.shape, bool)
        everywhere = len(absent) == len(self.matched)
        if self.options.nodata_rule == "all":
            gone = np.logical_and.reduce(absent) if everywhere else np.zeros(span.shape, bool)
        else:
            gone = np.logical_or.reduce(absent)
            if gone.any():
                for channel in range(len(values)):
                    np.copyto(values[channel], self._fill[channel], where=gone)
        return values, ~gone

    def _is_plain(self, source: _Source) -> bool:
        """Whether a file holds all channels, small integers without nodata, which GDAL itself can put in place."""
        no_nodata = not source.has_mask and self.options.nodata is None and all(v is None for v in source.nodata)
        small = {source.dataset.dtypes[n - 1] for n in source.indexes} <= {"uint8", "int8", "uint16", "int16"}
        return no_nodata and small and len(source.channels) == len(self.present)

    def _absent(
        self, band: NDArray[Any], nodata: float | None, masked: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_] | None:
        """Where a band has no data; None where it cannot lack any."""
        gone = masked
        for value in (nodata, self.options.nodata):
            if value is None or np.isnan(value):
                continue
            equal = band == value
            gone = equal if gone is None else gone | equal
        if np.issubdtype(band.dtype, np.floating):
            missing = ~np.isfinite(band)
            gone = missing if gone is None else gone | missing
        return gone

    def check(self) -> list[str]:
        """Refuse values and resolutions that the model was not made for, unless forced.

        Returns:
            What was overridden by force, one sentence each.

        Raises:
            UnitError, ResolutionError: values or ground resolution are outside the declared range.
        """
        overridden: list[str] = []
        for problem in (self._resolution_problem(), self._unit_problem()):
            if problem is None:
                continue
            if not self.options.force:
                raise problem
            overridden.append(str(problem.args[0]))
        return overridden

    def _resolution_problem(self) -> ResolutionError | None:
        if self.wanted.gsd_range is None:
            return None
        low, high = self.wanted.gsd_range
        gsd, wish = self.grid.gsd, self.wanted.gsd or low
        if gsd is None:
            return ResolutionError(
                f"{listed(self.paths)} has no coordinate system, so its ground resolution is unknown; the model needs "
                f"{low:g} to {high:g} m per pixel.",
                "If you know that it fits, run with --force.",
            )
        if low * 0.999 <= gsd <= high * 1.001:
            return None
        return ResolutionError(
            f"{listed(self.paths)} has {gsd:.3g} m per pixel; the model was made for {low:g} to {high:g} m.",
            f"Resample it first (gdalwarp -tr {wish:g} {wish:g} -r average, in a CRS in "
            "metres), choose another model (rsgeo models list), or insist with --force.",
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
        dtypes = {s.dataset.dtypes[i - 1] for s in self._sources for i in s.indexes}
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
                values, valid = self._read_inside(span)
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
        for source in self._sources:
            for index in source.indexes:
                block = source.dataset.block_shapes[index - 1][0]
                item = np.dtype(source.dataset.dtypes[index - 1].replace("complex_int16", "complex64")).itemsize
                total += min(rows + 2 * block, self.grid.height + block) * self.grid.width * item
        return total

    def close(self) -> None:
        """Close the files."""
        for source in self._sources:
            source.dataset.close()


class Scene:
    """Rasters per sensor on the reference grid of the first sensor.

    Args:
        files: sensor key to its files.
        inputs: the model's inputs.
        options: how values are taken.

    Raises:
        SceneError: a sensor the model cannot do without has no file, none has, or a sensor lies on another grid.
    """

    def __init__(self, files: Mapping[str, Sequence[str]], inputs: Sequence[SensorInput], options: ReadOptions) -> None:
        _check_sensors(files, inputs)
        self._inputs = tuple(inputs)
        there = [item for item in inputs if item.sensor in files]
        numbers = numbers_by_sensor(options.bands or {}, there)
        self.sensors = {
            item.sensor: SensorReader(files[item.sensor], item, replace(options, bands=numbers[item.sensor]))
            for item in there
        }
        first = next(iter(self.sensors.values()))
        self.grid = first.grid
        for key, reader in self.sensors.items():
            if reader.grid != self.grid:
                raise SceneError(
                    f"The files of {key} are not on the grid of {next(iter(self.sensors))}.",
                    "Resample them first: rio warp FILE out.tif --like REFERENCE",
                )

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
        """Values per sensor, (C, h, w) float32, and the pixels, (h, w), where every sensor has data.

        A sensor without a file has its fill values.
        """
        found, valid = {}, None
        for key, reader in self.sensors.items():
            found[key], here = reader.read(span)
            valid = here if valid is None else valid & here
        assert valid is not None
        values = {}
        for item in self._inputs:
            fill = np.array([band.fill for band in item.bands], np.float32)[:, None, None]
            absent = np.broadcast_to(fill, (len(item.bands), *valid.shape))
            values[item.sensor] = found[item.sensor] if item.sensor in found else absent.copy()
        return values, valid

    def check(self) -> list[str]:
        """Refuse misuse; see `SensorReader.check`."""
        return [problem for reader in self.sensors.values() for problem in reader.check()]

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


def _check_sensors(files: Mapping[str, Sequence[str]], inputs: Sequence[SensorInput]) -> None:
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
