"""What a masked autoencoder makes of hidden patches, from the same sensor and from others, on the sample's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsgeo_train import randomness, training
from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import DatasetError, RecipeError
from rsgeo_train.evaluate.subjects import digest_of
from rsgeo_train.learner import Learner
from rsgeo_train.losses.reconstruction import reconstruction_error, standardised
from rsgeo_train.masking import Masking
from rsgeo_train.methods.csmae import Csmae, CsmaeBlock
from rsgeo_train.methods.registry import Input
from rsgeo_train.normalisation import Normalise
from rsgeo_train.patches import cut, joined
from rsgeo_train.runs import read_run
from rsgeo_train.samples import Sample
from rsgeo_train.widening import WidenedSamples

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Reconstruction:
    """One sample.

    Attributes:
        row: of the catalog.
        size: H and W of the sample; what is no whole patch on its right and lower side is left out of the arrays.
        images: per sensor that the sample has (C, H, W) in stored units.
        seen: the same, (H, W) bool: the pixels of the patches that the encoder saw.
        made: by source and target sensor (C, H, W) in stored units, all patches.
        errors: by source and target the mean squared or absolute error in normalised units over the patches that
            training asks for, and that of the bands' means there.
    """

    row: int
    size: tuple[int, int]
    images: dict[str, Floats]
    seen: dict[str, NDArray[np.bool_]]
    made: dict[tuple[str, str], Floats]
    errors: dict[tuple[str, str], tuple[float, float]]


@dataclass(frozen=True)
class Reconstructions:
    """Samples, and what they were reconstructed by.

    Attributes:
        items: the samples.
        catalog: where they are.
        taken: what the network is fed.
        method: how patches were hidden, and which ones training asks for.
        seed: of the masks.
        run: the name of the run, and the SHA-256 of its checkpoint.
    """

    items: list[Reconstruction]
    catalog: Catalog
    taken: Input
    method: CsmaeBlock
    seed: int
    run: tuple[str, str]

    def id_of(self, item: Reconstruction) -> str:
        """The sample's name."""
        return str(self.catalog.table["id"].iloc[item.row])

    def asked_of(self, source: str, target: str) -> str:
        """The sensor whose hidden patches training asks for, where `target` is made from `source`."""
        return source if self.method.cmr_mask == "source" else target

    @property
    def splits(self) -> list[str]:
        """Which splits the samples are of."""
        return sorted(set(self.catalog.table["split"].iloc[[item.row for item in self.items]]))


def reconstruct(
    run: Path,
    catalog: Catalog | None = None,
    *,
    count: int = 4,
    ids: Sequence[str] = (),
    masking: Masking | None = None,
    ratio: float | None = None,
    seed: int = 0,
) -> Reconstructions:
    """Samples of a catalog, masked and reconstructed by the best weights of a run.

    Args:
        run: a run of csmae.
        catalog: whose samples; the run's own where left out.
        count: samples, of the val or test split where there is one, those with all sensors first.
        ids: samples by name, instead.
        masking, ratio: how patches are hidden, where not as in training.
        seed: of the choice and of the masks.

    Raises:
        RecipeError: the run is of another method.
        DatasetError: there is no sample of a name, or none with a sensor of the run.
    """
    kind, recipe, own = read_run(run)
    if kind != "csmae":
        raise RecipeError(
            f"{run} is a run of {kind}; only csmae reconstructs.", "Name a run of: pretrain --method csmae"
        )
    taken = training.input_of(kind, recipe, own)
    learner = training.build(kind, recipe, own, taken)
    training.load_best(learner, run)
    if not is_reconstructing(learner):
        raise RecipeError(
            f"{run} was trained without reconstruction (method.umr and method.cmr are 0): its decoders know nothing.",
            "Name a run that reconstructs.",
        )
    catalog = own if catalog is None else catalog
    return reconstructed(learner, run, catalog, taken, count=count, ids=ids, masking=masking, ratio=ratio, seed=seed)


def is_reconstructing(learner: Learner) -> TypeGuard[Csmae]:
    """Whether a learner's decoders have learned to reconstruct."""
    return isinstance(learner, Csmae) and bool(learner.recipe.method.umr or learner.recipe.method.cmr)


def reconstructed(
    learner: Csmae,
    run: Path,
    catalog: Catalog,
    taken: Input,
    *,
    count: int = 4,
    ids: Sequence[str] = (),
    masking: Masking | None = None,
    ratio: float | None = None,
    seed: int = 0,
) -> Reconstructions:
    """The same by a learner that has its weights, those of the best epoch of `run`."""
    changes = {"masking": masking, "mask_ratio": ratio}
    method = learner.recipe.method.model_copy(update={key: v for key, v in changes.items() if v is not None})
    samples = WidenedSamples(catalog, chosen_rows(catalog, taken, count, ids, seed), taken, with_labels=False)
    items = [_reconstructed(learner, method, samples[number], taken, seed) for number in range(len(samples))]
    return Reconstructions(items, catalog, taken, method, seed, (run.resolve().name, digest_of(run)))


def chosen_rows(catalog: Catalog, taken: Input, count: int, ids: Sequence[str], seed: int) -> list[int]:
    """Rows of a catalog to draw: samples by name, or some of the val or test split, those with all sensors first.

    Raises:
        DatasetError: there is no sample of a name, or none with a sensor of the run.
    """
    names = catalog.table["id"].astype(str).to_numpy()
    if ids:
        unknown = [name for name in ids if name not in names]
        if unknown:
            raise DatasetError(f"{catalog.header.name} has no sample {unknown[0]}.", f"For example: {names[0]}")
        return [int(np.flatnonzero(names == name)[0]) for name in ids]
    rows = next((rows for split in ("val", "test") if len(rows := catalog.rows(split))), np.arange(len(catalog)))
    has = np.stack([~catalog.table[f"{s}_path"].isna().to_numpy() for s in taken.bands if s in catalog.header.sensors])
    rows = np.random.default_rng(seed).permutation(rows[has[:, rows].any(axis=0)])
    if not len(rows):
        raise DatasetError(f"{catalog.header.name} has no sample of {' or '.join(taken.bands)}.")
    return sorted(rows[np.argsort(-has[:, rows].sum(axis=0), kind="stable")][:count].tolist())


@torch.no_grad()
def _reconstructed(learner: Csmae, method: CsmaeBlock, sample: Sample, taken: Input, seed: int) -> Reconstruction:
    network = learner.average.module.eval()
    patch, sizes = network.backbone.patch, network.backbone.sizes
    height, width = (side - side % patch for side in sample.images.shape[-2:])
    images = sample.images[None, :, :height, :width]
    values = network.encoder.prepared(images, sample.present[None])
    random = randomness.generator(seed, "reconstruction", int(sample.rows))
    encoded = network.encoded(values, method, random)
    guesses = network.decoded(encoded, cross=method.cmr > 0)
    counts = list(sizes.values())
    truths = {s: cut(part, patch) for s, part in zip(sizes, values.split(counts, 1), strict=True)}
    stored = dict(zip(sizes, images[0].split(counts), strict=True))
    has = [s for s, part in zip(sizes, sample.present.split(counts), strict=True) if part.any()]
    place = {s: slice(sum(counts[:n]), sum(counts[: n + 1])) for n, s in enumerate(sizes)}
    made, errors = {}, {}
    for (source, target), guess in guesses.items():
        if source not in has or target not in has:
            continue
        asked = encoded.masks[target if source == target or method.cmr_mask == "target" else source].hidden
        truth = standardised(truths[target]) if method.norm_pix else truths[target]
        errors[source, target] = _off(guess, truth, asked, method), _off(torch.zeros_like(truth), truth, asked, method)
        if method.norm_pix:  # the patch's own mean and spread, which are not predicted, make it a picture again
            mean, spread = truths[target].mean(2, keepdim=True), truths[target].std(2, keepdim=True)
            guess = guess * spread + mean
        whole = joined(guess, patch, (height, width))[0]
        made[source, target] = stored_units(network.encoder.normalise, whole, images[0], place[target]).numpy()
    rows, columns = height // patch, width // patch
    seen = {
        s: np.kron(~encoded.masks[s].hidden[0].reshape(rows, columns).numpy(), np.ones((patch, patch), bool))
        for s in has
    }
    size = (int(sample.images.shape[1]), int(sample.images.shape[2]))
    return Reconstruction(int(sample.rows), size, {s: stored[s].numpy() for s in has}, seen, made, errors)


def _off(guess: Tensor, truth: Tensor, asked: Tensor, method: CsmaeBlock) -> float:
    return float(reconstruction_error(guess, truth, asked, method.error))


def stored_units(normalise: Normalise, values: Tensor, images: Tensor, bands: slice) -> Tensor:
    """Normalised values (C, H, W) of some bands in stored units; `images` has all bands' own values."""
    mean, std = normalise.mean[0, bands], normalise.std[0, bands]
    if normalise.is_global:
        own = images[None] if normalise.low is None else images[None].clamp(normalise.low, normalise.high)
        shift, scale = normalise.own((own - normalise.mean) / normalise.std)
        values = values * scale[0, bands] + shift[0, bands]
    return values * std + mean
