"""The report of a comparison of methods: findings in words, table, label-efficiency curves, t-SNE panels, cost."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsgeo_core import __version__
from rsgeo_train.catalog import Catalog
from rsgeo_train.contest import Contest
from rsgeo_train.contestants import Entrant
from rsgeo_train.cost import cost_of
from rsgeo_train.evaluate import plots
from rsgeo_train.evaluate.class_examination import Findings
from rsgeo_train.evaluate.contest_cost import cost_cells, network_cells
from rsgeo_train.evaluate.contest_findings import Standing, sentences
from rsgeo_train.evaluate.drawing import Groups, Look, groups_of, shown
from rsgeo_train.evaluate.hypercolumns import DenseFindings
from rsgeo_train.evaluate.page import Page
from rsgeo_train.evaluate.protocol import Protocol, spread_over
from rsgeo_train.evaluate.retrieval_page import add_retrieval
from rsgeo_train.evaluate.sections import (
    Pictures,
    add_differences,
    add_scores,
    add_subjects,
    share_curves,
    stated,
)
from rsgeo_train.evaluate.store import Store
from rsgeo_train.evaluate.subjects import Subject
from rsgeo_train.methods.registry import METHODS, learns_from_labels
from rsgeo_train.prepare.class_shares import class_shares
from rsgeo_train.run_log import epoch_records
from rsgeo_train.widening import WidenedSamples, shared_bands


class ContestPage:
    """Writes the page, once everything is judged.

    Args:
        contest: who took part.
        catalog: what they learned from and are judged on.
        protocol: how they are judged.
        layers: modules of the backbones that features are taken from.
        typed: the command that makes the report.
    """

    def __init__(
        self, contest: Contest, catalog: Catalog, protocol: Protocol, layers: Sequence[str], typed: str
    ) -> None:
        self.contest, self.catalog, self.protocol, self.layers, self.typed = contest, catalog, protocol, layers, typed

    def __call__(self, found: Findings | DenseFindings, subjects: Sequence[Subject], store: Store) -> None:
        """Write `index.html`, its pictures beside it."""
        methods = [subject for subject in subjects if not subject.is_floor]
        standing = Standing.of(found, [subject.name for subject in methods])
        names = ", ".join(entrant.name for entrant in self.contest.entrants)
        page = Page(f"{names} on {self.catalog.header.name}")
        save = Pictures(page, self.contest.folder)
        for words in sentences(standing, self.contest, self._apart(methods), found.informed):
            page.text(words)
        page.text(self._design(found))
        for words in found.cautions.values():
            page.text(f"{words}.")
        self._table(page, standing, subjects)
        self._curves(save, standing)
        panels, groups = self._panels(found, subjects, store)
        words = "Pooled features of the samples; of each method one seed, and of its floor." + self._colours(groups)
        save("t-SNE", plots.scatter_picture(panels, groups.numbers, groups.names, groups.colours), words)
        self._cost(page, methods)
        self._entrants(page)
        self._commands(page)
        page.heading("Every measure")
        add_scores(page, found.scores, "measure", "—")
        add_differences(page, found.differences)
        if found.retrieval:
            add_retrieval(page, save, found.retrieval, self.catalog, self.protocol)
        add_subjects(page, subjects, self.catalog)
        page.write(self.contest.folder / "index.html")

    def _apart(self, methods: Sequence[Subject]) -> dict[str, str]:
        """Subject → the method it is; of several seeds they are called otherwise."""
        return {subject.name: entrant.name for subject, entrant in zip(methods, self.contest.entrants, strict=True)}

    def _design(self, found: Findings | DenseFindings) -> str:
        if isinstance(found, Findings):
            spread = spread_over(found.places, found.unknown, found.samples)
            words = f"Frozen features ({' + '.join(self.layers) or 'pooled'})"
        else:
            spread, words = f"{found.pixels} pixels of {found.spread}", "Frozen hypercolumns, pixel by pixel"
        seeds = f"; training seeds {', '.join(map(str, self.contest.seeds))}"
        return (
            f"{words}: {spread}; judged by {found.design}{seeds}. Intervals (95 %) are over draws of whole places, not "
            f"over seeds of training. The catalog is split by: {self.catalog.header.split_by}. Floors, which have "
            "learned nothing, are grey."
        )

    def _table(self, page: Page, standing: Standing, subjects: Sequence[Subject]) -> None:
        """Methods by row, the best first, then floors."""
        floors = {name for row in standing.scores.values() for name in row} - set(standing.ranked)
        first = standing.scores[standing.main]
        order = [*standing.ranked, *sorted(floors, key=lambda name: -first[name].value if name in first else 0)]
        measures = list(standing.scores.values())
        rows = [(name, *(_together(str(row[name])) if name in row else "—" for row in measures)) for name in order]
        page.heading("Scores")
        of = "labels" if standing.is_class else "samples"
        caption = stated(subjects, self.catalog, self.protocol, of)
        head = [standing.titled(measure) for measure in standing.scores]
        page.table(("", *head), rows, ["" if name in standing.ranked else "floor" for name in order], caption)

    def _curves(self, save: Pictures, standing: Standing) -> None:
        of = "labels" if standing.is_class else "samples"
        curves = share_curves(standing.scores, self.protocol.fractions, standing.main, of)
        curves.pop("majority class", None)  # as flat as it is far below
        if not curves:
            return
        learned = [e.name for e in self.contest.entrants if learns_from_labels(e.kind)]
        words = f"What a linear probe reaches with a share of the {of} of train."
        if learned:
            words += (
                f" The encoder of {' and '.join(learned)} itself has learned from all labels of train: its curve does "
                "not say what few labels alone would give."
            )
        grey = set(curves) - set(standing.ranked)
        picture = plots.lines_picture(curves, f"share of the {of}, %", standing.told, is_log=True, grey=grey)
        save("Label efficiency", picture, words)

    def _panels(
        self, found: Findings | DenseFindings, subjects: Sequence[Subject], store: Store
    ) -> tuple[dict[str, NDArray[np.floating]], Groups]:
        """Title → the samples in the plane, of the methods and the first floor with an encoder, kept."""
        is_class = isinstance(found, Findings)
        rows = found.rows if isinstance(found, Findings) else np.arange(len(self.catalog))
        groups = groups_of(self.catalog, rows) if is_class else mostly(self.catalog, rows)
        drawn = [s for s in subjects if not s.is_floor]
        drawn += [s for s in subjects if s.is_floor and s.members[0].learner is not None][:1]
        panels = {}
        for subject in drawn:
            bands = shared_bands(self.catalog, subject.taken)

            def compute(subject: Subject = subject, bands: dict[str, list[str]] = bands) -> NDArray[np.floating]:
                if isinstance(found, Findings):
                    features = found.features[subject.name]
                else:
                    samples = WidenedSamples(self.catalog, rows, subject.taken, with_labels=False)
                    features = subject.members[0].features(samples, None)
                look = Look(subject.name, self.catalog, rows, groups, features, bands)
                return look.plane(["t-SNE"], perplexity=self.protocol.perplexity).points["t-SNE"]

            key = ["t-SNE", subject.members[0].source, self.protocol.perplexity, self.protocol.exclude]
            panels[subject.name] = store.kept(key, compute)
        return panels, groups.of(shown(len(rows)))

    def _colours(self, groups: Groups) -> str:
        if self.catalog.header.is_dense:
            return " Colours: the class that a sample has most of, against the average of all samples."
        return " Colours: classes." if groups.is_told else ""

    def _cost(self, page: Page, methods: Sequence[Subject]) -> None:
        page.heading("Cost")
        rows = []
        for entrant, subject in zip(self.contest.entrants, methods, strict=True):
            known = [cost for run in self.contest.runs_of(entrant) if (cost := cost_of(run))]
            *few, where = cost_cells(known)
            rows.append((entrant.name, *map(_together, few), where, *map(_together, network_cells(subject))))
        several = " of training, the mean over seeds" if len(self.contest.seeds) > 1 else " of training"
        page.table(
            (
                *("", "time", "samples seen", "samples/s", "peak memory", "on"),
                *("encoder, weights", "while training, weights", "encoder, MACs a sample", "features"),
            ),
            rows,
            caption=f"Time{several} and of selecting epochs, over all resumptions; what a kill undid counts once. "
            "Memory is the most that the process held, with the samples it keeps; of a GPU what was allocated there.",
        )

    def _entrants(self, page: Page) -> None:
        page.heading("What each met")
        rows = []
        for entrant in self.contest.entrants:
            runs = self.contest.runs_of(entrant)
            log = [epoch_records(run) for run in runs]
            best = [
                str(max(records, key=lambda record: record["score"])["step"]) if records else "–" for records in log
            ]
            recipe = entrant.recipe
            what = METHODS.get(entrant.kind, f"{entrant.kind} from random weights")
            rows.append(
                (
                    entrant.name,
                    what,
                    entrant.source or f"run {', '.join(map(str, runs))}",
                    recipe.encoder.name,
                    "all of train" if learns_from_labels(entrant.kind) else "none",
                    f"{recipe.trainer.max_steps or '–'} × {entrant.samples_a_step}",
                    ", ".join(best),
                    "; ".join(entrant.told) or "–",
                )
            )
        head = ("", "what", "recipe", "encoder", "labels", "steps × samples", "best at step", "changed")
        page.table(head, rows)
        for run, words in self._own_answers():
            page.text(f"{run.name} by its own answers, on the {words}.")

    def _own_answers(self) -> list[tuple[Path, str]]:
        """What networks with answers of their own reach by them."""
        found = []
        for entrant in self.contest.entrants:
            for run in self.contest.runs_of(entrant):
                path = run / "report" / "metrics.json"
                if learns_from_labels(entrant.kind) and path.is_file():
                    facts = json.loads(path.read_text())
                    main = facts["metrics"][0]
                    interval = f" [{main['low']:.3f}, {main['high']:.3f}]" if main.get("low") is not None else ""
                    found.append((run, f"{facts['split']} split: {main['name']} {main['value']:.3f}{interval}"))
        return found

    def _commands(self, page: Page) -> None:
        page.heading("How to do it again")
        page.text(f"rsgeo {__version__}. All of it; the same command goes on where it was ended:")
        page.code(self.typed)
        page.text("Each by itself, with all of its settings as they were:")
        source = shlex.quote(str(self.contest.source))
        for entrant in self.contest.entrants:
            for run in self.contest.runs_of(entrant):
                page.code(trained_by(entrant, run, source))
        page.text("Nearest neighbours, salient samples and confusions of each encoder:")
        runs = shlex.join(map(str, self.contest.runs))
        page.code(f"rsgeo-train compare {runs} --data {source} -o {shlex.quote(f'{self.contest.folder}-pictures')}")


def trained_by(entrant: Entrant, run: Path, source: str) -> str:
    """The command that trains one run again."""
    config, again = shlex.quote(str(run / "config.yaml")), shlex.quote(f"{run}-again")
    way = f"pretrain --method {entrant.kind}" if entrant.kind in METHODS else f"finetune --task {entrant.kind}"
    return f"rsgeo-train {way} --data {source} --recipe {config} -o {again}"


def mostly(catalog: Catalog, rows: NDArray[np.int64]) -> Groups:
    """Samples with maps of classes by the class that they have most of, against the average of all samples."""
    classes, shares = catalog.header.classes, class_shares(catalog, rows)
    against = shares / np.maximum(shares.mean(0), 1e-9)
    return Groups(against.argmax(1), [c.name for c in classes], [c.color for c in classes], True)


def _together(words: str) -> str:
    """Words of a cell that stay in one line, an interval in the next where there is no room."""
    return words.replace(" ", "\N{NO-BREAK SPACE}").replace("\N{NO-BREAK SPACE}[", " [")
