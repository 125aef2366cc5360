"""A detection run to one model file: boxes, scores, classes and masks of an image of any size, NMS inside the graph."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rsgeo_core.card import (
    ClassInfo,
    Context,
    Metric,
    ModelCard,
    Objects,
    Output,
    Parity,
    Provenance,
    SelfTest,
    SensorInput,
    StoredArray,
)
from rsgeo_core.detections import Detections, difference
from rsgeo_core.joining import NEAR
from rsgeo_train import onnx_graph
from rsgeo_train.card_facts import CardFacts
from rsgeo_train.catalog import Catalog
from rsgeo_train.detectors import Detector, OneImage
from rsgeo_train.errors import ExportError
from rsgeo_train.evaluate.average_precision import as_detections, best_score, matched
from rsgeo_train.export import (
    PARITY_LIMIT,
    Exported,
    card_bands,
    commit,
    graph_inputs,
    identity,
    known_facts,
    publish,
    raw_input,
    rounded_up,
    run_metrics,
    start_of,
    stretch_of,
)
from rsgeo_train.methods.registry import Input
from rsgeo_train.recipe import Recipe
from rsgeo_train.run_data import make_data
from rsgeo_train.runs import read_run
from rsgeo_train.sample_objects import Objects as Found
from rsgeo_train.sample_objects import objects_of
from rsgeo_train.samples import Samples
from rsgeo_train.settings.sensors import Stretch
from rsgeo_train.tasks.detection import DetectionTask
from rsgeo_train.training import build, input_of, load_best

_COMPARED = 24  # held-out samples that graph and network are compared on
_AGAIN = 0.9  # overlap of a box that was found again
_STORED = 8  # objects of the self-test at most
_SELFTEST_SIDE = 128
_COMMON = 95  # per cent of the training objects that a tile is sure to see whole
_SOME = 400  # training samples that their sizes are taken from

Feeds = dict[str, np.ndarray]


class _Told(nn.Module):
    """A detector that is told which bands are there, with the inputs of its graph."""

    def __init__(self, network: Detector) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> list[dict[str, Tensor]]:
        """Per sensor (1, C, H, W) in stored units, then (1, all C) of 0 and 1 → what is found."""
        *images, numbers = inputs
        return self.network(torch.cat(images, dim=1), numbers > 0.5)


def export_detector(
    run: Path,
    output: Path,
    facts: CardFacts,
    metrics: Sequence[Metric],
    weights: str,
    catalog: Path | None,
    recipe_name: str,
    tell: Callable[[str], None],
) -> Exported:
    """Export the best epoch of a detection run; arguments as for `export.export`."""
    kind, recipe, samples = read_run(run, catalog)
    taken = input_of(kind, recipe, samples)
    task = build(kind, recipe, samples, taken)
    assert isinstance(task, DetectionTask)
    load_best(task, run)
    network = task.average.module.eval()
    stretch = stretch_of(recipe, taken)
    if network.encoder.is_global or network.normalise.is_global:
        raise ExportError(
            f"{run}: its normalisation looks at the whole image, so that objects would depend on the tile.",
            "Train with a normalisation of fixed values, such as --set sensors.KEY.normalise=zscore",
        )
    names = ["boxes", "scores", "labels", *(["masks"] if recipe.method.detection.masks else [])]
    score = facts.min_score if facts.min_score is not None else _best_score(task, recipe, samples, taken)
    largest = facts.largest or _largest(samples, taken, recipe)
    halo = rounded_up(-(-largest // 2) + 2 * int(NEAR), network.multiple)
    tile = max(rounded_up(facts.tile, network.multiple), 4 * halo)
    # Quotas were set for the images of training; a tile of more ground must not have fewer objects on each acre.
    most = network.enlarge_quotas(max(1, -(-(tile**2) // (recipe.augment.crop or taken.side) ** 2)))
    final = copy.deepcopy(network)
    onnx_graph.fold_in_place(final.encoder)
    if weights == "float16":
        final = onnx_graph.rounded(final)
    before, after = (
        OneImage(_Told(one) if task.takes_missing else onnx_graph.RawInput(one, stretch), names).eval()
        for one in (network, final)
    )
    inputs = graph_inputs(taken, stretch)
    tell("exporting the graph")
    model = onnx_graph.traced_to_onnx(
        after,
        inputs={sensor: len(bands) for sensor, bands, _ in inputs},
        side=8 * network.multiple,
        outputs=names,
        takes_missing=task.takes_missing,
    )
    if weights == "float16":
        model = onnx_graph.halved(model)
    tell("comparing it with the network")
    feeds = _feeds(samples, taken, stretch, network.multiple, told=task.takes_missing)
    parity, answers = _agreement(
        model, feeds, after, before, names, weights, 2 * recipe.method.detection.least_score, score
    )
    known = known_facts(facts, samples, taken, {raw_input(taken, stretch)[0]: _batch(feeds)}, stretch)
    classes = tuple(
        ClassInfo(value=i + 1, name=entry.name, color=entry.color) for i, entry in enumerate(samples.header.classes)
    )
    config = recipe.method.detection
    card = ModelCard(
        **identity(facts, run),
        task="detection",
        inputs=tuple(
            SensorInput(
                sensor=sensor,
                bands=card_bands(sensor, bands, fills, known[sensor]),
                dtype="float32",
                gsd=known[sensor].gsd,
                gsd_range=known[sensor].gsd_range,
                tile_size=tile,
                size_multiple=network.multiple,
                dynamic_size=True,
                missing_bands="present" if task.takes_missing else "refuse",
            )
            for sensor, bands, fills in inputs
        ),
        outputs=(
            Output(
                name=names[0],
                kind="detections",
                dense=False,
                classes=classes,
                objects=Objects(
                    scores=names[1],
                    labels=names[2],
                    masks=names[3] if config.masks else None,
                    min_score=score,
                    nms=config.nms,
                    largest=largest,
                    most=most,
                ),
            ),
        ),
        # Beyond the scene it sees what it is fed where there is no data, and no mirrored halves of objects.
        context=Context(tile_invariant=False, halo=halo, border="fill"),
        provenance=Provenance(
            method=f"supervised detection from {start_of(recipe)} weights, {recipe.encoder.name}, "
            + ("Mask R-CNN" if config.masks else "Faster R-CNN"),
            recipe=recipe_name,
            data=facts.data or samples.header.name,
            split=samples.header.split_by,
            commit=commit(),
            seed=recipe.seed,
            metrics=(*run_metrics(run), *metrics),
            notes=(*facts.notes, *taken.normalisation.told),
        ),
        parity=parity,
        selftest=_selftest(model, feeds, answers, names, score),
    )
    return publish(model, card, recipe.encoder.name, final, output)


def _feeds(catalog: Catalog, taken: Input, stretch: Stretch | None, multiple: int, *, told: bool) -> list[Feeds]:
    """Held-out samples as the graph takes them, each (1, C, H, W), cut to a multiple of the network's stride."""
    rows = next(found for name in ("test", "val", "train") if len(found := catalog.rows(name)))
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(_COMPARED, len(rows))).astype(int))]
    samples = Samples(catalog, chosen, taken.bands, cache=False, with_labels=False, fills=taken.fills)
    found = []
    for number in range(len(samples)):
        sample = samples[number]
        height, width = (side // multiple * multiple for side in sample.images.shape[1:])
        if not height or not width:
            continue
        image = sample.images[:, :height, :width].numpy()[None]
        if stretch is not None:
            scale, offset = (np.array(v, np.float32)[None, :, None, None] for v in (stretch.scale, stretch.offset))
            found.append({stretch.sensor: np.round((image - offset) / scale).astype(np.float32)})
            continue
        cuts = np.cumsum([len(names) for names in taken.bands.values()])[:-1]
        feed = dict(zip(taken.bands, np.split(image, cuts, axis=1), strict=True))
        if told:
            feed[onnx_graph.PRESENT] = sample.present.float().numpy()[None]
        found.append({name: np.ascontiguousarray(values) for name, values in feed.items()})
    if not found:
        raise ExportError(f"No held-out sample has {multiple} × {multiple} pixels, so the graph cannot be checked.")
    return found


def _batch(feeds: Sequence[Feeds]) -> np.ndarray:
    """The images of the first input, cut to the smallest of them, as one batch."""
    images = [next(iter(feed.values()))[0] for feed in feeds]
    height, width = (min(image.shape[axis] for image in images) for axis in (1, 2))
    return np.stack([image[:, :height, :width] for image in images])


@torch.no_grad()
def _agreement(
    model: bytes,
    feeds: Sequence[Feeds],
    after: OneImage,
    before: OneImage,
    names: Sequence[str],
    weights: str,
    least: float,
    score: float,
) -> tuple[Parity, list[Detections]]:
    """How the graph compares with the network, and what it finds in the samples.

    Objects of a score from `least` on are compared with those of the network of the same weights, boxes as a share of
    the image's side. Of the network as trained those from `score` on are looked for again.
    """
    session = onnx_graph.open_session(model)
    answers, worst, again = [], 0.0, []
    for feed in feeds:
        answer = as_arrays(names, session.run(list(names), feed))
        side = float(max(next(iter(feed.values())).shape[-2:]))
        values = [torch.from_numpy(array) for array in feed.values()]
        same, first = (as_detections(dict(zip(names, one(*values), strict=True))) for one in (after, before))
        worst = max(worst, difference(same, answer, side, least), difference(answer, same, side, least))
        sure = first.take(first.scores >= score)
        again += matched(sure, _as_there(answer), _AGAIN).tolist()
        answers.append(answer)
    if not worst <= PARITY_LIMIT:
        raise ExportError(
            f"What the exported graph finds differs from the network by {worst:.3g}; at most {PARITY_LIMIT} was "
            "expected."
        )
    parity = Parity(
        max_abs_difference=worst,
        against="rounded",
        argmax_agreement=float(np.mean(again)) if again else None,
        samples=len(feeds),
        weights=weights,
        versions={name: version(name) for name in ("torch", "torchvision", "onnx", "onnxruntime")},
    )
    return parity, answers


def _as_there(found: Detections) -> Found:
    """What was found as what is to be found."""
    none = torch.zeros(len(found), dtype=torch.bool)
    return Found(torch.from_numpy(found.boxes), torch.from_numpy(found.labels), none[:, None, None], none)


def as_arrays(names: Sequence[str], arrays: Sequence[np.ndarray]) -> Detections:
    """The graph's outputs as detections."""
    found = dict(zip(names, arrays, strict=True))
    return Detections(found["boxes"].astype(np.float64), found["scores"], found["labels"], found.get("masks"))


def _best_score(task: DetectionTask, recipe: Recipe, catalog: Catalog, taken: Input) -> float:
    """The lowest score of the best F1 on the selection part."""
    selection = make_data("detection", recipe, catalog, taken, processes=1).selection
    found, there = [], []
    with torch.no_grad():
        for index in range(len(selection)):
            sample = selection[index]
            found += task.found(sample.images[None], sample.present[None])
            there.append(objects_of(sample.labels))
    return best_score(found, there)


def _largest(catalog: Catalog, taken: Input, recipe: Recipe) -> int:
    """The longest side of 95 % of the training objects, and no more than training ever showed whole."""
    rows = catalog.rows("train")
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(_SOME, len(rows))).astype(int))]
    samples = Samples(catalog, chosen, taken.bands, cache=False, fills=taken.fills)
    sides = []
    for index in range(len(samples)):
        boxes = objects_of(samples[index].labels).boxes
        sides += (boxes[:, 2:] - boxes[:, :2]).amax(1).tolist()
    longest = int(np.ceil(np.percentile(sides, _COMMON))) if sides else taken.side
    return max(1, min(longest, recipe.augment.crop or taken.side))


def _selftest(
    model: bytes, feeds: Sequence[Feeds], answers: Sequence[Detections], names: Sequence[str], score: float
) -> SelfTest:
    """The surest objects of a piece of the sample that has the surest one."""
    best = max(range(len(feeds)), key=lambda n: float(answers[n].scores.max(initial=0.0)))
    feed = {
        name: np.ascontiguousarray(values[..., :_SELFTEST_SIDE, :_SELFTEST_SIDE]) if values.ndim == 4 else values
        for name, values in feeds[best].items()
    }
    if len(answers[best]):
        left, top = (int(edge) // 32 * 32 for edge in answers[best].boxes[0, :2])
        shape = next(iter(feeds[best].values())).shape
        top, left = min(top, max(0, shape[2] - _SELFTEST_SIDE)), min(left, max(0, shape[3] - _SELFTEST_SIDE))
        rows, columns = slice(top, top + _SELFTEST_SIDE), slice(left, left + _SELFTEST_SIDE)
        feed = {
            name: np.ascontiguousarray(values[..., rows, columns]) if values.ndim == 4 else values
            for name, values in feeds[best].items()
        }
    found = as_arrays(names, onnx_graph.open_session(model).run(list(names), feed))
    kept = np.argsort(-found.scores, kind="stable")[:_STORED]
    sure = found.take(kept[found.scores[kept] >= min(score, float(found.scores.max(initial=0.0)))])
    arrays = {"boxes": sure.boxes.astype(np.float32), "scores": sure.scores, "labels": sure.labels}
    if sure.masks is not None:
        arrays["masks"] = sure.masks
    return SelfTest(
        inputs={name: StoredArray.from_array(v) for name, v in feed.items() if name != onnx_graph.PRESENT},
        outputs={name: StoredArray.from_array(arrays[name]) for name in names},
        tolerance=2e-2,
    )
