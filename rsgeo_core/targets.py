"""The files that a request asks for, and why they cannot be written, told before any work is done."""

from __future__ import annotations

import os
from pathlib import Path

from rsgeo_core.errors import OutputError, RequestError
from rsgeo_core.provenance import files_behind
from rsgeo_core.request import InferRequest

_RASTERS, _VECTORS = (".tif", ".tiff"), (".gpkg", ".fgb", ".geojson")


def named(request: InferRequest) -> list[str]:
    """The files asked for; side files are named after them."""
    names = (request.out, request.probabilities, request.confidence, request.entropy, request.vector)
    return [str(Path(name)) for name in names if name is not None]


def check(request: InferRequest) -> None:
    """Refuse outputs that cannot be written; folders that are missing are made.

    Raises:
        RequestError: no scene, or two outputs of one name.
        OutputError: a wrong kind of file, an input of the run, a folder, or a place that cannot be written.
    """
    if not request.files:
        raise RequestError("No scene was given.", "Type: rsgeo infer SCENE -o OUT")
    scenes = [Path(path).resolve() for paths in request.files.values() for path in paths]
    sources = {*scenes, *(Path(name).resolve() for path in scenes for name in files_behind(str(path)))}
    areas = {Path(text).resolve() for text in (request.mask, request.extent, request.grid) if text is not None}
    paths = [Path(name) for name in named(request)]
    for path in paths:
        is_vector = request.vector is not None and path == Path(request.vector)
        is_out = path == Path(request.out)
        fitting = _VECTORS if is_vector else (*_RASTERS, *_VECTORS) if is_out else _RASTERS
        if path.suffix.lower() not in fitting:
            raise _misnamed(
                path, "polygons are" if is_vector else "a map is a GeoTIFF,", fitting[: len(_RASTERS) + is_vector]
            )
    if len({path.resolve() for path in paths}) < len(paths):
        raise RequestError("Two outputs have the same name.")
    for path in paths:
        if path.resolve() in sources:
            raise OutputError(f"{path} is the scene itself, or a file of it.", "Choose another name.")
        if path.resolve() in areas:
            raise OutputError(
                f"{path} is the mask or extent of this run, or the raster of its grid.", "Choose another name."
            )
        if path.is_dir():
            raise OutputError(f"{path} is a folder.", f"Name the file: -o {path / 'map.tif'}")
        _check_folder(path.resolve().parent)
    if request.vector is not None:
        from rsgeo_core.features import check_target  # geopandas takes half a second to import

        check_target(Path(request.vector))


def check_kind(request: InferRequest, model: str, *, finds_objects: bool) -> None:
    """Refuse an output that is no file of what the model gives: a raster of objects, a vector file of a map.

    Raises:
        OutputError: it is.
    """
    path = Path(request.out)
    fitting = _VECTORS if finds_objects else _RASTERS
    if path.suffix.lower() not in fitting:
        raise _misnamed(
            path, f"the objects that {model} finds are" if finds_objects else "a map is a GeoTIFF,", fitting
        )
    if finds_objects:
        from rsgeo_core.features import check_target

        check_target(path)


def suffix_for(model: str | None) -> str:
    """How the output of a model by name or file is called where nobody names it."""
    from rsgeo_core import zoo

    return _VECTORS[0] if model is not None and zoo.find(model).card.task == "detection" else _RASTERS[0]


def _misnamed(path: Path, what: str, fitting: tuple[str, ...]) -> OutputError:
    return OutputError(f"{path}: {what} written as {', '.join(fitting)}.", f"Name it {path.stem}{fitting[0]}")


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}.", "Choose another place with -o.") from None
    probe = folder / f".rsgeo-{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        raise OutputError(f"{folder} cannot be written.", "Choose another place with -o.") from None
