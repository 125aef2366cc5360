"""A self-supervised run over several bands or sensors to one model file that takes missing bands."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from rsgeo_core.card import Context, Metric, ModelCard, Output, Provenance, SelfTest, SensorInput, StoredArray
from rsgeo_train import onnx_graph
from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import ExportError
from rsgeo_train.evaluate.features import pooled
from rsgeo_train.export import CardFacts, Exported, agreement, card_bands, commit, identity, publish, with_ranges
from rsgeo_train.fusion import FusionEmbedding
from rsgeo_train.methods.registry import Input
from rsgeo_train.projection import as_linear, principal_axes
from rsgeo_train.runs import read_run
from rsgeo_train.samples import Sample, Samples, collate
from rsgeo_train.training import build, input_of, load_best

_CHECKED = 64  # samples that the graph is compared on


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
    encoder = task.average.module.encoder.eval()
    checked = _samples(samples_catalog, taken)
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
    if weights == "float16":
        final = onnx_graph.rounded(final)
    sizes = {sensor: len(names) for sensor, names in taken.bands.items()}
    tell("exporting the graph")
    model = onnx_graph.to_onnx(
        final, inputs=sizes, side=taken.side, output="embedding", dynamic_size=False, takes_missing=True
    )
    if weights == "float16":
        model = onnx_graph.halved(model)
    feeds = _feeds(checked, sizes)
    stored = samples_catalog.header.sensors
    known = {
        sensor: with_ranges(facts, stored[sensor].gsd, list(feeds[sensor]), stored[sensor].dtype) for sensor in sizes
    }
    parity = agreement(model, feeds, final, original, weights, classes=False)
    stride = facts.stride or taken.side
    first = {name: values[:1] for name, values in feeds.items()}
    first[onnx_graph.PRESENT] = np.ones_like(first[onnx_graph.PRESENT])  # as a self-test asks
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


def _samples(catalog: Catalog, taken: Input) -> Sample:
    """Held-out samples, evenly spread, every other one with half of its bands hidden."""
    rows = next(found for name in ("test", "val", "train") if len(found := catalog.rows(name)))
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(_CHECKED, len(rows))).astype(int))]
    samples = Samples(catalog, chosen, taken.bands, cache=False, with_labels=False, fills=taken.fills)
    (batch,) = DataLoader(samples, batch_size=len(samples), collate_fn=collate)
    hidden = torch.rand(batch.present.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    hidden[::2] = False
    hidden &= (batch.present & ~hidden).any(dim=1, keepdim=True)  # nothing can be said of a sample without any band
    return batch._replace(present=batch.present & ~hidden)


def _feeds(batch: Sample, sizes: dict[str, int]) -> dict[str, np.ndarray]:
    parts = torch.split(batch.images, list(sizes.values()), dim=1)
    feeds = {sensor: np.ascontiguousarray(part.numpy()) for sensor, part in zip(sizes, parts, strict=True)}
    return {**feeds, onnx_graph.PRESENT: batch.present.float().numpy()}
