"""FloodNet (Rahnemoonfar et al., IEEE Access 2021) to a catalog: drone pictures after a hurricane, ten classes.

Official layout: `{train,val,test}/{split}-org-img/ID.jpg` and `{split}-label-img/ID_lab.png`, whose values are the
classes; or that of the challenge, `Train/Labeled/{Flooded,Non-Flooded}/{image,mask}`, which has no other labels.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    ("{split}/Labeled/{kind}/image/{id}.jpg", "{split}/Labeled/{kind}/mask/{id}_lab.png"),
)


def prepare(
    root: Path,
    output: Path,
    *,
    chip: int | None = 512,
    step: int | None = None,
    seed: int = 0,
    held_out: Sequence[str] = (),
) -> Catalog:
    """The catalog of FloodNet; see `masks.prepare`.

    Args:
        root: folder of `train`, `val` and `test`.
        output: path of the catalog.
        chip: side of the chips, pixels; None takes the pictures of 4000 × 3000 whole.
        step: from one chip to the next, pixels.
        seed: of the split, where there are labels for train alone, as in the challenge: whole pictures, flooded and
            other ones alike.
        held_out: names of the pictures that are held out then.

    Raises:
        DatasetError: neither layout is found, or there is no picture to hold out.
    """
    for images, labels in _LAYOUTS:
        if next(root.glob(images.format(split="*", id="*", kind="*")), None) is not None:
            return masks.prepare(
                root,
                output,
                images=images,
                masks=labels,
                classes=CLASSES,
                name="FloodNet",
                chip=chip,
                step=step,
                seed=seed,
                held_out=held_out,
            )
    raise DatasetError(
        f"{root} holds no FloodNet: expected train/train-org-img/10165.jpg and train/train-label-img/10165_lab.png, or "
        "Train/Labeled/Flooded/image/10165.jpg and Train/Labeled/Flooded/mask/10165_lab.png."
    )
