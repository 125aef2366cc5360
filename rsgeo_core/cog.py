"""The last step of every raster: block rows, overviews and tags become one cloud-optimised GeoTIFF.

Block rows are joined by a VRT whose overviews were made by the product's own rule; GDAL's COG driver copies it. The
final name appears only when the file is whole.
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # what rasterio.shutil lets through
from rasterio.errors import RasterioError
from rasterio.windows import Window

from rsgeo_core.allocator import large_blocks_given_back
from rsgeo_core.errors import RunError
from rsgeo_core.grid import Grid
from rsgeo_core.overviews import halve, level_shapes
from rsgeo_core.rasters import Product

BLOCK = 512
_NOWHERE = Affine(2, 0, 0, 0, -2, 0)  # intermediate files: any transform but the identity, which rasterio warns of
_TYPES = {"uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "float32": "Float32"}


@dataclass(frozen=True)
class Part:
    """A block row on disk: its file and the output row it starts at."""

    path: Path
    top: int
    height: int


def write_part(path: Path, stored: NDArray[Any]) -> None:
    """Write a block row, (count, h, w), as a tiled GeoTIFF without georeference; fast rather than small.

    Raises:
        RunError: the disk is full or not writable.
    """
    count, height, width = stored.shape
    try:
        with _intermediate(path, count, height, width, stored.dtype.name) as dataset:
            dataset.write(stored)
        _check_whole(path)
    except (RasterioError, CPLE_BaseError, OSError) as error:
        raise full(path, error) from None


def block_side(count: int, dtype: str = "float32") -> int:
    """Side of square blocks, pixels: those of all bands, of which GDAL holds several at once, stay at 16 MiB.

    Parts and overviews have blocks as if their bands were floats, which is what overviews are computed with. Larger
    ones would be decoded once for every block of the finished file that they cover, and written once for every
    quarter, since those of all bands together do not fit into GDAL's cache.
    """
    pixel = count * np.dtype(dtype).itemsize
    return next((side for side in (BLOCK, BLOCK // 2, BLOCK // 4) if side * side * pixel <= 1 << 24), BLOCK // 8)


def _intermediate(path: Path, count: int, height: int, width: int, dtype: str) -> Any:
    """A tiled GeoTIFF to write to, compressed fast rather than small."""
    path.unlink(missing_ok=True)  # rasterio opens what it overwrites, and fails on what a killed run has torn
    side = block_side(count)
    return rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=count,
        height=height,
        width=width,
        dtype=dtype,
        tiled=True,
        blockxsize=side,
        blockysize=side,
        compress="zstd",
        zstd_level=1,
        interleave="band",
        bigtiff="if_safer",
        transform=_NOWHERE,
    )


@large_blocks_given_back()
def build(
    parts: Sequence[Part],
    product: Product,
    grid: Grid,
    tags: dict[str, str],
    folder: Path,
    target: Path,
    step: Callable[[float], None],
    threads: int = 0,
    is_point: bool = False,
) -> None:
    """Make the COG of a product.

    Args:
        parts: all block rows, top to bottom.
        product: what the numbers mean.
        grid: the output's grid.
        tags: dataset metadata.
        folder: for intermediate files.
        target: the file to make; the caller renames it to its final name.
        step: told the share done, 0…1.
        threads: compression threads; 0 takes all cores.
        is_point: whether the source says that its coordinates are those of pixel centres.

    Raises:
        RunError: the disk is full or not writable.
    """
    base = folder / f"{product.role}.vrt"
    shapes = level_shapes(grid.height, grid.width, BLOCK)
    overviews: list[tuple[Path, tuple[int, int]]] = []
    previous, previous_shape = base, grid.shape
    try:
        base.write_text(_vrt(product, grid, tags, [(p.path, p.top, p.height) for p in parts], [], is_point))
        for number, shape in enumerate(shapes):
            path = folder / f"{product.role}-overview-{number}.tif"
            done, ahead = 0.5 * (1 - 0.25**number), 0.5 * 0.75 * 0.25**number
            _halve_file(previous, previous_shape, path, shape, product, _scaled(step, done, ahead))
            _check_whole(path)
            overviews.append((path, shape))
            previous, previous_shape = path, shape
        base.write_text(_vrt(product, grid, tags, [(p.path, p.top, p.height) for p in parts], overviews, is_point))
        step(0.5)
        options: dict[str, Any] = {
            "COMPRESS": "DEFLATE",
            # Vectors of floats are noise below their exponents: more work makes the file 4 % smaller, no more.
            "LEVEL": 1 if product.role == "embedding" and product.dtype == "float32" else 6,
            "BLOCKSIZE": block_side(product.count, product.dtype),
            "BIGTIFF": "IF_SAFER",
            "NUM_THREADS": threads or "ALL_CPUS",
            "OVERVIEWS": "FORCE_USE_EXISTING" if overviews else "NONE",
            "PREDICTOR": "YES" if product.dtype == "float32" and product.nbits is None else "NO",
        }
        if product.nbits:
            options["NBITS"] = product.nbits
        target.unlink(missing_ok=True)
        with rasterio.Env(GDAL_PAM_ENABLED="NO"):
            rasterio.shutil.copy(str(base), str(target), driver="COG", **options)
        _check_whole(target)
        _verify(target, grid, is_point)
    except (RasterioError, CPLE_BaseError, OSError) as error:
        raise full(target, error) from None
    step(1.0)


def _scaled(step: Callable[[float], None], start: float, span: float) -> Callable[[float], None]:
    """Tell a part's progress as that of the whole."""
    return lambda share: step(start + span * share)


def _verify(target: Path, grid: Grid, is_point: bool) -> None:
    """Read back what was written: same size and the same geotransform to the last bit."""
    with rasterio.open(target) as written:
        same = written.transform == grid.transform or is_point
        if written.shape != grid.shape or not same:
            raise RunError(
                f"{target} was written with geotransform {tuple(written.transform)[:6]}, "
                f"expected {tuple(grid.transform)[:6]}."
            )


def _check_whole(path: Path) -> None:
    """Look whether every block that a GeoTIFF names lies inside the file.

    GDAL writes its last bytes when the file is closed and tells no failure then, such as a full disk.

    Raises:
        OSError: the file is cut off.
    """
    size = path.stat().st_size
    with rasterio.open(path) as written:  # in a COG the overviews' blocks lie before those of the full resolution
        by_pixel = written.interleaving is not None and written.interleaving.name == "pixel"
        rows, columns = (-(-side // block) for side, block in zip(written.shape, written.block_shapes[0], strict=True))
        for band in (1,) if by_pixel else written.indexes:
            for row, column in np.ndindex(rows, columns):
                start = written.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=band)
                length = written.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", bidx=band)
                if start is not None and int(start) + int(length) > size:
                    raise OSError("it was cut off while it was written")


def _halve_file(
    source: Path,
    shape: tuple[int, int],
    target: Path,
    half: tuple[int, int],
    product: Product,
    step: Callable[[float], None],
) -> None:
    side = 2 * block_side(product.count)  # whole blocks come of it
    rows, columns = (side, 4 * side) if product.count <= 4 else (side, side)
    with rasterio.open(source) as read, _intermediate(target, product.count, *half, product.dtype) as write:
        for top in range(0, shape[0], rows):
            for left in range(0, shape[1], columns):
                height, width = min(rows, shape[0] - top), min(columns, shape[1] - left)
                reduced = halve(read.read(window=Window(left, top, width, height)), product)
                write.write(reduced, window=Window(left // 2, top // 2, reduced.shape[2], reduced.shape[1]))
            step(min(1.0, (top + rows) / shape[0]))


def _vrt(
    product: Product,
    grid: Grid,
    tags: dict[str, str],
    parts: list[tuple[Path, int, int]],
    overviews: list[tuple[Path, tuple[int, int]]],
    is_point: bool,
) -> str:
    root = ET.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    if grid.crs is not None:
        ET.SubElement(root, "SRS", dataAxisToSRSAxisMapping=_axes(grid)).text = grid.crs.to_wkt(version="WKT2_2019")
    if grid.transform != Affine.identity():
        ET.SubElement(root, "GeoTransform").text = ", ".join(repr(float(v)) for v in grid.transform.to_gdal())
    metadata = ET.SubElement(root, "Metadata")
    for key, value in {**tags, **product.tags, "AREA_OR_POINT": "Point" if is_point else "Area"}.items():
        ET.SubElement(metadata, "MDI", key=key).text = value
    side = block_side(product.count)
    for number, name in enumerate(product.names, start=1):
        band = ET.SubElement(root, "VRTRasterBand", dataType=_TYPES[product.dtype], band=str(number))
        ET.SubElement(band, "Description").text = name
        ET.SubElement(band, "NoDataValue").text = "nan" if np.isnan(product.nodata) else f"{product.nodata:g}"
        if (product.scale, product.offset) != (1.0, 0.0):
            ET.SubElement(band, "Scale").text = repr(product.scale)
            ET.SubElement(band, "Offset").text = repr(product.offset)
        if product.classes:
            ET.SubElement(band, "ColorInterp").text = "Palette"
            table = ET.SubElement(band, "ColorTable")
            colors = {c.value: c.color for c in product.classes}
            for entry in range(max(colors) + 1):
                color = colors.get(entry, "#000000")
                red, green, blue = (str(int(color[i : i + 2], 16)) for i in (1, 3, 5))
                ET.SubElement(table, "Entry", c1=red, c2=green, c3=blue, c4="255" if entry else "0")
        for path, top, height in parts:
            source = ET.SubElement(band, "SimpleSource")
            ET.SubElement(source, "SourceFilename", relativeToVRT="1").text = path.name
            ET.SubElement(source, "SourceBand").text = str(number)
            columns, rows = str(grid.width), str(height)
            ET.SubElement(
                source,
                "SourceProperties",
                RasterXSize=columns,
                RasterYSize=rows,
                DataType=_TYPES[product.dtype],
                BlockXSize=str(side),
                BlockYSize=str(side),
            )
            ET.SubElement(source, "SrcRect", xOff="0", yOff="0", xSize=columns, ySize=rows)
            ET.SubElement(source, "DstRect", xOff="0", yOff=str(top), xSize=columns, ySize=rows)
        for path, _ in overviews:
            overview = ET.SubElement(band, "Overview")
            ET.SubElement(overview, "SourceFilename", relativeToVRT="1").text = path.name
            ET.SubElement(overview, "SourceBand").text = str(number)
    return ET.tostring(root, encoding="unicode")


def _axes(grid: Grid) -> str:
    """Which CRS axis the first and second map coordinate are: GDAL keeps x, y order for every CRS."""
    from pyproj import CRS

    assert grid.crs is not None
    axes = CRS.from_user_input(grid.crs.to_wkt()).axis_info
    return "2,1" if axes and axes[0].direction in ("north", "south") and len(axes) > 1 else "1,2"


def full(path: Path, error: Exception) -> RunError:
    """What a failed write means."""
    free = None
    try:
        stat = os.statvfs(path.parent)
        free = stat.f_bavail * stat.f_frsize
    except (OSError, AttributeError):
        pass
    reason = f"{error}".strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if free is not None and free < 64 << 20:
        return RunError(
            f"The disk of {path.parent} is full ({free / 1e6:.1f} MB free) while writing {path.name}.",
            "Free some space and go on with --resume, or write elsewhere with -o.",
        )
    return RunError(f"{path} cannot be written: {reason}", "Check the disk, then go on with --resume.")
