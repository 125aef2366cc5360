"""How a map looks where it is opened: category names and attribute table (`.aux.xml`), and a QGIS style (`.qml`)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from rsgeo_core.card import ClassInfo

_OURS = "<!-- written by rsgeo -->"  # QGIS drops it when it saves the style


def aux_xml(classes: Sequence[ClassInfo]) -> str:
    """GDAL's PAM side file of a class raster: category names (0 is nodata) and a thematic raster attribute table."""
    root = ET.Element("PAMDataset")
    band = ET.SubElement(root, "PAMRasterBand", band="1")
    names = ET.SubElement(band, "CategoryNames")
    by_value = {c.value: c for c in classes}
    for value in range(max(by_value) + 1):
        ET.SubElement(names, "Category").text = by_value[value].name if value in by_value else "nodata"
    table = ET.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    # GDAL's field types and usages: 0 integer, 2 string; 5 MinMax, 2 Name, 6-8 red, green, blue.
    for index, (name, kind, usage) in enumerate(
        (("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8))
    ):
        field = ET.SubElement(table, "FieldDefn", index=str(index))
        ET.SubElement(field, "Name").text = name
        ET.SubElement(field, "Type").text = str(kind)
        ET.SubElement(field, "Usage").text = str(usage)
    for index, item in enumerate(classes):
        row = ET.SubElement(table, "Row", index=str(index))
        for text in (str(item.value), item.name, *(str(int(item.color[i : i + 2], 16)) for i in (1, 3, 5))):
            ET.SubElement(row, "F").text = text
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def class_qml(classes: Sequence[ClassInfo]) -> str:
    """A QGIS style (3.22 and later) that paints each class in its colour and leaves nodata transparent."""
    root = ET.Element("qgis", version="3.22.0", styleCategories="AllStyleCategories", hasScaleBasedVisibilityFlag="0")
    pipe = ET.SubElement(root, "pipe")
    renderer = ET.SubElement(pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1")
    palette = ET.SubElement(renderer, "colorPalette")
    for item in classes:
        ET.SubElement(palette, "paletteEntry", value=str(item.value), label=item.name, color=item.color, alpha="255")
    ET.SubElement(pipe, "brightnesscontrast", brightness="0", contrast="0", gamma="1")
    ET.SubElement(pipe, "huesaturation", saturation="0", grayscaleMode="0", colorizeOn="0")
    ET.SubElement(pipe, "rasterresampler", maxOversampling="2")
    ET.indent(root)
    doctype = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"
    return f"{doctype}\n{_OURS}\n" + ET.tostring(root, encoding="unicode") + "\n"


def is_ours(path: Path) -> bool:
    """Whether a style file was written by rsgeo, and not saved or changed in QGIS since."""
    return _OURS in path.read_text(encoding="utf-8", errors="replace")
