"""Where a map comes from: what determines its pixels goes into the file, everything else into a STAC item beside it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import RasterioIOError

from rsgeo_core import __version__
from rsgeo_core.events import WrittenFile
from rsgeo_core.grid import Grid, to_lonlat
from rsgeo_core.scene import Scene

_TELLING = ("NoDataValue", "Scale", "Offset", "Description", "ColorInterp", "SRS", "GeoTransform", "MaskBand")
"""Elements of GDAL's side files that change what a raster says."""

_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)-?(\d\d)-?(\d\d)(?:[T ](\d\d):?(\d\d):?(\d\d))?(?!\d)", re.ASCII)


def source_facts(files: Mapping[str, Sequence[str]]) -> dict[str, list[dict[str, Any]]]:
    """Name, size and time of each source file; of remote ones only the name."""
    return {sensor: [_file_facts(str(path)) for path in paths] for sensor, paths in files.items()}


def alignment_facts(scene: Scene) -> dict[str, Any]:
    """On which grid a map of several files lies, how each file comes onto it, and where the map has no data."""
    grid = scene.reference.grid
    reports = {key: [source.report() for source in reader.sources] for key, reader in scene.sensors.items()}
    return {
        "grid": {
            "of": scene.reference.name,
            "shape": list(grid.shape),
            "transform": list(grid.transform)[:6],
            "crs": grid.crs.to_string() if grid.crs is not None else None,
        },
        "files": {
            key: [
                {
                    "name": one.name,
                    "gsd": one.gsd and round(one.gsd, 6),
                    "resampling": one.methods or None,
                    "covered": round(one.covered, 6),
                }
                for one in told
            ]
            for key, told in reports.items()
        },
        "nodata": scene.nodata_rule(),
    }


def _file_facts(path: str) -> dict[str, Any]:
    fact: dict[str, Any] = {"name": path.rstrip("/").rsplit("/", 1)[-1]}
    behind = [file for file in map(Path, files_behind(path)) if _counts(file)]
    if behind:
        stats = [file.stat() for file in behind]
        fact |= {"size": sum(s.st_size for s in stats), "mtimes_ns": [s.st_mtime_ns for s in stats]}
    return fact


def _counts(file: Path) -> bool:
    """Whether a file behind a raster has a part in its values: statistics and overviews, as QGIS adds them, do not."""
    if file.suffix == ".ovr":
        return False
    if not file.name.endswith(".aux.xml"):
        return True
    text = file.read_text(encoding="utf-8", errors="replace")
    return any(f"<{tag}" in text for tag in _TELLING)


def item_path(out: Path) -> Path:
    """Where the STAC item of a map lies."""
    return out.with_name(out.name + ".json")


def tags(key: Mapping[str, Any]) -> dict[str, str]:
    """The dataset metadata of a map: only what determines its pixels, so that the same command gives the same bytes."""
    sources = {
        sensor: [{k: v for k, v in fact.items() if k != "mtimes_ns"} for fact in facts]
        for sensor, facts in key["sources"].items()
    }
    aligned = key.get("alignment")
    more = (
        {"RSGEO_ALIGNMENT": json.dumps(aligned, sort_keys=True), "RSGEO_NODATA": aligned["nodata"]} if aligned else {}
    )
    return {
        **more,
        "RSGEO_MODEL": f"{key['model']['name']} {key['model']['version']}",
        "RSGEO_MODEL_SHA256": key["model"]["sha256"],
        "RSGEO_PARAMETERS": json.dumps(key["parameters"], sort_keys=True),
        "RSGEO_SOURCE": json.dumps(sources, sort_keys=True),
    }


def files_behind(path: str) -> list[str]:
    """The local files behind a raster: of a VRT those that it names too; none of what is no raster."""
    if not Path(path).exists():
        return []
    try:
        opened = rasterio.open(path)
    except RasterioIOError:
        return []
    with opened as dataset:
        return [path, *(name for name in dataset.files if name != path and Path(name).is_file())]


def map_item(
    out: Path, grid: Grid, files: Sequence[WrittenFile], key: Mapping[str, Any], stats: Mapping[str, Any]
) -> dict[str, Any]:
    """A STAC item of a map, with time, paths, threads, batch, device and versions."""
    now = _text(datetime.now(timezone.utc))
    when = acquired([path for paths in stats.get("sources", {}).values() for path in paths])
    footprint, bbox = _footprint(grid)
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": out.stem,
        "geometry": footprint,
        "properties": {
            **_when(when, now),
            "created": now,
            "title": f"{key['model']['name']} of {out.stem}",
            "rsgeo:version": __version__,
            "rsgeo:key": dict(key),
            **({"rsgeo:alignment": key["alignment"]} if "alignment" in key else {}),
            "rsgeo:run": dict(stats),
            "rsgeo:python": sys.version.split()[0],
        },
        "links": [],
        "assets": {
            file.role: {
                "href": f"./{Path(file.path).name}" if Path(file.path).parent == out.parent else file.path,
                "type": file.kind,
                "roles": ["data"],
            }
            for file in files
        },
    }
    if bbox is not None:
        item["bbox"] = bbox
    return item


def acquired(paths: Sequence[str]) -> list[datetime]:
    """When scenes were taken, earliest first: the sensor's tag ACQUISITIONDATETIME, or a date in the file's name.

    Names are searched for YYYYMMDD, with THHMMSS behind it or without, and for YYYY-MM-DD.
    """
    found = set()
    for path in paths:
        with rasterio.open(path) as dataset:
            tag = dataset.tags(ns="IMAGERY").get("ACQUISITIONDATETIME", "")
        for text in (tag, str(path).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]):
            if (match := _DATE.search(text)) is None:
                continue
            try:
                year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
                when = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
                if when <= datetime.now(timezone.utc):
                    found.add(when)
                    break
            except ValueError:  # 20209999 is no date
                continue
    return sorted(found)


def _when(times: Sequence[datetime], now: str) -> dict[str, Any]:
    """STAC's time of what the map shows; where the source does not tell, that of the run stands in and is marked."""
    if not times:
        return {"datetime": now, "rsgeo:datetime": "time of the run; the source does not say when it was taken"}
    if len(times) == 1:
        return {"datetime": _text(times[0])}
    return {"datetime": None, "start_datetime": _text(times[0]), "end_datetime": _text(times[-1])}


def _text(time: datetime) -> str:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")


def _footprint(grid: Grid) -> tuple[dict[str, Any] | None, list[float] | None]:
    if grid.crs is None:
        return None, None
    corners = grid.corners()
    longitudes, latitudes = to_lonlat(grid.crs, corners[:, 0], corners[:, 1])
    if not (np.isfinite(longitudes).all() and np.isfinite(latitudes).all()):
        return None, None
    ring = [[round(float(x), 7), round(float(y), 7)] for x, y in zip(longitudes, latitudes, strict=True)]
    xs, ys = [p[0] for p in ring], [p[1] for p in ring]
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}, [min(xs), min(ys), max(xs), max(ys)]
