"""A self-supervised run over several bands or sensors to one model file that takes missing bands."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from rsgeo_core.card import Context, Metric, ModelCard, Output, Parity, Provenance, SelfTest, SensorInput, StoredArray
from rsgeo_train import onnx_graph, taps
from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import ExportError
from rsgeo_train.evaluate.features import pooled
from rsgeo_train.export import CardFacts, Exported, agreement, card_bands, commit, identity, publish, with_ranges
from rsgeo_train.fusion import FusionEmbedding, FusionEncoder, OneOutput
from rsgeo_train.methods.registry import Input
from rsgeo_train.projection import as_linear, principal_axes
from rsgeo_train.runs import read_run
from rsgeo_train.samples import Sample, Samples, collate
from rsgeo_train.training import build, input_of, load_best

POOLED = "embedding"
"""Name of the output of pooled features."""

_CHECKED = 64  # samples that the graph is compared on


def export_fusion(
    run: Path,
    output: Path,
    facts: CardFacts,
    metrics: Sequence[Metric],
    dimension: int | None,
    tapped: Sequence[str],
    weights: str,
    catalog: Path | None,
    recipe_name: str,
    tell: Callable[[str], None],
) -> Exported:
    """Export the encoder of a run: one input per sensor and `present`, an embedding out and maps of `tapped` modules.

    See `export.export`. With maps, height and width may vary, where the backbone is convolutional.
    """
    kind, recipe, samples_catalog = read_run(run, catalog)
    taken = input_of(kind, recipe, samples_catalog)
    task = build(kind, recipe, samples_catalog, taken)
    load_best(task, run)
    encoder = task.average.module.encoder.eval()
    if dimension and dimension > encoder.width:
        raise ExportError(f"--embedding {dimension}: the encoder has {encoder.width} features.")
    found = taps.measured(encoder, tapped)
    multiple = taps.size_multiple(encoder, found)
    is_fixed = not found or encoder.backbone.is_global
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
    feeds = _feeds(_samples(samples_catalog, taken), sizes, side)
    stored = samples_catalog.header.sensors
    known = {
        sensor: with_ranges(facts, stored[sensor].gsd, list(feeds[sensor]), stored[sensor].dtype) for sensor in sizes
    }
    stride = facts.stride or taken.side
    context = (
        taps.context_of(final, list(sizes.values()), found, multiple, side, tell)
        if found
        else Context(receptive_field=side // 2, tile_invariant=True, halo=max(0, (side - stride) // 2))
    )
    card = ModelCard(
        **identity(facts, run),
        task="embedding",
        inputs=tuple(
            SensorInput(
                sensor=sensor,
                bands=card_bands(sensor, names, taken.fills[sensor], known[sensor]),
                gsd=known[sensor].gsd,
                gsd_range=known[sensor].gsd_range,
                tile_size=side,
                size_multiple=multiple,
                dynamic_size=not is_fixed,
                missing_bands="present",
            )
            for sensor, names in taken.bands.items()
        ),
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
        parity=_parity(model, feeds, final, original, weights, list(dimensions)),
        selftest=_selftest(model, feeds, list(sizes), list(dimensions)),
    )
    return publish(model, card, recipe.encoder.name, final, output)


def _network(
    encoder: FusionEncoder,
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
    train = Samples(catalog, catalog.rows("train"), taken.bands, with_labels=False, fills=taken.fills)
    features = pooled(encoder, train)
    basis, variances = principal_axes(features, dimension)
    share = float(variances.sum() / np.maximum(features.var(0).sum(), 1e-12))
    told = [f"projection: PCA of {encoder.width} features of the train split, {share:.1%} of their variance"]
    layers, dimensions = {}, {POOLED: dimension}
    for tap in found:
        layers[tap.name], dimensions[tap.name], note = taps.fitted(encoder, tap, train, dimension, multiple)
        told += [note] if note else []
    return FusionEmbedding(encoder, as_linear(basis, features.mean(0)), layers).eval(), dimensions, told


def _parity(
    model: bytes,
    feeds: Mapping[str, np.ndarray],
    final: FusionEmbedding,
    original: FusionEmbedding,
    weights: str,
    outputs: Sequence[str],
) -> Parity:
    """The worst of the outputs."""
    judged = [
        agreement(model, feeds, OneOutput(final, n), OneOutput(original, n), weights, classes=False, output=name)
        for n, name in enumerate(outputs)
    ]
    return max(judged, key=lambda one: one.max_abs_difference)


def _selftest(
    model: bytes, feeds: Mapping[str, np.ndarray], sensors: Sequence[str], outputs: Sequence[str]
) -> SelfTest:
    """One sample with all bands; maps, which are large, are stored as float16 has them: 0.0005 of 1 at most."""
    first = {name: values[:1] for name, values in feeds.items()}
    first[onnx_graph.PRESENT] = np.ones_like(first[onnx_graph.PRESENT])  # as a self-test asks
    answers = {name: onnx_graph.run(model, first, output=name) for name in outputs}
    return SelfTest(
        inputs={sensor: StoredArray.from_array(first[sensor]) for sensor in sensors},
        outputs={
            name: StoredArray.from_array(values.astype(np.float16) if values.ndim == 4 else values)
            for name, values in answers.items()
        },
        tolerance=1e-3,
    )


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


def _feeds(batch: Sample, sizes: dict[str, int], side: int) -> dict[str, np.ndarray]:
    parts = torch.split(batch.images[:, :, :side, :side], list(sizes.values()), dim=1)
    feeds = {sensor: np.ascontiguousarray(part.numpy()) for sensor, part in zip(sizes, parts, strict=True)}
    return {**feeds, onnx_graph.PRESENT: batch.present.float().numpy()}
