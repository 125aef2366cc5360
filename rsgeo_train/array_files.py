"""Images as NumPy files, one a file with channels last (`a.npy`), as METER-ML has them; read through a memory map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.errors import DatasetError


def is_array(path: str) -> bool:
    """Whether a path is an image in a NumPy file (and not one of a packed array, `a.npy!3`)."""
    return path.endswith(".npy")


def array_shape(path: str) -> tuple[int, int, int]:
    """Height, width and channels of an image; a file that is cut off is noticed without reading it.

    Raises:
        DatasetError: it cannot be read to its end, or holds no image.
    """
    height, width, channels = _mapped(path).shape
    return height, width, channels


def read_array(path: str, window: Sequence[int] | None, bands: Sequence[int] | None) -> NDArray[Any]:
    """An image's pixels, (C, H, W) in its stored dtype; of a window that alone is read.

    Args:
        path: file with (H, W, C), or (H, W) for one channel.
        window: column, row, width, height in pixels; None for the whole image.
        bands: 1-based channel numbers; None for all.

    Raises:
        DatasetError: it cannot be read, holds no image or has no such channel, or the window lies beyond it.
    """
    image = _mapped(path)
    if window is not None:
        column, row, width, height = (int(value) for value in window)
        if row + height > image.shape[0] or column + width > image.shape[1]:
            raise DatasetError(
                f"{path} has {image.shape[0]} × {image.shape[1]} pixels; the window {width} × {height} from column "
                f"{column} and row {row} lies beyond them.",
                "Prepare the catalog again.",
            )
        image = image[row : row + height, column : column + width]
    if bands is not None:
        if max(bands) > image.shape[2]:
            raise DatasetError(f"{path} has {image.shape[2]} channels, none of number {max(bands)}.")
        image = image[:, :, np.asarray(bands) - 1]
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def _mapped(path: str) -> NDArray[Any]:
    """(H, W, C), memory-mapped; nothing but its header is read."""
    try:
        image = np.load(path, mmap_mode="r")
    except (OSError, EOFError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}", "Fetch it again, or prepare the catalog again.") from None
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.dtype.kind not in "iuf":
        raise DatasetError(
            f"{path} holds {image.dtype} of shape {image.shape}; numbers of shape (height, width, channels) were "
            "expected."
        )
    return image
