"""What is judged: encoders of runs, and the floors that every score stands beside; all give features of samples.

Floors: the same encoder untrained, random convolutions (Rolf et al., 2021), and plain image statistics.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from rsgeo_train import training
from rsgeo_train.catalog import Catalog
from rsgeo_train.encoders import over_places
from rsgeo_train.errors import RecipeError
from rsgeo_train.evaluate.features import pooled
from rsgeo_train.evaluate.floors import described
from rsgeo_train.grounds import SITE
from rsgeo_train.learner import Learner
from rsgeo_train.methods.registry import Input, learns_from_labels
from rsgeo_train.normalisation import Normalisation, Normalise
from rsgeo_train.runs import read_run, recipe_of, trained_on
from rsgeo_train.views import masked
from rsgeo_train.widening import WidenedSamples, shared_bands

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Member:
    """One seed of a subject.

    Attributes:
        source: what it is, exactly: it keys what is kept of it.
        features: (samples, positions of the bands that may be seen or None) → (N, D).
        learner: whose encoder it is, for maps; None of what has no encoder.
        seed: of the training of a run, or of a floor's random weights.
        checkpoint: SHA-256 of the weights that a run is judged by.
        what: what it is, for people; empty where `source` is as short.
        compared: as `features`, of one kind whichever sensors are seen; None where `features` are.
    """

    source: str
    features: Callable[[WidenedSamples, Sequence[int] | None], Floats]
    learner: Learner | None = None
    seed: int = 0
    checkpoint: str = ""
    what: str = ""
    compared: Callable[[WidenedSamples, Sequence[int] | None], Floats] | None = None


@dataclass(frozen=True)
class Subject:
    """Something that turns samples into features; its score is the mean over its members, which differ by seed.

    Attributes:
        name: in tables and pictures.
        is_floor: whether it has learned nothing.
        taken: what it is fed.
        members: one or several seeds.
        met: rows of the catalog whose samples it has met in training, told by their names.
        knows_labels: whether it has met them with their labels.
        near: rows of other samples that are of places which it has trained on.
    """

    name: str
    is_floor: bool
    taken: Input
    members: tuple[Member, ...]
    met: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), compare=False, repr=False)
    knows_labels: bool = False
    near: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), compare=False, repr=False)

    def caution(self, rows: NDArray[np.int64], called: str = "samples") -> str:
        """What a reader of its scores on some rows must know: how many it has met in training; empty if it met none.

        Args:
            rows: those that are judged.
            called: what they are.
        """
        near = int(np.isin(rows, self.near).sum())
        neighbours = f"{near} of the {len(rows)} {called} are of places that {self.name} has trained on" if near else ""
        count = int(np.isin(rows, self.met).sum())
        if not count:
            return neighbours
        how = "with their labels: these scores are not those of new samples" if self.knows_labels else ""
        how = how or "without their labels"
        met = f"{self.name} met {count} of the {len(rows)} {called} in training, {how}"
        return f"{met}; {neighbours}" if neighbours else met


def cautions_of(subjects: Sequence[Subject], rows: NDArray[np.int64]) -> dict[str, str]:
    """Subject → what a reader of its scores on some rows must know, of those where there is something."""
    return {subject.name: words for subject in subjects if (words := subject.caution(rows))}


def informed_of(subjects: Sequence[Subject], rows: NDArray[np.int64]) -> list[str]:
    """Subjects that have met some of these rows with their labels."""
    return [subject.name for subject in subjects if subject.knows_labels and np.isin(rows, subject.met).any()]


def of_runs(runs: Sequence[Path], catalog: Catalog, layers: Sequence[str] = ()) -> list[Subject]:
    """The encoders of runs; runs of one recipe and catalog that differ by seed alone are one subject.

    Args:
        runs: run folders.
        catalog: what they are judged on; must have their sensors and bands.
        layers: modules of the backbone whose averaged maps are the features, side by side; the pooled ones where empty.

    Raises:
        RunFolderError: a folder is no run.
        RecipeError: the catalog lacks a sensor or band of a run, a backbone a layer, or two runs have one seed.
    """
    groups: dict[str, list[Path]] = {}
    for run in runs:
        kind, recipe, own = read_run(run)
        needed = training.input_of(kind, recipe, own)
        if not (shared_bands(catalog, needed) and training.build(kind, recipe, own, needed).takes_missing):
            _check_bands(run, needed, catalog)
        settings = recipe.model_copy(update={"seed": 0}).model_dump_json()
        groups.setdefault(f"{kind} {settings} {trained_on(run)}", []).append(run)
    found = []
    for members in groups.values():
        seeds = [recipe_of(run)[1].seed for run in members]
        if len(set(seeds)) < len(seeds):
            raise RecipeError(
                f"{', '.join(map(str, members))} are of one recipe, with the seeds {', '.join(map(str, seeds))}: a run "
                "and its copy are no two seeds.",
                "Name runs of other seeds: rsgeo-train pretrain … --set seed=1",
            )
        kind, recipe, own = read_run(members[0])
        taken = training.input_of(kind, recipe, own)
        name = members[0].name if len(members) == 1 else f"{_shared_name(members) or kind} ×{len(members)} seeds"
        trained = tuple(_trained(run, layers) for run in members)
        met, near = _met(members[0], catalog)
        found.append(Subject(name, False, taken, trained, met, learns_from_labels(kind), near))
    names = [subject.name for subject in found]
    return [
        dataclasses.replace(subject, name=_full_name(members)) if names.count(subject.name) > 1 else subject
        for subject, members in zip(found, groups.values(), strict=True)
    ]


def _shared_name(runs: Sequence[Path]) -> str:
    """What the names of runs begin with alike, without what numbers a seed: csf of csf-0 and csf-1, or csf-seed0."""
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*(run.name for run in runs), strict=False))
    shared = "".join(letters[0] for letters in alike)
    return re.sub(r"[-_. ]+(seed|s)?[-_. ]*\d*$|seed$", "", shared)


def _full_name(runs: Sequence[Path]) -> str:
    return f"{runs[0]}" + (f" ×{len(runs)} seeds" if len(runs) > 1 else "")


def _met(run: Path, catalog: Catalog) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of a catalog whose samples a run has met in training, and other rows of the places it has met; by name.

    Names of places mean something in one data set only, so they are looked at where a sample is in both catalogs.
    """
    _, recipe, own = read_run(run)
    trained = own.table.iloc[np.concatenate([own.rows(split) for split in recipe.data.splits])]
    met = catalog.table["id"].isin(set(trained["id"])).to_numpy()
    if not catalog.table["id"].isin(set(own.table["id"])).any():
        return np.flatnonzero(met), np.zeros(0, np.int64)
    places = catalog.table[SITE if SITE in catalog.table else "place"]
    near = places.isin(set(trained["place"].dropna())).to_numpy() & ~met
    return np.flatnonzero(met), np.flatnonzero(near)


def untrained(run: Path, layers: Sequence[str] = (), *, seeds: int = 3, whole: bool = False) -> Subject:
    """The encoder of a run with fresh weights, of the seeds 0, 1, …

    Its members' sources say what their features hang on and no more, so that runs with one floor are known by it; of
    samples that are `whole`, what it would do about missing bands does not matter.
    """
    kind, recipe, catalog = read_run(run)
    taken = training.input_of(kind, recipe, catalog)
    members = []
    for seed in range(seeds):
        learner = training.build(kind, recipe.model_copy(update={"seed": seed}), catalog, taken)
        encoder = learner.average.module.encoder
        # A task that is told what is missing makes up for it by share, as CSF does.
        scaling = getattr(encoder, "scaling", "share") if learner.takes_missing and not whole else "all bands"
        fused = [scaling, encoder.rate if scaling == "rate" else None]
        # The method and where a run's weights came from do not matter here; what was drawn does.
        block = recipe.encoder.model_dump_json(include={"name", "channels", "options"})
        config = f"{block} {fused} on {taken.bands} {taken.normalisation}"
        source = f"untrained, seed {seed}, {_digest(learner.backbone)}, {config}"
        members.append(
            _member(learner, source, f"{recipe.encoder.name} with random weights, seed {seed}", layers, seed)
        )
    return Subject(f"untrained {recipe.encoder.name}", True, taken, tuple(members))


def image_statistics(taken: Input) -> Subject:
    """Mean, spread and quantiles of each band."""
    total = len(taken.normalisation)
    known: WeakKeyDictionary[WidenedSamples, NDArray[np.float64]] = WeakKeyDictionary()

    def features(samples: WidenedSamples, keep: Sequence[int] | None) -> Floats:
        if samples not in known:  # a band's figures do not hang on the others
            known[samples] = described(samples)
        found = known[samples].reshape(len(samples), -1, total)
        return found[:, :, list(keep) if keep is not None else slice(None)].reshape(len(samples), -1).astype(np.float32)

    member = Member("mean, spread and quantiles of each band", features)
    return Subject("image statistics", True, taken, (member,))


def random_convolutions(taken: Input, *, filters: int = 256, seeds: int = 3) -> Subject:
    """Random 3×3 filters, both halves rectified and averaged over the image: 2 · `filters` features."""
    members = []
    for seed in range(seeds):
        network = _Convolutions(taken.normalisation, filters, seed)
        members.append(Member(f"{filters} random 3×3 filters, seed {seed}", partial(pooled, network), seed=seed))
    return Subject("random convolutions", True, taken, tuple(members))


def random_columns(taken: Input, *, filters: int = 32, seed: int = 0) -> Callable[[Tensor, Tensor], Tensor]:
    """The same pixel by pixel: (B, C, H, W) in stored units and (B, C) bool → (B, 2 · filters, H, W)."""
    return _Convolutions(taken.normalisation, filters, seed).maps


class _Convolutions(nn.Module):
    def __init__(self, normalisation: Normalisation, filters: int, seed: int) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        bands = len(normalisation)
        self.normalise = Normalise(normalisation)
        self.weight = torch.randn(filters, bands, 3, 3, generator=random) / (9 * bands) ** 0.5
        self.bias = torch.randn(filters, generator=random)

    def maps(self, images: Tensor, present: Tensor) -> Tensor:
        """(B, C, H, W) in stored units and (B, C) bool → (B, 2 · filters, H, W)."""
        found = F.conv2d(masked(self.normalise(images), present), self.weight, self.bias, padding=1)
        return torch.cat([F.relu(found), F.relu(-found)], dim=1)

    def forward(self, images: Tensor, present: Tensor) -> Tensor:
        """(B, C, H, W) in stored units and (B, C) bool → (B, 2 · filters), the averages of `maps`."""
        values = masked(self.normalise(images), present)
        averages = []
        for few in values.split(4):  # maps of more samples do not fit the processor's cache
            found = F.conv2d(few, self.weight, self.bias, padding=1).flatten(2)
            mean, size = found.mean(2), found.abs_().mean(2)
            averages.append(torch.cat([size + mean, size - mean], dim=1) / 2)
        return torch.cat(averages)


class Pooled(nn.Module):
    """The features that a learner's averaged encoder is judged by: pooled, or the averaged maps of some taps."""

    def __init__(self, learner: Learner, layers: Sequence[str]) -> None:
        super().__init__()
        self.learner, self.layers = learner, list(layers)

    def forward(self, images: Tensor, present: Tensor) -> Tensor:
        """(B, C, H, W) in stored units and (B, C) bool → (B, D)."""
        found = self.learner.encoded(images, present, self.layers)
        if not self.layers:
            return found.pooled
        return torch.cat([over_places(found.taps[layer]) for layer in self.layers], dim=1)


class Compared(nn.Module):
    """Features by a learner's averaged encoder that can be compared between sensors."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.learner = learner

    def forward(self, images: Tensor, present: Tensor) -> Tensor:
        """(B, C, H, W) in stored units and (B, C) bool → (B, D)."""
        return self.learner.backbone.comparable(self.learner.normalised(images, present), present)


def _trained(run: Path, layers: Sequence[str]) -> Member:
    kind, recipe, catalog = read_run(run)
    learner = training.build(kind, recipe, catalog)
    training.load_best(learner, run)
    digest = digest_of(run)
    what = f"{kind}, seed {recipe.seed}, checkpoint {digest[:12]}"
    return _member(learner, f"{kind}, checkpoint {digest}", what, layers, recipe.seed, digest)


def _member(learner: Learner, source: str, what: str, layers: Sequence[str], seed: int, checkpoint: str = "") -> Member:
    learner.eval()
    where = f", {' + '.join(layers)}" if layers else ""
    features = partial(pooled, Pooled(learner, layers))
    compared = partial(pooled, Compared(learner)) if len(learner.backbone.sensors) > 1 and not layers else None
    return Member(source + where, features, learner, seed, checkpoint, what + where, compared)


def _digest(network: nn.Module) -> str:
    """SHA-256 of what a network's weights are."""
    found = hashlib.sha256()
    for name, values in network.state_dict().items():
        found.update(name.encode())
        found.update(values.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def digest_of(run: Path) -> str:
    """SHA-256 of the checkpoint that a run is judged by."""
    folder = run / "checkpoints"
    name = "best.ckpt" if (folder / "best.ckpt").is_file() else "last.ckpt"
    return hashlib.sha256((folder / name).read_bytes()).hexdigest()


def _check_bands(run: Path, taken: Input, catalog: Catalog) -> None:
    """Refuse a catalog that lacks bands of a run."""
    shared = shared_bands(catalog, taken)
    for sensor, names in taken.bands.items():
        lacking = [name for name in names if name not in shared.get(sensor, ())]
        if lacking:
            has = catalog.header.sensors
            raise RecipeError(
                f"{run} was trained on {', '.join(names)} of {sensor}; the catalog {catalog.header.name} "
                + (f"lacks {', '.join(lacking)}." if sensor in has else f"has no {sensor}, but {', '.join(has)}."),
                "Judge it on a catalog that has them.",
            )
