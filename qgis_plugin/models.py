"""Which models there are, as the worker last told, so that lists and cards are there without asking it again."""

from __future__ import annotations

import json
import os
from pathlib import Path

from .environment import places
from .worker import client

BUILT_IN = ("landcover-s2", "embed-s2", "landcover-aerial")
"""Names that every environment has; what the lists offer before the worker was ever asked."""


def listing() -> list:
    """What the worker last told: path, built_in and card of each model; empty before it was asked."""
    try:
        found = json.loads(_cache().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [item for item in found if isinstance(item, dict) and "card" in item] if isinstance(found, list) else []


def refresh(python: Path | str) -> list:
    """Ask the worker which models there are, and keep the answer.

    Raises:
        WorkerFailure: the worker cannot tell.
    """
    found = client.run(python, "models", {})["stats"]["models"]
    path = _cache()
    fresh = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(found), encoding="utf-8")
        fresh.replace(path)
    except OSError:
        return found  # a cache that cannot be written is asked for again
    return found


def names() -> list:
    """Names for lists: the user's own first."""
    told = sorted(listing(), key=lambda item: bool(item.get("built_in")))
    return [item["card"]["name"] for item in told] or list(BUILT_IN)


def card(name: str) -> dict | None:
    """The card of a model by name, as it was last told."""
    return next((item["card"] for item in listing() if item["card"].get("name") == name), None)


def _cache() -> Path:
    return places.home() / "cache" / "models.json"
