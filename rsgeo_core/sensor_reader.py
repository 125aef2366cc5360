"""The bands of one sensor, from all its files, as the values that a model was made for; and refusals of other values.

Nodata, alpha, masks and NaN become validity. Knows cards, not models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError

from rsgeo_core.bands import MatchedBand, listed, match_bands
from rsgeo_core.borders import Border, border_indices, extend
from rsgeo_core.card import Resampling, SensorInput
from rsgeo_core.errors import RequestError, ResolutionError, UnitError
from rsgeo_core.grid import Grid, Span, metres, metres_between
from rsgeo_core.reference_grid import Reference
from rsgeo_core.source import Gone, Source

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
        values = extend(values, rows, row_in, columns, column_in)
        valid = extend(valid, rows, row_in, columns, column_in)
        bands = None if bands is None else extend(bands, rows, row_in, columns, column_in)
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

    def check(self, reference: Reference, is_common: bool) -> list[str]:
        """Refuse values and resolutions that the model was not made for, unless forced.

        Args:
            reference: the grid of the map.
            is_common: whether all files of the scene are on it.

        Returns:
            What was overridden by force, one sentence each.

        Raises:
            UnitError, ResolutionError: values or ground resolution are outside the declared range.
        """
        overridden: list[str] = []
        problems = (self._resolution_problem(reference, is_common), *map(self._coarseness_problem, self.sources))
        for problem in (*problems, self._unit_problem()):
            if problem is None:
                continue
            if not self.options.force:
                raise problem
            overridden.append(str(problem.args[0]))
        return overridden

    def _resolution_problem(self, reference: Reference, is_common: bool) -> ResolutionError | None:
        if self.wanted.gsd_range is None:
            return None
        low, high = self.wanted.gsd_range
        gsd, wish = self.grid.gsd, self.wanted.gsd or low
        whose = listed(self.paths) if is_common else f"The map's grid, that of {reference.name},"
        if gsd is None:
            return ResolutionError(
                f"{whose} has no coordinate system, so its ground resolution is unknown; the model needs "
                f"{metres_between(low, high)} per pixel.",
                "If you know that it fits, run with --force.",
            )
        if low * 0.999 <= gsd <= high * 1.001:
            return None
        other = "" if is_common else "choose a grid that fits with --grid FILE, "
        return ResolutionError(
            f"{whose} has {metres(gsd, low, high)} per pixel; the model was made for {metres_between(low, high, gsd)}.",
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
            f"{listed([source.path])} has {metres(gsd, limit)} per pixel; the model's {source.bands[0].band.name} was "
            f"made of pixels up to {metres(limit, gsd)}.",
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


def _crs(text: str) -> CRS:
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise RequestError(f"--crs {text} is no known CRS: {error}.", "Give an EPSG code: --crs EPSG:32633") from None
