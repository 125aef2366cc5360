"""ISPRS 2D semantic labelling, Potsdam and Vaihingen, to a catalog: true orthophotos of 5 and 9 cm, six classes.

Official layouts, as unpacked: Potsdam `2_Ortho_RGB/top_potsdam_2_10_RGB.tif` (or `4_Ortho_RGBIR`, `3_Ortho_IRRG`) with
`5_Labels_all/top_potsdam_2_10_label.tif`; Vaihingen `top/top_mosaic_09cm_area1.tif` (near infrared, red, green) with
`…ground_truth…/top_mosaic_09cm_area1.tif`. Labels are pictures of colours. Tiles are places: they lie side by side.
"""

from __future__ import annotations

from pathlib import Path

from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import masks
from rsgeo_train.prepare.scenes import LabelClass

CLASSES = tuple(
    LabelClass(name=name, color=color, mask=color)
    for name, color in (
        ("impervious surface", "#ffffff"),
        ("building", "#0000ff"),
        ("low vegetation", "#00ffff"),
        ("tree", "#00ff00"),
        ("car", "#ffff00"),
        ("clutter", "#ff0000"),
    )
)
TEST = {
    "potsdam": [
        f"{row}_{column}"
        for row, last in zip(range(2, 8), (14, 14, 15, 15, 15, 13), strict=True)
        for column in range(13, last + 1)
    ],
    "vaihingen": [str(number) for number in (*range(2, 17, 2), 20, 22, 24, 27, 29, 31, 33, 35, 38)],
}
"""Tiles that the benchmark kept to itself, now published."""

_LAYOUTS = {
    "potsdam": (
        ("2_Ortho_RGB/top_potsdam_{id}_RGB.tif", "rgb8", ["red", "green", "blue"]),
        ("4_Ortho_RGBIR/top_potsdam_{id}_RGBIR.tif", "rgbn8", ["red", "green", "blue", "nir"]),
        ("3_Ortho_IRRG/top_potsdam_{id}_IRRG.tif", "rgbn8", ["nir", "red", "green"]),
    ),
    "vaihingen": (("top/top_mosaic_09cm_area{id}.tif", "rgbn8", ["nir", "red", "green"]),),
}
_LABELS = {
    "potsdam": ("5_Labels_all/top_potsdam_{id}_label.tif", "5_Labels_for_participants/top_potsdam_{id}_label.tif"),
    "vaihingen": ("*round_truth*/top_mosaic_09cm_area{id}.tif", "gts_for_participants/top_mosaic_09cm_area{id}.tif"),
}


def prepare(root: Path, output: Path, *, chip: int | None = 512, step: int | None = None) -> Catalog:
    """The catalog of Potsdam or Vaihingen; see `masks.prepare`.

    Args:
        root: folder of the unpacked archives; which of the two, and which product, is found.
        output: path of the catalog.
        chip: side of the chips, pixels; None takes the tiles whole.
        step: from one chip to the next, pixels.

    Returns:
        The tiles that the benchmark tested by are the split `test`; the others are divided into train and val, seed 0.

    Raises:
        DatasetError: neither layout is found.
    """
    for area, layouts in _LAYOUTS.items():
        for images, sensor, bands in layouts:
            if next(root.glob(images.format(id="*")), None) is None:
                continue
            labels = next((p for p in _LABELS[area] if next(root.glob(p.format(id="*")), None) is not None), None)
            if labels is None:
                raise DatasetError(f"{root} has {area.title()}'s pictures and no labels; expected {_LABELS[area][0]}.")
            return masks.prepare(
                root,
                output,
                images=images,
                masks=labels,
                classes=CLASSES,
                name=f"ISPRS {area.title()}",
                chip=chip,
                step=step,
                sensor=sensor,
                bands=bands,
                tested=TEST[area],
            )
    raise DatasetError(
        f"{root} holds neither Potsdam (2_Ortho_RGB/top_potsdam_2_10_RGB.tif, 5_Labels_all/top_potsdam_2_10_label.tif) "
        "nor Vaihingen (top/top_mosaic_09cm_area1.tif, gts_for_participants/top_mosaic_09cm_area1.tif)."
    )
