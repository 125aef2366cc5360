"""Run folders: made, checked before a resume, read for an export. Knows no networks."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from rsgeo_train.catalog import Catalog, digest_of_catalog, read_catalog, relative_path
from rsgeo_train.checkpoints import is_begun
from rsgeo_train.errors import RunFolderError
from rsgeo_train.methods.registry import recipe_kind
from rsgeo_train.recipe import Recipe, load_recipe, write_recipe


def open_run(folder: Path, kind: str, recipe: Recipe, source: Path | None, *, resume: bool) -> None:
    """Make the run folder with its `config.yaml`, or check that it is the run to resume."""
    config = folder / "config.yaml"
    if resume:
        if not is_begun(folder / "checkpoints"):
            raise RunFolderError(f"{folder} has no checkpoint to resume from.", "Start it without --resume.")
        before = load_recipe(config, kind=type(recipe))
        if before != recipe:
            told = difference(before.model_dump(), recipe.model_dump())
            raise RunFolderError(
                f"{folder} was started with other settings ({told}).",
                "Leave --recipe and --set out to go on with the run's own, or start a new folder.",
            )
        began = json.loads((folder / "task.json").read_text()).get("catalog_sha256")
        if source is not None and began is not None and began != digest_of_catalog(source):
            raise RunFolderError(
                f"{folder} was started on another catalog than {source} is now.",
                "Resume with the catalog it was started on, or start a new folder.",
            )
        return
    if is_begun(folder / "checkpoints"):  # without one it was not begun, whatever else is there
        raise RunFolderError(f"{folder} has a run already.", "Go on with --resume, or name another folder with -o.")
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    write_recipe(recipe, config)
    facts = {"task": kind, "catalog": None, "catalog_sha256": None}
    if source is not None:
        facts |= {"catalog": relative_path(source, config), "catalog_sha256": digest_of_catalog(source)}
    (folder / "task.json").write_text(json.dumps(facts))


def begun_with(folder: Path, recipe: str | None, *, resume: bool) -> str | None:
    """The recipe to take: what was named, else for a resume what the run was started with."""
    own = folder / "config.yaml"
    return str(own) if resume and recipe is None and own.is_file() else recipe


def read_run(run: Path, catalog: Path | None = None) -> tuple[str, Recipe, Catalog]:
    """Task, recipe and catalog of a run folder.

    Raises:
        RunFolderError: the folder is no run, or its catalog is not where it was.
    """
    kind, recipe = recipe_of(run)
    facts = json.loads((run / "task.json").read_text())
    if catalog is None and facts["catalog"] is None:
        raise RunFolderError(f"{run} does not say which catalog it was trained on.", "Give it with --data CATALOG.")
    own = run / facts["catalog"] if catalog is None else catalog
    if catalog is None and not own.exists():
        raise RunFolderError(
            f"{run} was trained on {os.path.normpath(own)}, which is not there.",
            f"Put it back, or write where it is into {run / 'task.json'}.",
        )
    return kind, recipe, read_catalog(own)


def trained_on(run: Path) -> str:
    """SHA-256 of the catalog that a run was trained on; empty where it is not known."""
    return json.loads((run / "task.json").read_text()).get("catalog_sha256") or ""


def recipe_of(run: Path) -> tuple[str, Recipe]:
    """Task and recipe of a run folder, which need no catalog.

    Raises:
        RunFolderError: the folder is no run.
    """
    try:
        kind = json.loads((run / "task.json").read_text())["task"]
    except FileNotFoundError:
        raise RunFolderError(
            f"{run} is no run folder.", "Train one with: rsgeo-train pretrain … -o RUN, or finetune"
        ) from None
    return kind, load_recipe(run / "config.yaml", kind=recipe_kind(kind))


def run_around(path: Path) -> Path | None:
    """The run folder that a path is, or that a checkpoint lies in; None where there is none."""
    run = path if path.is_dir() else path.parent.parent if path.parent.name == "checkpoints" else None
    return run if run is not None and (run / "config.yaml").is_file() else None


def difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """The settings that differ, each by its whole name."""
    old, new = _flat(before), _flat(now)
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return ", ".join(f"{key}: {old.get(key)} → {new.get(key)}" for key in keys)


def _flat(settings: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) and value else {f"{above}{key}": value}
    return found
