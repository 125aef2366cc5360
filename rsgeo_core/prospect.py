"""What a run would do, told before it is begun: model, bands, tiles, device, and about how long it takes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from rsgeo_core import targets, tiling
from rsgeo_core.bands import block_cache
from rsgeo_core.events import CancelToken, Listener, Log, Result, Stage, ignore
from rsgeo_core.pipeline import cut_windows
from rsgeo_core.preparation import Prepared, prepared
from rsgeo_core.provenance import alignment_facts
from rsgeo_core.request import InferRequest
from rsgeo_core.session import Session, greeting

_START_S = 1.0  # starting a process, loading the model, writing the file


def plan(request: InferRequest, on_event: Listener = ignore, cancel: CancelToken | None = None) -> Result:
    """Tell what a run would do; nothing is written.

    The estimate comes from running the model on one tile of the scene's middle, twice.

    Args:
        request: the run.
        on_event: called with what a run would tell too: the model chosen, bands, warnings.
        cancel: stops the estimate.

    Returns:
        A result without outputs; its figures: `model`, `bands`, `grid`, `layout`, `tiles`, `device`, `seconds`.

    Raises:
        RsgeoError: what the run would raise before its first tile.
    """
    cancel = cancel or CancelToken()
    targets.check(request)
    on_event(Stage(name="plan", index=1, count=1, weight=1.0))
    with prepared(request, on_event) as ready, block_cache():
        threads = ready.workers()[1]
        card = ready.model.card
        session = Session(
            ready.model.path, card, ready.output, request.device, threads, cancel, present=ready.scene.present
        )
        on_event(greeting(session.device))
        rows = list(tiling.plan(ready.region, ready.layout))
        tiles = [tile for row in rows for tile in row.tiles]
        tiles = [tile for tile in tiles if tile.write.height > 0 and tile.write.width > 0 and ready.wants(tile.write)]
        seconds = _model_seconds(ready, session, tiles)
        session.close()
        cells = sum(ready.wanted_cells(row.finished) for row in rows if row.finished.height)
        stats: dict[str, Any] = {
            "model": {
                "name": card.name,
                "version": card.version,
                "title": card.title,
                "path": str(ready.model.path),
                "output": ready.output.name,
                "kind": ready.output.kind,
            },
            "bands": ready.bands(),
            "lacking": ready.scene.lacking,
            "alignment": None if ready.scene.is_aligned else alignment_facts(ready.scene),
            "grid": _grid(ready),
            "layout": {
                "tile": ready.layout.tile,
                "halo": max(0, ready.layout.lead),
                "stride": ready.layout.stride,
                "blend": ready.layout.blend,
                "window": ready.layout.window,
            },
            "tiles": len(tiles),
            "cells": cells,
            "megapixels": round(cells * ready.layout.stride**2 / 1e6, 4),
            "device": session.device,
            "seconds": None if seconds is None else round(_START_S + seconds, 4),
        }
    on_event(Log(text=f"{len(tiles)} tiles on {stats['device']}."))
    result = Result(outputs=[], stats=stats, provenance={})
    on_event(result)
    return result


def _grid(ready: Prepared) -> dict[str, Any]:
    """The map's own grid."""
    grid = ready.cells.sub_grid(ready.region)
    return {
        "height": grid.height,
        "width": grid.width,
        "transform": list(grid.transform)[:6],
        "crs": grid.crs.to_string() if grid.crs is not None else None,
        "gsd": grid.gsd,
    }


def _model_seconds(ready: Prepared, session: Session, tiles: list[tiling.Tile]) -> float | None:
    """Seconds that the model takes for all tiles, with reading; None without tiles."""
    if not tiles:
        return None
    layout = ready.layout
    areas = [tile.read.height * tile.read.width for tile in tiles]
    tile = tiles[areas.index(max(areas))]
    workers = ready.workers()[0]
    spent = []
    for _ in range(2):  # the first run sets the session up
        began = time.perf_counter()
        values, _ = ready.scene.read(tile.read)
        arrays = {key: session.prepare(key, array) for key, array in values.items()}
        reading = (time.perf_counter() - began) * sum(areas) / max(areas)
        share = max(areas) / sum(areas)
        if layout.window is None:
            batch = {key: array[None] for key, array in arrays.items()}
        else:
            corner = np.array([tile.valid.top, tile.valid.left])
            cells = (np.argwhere(np.ones(tile.write.shape, bool)) + corner)[: ready.batch(session)]
            batch = {key: cut_windows(array, cells, layout.window, layout.stride) for key, array in arrays.items()}
            share = len(cells) / max(1, sum(ready.wanted_cells(each.write) for each in tiles))
        with ThreadPoolExecutor(workers) as pool:  # side by side as in a run, where they share the memory's speed
            began = time.perf_counter()
            runs = workers * (1 if layout.window is None else 3)  # a batch of windows is quick
            list(pool.map(session.answer, [batch] * runs))
            spent.append((time.perf_counter() - began) / share / runs + reading / workers)
    return min(spent)
