"""A run over several bands or sensors to one model file that takes missing bands: an embedding, or a task's classes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from rsgeo_core.card import Context, Metric, ModelCard, Output, Provenance, SelfTest, SensorInput, StoredArray
from rsgeo_train import onnx_graph
from rsgeo_train.errors import ExportError
from rsgeo_train.evaluate.features import pooled
from rsgeo_train.export import CardFacts, Exported, agreement, card_bands, commit, identity, publish, with_ranges
from rsgeo_train.export_samples import first_whole, with_bands_missing
from rsgeo_train.fusion import FusionEmbedding
from rsgeo_train.methods.registry import is_method
from rsgeo_train.projection import as_linear, principal_axes
from rsgeo_train.runs import read_run
from rsgeo_train.samples import Samples
from rsgeo_train.tasks.network import PooledEncoder
from rsgeo_train.training import build, input_of, load_best


def export_fusion(
    run: Path,
    output: Path,
    facts: CardFacts,
    metrics: Sequence[Metric],
    dimension: int | None,
    weights: str,
    catalog: Path | None,
    recipe_name: str,
    tell: Callable[[str], None],
) -> Exported:
    """Export the encoder of a run: one input per sensor and `present`, an embedding out; see `export.export`."""
    kind, recipe, samples_catalog = read_run(run, catalog)
    taken = input_of(kind, recipe, samples_catalog)
    task = build(kind, recipe, samples_catalog, taken)
    load_best(task, run)
    network = task.average.module.eval()
    encoder = network.encoder if is_method(kind) else PooledEncoder(network)
    feeds = with_bands_missing(samples_catalog, taken)
    projection, notes = None, [*facts.notes, *taken.normalisation.told]
    if dimension:
        if dimension > encoder.width:
            raise ExportError(f"--embedding {dimension}: the encoder has {encoder.width} features.")
        rows = samples_catalog.rows("train")
        train = Samples(samples_catalog, rows, taken.bands, with_labels=False, fills=taken.fills)
        features = pooled(encoder, train)
        basis, variances = principal_axes(features, dimension)
        projection = as_linear(basis, features.mean(0))
        share = float(variances.sum() / np.maximum(features.var(0).sum(), 1e-12))
        notes.append(f"projection: PCA of {encoder.width} features of the train split, {share:.1%} of their variance")
    original = FusionEmbedding(encoder, projection).eval()
    final = copy.deepcopy(original)
    if is_method(kind):
        final.encoder.backbone = onnx_graph.folded(final.encoder.backbone)
    else:
        final.encoder.network.encoder = onnx_graph.folded(final.encoder.network.encoder)
    if weights == "float16":
        final = onnx_graph.rounded(final)
    sizes = {sensor: len(names) for sensor, names in taken.bands.items()}
    tell("exporting the graph")
    model = onnx_graph.to_onnx(
        final, inputs=sizes, side=taken.side, output="embedding", dynamic_size=False, takes_missing=True
    )
    if weights == "float16":
        model = onnx_graph.halved(model)
    stored = samples_catalog.header.sensors
    known = {
        sensor: with_ranges(facts, stored[sensor].gsd, list(feeds[sensor]), stored[sensor].dtype) for sensor in sizes
    }
    parity = agreement(model, feeds, final, original, weights, classes=False)
    stride = facts.stride or taken.side
    first = first_whole(feeds)
    card = ModelCard(
        **identity(facts, run),
        task="embedding",
        inputs=tuple(
            SensorInput(
                sensor=sensor,
                bands=card_bands(sensor, names, taken.fills[sensor], known[sensor]),
                gsd=known[sensor].gsd,
                gsd_range=known[sensor].gsd_range,
                tile_size=taken.side,
                missing_bands="present",
            )
            for sensor, names in taken.bands.items()
        ),
        outputs=(
            Output(
                name="embedding", kind="embedding", dense=False, stride=stride, dimension=dimension or encoder.width
            ),
        ),
        context=Context(receptive_field=taken.side // 2, tile_invariant=True, halo=max(0, (taken.side - stride) // 2)),
        provenance=Provenance(
            method=f"{kind}, {recipe.encoder.name}",
            recipe=recipe_name,
            data=facts.data or samples_catalog.header.name,
            split=samples_catalog.header.split_by,
            commit=commit(),
            seed=recipe.seed,
            metrics=tuple(metrics),
            notes=tuple(notes),
        ),
        parity=parity,
        selftest=SelfTest(
            inputs={sensor: StoredArray.from_array(first[sensor]) for sensor in sizes},
            outputs={"embedding": StoredArray.from_array(onnx_graph.run(model, first))},
        ),
    )
    return publish(model, card, recipe.encoder.name, final, output)
