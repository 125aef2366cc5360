"""A run over several bands or sensors to one model file that takes missing bands: an embedding, or a task's classes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from rsgeo_core.card import Context, Metric, ModelCard, Output, Parity, Provenance, SelfTest, SensorInput, StoredArray
from rsgeo_train import onnx_graph, taps
from rsgeo_train.card_facts import CardFacts, with_ranges
from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import ExportError
from rsgeo_train.evaluate.features import pooled
from rsgeo_train.export import Exported, agreement, card_bands, commit, identity, publish
from rsgeo_train.export_samples import first_whole, spread_images, windows, with_bands_missing
from rsgeo_train.fusion import FusionEmbedding, FusionEncoder, OneOutput
from rsgeo_train.methods.registry import Input, learns_from_labels
from rsgeo_train.projection import as_linear, principal_axes
from rsgeo_train.runs import read_run
from rsgeo_train.samples import Samples, has_any
from rsgeo_train.tasks.network import PooledEncoder
from rsgeo_train.training import build, input_of, load_best

POOLED = "embedding"
"""Name of the output of pooled features."""


def export_fusion(
    run: Path,
    output: Path,
    facts: CardFacts,
    metrics: Sequence[Metric],
    dimension: int | None,
    tapped: Sequence[str],
    sensors: Sequence[str],
    weights: str,
    catalog: Path | None,
    recipe_name: str,
    tell: Callable[[str], None],
) -> Exported:
    """Export the encoder of a run: one input per sensor and `present`, an embedding out and maps of `tapped` modules.

    See `export.export`. With maps, height and width may vary, where the backbone is convolutional; with `sensors` the
    file is for these alone.
    """
    kind, recipe, samples_catalog = read_run(run, catalog)
    taken = input_of(kind, recipe, samples_catalog)
    task = build(kind, recipe, samples_catalog, taken)
    load_best(task, run)
    network = task.average.module.eval()
    encoder = PooledEncoder(network) if learns_from_labels(kind) else network.encoder
    if sensors:
        taken = taken.only(sensors)
        encoder = encoder.only(taken)
    if dimension and dimension > encoder.width:
        raise ExportError(f"--embedding {dimension}: the encoder has {encoder.width} features.")
    found = taps.measured(encoder, tapped)
    multiple = taps.size_multiple(encoder, found)
    is_fixed = not found or encoder.is_global
    side = taken.side // multiple * multiple if found else taken.side
    if not side:
        raise ExportError(f"The samples of this run have {taken.side} pixels, less than a cell of {multiple}.")
    original, dimensions, told = _network(encoder, found, samples_catalog, taken, dimension, multiple)
    final = copy.deepcopy(original)
    backbone = final.encoder.backbone
    onnx_graph.fold_in_place(backbone, [backbone.path_of(name) for name in tapped])
    if weights == "float16":
        final = onnx_graph.rounded(final)
    sizes = {sensor: len(names) for sensor, names in taken.bands.items()}
    tell("exporting the graph")
    model = onnx_graph.to_onnx(
        final,
        inputs=sizes,
        side=side,
        output=list(dimensions),
        dynamic_size=not is_fixed,
        multiple=multiple,
        takes_missing=True,
    )
    if weights == "float16":
        model = onnx_graph.halved(model)
    feeds = windows(with_bands_missing(samples_catalog, taken), side, side)
    stride = facts.stride or taken.side
    context = (
        taps.context_of(final, list(sizes.values()), found, multiple, side, tell)
        if found
        else Context(receptive_field=side // 2, tile_invariant=True, halo=max(0, (side - stride) // 2))
    )
    card = ModelCard(
        **identity(facts, run),
        task="embedding",
        inputs=sensor_inputs(facts, samples_catalog, taken, side, multiple, dynamic_size=not is_fixed),
        outputs=(
            Output(name=POOLED, kind="embedding", dense=False, stride=stride, dimension=dimensions[POOLED]),
            *(
                Output(name=tap.name, kind="embedding", dense=True, stride=tap.stride, dimension=dimensions[tap.name])
                for tap in found
            ),
        ),
        context=context,
        provenance=Provenance(
            method=f"{kind}, {recipe.encoder.name}",
            recipe=recipe_name,
            data=facts.data or samples_catalog.header.name,
            split=samples_catalog.header.split_by,
            commit=commit(),
            seed=recipe.seed,
            metrics=tuple(metrics),
            notes=(*facts.notes, *taken.normalisation.told, *told),
        ),
        parity=worst_parity(model, feeds, final, original, weights, list(dimensions)),
        selftest=whole_selftest(model, feeds, list(sizes), list(dimensions)),
    )
    return publish(model, card, recipe.encoder.name, final, output)


def _network(
    encoder: FusionEncoder | PooledEncoder,
    found: Sequence[taps.Tap],
    catalog: Catalog,
    taken: Input,
    dimension: int | None,
    multiple: int,
) -> tuple[FusionEmbedding, dict[str, int], list[str]]:
    """The network with its projections, the dimensions of its outputs by name, and what the card says of them."""
    if not dimension:
        network = FusionEmbedding(encoder, None, dict.fromkeys(tap.name for tap in found))
        return network.eval(), {POOLED: encoder.width, **{tap.name: tap.channels for tap in found}}, []
    rows = catalog.rows("train")
    train = Samples(
        catalog, rows[has_any(catalog, rows, taken.bands)], taken.bands, with_labels=False, fills=taken.fills
    )
    features = pooled(encoder, train)
    basis, variances = principal_axes(features, dimension)
    share = float(variances.sum() / np.maximum(features.var(0, ddof=1).sum(), 1e-12))
    told = [f"projection: PCA of {encoder.width} features of the train split, {share:.1%} of their variance"]
    layers, dimensions = {}, {POOLED: dimension}
    for tap in found:
        layers[tap.name], dimensions[tap.name], note = taps.fitted(encoder, tap, train, dimension, multiple)
        told += [note] if note else []
    return FusionEmbedding(encoder, as_linear(basis, features.mean(0)), layers).eval(), dimensions, told


def sensor_inputs(
    facts: CardFacts, catalog: Catalog, taken: Input, side: int, multiple: int, *, dynamic_size: bool
) -> tuple[SensorInput, ...]:
    """A card's inputs, one a sensor, any of which may be missing."""
    stored, found = catalog.header.sensors, []
    for sensor, names in taken.bands.items():
        images = spread_images(catalog, sensor, names)
        known = with_ranges(facts, sensor, stored[sensor].gsd, images, stored[sensor].dtype)
        found.append(
            SensorInput(
                sensor=sensor,
                bands=card_bands(sensor, names, taken.fills[sensor], known),
                gsd=known.gsd,
                gsd_range=known.gsd_range,
                tile_size=side,
                size_multiple=multiple,
                dynamic_size=dynamic_size,
                missing_bands="present",
            )
        )
    return tuple(found)


def worst_parity(
    model: bytes,
    feeds: Mapping[str, np.ndarray],
    final: nn.Module,
    original: nn.Module,
    weights: str,
    outputs: Sequence[str],
) -> Parity:
    """The worst of the outputs."""
    judged = [
        agreement(model, feeds, OneOutput(final, n), OneOutput(original, n), weights, classes=False, output=name)
        for n, name in enumerate(outputs)
    ]
    return max(judged, key=lambda one: one.max_abs_difference)


def whole_selftest(
    model: bytes, feeds: Mapping[str, np.ndarray], sensors: Sequence[str], outputs: Sequence[str]
) -> SelfTest:
    """One sample with all bands; maps, which are large, are stored as float16 has them: 0.0005 of 1 at most."""
    first = first_whole(feeds)
    answers = {name: onnx_graph.run(model, first, output=name) for name in outputs}
    return SelfTest(
        inputs={sensor: StoredArray.from_array(first[sensor]) for sensor in sensors},
        outputs={
            name: StoredArray.from_array(values.astype(np.float16) if values.ndim == 4 else values)
            for name, values in answers.items()
        },
        tolerance=1e-3,
    )
