"""Methods trained under one budget, one after the other; the same call goes on where it ended.

A folder holds `contest.yaml`, what was asked, and `runs/METHOD`, or `runs/METHOD-SEED` of several seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from rsgeo_core.errors import Cancelled
from rsgeo_core.events import CancelToken, Listener, ignore
from rsgeo_train.catalog import Catalog, digest_of_catalog, relative_path
from rsgeo_train.checkpoints import is_begun
from rsgeo_train.contestants import Entrant
from rsgeo_train.cost import cost_of
from rsgeo_train.errors import RunFolderError
from rsgeo_train.evaluate.report import write_report
from rsgeo_train.methods.registry import names_classes
from rsgeo_train.runs import difference
from rsgeo_train.tasks.supervised import SupervisedTask
from rsgeo_train.training import train

FILE = "contest.yaml"


@dataclass(frozen=True)
class Contest:
    """A comparison of methods.

    Attributes:
        folder: of the comparison.
        source: the catalog's file.
        entrants: who takes part.
        seeds: of the training, the same for all.
        budget: samples that every method may see.
        judged: how they are judged: settings of the protocol, layers, seeds of the floors.
    """

    folder: Path
    source: Path
    entrants: tuple[Entrant, ...]
    seeds: tuple[int, ...]
    budget: int
    judged: dict[str, Any]

    def runs_of(self, entrant: Entrant) -> list[Path]:
        """The run folders of a method, one a seed."""
        if entrant.runs:
            return list(entrant.runs)
        names = [f"{entrant.name}-{seed}" for seed in self.seeds] if len(self.seeds) > 1 else [entrant.name]
        return [self.folder / "runs" / name for name in names]

    @property
    def runs(self) -> list[Path]:
        """All run folders."""
        return [run for entrant in self.entrants for run in self.runs_of(entrant)]

    def request(self) -> dict[str, Any]:
        """All that was asked, as `contest.yaml` keeps it."""
        place = self.folder / FILE
        methods: dict[str, Any] = {}
        for entrant in self.entrants:
            if entrant.runs:
                methods[entrant.name] = {"from": [relative_path(run, place) for run in entrant.runs]}
            else:
                settings = entrant.recipe.model_dump(mode="json", exclude={"seed"})
                methods[entrant.name] = {"recipe": entrant.source, "settings": settings}
        return {
            "catalog": relative_path(self.source, place),
            "catalog_sha256": digest_of_catalog(self.source),
            "budget": self.budget,
            "seeds": list(self.seeds),
            "judged": self.judged,
            "methods": methods,
        }


def hold(contest: Contest) -> bool:
    """Write what was asked, or check that the folder was begun with the same.

    Returns:
        Whether it was begun before.

    Raises:
        RunFolderError: it was begun with something else, or is something else.
    """
    path, now = contest.folder / FILE, contest.request()
    if not path.is_file():
        if (contest.folder / "checkpoints").exists():
            raise RunFolderError(f"{contest.folder} is a run folder.", "Name another folder with -o.")
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".part")
        fresh.write_text(yaml.safe_dump(now, sort_keys=False))
        fresh.replace(path)
        return False
    before = yaml.safe_load(path.read_text())
    if told := _asked_otherwise(before, now):
        first = contest.entrants[0].name
        raise RunFolderError(
            f"{contest.folder} was begun with another request ({told}).",
            "Ask the same to go on, or name another folder with -o; what is trained need not be trained again: "
            f"--from {first}={contest.folder / 'runs' / first}",
        )
    return True


def _asked_otherwise(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What was asked otherwise, for people; the same catalog may lie elsewhere, and methods of one alone say enough."""
    parts = ["another catalog"] if before["catalog_sha256"] != now["catalog_sha256"] else []
    names = [list(asked["methods"]) for asked in (before, now)]
    if names[0] != names[1]:
        parts.append(f"methods: {', '.join(names[0])} → {', '.join(names[1])}")
    both = [name for name in names[0] if name in names[1]]
    own = {"catalog": None, "catalog_sha256": None}
    asked = [{**each, **own, "methods": {name: each["methods"][name] for name in both}} for each in (before, now)]
    return "; ".join(filter(None, [*parts, difference(*asked)]))


def train_all(
    contest: Contest,
    catalog: Catalog,
    *,
    tell: Callable[[str], None] = print,
    on_event: Listener = ignore,
    cancel: CancelToken | None = None,
) -> None:
    """Train what is not trained yet; a run that was cut short goes on from its newest checkpoint.

    Raises:
        Cancelled: `cancel` asked for it; the same call goes on.
        RsgeoError: see `training.train`.
    """
    cancel = cancel or CancelToken()
    threads = torch.get_num_threads()
    todo = [entrant for entrant in contest.entrants if not entrant.runs]
    for number, entrant in enumerate(todo, 1):
        for line in entrant.told:
            tell(f"{entrant.name}: {line}")
        for seed, run in zip(contest.seeds, contest.runs_of(entrant), strict=True):
            title = f"{entrant.name} ({number} of {len(todo)}), seed {seed}"
            if _is_done(entrant, run):
                tell(f"{title}: trained already")
                continue
            tell(f"{title}: {entrant.recipe.trainer.max_steps} steps of {entrant.samples_a_step} samples → {run}")
            torch.set_num_threads(threads)  # a recipe may have set its own
            try:
                _train(entrant, seed, catalog, contest.source, run, tell, on_event, cancel)
            except Cancelled as error:
                raise Cancelled(str(error.args[0]), "Go on with the same command.") from None
    torch.set_num_threads(threads)


def _train(
    entrant: Entrant,
    seed: int,
    catalog: Catalog,
    source: Path,
    run: Path,
    tell: Callable[[str], None],
    on_event: Listener,
    cancel: CancelToken,
) -> None:
    """Train a run, or what is left of it; what learned from labels is scored by its own answers too."""
    learner = train(
        entrant.kind,
        entrant.seeded(seed),
        catalog,
        run,
        resume=is_begun(run / "checkpoints"),
        tell=tell,
        source=source,
        on_event=on_event,
        cancel=cancel,
    )
    if isinstance(learner, SupervisedTask) and names_classes(entrant.kind, entrant.recipe):
        tell(write_report(learner, entrant.seeded(seed), catalog, run))


def _is_done(entrant: Entrant, run: Path) -> bool:
    cost = cost_of(run)
    reported = not names_classes(entrant.kind, entrant.recipe) or (run / "report" / "index.html").is_file()
    return cost is not None and cost.is_whole and reported
