"""Images as square patches, row by row, and back."""

from __future__ import annotations

from torch import Tensor


def cut(images: Tensor, patch: int) -> Tensor:
    """(B, C, H, W) → patches row by row, (B, T, patch · patch · C), pixel by pixel with all bands of each."""
    count, bands, height, width = images.shape
    rows, columns = height // patch, width // patch
    parts = images.reshape(count, bands, rows, patch, columns, patch)
    return parts.permute(0, 2, 4, 3, 5, 1).reshape(count, rows * columns, patch * patch * bands)


def joined(patches: Tensor, patch: int, size: tuple[int, int]) -> Tensor:
    """The inverse of `cut`: (B, T, patch · patch · C) → (B, C, H, W) for a size of H and W."""
    rows, columns = (side // patch for side in size)
    parts = patches.reshape(len(patches), rows, columns, patch, patch, -1)
    return parts.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), parts.shape[-1], rows * patch, columns * patch)
