"""FloodNet (Rahnemoonfar et al., IEEE Access 2021) to a catalog: drone pictures after a hurricane, ten classes.

Official layout: `{train,val,test}/{split}-org-img/ID.jpg` and `{split}-label-img/ID_lab.png`, whose values are the
classes; or that of the challenge, `Train/Labeled/{Flooded,Non-Flooded}/{image,mask}`.
"""

from __future__ import annotations

from pathlib import Path

from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import masks
from rsgeo_train.prepare.scenes import LabelClass

CLASSES = tuple(
    LabelClass(name=name, color=color, value=value)
    for value, (name, color) in enumerate(
        [
            ("background", "#000000"),
            ("building, flooded", "#d7191c"),
            ("building", "#b4785a"),
            ("road, flooded", "#e07bd0"),
            ("road", "#8c8c8c"),
            ("water", "#2e86de"),
            ("tree", "#1a7a2e"),
            ("vehicle", "#ff9f1a"),
            ("pool", "#41d6d6"),
            ("grass", "#9fd86b"),
        ]
    )
)

_LAYOUTS = (
    ("*/{split}-org-img/{id}.jpg", "*/{split}-label-img/{id}_lab.png"),
    ("{split}-org-img/{id}.jpg", "{split}-label-img/{id}_lab.png"),
    ("{split}/Labeled/{place}/image/{id}.jpg", "{split}/Labeled/{place}/mask/{id}_lab.png"),
)


def prepare(root: Path, output: Path, *, chip: int | None = 512, step: int | None = None) -> Catalog:
    """The catalog of FloodNet; see `masks.prepare`.

    Args:
        root: folder of `train`, `val` and `test`.
        output: path of the catalog.
        chip: side of the chips, pixels; None takes the pictures of 4000 × 3000 whole.
        step: from one chip to the next, pixels.

    Raises:
        DatasetError: neither layout is found.
    """
    for images, labels in _LAYOUTS:
        if next(root.glob(images.format(split="*", id="*", place="*")), None) is not None:
            return masks.prepare(
                root, output, images=images, masks=labels, classes=CLASSES, name="FloodNet", chip=chip, step=step
            )
    raise DatasetError(
        f"{root} holds no FloodNet: expected train/train-org-img/10165.jpg and train/train-label-img/10165_lab.png, or "
        "Train/Labeled/Flooded/image/10165.jpg and Train/Labeled/Flooded/mask/10165_lab.png."
    )
