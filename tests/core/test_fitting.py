"""How a model meets a scene: runs side by side as far as memory goes, and the tile that memory allows."""

from __future__ import annotations

import networks
import pytest

from rsgeo_core.fitting import choose_layout, share_threads
from rsgeo_core.request import InferRequest
from rsgeo_core.tiling import dense_layout, window_layout

GB = 1 << 30


@pytest.mark.parametrize(
    ("memory", "threads", "shared"),
    [
        (2 * GB, 1, (1, 1)),
        (2 * GB, 2, (2, 1)),
        (2 * GB, 4, (4, 1)),  # 512² pixels are a quarter of a gigabyte: six fit into three quarters of two
        (2 * GB, 12, (6, 2)),
        (GB // 4, 8, (1, 8)),
    ],
)
def test_a_thread_a_run_as_far_as_memory_goes(memory: int, threads: int, shared: tuple[int, int]) -> None:
    assert share_threads(dense_layout(512, 32, 1, 1, "exact"), 1, memory, threads) == shared


def test_windows_count_by_their_batch() -> None:
    layout = window_layout(64, 16, 32)
    assert share_threads(layout, 64, 2 * GB, 2) == (2, 1)
    assert share_threads(layout, 1024, GB, 2) == (1, 2)


def test_the_tile_follows_memory_and_halo() -> None:
    card = networks.card(halo=32)
    shape = (4000, 4000)
    tiles = [
        choose_layout(card, card.output(), InferRequest(out="m.tif", memory=memory), shape).tile
        for memory in (2 * GB, GB, GB // 4)
    ]
    assert tiles == [768, 512, 256]
    near = networks.card(halo=4)
    assert choose_layout(near, near.output(), InferRequest(out="m.tif"), shape).tile == 512
