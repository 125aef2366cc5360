"""Losses of tasks against independent implementations, their weights, and what the recipe makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from segmentation_models_pytorch.losses import DiceLoss
from torch import Tensor

from rsgeo_train import training
from rsgeo_train.catalog import IGNORED, read_catalog
from rsgeo_train.class_weights import with_class_weights
from rsgeo_train.errors import RecipeError
from rsgeo_train.losses.dice import dice_loss
from rsgeo_train.losses.focal import focal_loss
from rsgeo_train.losses.labelled import cross_entropy, labelled_loss
from rsgeo_train.recipe import load_recipe, write_recipe
from rsgeo_train.samples import Samples
from rsgeo_train.settings.network import LossBlock

WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 0.25])


@pytest.fixture
def answers() -> tuple[Tensor, Tensor]:
    """Logits of four classes and labels, a fifth of them unknown."""
    random = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(3, 4, 9, 7, generator=random)
    labels = torch.randint(0, 4, (3, 9, 7), generator=random)
    unknown = torch.rand(3, 9, 7, generator=random) < 0.2
    return logits, torch.where(unknown, IGNORED, labels)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
def test_focal_pixel_by_pixel(answers: tuple[Tensor, Tensor], weights: Tensor | None) -> None:
    logits, labels = answers
    total, counts = 0.0, 0.0
    for image, truth in zip(logits.double().numpy(), labels.numpy(), strict=True):
        for row, column in np.argwhere(truth != IGNORED):
            scores = np.exp(image[:, row, column])
            share = scores[truth[row, column]] / scores.sum()
            weight = 1.0 if weights is None else float(weights[truth[row, column]])
            total += weight * (1 - share) ** 1.5 * -np.log(share)
            counts += weight
    assert float(focal_loss(logits, labels, 1.5, weights)) == pytest.approx(total / counts, rel=1e-5)
    plain = F.cross_entropy(logits, labels, weights, ignore_index=IGNORED)
    assert torch.allclose(focal_loss(logits, labels, 0.0, weights), plain)
    assert torch.allclose(cross_entropy(logits, labels, weights), plain)


def test_focal_of_certain_answers_has_a_gradient() -> None:
    """Where p rounds to 1, a power of 1 - p below 1 would have none that is a number."""
    logits = torch.tensor([[60.0, -60.0], [-60.0, 60.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([0, 0]), 0.5).backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
@pytest.mark.parametrize("smoothing", [0.0, 1.0])
def test_dice_as_the_librarys(answers: tuple[Tensor, Tensor], weights: Tensor | None, smoothing: float) -> None:
    logits, labels = answers
    library = DiceLoss("multiclass", ignore_index=IGNORED, smooth=smoothing / 2)  # it counts both sums by half
    library.aggregate_loss = lambda losses: losses  # one a class
    each = library(logits, labels)
    expected = each.mean() if weights is None else (each * weights).sum() / weights.sum()
    assert torch.allclose(dice_loss(logits, labels, weights, smoothing), expected, atol=1e-6)


def test_dice_of_one_class_is_that_of_a_sigmoid(answers: tuple[Tensor, Tensor]) -> None:
    """Two logits, of which only the mask's class counts; with smoothing also where no pixel is in the mask."""
    logits, labels = answers[0][:, :2], torch.where(answers[1] == IGNORED, IGNORED, answers[1] % 2)
    for truth in (labels, torch.where(labels == IGNORED, IGNORED, 0)):
        known, mask = (truth != IGNORED).float(), (truth == 1).float()
        guess = torch.sigmoid(logits[:, 1] - logits[:, 0]) * known
        expected = 1 - (2 * (guess * mask).sum() + 1) / (guess.sum() + mask.sum() + 1)
        found = dice_loss(logits, truth, torch.tensor([0.0, 1.0]), 1.0)
        assert torch.allclose(found, expected, atol=1e-6) and float(found) > 0.1


def test_nothing_labelled_is_no_loss_and_a_gradient() -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    labels = torch.full((2, 4, 4), IGNORED)
    config = LossBlock(cross_entropy=1, focal=1, dice=1, smoothing=1)
    value = labelled_loss(logits, labels, config, torch.tensor([1.0, 0.0, 2.0]))
    value.backward()
    assert value.item() == 0 and torch.equal(logits.grad, torch.zeros_like(logits))


def test_a_recipe_adds_losses_up(answers: tuple[Tensor, Tensor]) -> None:
    logits, labels = answers
    block = load_recipe(None, ["method.loss={cross_entropy: 0.5, dice: 2, focal: 3, gamma: 1}"]).method.loss
    parts = (0.5, cross_entropy(logits, labels)), (2, dice_loss(logits, labels)), (3, focal_loss(logits, labels, 1.0))
    assert torch.allclose(labelled_loss(logits, labels, block), sum(share * value for share, value in parts))
    assert load_recipe(None, []).method.loss == LossBlock(cross_entropy=1)
    assert load_recipe(None, ["method.loss=dice"]).method.loss == LossBlock(dice=1)
    with pytest.raises(RecipeError, match=r"no setting method.loss.dicce") as caught:
        load_recipe(None, ["method.loss={dicce: 1}"])
    assert "method.loss.dice" in str(caught.value.hint)
    with pytest.raises(RecipeError, match="no loss has a weight"):
        load_recipe(None, ["method.loss={dice: 0}"])


def test_runs_made_before_are_read(tmp_path: Path) -> None:
    """Their recipes say head and dice."""
    (tmp_path / "old.yaml").write_text("method: {head: unet, dice: 0.5, loss: cross_entropy, class_weights: none}\n")
    method = load_recipe(tmp_path / "old.yaml").method
    assert method.decoder == "light" and method.loss == LossBlock(cross_entropy=1, dice=0.5)
    (tmp_path / "old.yaml").write_text("method: {head: hypercolumn, dice: 0.0, loss: boundary}\n")
    method = load_recipe(tmp_path / "old.yaml").method
    assert method.decoder == "hypercolumn" and method.loss == LossBlock(boundary=1)
    write_recipe(load_recipe(tmp_path / "old.yaml"), tmp_path / "new.yaml")
    assert load_recipe(tmp_path / "new.yaml").method == method


@pytest.mark.parametrize(("rule", "power"), [("inverse", 1.0), ("root", 0.5)])
def test_classes_weigh_by_the_labels_of_train(chips: Path, rule: str, power: float) -> None:
    catalog = read_catalog(chips)
    recipe = load_recipe(None, [f"method.class_weights={rule}"])
    taken = training.input_of("segmentation", recipe, catalog)
    found = np.array(with_class_weights("segmentation", recipe, catalog, taken).method.class_weights)
    samples = Samples(catalog, catalog.rows("train"), taken.bands)
    labels = np.concatenate([samples[n].labels.numpy().ravel() for n in range(len(samples))])
    areas = np.array([(labels == 0).sum(), (labels == 1).sum()])
    assert areas[0] != areas[1] and found.mean() == pytest.approx(1, abs=1e-5)
    assert found[0] / found[1] == pytest.approx((areas[1] / areas[0]) ** power, rel=1e-4)
    with pytest.raises(RecipeError, match=r"3 numbers .* for 2 classes \(Land, Water\)"):
        with_class_weights("segmentation", load_recipe(None, ["method.class_weights=[1,2,3]"]), catalog, taken)


def test_classification_takes_what_it_can(eurosat_catalog: Path) -> None:
    catalog = read_catalog(eurosat_catalog)
    settings = ["encoder.name=compact", "encoder.channels=[8,16]", "method.loss={focal: 1, cross_entropy: 1}"]
    made = training.build("classification", load_recipe(None, settings), catalog)
    outputs, labels = torch.randn(4, 10), torch.tensor([0, 1, 2, 0])
    expected = focal_loss(outputs, labels) + F.cross_entropy(outputs, labels)
    assert torch.allclose(made.loss(outputs, labels), expected)
    for more, words in (("method.loss=dice", "are of segmentation"), ("augment.mixup=0.2", "focal takes one class")):
        with pytest.raises(RecipeError, match=words):
            training.build("classification", load_recipe(None, [*settings, more]), catalog)


def test_hidden_layers_of_a_classifier(eurosat_catalog: Path) -> None:
    """The reference's head: 2048 → 256, ReLU, dropout 0.5 → 10."""
    settings = ["encoder.name=compact", "encoder.channels=[8,16]", "method.hidden=[12]", "method.dropout=0.5"]
    network = training.build(
        "classification", load_recipe(None, settings), read_catalog(eurosat_catalog)
    ).network.eval()
    found = torch.rand(3, 16)
    first, last = network.bottleneck[0], network.head
    assert (first.in_features, first.out_features, last.in_features, last.out_features) == (16, 12, 12, 10)
    network.encoder.forward = lambda values, present: found
    with torch.no_grad():
        assert torch.allclose(network.decoded(found), last(torch.relu(first(found))))
    with pytest.raises(RecipeError, match="embedding and hidden"):
        load_recipe(None, [*settings, "method.embedding=4"])
