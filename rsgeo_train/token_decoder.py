"""From the tokens of seen patches to the pixels of all: a shallow transformer (He et al., 2022, section 3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from rsgeo_train.masking import Mask
from rsgeo_train.positions import positions


class TokenDecoder(nn.Module):
    """Tokens to the patches of one or several sensors; it is not told of which sensor the tokens are.

    Args:
        incoming: features of the encoder's tokens.
        values: per sensor that it decodes into the values of a patch.
        width: features of its own tokens.
        depth, heads: blocks, and their attention heads.
        grid: patches along a side of the images that positions are made for.
    """

    def __init__(self, incoming: int, values: Mapping[str, int], width: int, depth: int, heads: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.embedding = nn.Linear(incoming, width)
        self.missing = nn.Parameter(torch.empty(1, 1, width))
        self.blocks = nn.ModuleList(
            Block(width, heads, 4.0, qkv_bias=True, norm_layer=nn.LayerNorm) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleDict({sensor: nn.Linear(width, count) for sensor, count in values.items()})
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.missing, std=0.02)

    def forward(self, tokens: Tensor, mask: Mask, shape: tuple[int, int]) -> dict[str, Tensor]:
        """Decode.

        Args:
            tokens: (B, 1 + K, D) of the encoder, the class token first, then the seen patches.
            mask: where they belong.
            shape: rows and columns of patches, T in all.

        Returns:
            Per sensor (B, T, values of a patch).
        """
        tokens = self.embedding(tokens)
        where = positions(*shape, tokens.shape[2], self.grid).to(tokens)
        whole = torch.cat([tokens[:, :1], mask.placed(tokens[:, 1:], self.missing) + where], dim=1)
        for block in self.blocks:
            whole = block(whole)
        whole = self.norm(whole)[:, 1:]
        return {sensor: head(whole) for sensor, head in self.heads.items()}
