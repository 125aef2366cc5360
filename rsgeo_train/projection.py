"""A small embedding from a trained encoder: a linear projection inside the graph, chosen by nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import ExportError
from rsgeo_train.evaluate.neighbours import knn_accuracy, unit
from rsgeo_train.methods.registry import Input
from rsgeo_train.recipe import Recipe
from rsgeo_train.run_data import selection_rows
from rsgeo_train.samples import Samples, collate


class Projected(nn.Module):
    """Encoder features → linear projection → L2 norm 1."""

    def __init__(self, network: nn.Module, projection: nn.Linear) -> None:
        super().__init__()
        self.network = network
        self.projection = projection

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in the catalog's values → (B, D), L2-normalised."""
        return F.normalize(self.projection(self.network.features(images)), dim=1)


def fit_projection(
    network: nn.Module,
    recipe: Recipe,
    catalog: Catalog,
    taken: Input,
    dimension: int,
    tell: Callable[[str], None],
) -> tuple[nn.Linear, str]:
    """PCA of the train features, plain or whitened, whichever has the better nearest neighbours on the selection.

    Returns:
        The projection and a sentence for the card.
    """
    sensor, fraction = next(iter(taken.bands)), recipe.data.selection_fraction
    first, second = selection_rows(catalog, sensor, fraction, recipe.seed, labelled=True)
    train, train_labels = features(network, Samples(catalog, first, taken.bands, fills=taken.fills))
    held, held_labels = features(network, Samples(catalog, second, taken.bands, fills=taken.fills))
    if dimension > train.shape[1]:
        raise ExportError(f"--embedding {dimension}: the encoder has {train.shape[1]} features.")
    mean = train.mean(0)
    basis, values = principal_axes(train, dimension)
    shrunk = np.sqrt(values + 0.05 * values.mean())
    choices = {
        "PCA": basis,
        "half-whitened PCA": basis / np.sqrt(shrunk)[:, None],
        "whitened PCA": basis / shrunk[:, None],
    }
    scores = {
        name: knn_accuracy(unit((train - mean) @ matrix.T), train_labels, unit((held - mean) @ matrix.T), held_labels)
        for name, matrix in choices.items()
    }
    full = knn_accuracy(unit(train), train_labels, unit(held), held_labels)
    best = max(scores, key=lambda name: scores[name])
    said = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
    tell(f"projection by nearest neighbours on the selection split: {said}; all {train.shape[1]} features {full:.3f}")
    return as_linear(choices[best], mean), (
        f"projection: {best} of {train.shape[1]} encoder features of the train split, chosen by "
        f"5-nearest-neighbour accuracy on the selection split ({said}; all features {full:.3f})"
    )


@torch.no_grad()
def features(network: nn.Module, samples: Samples) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Pooled encoder features (N, D) and labels (N,)."""
    loader = DataLoader(samples, batch_size=128, collate_fn=collate)
    parts = [(network.features(batch.images).numpy(), batch.labels.numpy()) for batch in loader]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def principal_axes(features: NDArray[np.floating], dimension: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The directions of largest variance, (dimension, D) with fixed signs, and their variances.

    Args:
        features: (N, D) with N > 1.
        dimension: at most D.
    """
    values, vectors = np.linalg.eigh(np.cov((features - features.mean(0)).T.astype(np.float64)))
    values, vectors = values[::-1][:dimension], vectors[:, ::-1][:, :dimension]
    signs = np.sign(vectors[np.abs(vectors).argmax(0), np.arange(dimension)])
    return (vectors * signs).T, values


def as_linear(matrix: NDArray[np.floating], mean: NDArray[np.floating]) -> nn.Linear:
    """The layer x → matrix · (x − mean), up to one factor: it keeps weights in float16's best range."""
    scaled = matrix / np.abs(matrix).max()
    layer = nn.Linear(scaled.shape[1], scaled.shape[0])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(scaled.astype(np.float32)))
        layer.bias.copy_(torch.from_numpy((-scaled @ mean).astype(np.float32)))
    return layer
