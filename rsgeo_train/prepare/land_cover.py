"""The simplified land cover of DFC2020 and SEN12MS: ten classes, or the eight that are scored, of two kinds of maps.

High-resolution maps (`dfc`) hold the ten classes by number, those of SEN12MS (`lc`) the 17 of IGBP in their first band.
Sources: Robinson et al., Global Land Cover Mapping With Weak Supervision: Outcome of the 2020 IEEE GRSS Data Fusion
Contest, 2021 (classes, those left out); Schmitt et al., SEN12MS, 2019 (IGBP).
"""

from __future__ import annotations

from rsgeo_train.catalog import CatalogClass

_CLASSES = (
    ("Forest", "#009900", (1, 2, 3, 4, 5)),
    ("Shrubland", "#c6b044", (6, 7)),
    ("Savanna", "#fbff13", (8, 9)),
    ("Grassland", "#b6ff05", (10,)),
    ("Wetlands", "#27ff87", (11,)),
    ("Croplands", "#c24f44", (12, 14)),
    ("Urban/Built-up", "#a5a5a5", (13,)),
    ("Snow/Ice", "#69fff8", (15,)),
    ("Barren", "#f9ffa4", (16,)),
    ("Water", "#1c0dff", (17,)),
)
"""Name, colour and IGBP classes of the ten, in the order of their numbers in `dfc` maps, from 1."""

UNSCORED = ("Savanna", "Snow/Ice")
"""Classes that the eight leave out: their pixels have no class."""


def classes_of(kind: str, count: int) -> list[CatalogClass]:
    """The classes of a map with the values that stand for them.

    Args:
        kind: `dfc` or `lc`.
        count: 10 or 8.
    """
    return [
        CatalogClass(name=name, color=color, value=str(number) if kind == "dfc" else ",".join(map(str, igbp)))
        for number, (name, color, igbp) in enumerate(_CLASSES, 1)
        if count == 10 or name not in UNSCORED
    ]
