"""A run over several sensors to one model file that says what each sensor says by itself beside what all say.

| output | of a method without labels | of classification |
|---|---|---|
| `logits` | – | classes by all sensors |
| `logits_SENSOR` | – | classes by that sensor, the others told to be missing |
| `embedding` | features of all sensors | features of all sensors |
| `embedding_SENSOR` | features of that sensor | features of that sensor |

All of them are NaN, which maps show as no data, where what they are of is missing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from rsgeo_core.card import Context, Metric, ModelCard, Output, Provenance
from rsgeo_train import onnx_graph
from rsgeo_train.card_facts import CardFacts
from rsgeo_train.encoders import Encoder
from rsgeo_train.errors import ExportError
from rsgeo_train.export import Exported, card_output, cautious, commit, identity, limited, publish, run_metrics
from rsgeo_train.export_samples import windows, with_bands_missing
from rsgeo_train.fusion import directions
from rsgeo_train.fusion_export import POOLED, sensor_inputs, whole_selftest, worst_parity
from rsgeo_train.methods.registry import Input, learns_from_labels, names_classes
from rsgeo_train.runs import read_run
from rsgeo_train.tasks.network import SeveralInputs, TaskNetwork
from rsgeo_train.training import build, input_of, load_best

LOGITS = "logits"


class PartsTrunk(nn.Module):
    """What a network says of all sensors and of each, after its normalisation and mask.

    Args:
        backbone: an encoder that tells sensors apart.
        sizes: bands of each sensor.
        network: what classifies; None of methods without labels.
    """

    def __init__(self, backbone: Encoder, sizes: Mapping[str, int], network: TaskNetwork | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.network = network
        self.sizes = dict(sizes)

    @property
    def outputs(self) -> list[tuple[str, str | None]]:
        """Names, in order, with the sensor that each is of; None of all."""
        kinds = [LOGITS, POOLED] if self.network is not None else [POOLED]
        return [(f"{kind}_{key}" if key else kind, key) for kind in kinds for key in (None, *self.sizes)]

    def forward(self, values: Tensor, present: Tensor) -> tuple[Tensor, ...]:
        """(N, C, H, W) normalised, 0 where missing, and (N, C) bool → `outputs`, (N, K) and (N, D) of length 1."""
        seen = values if self.network is None else self.network.resized(values)
        parts, there = self.backbone.parts(seen, present)
        known = there.any(dim=1, keepdim=True)
        answers = []
        if self.network is not None:
            answers.append(torch.where(known, self.network.scored(parts, there), float("nan")))
            for number in range(len(self.sizes)):
                alone = there & (torch.arange(len(self.sizes)) == number)[None]
                logits = self.network.scored(torch.where(alone[:, :, None], parts, 0.0), alone)
                answers.append(torch.where(alone.any(dim=1, keepdim=True), logits, float("nan")))
        answers.append(directions(self.backbone.fused(parts, there), known))
        answers += [directions(parts[:, n], there[:, n : n + 1]) for n in range(len(self.sizes))]
        return tuple(answers)


def export_parts(
    run: Path,
    output: Path,
    facts: CardFacts,
    metrics: Sequence[Metric],
    weights: str,
    catalog: Path | None,
    recipe_name: str,
    tell: Callable[[str], None],
) -> Exported:
    """Export a run with one input per sensor and `present`, and the outputs of `PartsTrunk`. See `export.export`.

    Raises:
        ExportError: the run has one sensor, takes all bands as one stack, or is of another task than classification.
    """
    kind, recipe, samples = read_run(run, catalog)
    taken = input_of(kind, recipe, samples)
    if kind in ("segmentation", "detection"):
        raise ExportError(f"--parts: {run} is a {kind} run; what sensors say by themselves is told of whole windows.")
    task = build(kind, recipe, samples, taken)
    load_best(task, run)
    network = task.average.module.eval()
    classifies, fusion = names_classes(kind, recipe), network if learns_from_labels(kind) else network.encoder
    trunk = _trunk(task.backbone, taken, network if classifies else None, run, recipe.encoder.name)
    original = SeveralInputs(fusion.normalise, copy.deepcopy(trunk), takes_present=True).eval()
    final = SeveralInputs(fusion.normalise, onnx_graph.folded(trunk), takes_present=True).eval()
    if weights == "float16":
        final = onnx_graph.rounded(final)
    names = [name for name, _ in trunk.outputs]
    tell("exporting the graph")
    sizes, side = trunk.sizes, taken.side
    model = onnx_graph.to_onnx(final, inputs=sizes, side=side, output=names, dynamic_size=False, takes_missing=True)
    if weights == "float16":
        model = onnx_graph.halved(model)
    feeds = windows(with_bands_missing(samples, taken), side, side)
    if classifies:
        facts = limited(cautious(facts, recipe, samples, taken), recipe)
    stride = facts.stride or side
    card = ModelCard(
        **identity(facts, run),
        task="classification" if classifies else "embedding",
        inputs=sensor_inputs(facts, samples, taken, side, 1, dynamic_size=False),
        outputs=tuple(_outputs(trunk, stride, lambda name: card_output(name, samples, facts, side, None, dense=False))),
        context=Context(receptive_field=side // 2, tile_invariant=True, halo=max(0, (side - stride) // 2)),
        provenance=Provenance(
            method=f"{kind}, {recipe.encoder.name}, each sensor by itself and all together",
            recipe=recipe_name,
            data=facts.data or samples.header.name,
            split=samples.header.split_by,
            commit=commit(),
            seed=recipe.seed,
            metrics=(*(run_metrics(run) if classifies else []), *metrics),
            notes=(*facts.notes, *taken.normalisation.told),
        ),
        parity=worst_parity(model, feeds, final, original, weights, names),
        selftest=whole_selftest(model, feeds, list(sizes), names),
    )
    return publish(model, card, recipe.encoder.name, final, output)


def _trunk(backbone: Encoder, taken: Input, network: TaskNetwork | None, run: Path, encoder: str) -> PartsTrunk:
    """The network behind its normalisation."""
    if len(backbone.sensors) < 2:
        why = (
            f"its only sensor is {next(iter(taken.bands))}"
            if len(taken.bands) == 1
            else f"{encoder} takes the bands of all sensors as one stack"
        )
        raise ExportError(
            f"--parts: {run} has no parts: {why}.",
            "Export it whole; or train one that takes each sensor by itself: --set encoder.name=sensor_resnet18",
        )
    return PartsTrunk(backbone, {sensor: len(names) for sensor, names in taken.bands.items()}, network).eval()


def _outputs(trunk: PartsTrunk, stride: int, of_classes: Callable[[str], Output]) -> list[Output]:
    """The card's outputs."""
    found = []
    for name, sensor in trunk.outputs:
        if name.startswith(LOGITS):
            found.append(of_classes(name).model_copy(update={"sensor": sensor, "stride": stride}))
            continue
        wide = trunk.backbone.width if sensor is None else trunk.backbone.part_width
        found.append(Output(name=name, kind="embedding", dense=False, stride=stride, dimension=wide, sensor=sensor))
    return found
