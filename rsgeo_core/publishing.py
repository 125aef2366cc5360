"""The files of a map: made under names that are not final, then renamed together, the map after its side files.

What says that the run is done (its STAC item) comes last, so that a killed run is never taken for a finished one.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from rsgeo_core import cog, style
from rsgeo_core.errors import Cancelled
from rsgeo_core.events import CancelToken, Listener, Progress, WrittenFile
from rsgeo_core.grid import Grid
from rsgeo_core.journal import flush
from rsgeo_core.rasters import Product

GEOTIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


class Publisher:
    """Makes and publishes the files of one run.

    Args:
        out: the map's final name.
        folder: the run's own folder, beside it.
        total: how many rasters there will be, for the progress.
        tell: told the progress.
        cancel: looked at between steps.
    """

    def __init__(self, out: Path, folder: Path, total: int, tell: Listener, cancel: CancelToken) -> None:
        self.out, self.folder, self.total, self.tell, self.cancel = out, folder, total, tell, cancel
        self.written: list[WrittenFile] = []
        self._rasters: list[tuple[Path, Path]] = []
        self._sides: list[tuple[Path, Path]] = []
        self._last: list[tuple[Path, Path]] = []
        self._vector: Path | None = None

    def add_raster(
        self,
        product: Product,
        final: Path,
        parts: Sequence[cog.Part],
        grid: Grid,
        tags: dict[str, str],
        threads: int,
        is_point: bool,
    ) -> None:
        """Make a product's COG and side files; see `cog.build`. A style that the user saved in QGIS stays."""
        fresh = self.folder / "map.tif" if final == self.out else final.with_name(final.name + ".part")
        cog.build(parts, product, grid, tags, self.folder, fresh, self._step, threads, is_point)
        flush(fresh)
        self._rasters.append((fresh, final))
        if product.classes:
            self._sides.append(self._text("map.aux.xml", style.aux_xml(product.classes), _aux(final)))
            qml = final.with_suffix(".qml")
            if not qml.exists() or style.is_ours(qml):
                self._sides.append(self._text("map.qml", style.class_qml(product.classes), qml))
        self.written.append(
            WrittenFile(
                role=product.role,
                path=str(final),
                kind=GEOTIFF,
                nodata=None if math.isnan(product.nodata) else product.nodata,
                bands=product.count,
                classes=[c.name for c in product.classes] or None,
            )
        )

    def add_vector(self, final: Path) -> None:
        """Write the class map's polygons; they get their name with the other files."""
        from rsgeo_core.polygons import polygonize  # geopandas takes half a second to import

        source = next(fresh for fresh, target in self._rasters if target == self.out)
        beside = final.with_name(final.name + ".part")  # a folder: the layer is called like the file
        beside.mkdir(exist_ok=True)
        fresh = beside / final.name
        try:
            polygonize(source, fresh, cancel=self.cancel)
        except BaseException:
            shutil.rmtree(beside)
            raise
        self._sides.append((fresh, final))
        self._vector = beside
        self.written.append(WrittenFile(role="vector", path=str(final), kind="application/octet-stream"))

    def add_objects(self, final: Path, write: Callable[[Path], int]) -> int:
        """Have a detector's objects written into a file of the final one's name; how many there are."""
        beside = final.with_name(final.name + ".part") / "objects"
        beside.mkdir(exist_ok=True)
        fresh = beside / final.name
        count = write(fresh)
        self._sides.append((fresh, final))
        self.written.append(WrittenFile(role="objects", path=str(final), kind="application/octet-stream"))
        return count

    def sizes(self) -> dict[str, list[int]]:
        """Size and time of each file written so far, by its final name: what `--resume` compares."""
        fresh = {str(final): fresh for fresh, final in (*self._rasters, *self._sides)}
        return {file.path: size_and_time(fresh.get(file.path, Path(file.path))) for file in self.written}

    def add_metadata(self, text: str, final: Path) -> None:
        """Add what says that the run is done."""
        self._last.append(self._text("map.json", text, final))
        self.written.append(self.metadata(final))

    @staticmethod
    def metadata(final: Path) -> WrittenFile:
        """The item as one of the files written."""
        return WrittenFile(role="metadata", path=str(final), kind="application/geo+json")

    def publish(self) -> None:
        """Give every file its final name."""
        sides = [final for _, final in self._sides]
        for _, final in self._rasters:
            if _aux(final) not in sides:
                _aux(final).unlink(missing_ok=True)  # statistics of an older map of that name
        rasters = sorted(self._rasters, key=lambda pair: pair[1] == self.out)
        for fresh, final in [*self._sides, *rasters, *self._last]:
            fresh.replace(final)
        if self._vector is not None:
            shutil.rmtree(self._vector, ignore_errors=True)

    def _text(self, name: str, text: str, final: Path) -> tuple[Path, Path]:
        fresh = self.folder / name
        try:
            fresh.write_text(text, encoding="utf-8")
        except OSError as error:
            raise cog.full(fresh, error) from None
        return fresh, final

    def _step(self, share: float) -> None:
        if self.cancel.is_cancelled:
            raise Cancelled("Cancelled; what is finished is kept.", "Go on with --resume.")
        done = (len(self._rasters) + share) / self.total
        self.tell(Progress(done=round(done, 4), total=1, unit="file"))


def size_and_time(path: Path) -> list[int]:
    """What changes when a file is written again: bytes and modification time; empty where there is none."""
    if not path.is_file():
        return []
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _aux(path: Path) -> Path:
    return path.with_name(path.name + ".aux.xml")
