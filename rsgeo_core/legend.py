"""What the values of a class map mean: the legend that travels inside the file."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import rasterio
from rasterio.errors import RasterioIOError

from rsgeo_core.card import ClassInfo
from rsgeo_core.errors import RequestError

CLASSES_TAG = "RSGEO_CLASSES"


class MapError(RequestError):
    """A file that should be a class map is none."""

    code = "map"


@dataclass(frozen=True)
class Legend:
    """The classes of a map, by ascending value."""

    classes: tuple[ClassInfo, ...]

    def __iter__(self) -> Iterator[ClassInfo]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    def name(self, value: int) -> str:
        """The class's name; `class N` for a value that the legend does not know."""
        return next((c.name for c in self.classes if c.value == value), f"class {value}")

    def color(self, value: int) -> str:
        """The class's colour as `#rrggbb`; one of our own for a value that the legend does not know."""
        return next((c.color for c in self.classes if c.value == value), spare_color(value))

    def find(self, text: str) -> int:
        """The value of the class called `text`, by name (case does not matter) or by value.

        Raises:
            RequestError: no class or more than one is called so.
        """
        hits = [c.value for c in self.classes if c.name.casefold() == text.strip().casefold()]
        if not hits:
            hits = [c.value for c in self.classes if str(c.value) == text.strip()]
        if len(hits) != 1:
            known = ", ".join(f"{c.value} {c.name}" for c in self.classes)
            raise RequestError(
                f"{'No class is' if not hits else 'Several classes are'} called {text!r}. "
                f"The map has {known or 'no named classes'}."
            )
        return hits[0]


# Colours that stay apart for colour-blind eyes: Paul Tol, SRON/EPS/TN/09-002, muted scheme, then some of the light one.
_SPARE = (
    "#88ccee",
    "#cc6677",
    "#ddcc77",
    "#117733",
    "#332288",
    "#aa4499",
    "#44aa99",
    "#999933",
    "#882255",
    "#ee8866",
    "#77aadd",
    "#bbcc33",
)


def spare_color(value: int) -> str:
    """A colour for a class that has none of its own."""
    return _SPARE[(value - 1) % len(_SPARE)]


def read_legend(path: str | Path) -> Legend:
    """The legend of a class map: from its RSGEO_CLASSES tag, else its category names and palette.

    Without names only values with a palette entry that is neither black nor transparent are listed, as `class N`.

    Raises:
        MapError: the file cannot be read as a raster of integer classes.
    """
    with open_class_raster(path) as raster:
        return legend_of(raster, path)


def legend_of(raster: rasterio.DatasetReader, path: str | Path) -> Legend:
    """As `read_legend`, of an open file."""
    tag = raster.tags().get(CLASSES_TAG)
    if tag:
        try:
            classes = tuple(ClassInfo.model_validate(item) for item in json.loads(tag))
        except ValueError:
            raise MapError(f"{path}: its {CLASSES_TAG} tag is not a list of classes.") from None
        return Legend(tuple(sorted(classes, key=lambda c: c.value)))
    try:
        palette: dict[int, tuple[int, ...]] = raster.colormap(1)
    except ValueError:
        palette = {}
    names = _category_names(Path(f"{path}.aux.xml"))
    if names:
        values = [value for value, name in names.items() if value > 0 and name]
    else:
        values = [value for value, entry in palette.items() if value > 0 and entry[3] > 0 and any(entry[:3])]
    return Legend(
        tuple(
            ClassInfo(
                value=value,
                name=names.get(value) or f"class {value}",
                color=_hex(palette[value]) if value in palette else spare_color(value),
            )
            for value in sorted(values)
        )
    )


def open_class_raster(path: str | Path) -> rasterio.DatasetReader:
    """Open a raster of integer classes.

    Raises:
        MapError: it cannot be opened, has several bands, or is not of integers.
    """
    try:
        raster = rasterio.open(path)
    except RasterioIOError as error:
        missing = "://" not in str(path) and not str(path).startswith("/vsi") and not Path(path).exists()
        raise MapError(
            f"There is no file {path}." if missing else f"{path} cannot be read as a raster: {error}."
        ) from None
    dtype = raster.dtypes[0]
    if raster.count != 1 or dtype not in ("uint8", "uint16", "int8", "int16", "int32"):
        raster.close()
        raise MapError(
            f"{path} is not a class map: it has {raster.count} band{'s' * (raster.count != 1)} of {dtype}, "
            "and one band of integers is expected.",
            "Make one with: rsgeo infer scene.tif -o map.tif",
        )
    return raster


def _category_names(path: Path) -> dict[int, str]:
    """Value → name from a PAM side-car file; empty without one."""
    if not path.is_file():
        return {}
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError:
        return {}
    band = next((b for b in root.iter("PAMRasterBand") if b.get("band", "1") == "1"), None)
    found = [] if band is None else band.findall("CategoryNames/Category")
    return {value: (item.text or "").strip() for value, item in enumerate(found)}


def _hex(entry: tuple[int, ...]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*entry[:3])
