"""Options that several commands share, and how the text of an option becomes a value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

import rich_click as click

_Value = TypeVar("_Value")
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def parse_bands(ctx: click.Context, param: click.Parameter, text: str | None) -> dict[str, int]:
    """`B04=3,B03=2` as name to number."""
    numbers: dict[str, int] = {}
    for item in (text or "").split(",") if text else []:
        name, equals, number = item.partition("=")
        if not equals or not number.strip().isdigit() or int(number) < 1 or not name.strip():
            raise click.BadParameter(
                f"{item!r} is not NAME=NUMBER, counted from 1; for example --bands B04=3,B03=2,B02=1"
            )
        numbers[name.strip()] = int(number)
    return numbers


def parse_sensors(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """`s2=a.tif,b.tif` as sensor key to files; a key given twice adds files."""
    files: dict[str, tuple[str, ...]] = {}
    for text in texts:
        key, equals, paths = text.partition("=")
        if not equals or not paths:
            raise click.BadParameter(f"{text!r} is not KEY=FILE; for example --sensor s2=scene.tif")
        named = tuple(path.strip() for path in paths.split(",") if path.strip())
        files[key.strip()] = files.get(key.strip(), ()) + named
    return files


def parse_nodata(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> float | dict[str, float] | None:
    """`0`, or `s1=0` by sensor; both together are that sensor's and the others'."""
    return _by_sensor(texts, _number)


def parse_scales(
    ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]
) -> tuple[float, float] | dict[str, tuple[float, float]] | None:
    """`0.0001,-0.1` as (scale, offset), or `s2=0.0001` by sensor."""
    return _by_sensor(texts, _scale)


def _by_sensor(texts: tuple[str, ...], parse: Callable[[str], _Value]) -> _Value | dict[str, _Value] | None:
    values: dict[str, _Value] = {}
    for text in texts:
        key, equals, value = text.rpartition("=")
        if equals and not key.strip():
            raise click.BadParameter(f"{text!r} names no sensor before the =")
        if key.strip() in values:
            raise click.BadParameter(f"{key.strip() or 'all sensors'}: given twice")
        values[key.strip()] = parse(value)
    return values[""] if set(values) == {""} else values or None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a number nor KEY=NUMBER; for example s1=0") from None


def _scale(text: str) -> tuple[float, float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or numbers[0] == 0 or not all(map(math.isfinite, numbers)):
        raise click.BadParameter(f"{text!r} is not SCALE or SCALE,OFFSET; for example 0.0001,-0.1")
    return numbers[0], numbers[1] if len(numbers) == 2 else 0.0


def parse_memory(ctx: click.Context, param: click.Parameter, text: str) -> int:
    """`2GB`, `512MiB` or bytes as bytes."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    if match is None or match[2].lower() not in _UNITS or float(match[1]) <= 0:
        raise click.BadParameter(f"{text!r} is not a size; for example 2GB or 512MiB")
    size = int(float(match[1]) * _UNITS[match[2].lower()])
    if size < 64 << 20:
        raise click.BadParameter(f"{text} is too little for a tile and a model; give 64MiB or more")
    return size


sensor_option = click.option(
    "--sensor",
    "sensors",
    multiple=True,
    callback=parse_sensors,
    metavar="KEY=FILE,...",
    help="Files of one sensor, for models that name their sensors, and for bands in several files. Resolutions, "
    "extents and CRSs may differ.",
)
"""`--sensor`: files by sensor."""


def grid_options(function: Any) -> Any:
    """`--grid` and `--resampling`: where files on several grids meet, and how."""
    function = click.option(
        "--resampling",
        type=click.Choice(["nearest", "bilinear", "cubic", "average"]),
        help="How all bands of files on other grids are resampled. By default as the model's card says of each band.",
    )(function)
    return click.option(
        "--grid",
        metavar="FILE|KEY",
        help="The raster or sensor on whose grid the map lies. By default the finest file of the first sensor that "
        "fits the model's resolution.",
    )(function)


def json_option(function: Any) -> Any:
    """`--json`: the result as JSON on standard output."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(function)


def device_option(function: Any) -> Any:
    """`--device`: where the model runs."""
    return click.option(
        "--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda, rocm, coreml or directml."
    )(function)
