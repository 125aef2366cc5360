"""The report of a supervised run: the held-out split scored once, floors beside it, as one HTML page and as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from rsgeo_core.card import Metric
from rsgeo_train.catalog import Catalog
from rsgeo_train.evaluate import boundaries, floors, metrics, plots, scores
from rsgeo_train.evaluate.examples import RIGHT, WRONG, answers_picture, classes_examples, of_many_places
from rsgeo_train.evaluate.files import put
from rsgeo_train.evaluate.page import Page
from rsgeo_train.label_checks import held_split
from rsgeo_train.methods.registry import Input
from rsgeo_train.recipe import Recipe
from rsgeo_train.run_data import make_data
from rsgeo_train.run_log import epoch_records
from rsgeo_train.samples import Samples, collate
from rsgeo_train.tasks.detection import DetectionTask
from rsgeo_train.tasks.supervised import SupervisedTask, count
from rsgeo_train.training import input_of

_DENSE_WORDS = "Samples drawn at random, of different places where it can be: the scene, its labels, the answer."
_CLASS_WORDS = (
    f"By class up to {RIGHT} right answers, drawn at random (green), then up to {WRONG} errors, those that the network "
    "was surest of (red): true class → answer (probability)."
)
_OBJECT_WORDS = (
    "Samples of different places where it can be, with what is found from the score of the best F1 on: green where an "
    "object is, red where none is; yellow what was missed."
)
_COLUMNS = {"f1": "F1", "iou": "IoU"}
_DRAWN = 6  # held-out samples with dense labels in the report


@dataclass(frozen=True)
class Assessment:
    """What a network reached on the held-out split: the main score first; and examples of its answers, as PNG."""

    metrics: list[Metric]
    floors: list[Metric]
    confusion: NDArray[np.int64] | None
    examples: bytes
    by_class: dict[str, Sequence[float]]


def write_report(task: SupervisedTask, recipe: Recipe, catalog: Catalog, folder: Path) -> str:
    """Score the held-out split, write `report/index.html` and `report/metrics.json`.

    The split is `test`, else `val`; a catalog without either is scored on train, and the report says so.

    Returns:
        One line that says the score.
    """
    split = held_split(catalog)
    taken = input_of("classification", recipe, catalog)
    labelled = catalog.labelled(catalog.rows(split))
    rows = _scored(task, catalog, labelled)
    held = Samples(catalog, rows, taken.bands, cache=recipe.data.cache, fills=taken.fills)
    known = _labelled(task, recipe, catalog, taken)
    train = Samples(catalog, known, taken.bands, cache=recipe.data.cache, fills=taken.fills)
    data = f"{catalog.header.name}, {split} split"
    words = _DENSE_WORDS if task.dense else _CLASS_WORDS
    if isinstance(task, DetectionTask):
        found, words = _objects(task, train, held, data), _OBJECT_WORDS
    else:
        found = _dense(task, train, held, data) if task.dense else _windows(task, train, held, data)
    report = folder / "report"
    report.mkdir(exist_ok=True)
    names = [entry.name for entry in catalog.header.classes]
    log = epoch_records(folder)
    pictures = {}
    if found.confusion is not None:
        pictures["Confusion matrix"] = plots.confusion_picture(found.confusion, names)
    if log:
        pictures["Curves"] = plots.curves_picture(log)
    best = folder / "checkpoints" / "best.ckpt"
    checkpoint = hashlib.sha256(best.read_bytes()).hexdigest() if best.is_file() else None
    scored = metrics.of_supervised(
        found.metrics,
        found.floors,
        method=folder.resolve().name,
        samples=len(held),
        facts={
            "checkpoints": [checkpoint or ""],
            "sensors": taken.bands,
            "label_fraction": recipe.data.label_fraction,
            "seeds": [recipe.seed],
        },
    )
    form = metrics.Metrics(
        catalog=catalog.header.name,
        split_by=catalog.header.split_by,
        design=f"the catalog's {split} split, scored once",
        protocols={"supervised": scored},
    )
    facts = {
        **form.model_dump(),
        "split": split,
        "classes": names,
        "metrics": [m.model_dump(exclude_none=True) for m in found.metrics],
        "floors": [m.model_dump(exclude_none=True) for m in found.floors],
        "per_class": {
            key: [None if np.isnan(v) else round(float(v), 4) for v in values] for key, values in found.by_class.items()
        },
        **({} if found.confusion is None else {"confusion": found.confusion.tolist()}),
        "sensors": taken.bands,
        "seeds": [recipe.seed],
        "label_fraction": recipe.data.label_fraction,
        "labelled_samples": len(train),
        "unlabelled_samples": len(catalog.rows(split)) - len(labelled),
        "ignored_samples": len(labelled) - len(rows),
        "selection_score": max((line["score"] for line in log), default=None),
        "checkpoint_sha256": checkpoint,
    }
    put(report / "metrics.json", json.dumps(facts, indent=1))
    _page(folder.name, facts, found, pictures, words).write(report / "index.html")
    main = found.metrics[0]
    floor = ", ".join(f"{m.name} {m.value:.4f}" for m in found.floors)
    interval = "no interval" if main.low is None else f"95 %: {main.low:.4f} to {main.high:.4f}"
    return (
        f"{main.name} {main.value:.4f} ({interval}, n = {main.n}) on {data}; "
        f"floors: {floor}; report: {report / 'index.html'}"
    )


@torch.no_grad()
def _windows(task: SupervisedTask, train: Samples, held: Samples, data: str) -> Assessment:
    parts = []
    for batch in _batches(task, held):
        some = batch.present.any(1)
        if some.any():
            shares = task.logits(batch.images[some], batch.present[some]).softmax(1)
            parts.append((batch.rows[some], batch.labels[some], shares))
    rows, truth, shares = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    confusion = count(truth, shares.argmax(1), task.classes)
    note = held.catalog.header.split_by
    main = scores.accuracy(confusion, data, note)
    f1 = Metric(name="macro F1", value=round(scores.mean_f1(confusion), 4), n=len(held), data=data)
    recalled = Metric(name="mean recall", value=round(scores.mean_recall(confusion), 4), n=len(held), data=data)
    most = floors.majority(train.labels(), held.labels(), task.classes)
    statistics = floors.image_statistics(train, held, task.classes)
    alone = [
        scores.accuracy(part, data, note, name=f"accuracy, {sensor} alone")
        for sensor, part in _each_alone(task, held).items()
    ]
    return Assessment(
        [main, f1, recalled, *alone],
        [
            scores.accuracy(most, data, name="majority class"),
            scores.accuracy(statistics, data, name="image statistics"),
        ],
        confusion,
        classes_examples(held.catalog, rows, held.bands, truth, shares),
        scores.class_scores(confusion),
    )


def _labelled(task: SupervisedTask, recipe: Recipe, catalog: Catalog, taken: Input) -> NDArray[np.int64]:
    """The rows of train whose labels the run was given: the floors are given the same ones."""
    if recipe.data.label_fraction == 1:
        return _scored(task, catalog, catalog.labelled(catalog.rows("train")))
    kind = "detection" if isinstance(task, DetectionTask) else "segmentation" if task.dense else "classification"
    data = make_data(kind, recipe, catalog, taken, processes=1)
    return _scored(task, catalog, np.unique([*data.train.rows, *data.selection.rows]))


def _scored(task: SupervisedTask, catalog: Catalog, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of labelled rows whose class is one that the task may answer."""
    if not task.ignored:
        return rows
    return rows[~np.isin(catalog.table["label"].to_numpy()[rows], task.ignored)]


def _each_alone(task: SupervisedTask, held: Samples) -> dict[str, NDArray[np.int64]]:
    """Confusion with each sensor alone, over the samples that have it; of a network of several sensors only."""
    if len(held.bands) < 2:
        return {}
    owner = np.repeat(list(held.bands), [len(names) for names in held.bands.values()])
    found = {sensor: _confusion(task, held, torch.from_numpy(owner == sensor)) for sensor in held.bands}
    return {sensor: confusion for sensor, confusion in found.items() if confusion.any()}


@torch.no_grad()
def _confusion(task: SupervisedTask, held: Samples, seen: torch.Tensor | None = None) -> NDArray[np.int64]:
    """Confusion over samples; `seen` (C,) bool says which bands may be seen, and samples without any are left out."""
    confusion = np.zeros((task.classes, task.classes), np.int64)
    for batch in _batches(task, held):
        present = batch.present if seen is None else batch.present & seen
        some = present.any(1)
        if some.any():
            answers = task.answers(batch.images[some], present[some])
            confusion += count(batch.labels[some].numpy(), answers.numpy(), task.classes)
    return confusion


def _batches(task: SupervisedTask, held: Samples) -> DataLoader:
    # Dense samples differ in size, and collating would pad them.
    return DataLoader(held, batch_size=1 if task.dense else 128, collate_fn=collate)


@torch.no_grad()
def _dense(task: SupervisedTask, train: Samples, held: Samples, data: str) -> Assessment:
    names = [entry.name for entry in held.catalog.header.classes]
    scenes = held.catalog.scenes(next(iter(held.bands)))[held.rows]
    per_scene = {scene: np.zeros((task.classes, task.classes), np.int64) for scene in dict.fromkeys(scenes)}
    outlines = {scene: np.zeros((4, task.classes), np.int64) for scene in per_scene}
    drawn = of_many_places(held.catalog, held.rows, next(iter(held.bands)), _DRAWN)
    kept = {}
    for index, scene in enumerate(scenes):
        sample = held[index]
        answer = task.answers(sample.images[None], sample.present[None])[0].numpy()
        per_scene[scene] += count(sample.labels.numpy(), answer, task.classes)
        outlines[scene] += boundaries.boundary_counts(sample.labels.numpy(), answer, task.classes)
        if index in drawn:
            kept[held.rows[index]] = answer
    stack = np.stack(list(per_scene.values()))
    confusion = stack.sum(0)
    figures = scores.map_metrics(stack, names, data, outlines=np.stack(list(outlines.values())))
    figures.append(
        Metric(
            name="pixel accuracy",
            value=round(float(np.trace(confusion) / confusion.sum()), 4),
            n=int(confusion.sum()),
            data=data,
        )
    )
    for sensor, part in _each_alone(task, held).items():
        figures.append(_mean_iou(f"mean IoU, {sensor} alone", part, data))
    some, few = floors.pixel_samples(train), floors.pixel_samples(held)
    most = floors.majority(some[1], few[1], task.classes)
    colours = floors.pixel_colours(some, few, task.classes)
    return Assessment(
        figures,
        [
            _mean_iou("majority class, mean IoU", most, data),
            _mean_iou("colour of single pixels, mean IoU", colours, data),
        ],
        confusion,
        answers_picture(held.catalog, held.bands, kept),
        scores.class_scores(confusion),
    )


def _objects(task: DetectionTask, train: Samples, held: Samples, data: str) -> Assessment:
    from rsgeo_train.evaluate.object_report import judged

    listed, floors_met, by_class, picture = judged(task, train, held, data)
    return Assessment(listed, floors_met, None, picture, by_class)


def _mean_iou(name: str, confusion: NDArray[np.int64], data: str) -> Metric:
    return Metric(
        name=name,
        value=round(float(np.nanmean(scores.class_scores(confusion)["iou"])), 4),
        n=int(confusion.sum()),
        data=data,
    )


def _page(title: str, facts: dict, found: Assessment, pictures: dict[str, bytes], words: str) -> Page:
    page = Page(title)
    chosen = facts["selection_score"]
    page.text(
        f"Scored once on the {facts['split']} split; split by: {facts['split_by']}. The epoch was chosen on "
        + (f"a part cut from train ({chosen})." if chosen is not None else "nothing.")
        + (f" {facts['label_fraction']:.3g} of the labels were used." if facts["label_fraction"] < 1 else "")
        + (f" {facts['unlabelled_samples']} of its samples have no label." if facts["unlabelled_samples"] else "")
        + (f" {facts['ignored_samples']} are of classes that are ignored." if facts["ignored_samples"] else "")
        + " Floors in grey."
    )
    listed = [*found.metrics, *found.floors]
    short = (facts["checkpoint_sha256"] or "none")[:12]
    seen = "; ".join(f"{sensor} {','.join(names)}" for sensor, names in facts["sensors"].items())
    share = f"{100 * facts['label_fraction']:g} % of the labels of train"
    page.table(
        ("score", "value", "95 % interval", "n", ""),
        [
            (
                m.name,
                f"{m.value:.4f}",
                "" if m.low is None else f"{m.low:.4f} to {m.high:.4f}",
                str(m.n or ""),
                m.note,
            )
            for m in listed
        ],
        [""] * len(found.metrics) + ["floor"] * len(found.floors),
        f"Seed {facts['seeds'][0]}, checkpoint {short}, {seen}, {share}.",
    )
    for name, png in pictures.items():
        page.picture(name, png)
    page.picture("Held-out samples", found.examples, words)
    page.heading("By class")
    columns = list(facts["per_class"])
    page.table(
        ("class", *(_COLUMNS.get(key, key) for key in columns)),
        [
            (name, *("" if (v := facts["per_class"][key][i]) is None else f"{v:.3f}" for key in columns))
            for i, name in enumerate(facts["classes"])
        ],
    )
    return page
