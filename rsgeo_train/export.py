"""A run to one model file: raw values in, the card and the STAC item inside, checked against the trained network."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rsgeo_core.card import (
    CardBand,
    ClassInfo,
    Context,
    Metric,
    ModelCard,
    Output,
    Parity,
    Provenance,
    SelfTest,
    SensorInput,
    StoredArray,
    Task,
)
from rsgeo_core.onnx_file import with_metadata
from rsgeo_core.sensors import REGISTRY, Band
from rsgeo_core.stac import model_item
from rsgeo_train import onnx_graph
from rsgeo_train.card_facts import CardFacts, with_ranges
from rsgeo_train.catalog import Catalog, told_names
from rsgeo_train.errors import ExportError
from rsgeo_train.export_samples import Feeds, first_whole, raw_images, spread_images, windows, with_bands_missing
from rsgeo_train.methods.registry import Input, is_method, learns_from_labels, names_classes
from rsgeo_train.probes import probe
from rsgeo_train.projection import Projected, fit_projection
from rsgeo_train.recipe import Recipe
from rsgeo_train.runs import read_run
from rsgeo_train.samples import Samples
from rsgeo_train.settings.sensors import Stretch
from rsgeo_train.tasks.network import SeveralInputs, Trunk
from rsgeo_train.tasks.supervised import SupervisedTask
from rsgeo_train.training import build, input_of, load_best

PARITY_LIMIT = 1e-4
SELFTEST_SIDE = 64
_GLOBAL = (
    "Every pixel's answer depends on the whole tile of {side} pixels around it: tiles are blended, and no overlap "
    "makes them one."
)

_UNTRIED = (
    "Training met no sample without some of its bands (method.drop was 0): where a scene lacks some, the classes are "
    "guesses."
)


@dataclass(frozen=True)
class Exported:
    """What an export wrote."""

    path: Path
    card: ModelCard
    bytes: int

    def lines(self) -> list[str]:
        """The export in words."""
        card, parity = self.card, self.card.parity
        reach = card.context.receptive_field
        first = f"{self.path}: {card.name} {card.version}, {self.bytes / 1e6:.2f} MB"
        if (found := card.outputs[0].objects) is not None:
            share = "none" if parity.argmax_agreement is None else f"{parity.argmax_agreement:.1%}"
            return [
                first,
                f"parity: the network of the same weights is {parity.max_abs_difference:.2g} off over {parity.samples} "
                f"samples; of the objects of the network as trained {share} are found again",
                f"score from {found.min_score:g}; objects up to {found.largest} px are seen whole; halo: "
                f"{card.context.halo} px",
            ]
        return [
            first,
            f"parity: the network of the same weights is at most {PARITY_LIMIT:g} off; the network as trained "
            f"{parity.max_abs_difference:.2g} over {parity.samples} samples"
            + (f", same class {parity.argmax_agreement:.2%}" if parity.argmax_agreement is not None else ""),
            f"receptive field: {'unbounded' if reach is None else f'{reach} px'}; tile-invariant: "
            f"{'yes' if card.context.tile_invariant else 'no'}; recommended halo: {card.context.halo} px",
        ]


def export(
    run: Path,
    output: Path,
    *,
    facts: CardFacts | None = None,
    metrics: Sequence[Metric] = (),
    embedding: int | None = None,
    taps: Sequence[str] = (),
    sensors: Sequence[str] = (),
    parts: bool = False,
    weights: str = "float16",
    catalog: Path | None = None,
    recipe_name: str = "",
    tell: Callable[[str], None] = print,
) -> Exported:
    """Export the best epoch of a run.

    Args:
        run: the run folder.
        output: the `.onnx` file; appears only when whole and checked.
        facts: name, licence and the like; the run's name where left out.
        metrics: further scores for the card.
        embedding: export the encoder with a projection to that many dimensions instead of the classes.
        taps: modules of a self-supervised encoder whose maps are outputs too; see `taps`.
        sensors: export the part of a self-supervised encoder that is for these sensors; all where empty.
        parts: give what each sensor says by itself beside what all say; see `parts_export`.
        weights: how weights are stored, `float16` or `float32`; the graph computes in float32.
        catalog: the catalog, where the run's own is not to be used.
        recipe_name: the recipe's name for the card.
        tell: takes lines of progress.

    Raises:
        RunFolderError: no finished run.
        ExportError: the graph does not equal the network within 1e-4.
    """
    facts = facts or CardFacts()
    kind, recipe, samples_catalog = read_run(run, catalog)
    if parts:
        from rsgeo_train.parts_export import export_parts

        if given := [
            f"--{name}" for name, value in (("embedding", embedding), ("tap", taps), ("sensor", sensors)) if value
        ]:
            raise ExportError(f"--parts gives every sensor's features as they are; {given[0]} cannot be given too.")
        return export_parts(run, output, facts, metrics, weights, catalog, recipe_name, tell)
    if is_method(kind) and not learns_from_labels(kind):
        from rsgeo_train.fusion_export import export_fusion

        return export_fusion(run, output, facts, metrics, embedding, taps, sensors, weights, catalog, recipe_name, tell)
    if taps:
        raise ExportError(f"--tap {taps[0]}: {run} is a {kind} run; taps are of self-supervised runs.")
    if sensors:
        raise ExportError(f"--sensor {sensors[0]}: {run} is a {kind} run; a part is exported of self-supervised runs.")
    if kind == "detection":
        from rsgeo_train.detection_export import export_detector

        if embedding:
            raise ExportError(
                f"--embedding: {run} is a detection run, which has no pooled features.",
                "Export the run that its encoder came from.",
            )
        return export_detector(run, output, facts, metrics, weights, catalog, recipe_name, tell)
    if not names_classes(kind, recipe) and not embedding:
        raise ExportError(
            f"{run} has learned no classes (method.cross_delta was 0).",
            "Export its features: --embedding 64, or --parts",
        )
    taken = input_of(kind, recipe, samples_catalog)
    task = build(kind, recipe, samples_catalog, taken)
    assert isinstance(task, SupervisedTask)
    if task.takes_missing and embedding:
        from rsgeo_train.fusion_export import export_fusion

        return export_fusion(run, output, facts, metrics, embedding, (), (), weights, catalog, recipe_name, tell)
    load_best(task, run)
    network = task.average.module.eval()
    stretch = stretch_of(recipe, taken)
    if task.takes_missing:
        feeds = with_bands_missing(samples_catalog, taken)
        facts = cautious(facts, recipe, samples_catalog, taken)
    else:
        feeds = {raw_input(taken, stretch)[0]: raw_images(samples_catalog, taken, stretch)}
    notes = [*facts.notes, *taken.normalisation.told]
    if embedding:
        projection, note = fit_projection(network, recipe, samples_catalog, taken, embedding, tell)
        network, notes = Projected(network, projection).eval(), [*notes, note]
    else:
        facts = limited(facts, recipe)
    task_kind: Task = "segmentation" if kind == "segmentation" else "classification"  # labelled methods classify
    dense = task_kind == "segmentation" and not embedding
    multiple = getattr(network, "multiple", 1)
    name = "embedding" if embedding else "logits"
    height, width = next(iter(feeds.values())).shape[-2:]
    side = SELFTEST_SIDE * 2 if dense else width
    is_fixed = dense and network.is_global
    if is_fixed:
        side = (recipe.augment.crop or min(height, width)) // multiple * multiple
        if not side:
            raise ExportError(f"Samples of this run are smaller than a patch of {multiple} pixels.")
        height = width = side
        facts = facts.model_copy(update={"tile": side, "cautions": [*facts.cautions, _GLOBAL.format(side=side)]})
        seeing = recipe.encoder.name if network.encoder.is_global else recipe.method.decoder
        if network.normalise.is_global:
            seeing = "the normalisation by each image's own values"
        tell(f"{seeing} sees the whole tile at once: the model takes tiles of {side} pixels alone")
    known = known_facts(facts, samples_catalog, taken, feeds, stretch)
    feeds = windows(feeds, height - height % multiple, width - width % multiple)
    whole = onnx_graph.RawInput(network, stretch).eval()
    original, folded = whole, onnx_graph.folded(whole)
    final = folded
    if task.takes_missing:
        told = network.encoder.takes_present
        original = SeveralInputs(network.normalise, Trunk(network), takes_present=told).eval()
        final = SeveralInputs(network.normalise, onnx_graph.folded(Trunk(network)), takes_present=told).eval()
    if weights == "float16":
        final = onnx_graph.rounded(final)
    tell("exporting the graph")
    model = onnx_graph.to_onnx(
        final,
        inputs={key: values.shape[1] for key, values in feeds.items() if key != onnx_graph.PRESENT},
        side=side,
        output=name,
        dynamic_size=dense and not is_fixed,
        multiple=multiple,
        takes_missing=task.takes_missing,
    )
    if weights == "float16":
        model = onnx_graph.halved(model)
    parity = agreement(model, feeds, final, original, weights, classes=not embedding)
    stride = next(iter(known.values())).stride or side
    context = (
        Context(tile_invariant=False, halo=min(rounded_up(side // 8, multiple), (side - 1) // 2 // multiple * multiple))
        if is_fixed
        else _context(folded, len(taken.normalisation), multiple, facts, tell)
        if dense
        else Context(receptive_field=side // 2, tile_invariant=True, halo=max(0, (side - stride) // 2))
    )
    card = ModelCard(
        **identity(facts, run),
        task="embedding" if embedding else task_kind,
        inputs=tuple(
            SensorInput(
                sensor=sensor,
                bands=card_bands(sensor, bands, fills, known[sensor]),
                dtype="float32",
                gsd=known[sensor].gsd,
                gsd_range=known[sensor].gsd_range,
                tile_size=facts.tile if dense else side,
                size_multiple=multiple if dense else 1,
                dynamic_size=dense and not is_fixed,
                missing_bands="present" if task.takes_missing else "refuse",
            )
            for sensor, bands, fills in graph_inputs(taken, stretch)
        ),
        outputs=(card_output(name, samples_catalog, facts, side, embedding, dense=dense),),
        context=context,
        provenance=Provenance(
            method=f"supervised {kind} from {start_of(recipe)} weights, {architecture(kind, recipe)}",
            recipe=recipe_name,
            data=facts.data or samples_catalog.header.name,
            split=samples_catalog.header.split_by,
            commit=commit(),
            seed=recipe.seed,
            metrics=(*([] if embedding else run_metrics(run)), *metrics),
            notes=tuple(notes),
        ),
        parity=parity,
        selftest=_selftest(model, feeds, name, side if is_fixed else multiple, dense=dense),
    )
    return publish(model, card, recipe.encoder.name, final, output)


def identity(facts: CardFacts, run: Path) -> dict[str, Any]:
    """What a card says of its model that only people know."""
    return {
        "name": facts.name or _plain(run.name),
        "version": facts.version,
        "title": facts.title,
        "license": facts.license,
        "description": facts.description,
        "citation": facts.citation,
        "experimental": facts.experimental,
        "cautions": tuple(facts.cautions),
    }


def publish(model: bytes, card: ModelCard, architecture: str, network: nn.Module, output: Path) -> Exported:
    """Put card and STAC item into a model and write it; the file appears when it is whole."""
    parameters = sum(p.numel() for p in network.parameters())
    item = model_item(card, architecture=architecture, parameters=parameters)
    data = with_metadata(model, card.metadata(item))
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh = output.with_name(output.name + ".part")
    fresh.write_bytes(data)
    fresh.replace(output)
    return Exported(output, card, len(data))


def read_metrics(paths: Sequence[Path]) -> list[Metric]:
    """Scores from JSON files: a list of {name, value, low, high, n, data, note}, or `{"metrics": [...]}`.

    Raises:
        ExportError: not such a list.
    """
    found: list[Metric] = []
    for path in paths:
        try:
            content = json.loads(path.read_text())
            listed = content["metrics"] if isinstance(content, dict) else content
            found += [Metric.model_validate(item) for item in listed]
        except (ValueError, KeyError, TypeError) as error:
            raise ExportError(f"{path} holds no list of metrics: {error}") from None
    return found


def commit() -> str:
    """The commit of the checkout that exports, with `+` where files differ from it; empty outside one."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return ""
    try:
        words = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in name.lower()).strip("-._") or "model"


@torch.no_grad()
def agreement(
    model: bytes,
    feeds: Mapping[str, NDArray[np.float32]],
    network: nn.Module,
    original: nn.Module,
    weights: str,
    *,
    classes: bool,
    output: str | None = None,
) -> Parity:
    """How the graph's answers compare with the network's on raw values.

    Args:
        model: the graph.
        feeds: values by input name, in the network's order.
        network: what was exported, with its weights as they are stored.
        original: the network as trained.
        weights: how they are stored.
        classes: whether the outputs are scores of classes.
        output: which output of the graph, by default the first; the networks give this one alone.

    Raises:
        ExportError: graph and network differ by more than 1e-4.
    """
    answers, values = onnx_graph.run(model, feeds, output=output), [torch.from_numpy(v) for v in feeds.values()]
    off = _apart(answers, network(*values).numpy())
    if not off <= PARITY_LIMIT:
        raise ExportError(
            f"The exported graph differs from the network by {off:.3g}; at most {PARITY_LIMIT} was expected."
        )
    trained = original(*values).numpy()
    same = float((answers.argmax(1) == trained.argmax(1)).mean()) if classes else None
    return Parity(
        max_abs_difference=_apart(answers, trained),
        against="trained",
        argmax_agreement=same,
        samples=len(answers),
        weights=weights,
        versions={name: version(name) for name in ("torch", "onnx", "onnxruntime")},
    )


def _apart(answers: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """The largest difference; none where neither says anything (NaN), infinite where only one does."""
    nothing = np.isnan(answers)
    if not np.array_equal(nothing, np.isnan(others)):
        return float("inf")
    return float(np.abs(answers - others)[~nothing].max(initial=0))


def rounded_up(pixels: int, multiple: int) -> int:
    """The next multiple."""
    return -(-pixels // multiple) * multiple


def start_of(recipe: Recipe) -> str:
    """Where the first weights came from, without anybody's folders."""
    init = recipe.encoder.init
    return init if init in ("random", "pretrained") else f"{Path(init).name}'s"


def architecture(kind: str, recipe: Recipe) -> str:
    """The encoder, and a task's decoder, in words."""
    return recipe.encoder.name + (f", {recipe.method.decoder}" if kind == "segmentation" else "")


def _context(network: nn.Module, bands: int, multiple: int, facts: CardFacts, tell: Callable[[str], None]) -> Context:
    tell("probing the receptive field")
    reach = probe(network, bands, multiple)
    halo = rounded_up(facts.tile // 8 if reach.radius is None else reach.radius, multiple)
    return Context(receptive_field=reach.radius, tile_invariant=reach.tile_invariant, halo=halo)


def stretch_of(recipe: Recipe, taken: Input) -> Stretch | None:
    """What makes the only sensor's values from another's raw ones."""
    return next((block.made_from for key in taken.bands if (block := recipe.sensors.get(key))), None)


def raw_input(taken: Input, stretch: Stretch | None) -> tuple[str, list[str]]:
    """The sensor and the bands whose values the graph of a single sensor takes."""
    return (stretch.sensor, stretch.bands) if stretch else next(iter(taken.bands.items()))


def graph_inputs(taken: Input, stretch: Stretch | None) -> list[tuple[str, list[str], list[float]]]:
    """Per input of the graph its sensor, its bands and what they are fed where there is no data."""
    if stretch is None:
        return [(sensor, names, taken.fills[sensor]) for sensor, names in taken.bands.items()]
    (zeros,) = taken.fills.values()
    fills = [(m - o) / k for m, o, k in zip(zeros, stretch.offset, stretch.scale, strict=True)]
    return [(*raw_input(taken, stretch), fills)]


def known_facts(
    facts: CardFacts, catalog: Catalog, taken: Input, feeds: Feeds, stretch: Stretch | None
) -> dict[str, Any]:
    """Per input of the graph its facts, with resolution and range of values."""
    found = {}
    for sensor, (key, _, _) in zip(taken.bands, graph_inputs(taken, stretch), strict=True):
        stored = catalog.header.sensors[sensor]
        if stretch:
            images = list(feeds[key])
            images = images[:-1] or images  # the last one is beyond the range
        else:
            images = spread_images(catalog, sensor, taken.bands[sensor])
        found[key] = with_ranges(facts, key, stored.gsd, images, None if stretch else stored.dtype)
    return found


def limited(facts: CardFacts, recipe: Recipe) -> CardFacts:
    """A caution more where classes are listed that are never an answer."""
    if not (ignored := getattr(recipe.method, "ignore", [])):
        return facts
    never = f"Never answers {told_names(ignored)}: no such sample was in training or in a score (method.ignore)."
    return facts.model_copy(update={"cautions": [*facts.cautions, never]})


def cautious(facts: CardFacts, recipe: Recipe, catalog: Catalog, taken: Input) -> CardFacts:
    """A caution more where training met no sample without some of its bands."""
    train = Samples(catalog, catalog.rows("train"), taken.bands, cache=False, with_labels=False)
    if getattr(recipe.method, "drop", 0) or not train.has_sensors().all():
        return facts
    return facts.model_copy(update={"cautions": [*facts.cautions, _UNTRIED]})


def card_bands(sensor: str, names: Sequence[str], fills: Sequence[float], facts: CardFacts) -> tuple[CardBand, ...]:
    """The bands of a card's input: what the registry knows of them, and what is fed where there is no data."""
    known = [REGISTRY[sensor].band(name) if sensor in REGISTRY else Band(name=name) for name in names]
    return tuple(
        CardBand(**band.model_dump(), fill=round(float(fill), 4), typical_top=facts.typical_top)
        for band, fill in zip(known, fills, strict=True)
    )


def card_output(
    name: str, catalog: Catalog, facts: CardFacts, side: int, embedding: int | None, *, dense: bool
) -> Output:
    """A card's output: an embedding of that many dimensions, or scores of the catalog's classes."""
    if embedding:
        return Output(name=name, kind="embedding", dense=False, stride=facts.stride or side, dimension=embedding)
    classes = tuple(
        ClassInfo(value=i + 1, name=entry.name, color=entry.color) for i, entry in enumerate(catalog.header.classes)
    )
    return Output(name=name, kind="logits", dense=dense, stride=1 if dense else facts.stride or side, classes=classes)


def run_metrics(run: Path) -> list[Metric]:
    """The scores of a run's own report; none without one."""
    path = run / "report" / "metrics.json"
    return read_metrics([path]) if path.is_file() else []


def _selftest(model: bytes, feeds: Feeds, output: str, multiple: int, *, dense: bool) -> SelfTest:
    side = max(SELFTEST_SIDE, multiple)
    first = first_whole(windows(feeds, side, side) if dense else feeds)
    answer = onnx_graph.run(model, first)
    return SelfTest(
        inputs={key: StoredArray.from_array(v) for key, v in first.items() if key != onnx_graph.PRESENT},
        outputs={output: StoredArray.from_array(answer.astype(np.float16).astype(np.float32) if dense else answer)},
        tolerance=2e-2 if dense else 1e-3,
    )
