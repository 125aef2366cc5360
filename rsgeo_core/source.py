"""One open raster file and the bands of a model that come from it, read on the map's grid, where it lacks data told.

A file on that grid is read as it is; one on another grid is resampled window by window, and nothing is written. Knows
nothing of models and their fill values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window

from rsgeo_core.alignment import Alignment
from rsgeo_core.bands import MatchedBand, open_raster, raster_grid
from rsgeo_core.card import Resampling
from rsgeo_core.errors import RunError
from rsgeo_core.grid import Grid, Span
from rsgeo_core.resampling import Taps, resample

_PIECE = 4 << 20
"""Source values that are resampled at a time: a coarse grid asks for many of a fine source."""

Gone = NDArray[np.bool_] | None
"""(h, w) where a band has no data; None where it cannot lack any."""


@dataclass(frozen=True)
class Resampled:
    """How a file comes onto the map's grid.

    Attributes:
        name: the file, without its folder.
        methods: by band name; empty where values are taken as they are.
        gsd: the file's own ground sampling distance, metres; None without a CRS.
        covered: the share of the map's grid that the file covers.
        covers_all: whether that is all of it.
    """

    name: str
    methods: dict[str, Resampling]
    gsd: float | None
    covered: float

    @property
    def covers_all(self) -> bool:
        """Whether the file reaches over all of the map's grid."""
        return self.covered >= 1.0


class Source:
    """An open file and the input channels that come from it.

    Args:
        path: the file.
        found: the bands that are in it.
        nodata: a value that means no data, beside what the file declares.
        crs: the file's CRS, where it names none or a wrong one.
        method: how all bands are resampled, instead of as each declares.
    """

    def __init__(
        self,
        path: str,
        found: Sequence[MatchedBand],
        nodata: float | None,
        crs: CRS | None,
        method: Resampling | None = None,
    ) -> None:
        self.path = path
        self.bands = tuple(found)
        self.channels, self.indexes = [match.channel for match in found], [match.index for match in found]
        self.dataset = dataset = open_raster(path)
        grid = raster_grid(dataset, dataset.name)
        self.grid = grid if crs is None else replace(grid, crs=crs)
        flags = [set(dataset.mask_flag_enums[n - 1]) for n in self.indexes]
        # An alpha band that was named as a band of the model is data, not a mask.
        is_data = any(dataset.colorinterp[n - 1] == ColorInterp.alpha for n in self.indexes)
        self.has_mask = not is_data and any(MaskFlags.per_dataset in flag or MaskFlags.alpha in flag for flag in flags)
        self._asked = nodata
        self._nodata = [
            None if MaskFlags.all_valid in flag and nodata is None else dataset.nodatavals[n - 1]
            for flag, n in zip(flags, self.indexes, strict=True)
        ]
        self._methods: list[Resampling] = [method or match.band.resampling for match in found]
        self.alignment = Alignment(self.grid, self.grid)

    def align(self, reference: Grid) -> None:
        """Read on `reference` from now on."""
        self.alignment = Alignment(self.grid, reference)

    @property
    def is_resampled(self) -> bool:
        """Whether values are made from several pixels, rather than taken as they are."""
        return self.alignment.shift is None

    def report(self) -> Resampled:
        """How the file comes onto the map's grid."""
        methods = {m.band.name: method for m, method in zip(self.bands, self._methods, strict=True)}
        covered = 1.0 if self.alignment.is_same else self.alignment.covered()
        name = self.path.rstrip("/").rsplit("/", 1)[-1]
        return Resampled(name, methods if self.is_resampled else {}, self.grid.gsd, covered)

    def is_plain(self, channels: int) -> bool:
        """Whether GDAL can put the file in place: on the map's grid, all channels, small integers without nodata."""
        no_nodata = not self.has_mask and self._asked is None and all(value is None for value in self._nodata)
        small = {self.dataset.dtypes[n - 1] for n in self.indexes} <= {"uint8", "int8", "uint16", "int16"}
        return self.alignment.is_same and no_nodata and small and len(self.channels) == channels

    def read_into(self, span: Span, out: NDArray[np.float32]) -> None:
        """All bands of a plain file, straight into (C, h, w)."""
        with self._told(span):
            self.dataset.read(self.indexes, window=_window(span), out=out)

    def read(self, span: Span) -> tuple[NDArray[Any], list[Gone]]:
        """The bands on the reference grid, and where each has no data.

        Args:
            span: pixels of the reference grid, inside it.

        Returns:
            (n, h, w) of stored values in the order of `channels`, float32 where resampled; and one mask a band.

        Raises:
            RunError: the file cannot be read there.
        """
        if self.alignment.is_same:
            return self._read_own(span)
        if self.alignment.shift is not None:
            return self._read_shifted(span, *self.alignment.shift)
        values = np.zeros((len(self.channels), *span.shape), np.float32)
        gone: list[Gone] = [None] * len(self.channels)
        for method in dict.fromkeys(self._methods):
            members = [n for n, other in enumerate(self._methods) if other == method]
            for piece in self._pieces(span, method):
                self._resample(piece, span, method, members, values, gone)
        return values, gone

    def source_rows(self, rows: int) -> float:
        """How many of the file's rows lie under so many of the reference grid's, about."""
        return rows * self.alignment.step[0]

    def close(self) -> None:
        """Close the file."""
        self.dataset.close()

    def _read_own(self, span: Span) -> tuple[NDArray[Any], list[Gone]]:
        """As `read`, of the file's own pixels."""
        with self._told(span):
            stored = self.dataset.read(self.indexes, window=_window(span))
            masked = self.dataset.dataset_mask(window=_window(span)) == 0 if self.has_mask else None
        return stored, [self._absent(band, n, masked) for band, n in zip(stored, self._nodata, strict=True)]

    def _absent(self, band: NDArray[Any], nodata: float | None, masked: Gone) -> Gone:
        """Where a band has no data; None where it cannot lack any."""
        gone = masked
        for value in (nodata, self._asked):
            if value is None or np.isnan(value):
                continue
            equal = band == value
            gone = equal if gone is None else gone | equal
        if np.issubdtype(band.dtype, np.floating):
            missing = ~np.isfinite(band)
            gone = missing if gone is None else gone | missing
        return gone

    def _read_shifted(self, span: Span, rows: int, columns: int) -> tuple[NDArray[Any], list[Gone]]:
        """The file's own pixels where it has some, none where it ends."""
        wanted = span.shifted(rows, columns)
        inner = wanted.intersection(self.grid.span)
        if inner == wanted:
            return self._read_own(wanted)
        values = np.zeros((len(self.channels), *span.shape), self.dataset.dtypes[self.indexes[0] - 1])
        gone: list[Gone] = [np.ones(span.shape, bool) for _ in self.channels]
        if inner.height and inner.width:
            stored, lacking = self._read_own(inner)
            place = inner.shifted(-wanted.top, -wanted.left).slices
            values = values.astype(stored.dtype, copy=False)
            values[:, place[0], place[1]] = stored
            for mask, lost in zip(gone, lacking, strict=True):
                assert mask is not None
                mask[place] = False if lost is None else lost
        return values, gone

    def _pieces(self, span: Span, method: Resampling) -> Iterator[Span]:
        """Parts of a span whose source pixels are not too many; how it is parted does not change a value."""
        down, across = self.alignment.step
        values = span.height * span.width * max(1.0, down * across) * len(self.channels)
        if values <= _PIECE or span.height * span.width == 1:
            yield span
        elif span.height >= span.width:
            middle = (span.top + span.bottom) // 2
            yield from self._pieces(replace(span, bottom=middle), method)
            yield from self._pieces(replace(span, top=middle), method)
        else:
            middle = (span.left + span.right) // 2
            yield from self._pieces(replace(span, right=middle), method)
            yield from self._pieces(replace(span, left=middle), method)

    def _resample(
        self,
        piece: Span,
        span: Span,
        method: Resampling,
        members: list[int],
        values: NDArray[np.float32],
        gone: list[Gone],
    ) -> None:
        """Put a piece of some bands in place."""
        rows, columns = self.alignment.taps(piece, method)
        place = piece.shifted(-span.top, -span.left).slices
        part = _needed(rows, columns)
        if part is None:
            missing: NDArray[np.bool_] | None = np.ones((len(members), *piece.shape), bool)
        else:
            stored, lacking = self._read_own(part)
            chosen = [lacking[n] for n in members]
            lost = None
            if any(mask is not None for mask in chosen):
                nothing = np.zeros(part.shape, bool)
                lost = np.stack([nothing if mask is None else mask for mask in chosen])
            tents = None
            if method == "cubic" and lost is not None:
                low, wide = self.alignment.taps(piece, "bilinear")
                tents = _within(low, part.top, part.bottom), _within(wide, part.left, part.right)
            found, missing = resample(
                stored if len(members) == len(stored) else stored[members],
                lost,
                _within(rows, part.top, part.bottom),
                _within(columns, part.left, part.right),
                method,
                tents,
            )
            for number, band in zip(members, found, strict=True):
                values[number][place] = band
        if missing is not None:
            for number, mask in zip(members, missing, strict=True):
                whole = gone[number]
                if whole is None:
                    whole = gone[number] = np.zeros(span.shape, bool)
                whole[place] = mask

    def _told(self, span: Span) -> _Telling:
        return _Telling(self.dataset.name, span)


class _Telling:
    """A read error of GDAL's as a sentence."""

    def __init__(self, name: str, span: Span) -> None:
        self._name, self._span = name, span

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RasterioError):
            span = self._span
            raise RunError(
                f"{self._name} cannot be read at rows {span.top}-{span.bottom}, columns "
                f"{span.left}-{span.right}: {error}",
                "The file seems to be cut off or damaged; get it again.",
            ) from None


def _needed(rows: Taps, columns: Taps) -> Span | None:
    """The source pixels of some taps; None where the part lies outside the source."""
    if rows.inside.ndim == 2:
        here = rows.inside & columns.inside
        rows, columns = replace(rows, inside=here), replace(columns, inside=here)
    down, across = rows.span(), columns.span()
    return None if down is None or across is None else Span(down[0], across[0], down[1], across[1])


def _within(one: Taps, start: int, stop: int) -> Taps:
    return one.shifted(start, stop)


def _window(span: Span) -> Window:
    return Window(span.left, span.top, span.width, span.height)
