"""Optimisers against references of their own, layer groups, freezing, and the schedule at its corners."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from rsgeo_train.errors import RecipeError
from rsgeo_train.learner import peak_rate, schedule_factor
from rsgeo_train.optimisers import Lars, freeze, new_optimizer, parameter_groups, still
from rsgeo_train.recipe import Recipe
from rsgeo_train.settings.loop import OptimizerBlock, ScheduleBlock


def small() -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential()
    network.add_module("stem", nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    network.add_module("head", nn.Sequential(nn.Flatten(), nn.Linear(4 * 36, 2)))
    return network


def test_lars_equals_the_formula_computed_apart() -> None:
    """In numpy, scalar by scalar: matrices adapt and decay, vectors do neither; a zero matrix does not adapt."""
    random = np.random.default_rng(0)
    shapes = [(4, 3), (5,), (2, 2)]
    weights = [random.normal(size=shape) for shape in shapes]
    weights[2][:] = 0
    parameters = [nn.Parameter(torch.tensor(weight)) for weight in weights]
    optimizer = Lars(parameters, lr=0.3, momentum=0.9, weight_decay=0.01, trust=0.02)
    speeds = [np.zeros(shape) for shape in shapes]
    for step in range(4):
        rate = 0.3 / (step + 1)
        optimizer.param_groups[0]["lr"] = rate
        for index, (parameter, shape) in enumerate(zip(parameters, shapes, strict=True)):
            gradient = random.normal(size=shape)
            parameter.grad = torch.tensor(gradient)
            weight = weights[index]
            local, change = 1.0, gradient
            if weight.ndim > 1:
                length = math.sqrt(float((weight**2).sum()))
                if length > 0:
                    local = 0.02 * length / (math.sqrt(float((gradient**2).sum())) + 0.01 * length)
                change = gradient + 0.01 * weight
            speeds[index] = 0.9 * speeds[index] + rate * local * change
            weights[index] = weight - speeds[index]
        optimizer.step()
    for parameter, weight in zip(parameters, weights, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), weight, rtol=1e-12)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"name": "adamw", "betas": (0.8, 0.95), "eps": 1e-6}, torch.optim.AdamW),
        ({"name": "adam", "eps": 1e-7}, torch.optim.Adam),
        ({"name": "sgd", "momentum": 0.5, "nesterov": True}, torch.optim.SGD),
        ({"name": "sgd"}, torch.optim.SGD),
        ({"name": "lars", "trust": 0.002}, Lars),
    ],
)
def test_the_recipe_names_the_optimiser_and_its_numbers(settings: dict, kind: type) -> None:
    optimizer = new_optimizer(small(), OptimizerBlock.model_validate(settings))
    assert type(optimizer) is kind
    for group in optimizer.param_groups:
        for key, value in settings.items():
            assert key == "name" or group[key] == value
        assert "nesterov" not in group or group["nesterov"] is settings.get("nesterov", False)


def test_groups_set_rates_and_decay_by_the_last_pattern_that_covers() -> None:
    network = small()
    config = OptimizerBlock.model_validate(
        {
            "weight_decay": 0.1,
            "groups": {"*": {"multiplier": 0.5}, "head": {"multiplier": 10.0, "weight_decay": 0.0}},
        }
    )
    named = {id(parameter): name for name, parameter in network.named_parameters()}
    found = {
        named[id(parameter)]: (group["multiplier"], group["weight_decay"])
        for group in parameter_groups(network, config)
        for parameter in group["params"]
    }
    assert found == {
        "stem.0.weight": (0.5, 0.1),
        "stem.0.bias": (0.5, 0.0),
        "stem.1.weight": (0.5, 0.0),
        "stem.1.bias": (0.5, 0.0),
        "head.1.weight": (10.0, 0.0),
        "head.1.bias": (10.0, 0.0),
    }


def test_a_frozen_module_stands_still() -> None:
    """Its weights get no gradient and its BatchNorm statistics do not move; the rest trains."""
    network = small()
    config = OptimizerBlock.model_validate({"groups": {"stem": {"freeze": True}}})
    freeze(network, config.groups)
    network.train()
    still(network, config.groups)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    optimizer = new_optimizer(network, config)
    for _ in range(2):
        network(torch.randn(8, 3, 8, 8) + 3).square().mean().backward()
        optimizer.step()
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]) == key.startswith("stem"), key


def test_a_pattern_that_names_nothing_says_what_is_near() -> None:
    config = OptimizerBlock.model_validate({"groups": {"sten": {"freeze": True}}})
    with pytest.raises(RecipeError, match=r"'sten' names no module.*\n.*stem"):
        new_optimizer(small(), config)
    config = OptimizerBlock.model_validate({"groups": {"*": {"freeze": True}}})
    with pytest.raises(RecipeError, match="freezes every parameter"):
        new_optimizer(small(), config)


def test_the_rate_rule_counts_all_samples_of_a_step() -> None:
    data = {"data": {"batch_size": 64}, "optimizer": {"lr": 0.2, "accumulate": 8, "lr_rule": "batch/256"}}
    assert peak_rate(Recipe.model_validate(data)) == pytest.approx(0.4)
    data["optimizer"]["lr_rule"] = "none"
    assert peak_rate(Recipe.model_validate(data)) == 0.2


@pytest.mark.parametrize(
    ("settings", "warm"),
    [
        ({"warmup_fraction": 0.1}, 10),
        ({"warmup_steps": 25}, 25),
        ({"warmup_epochs": 1.5}, 30),
        ({"warmup_steps": 0}, 0),
    ],
)
@pytest.mark.parametrize("name", ["cosine", "constant", "step"])
def test_the_schedule_at_its_corners(settings: dict, warm: int, name: str) -> None:
    """Step 0, the end of the warm-up, and the end, by hand; 20 steps an epoch."""
    config = ScheduleBlock.model_validate(
        {"name": name, "final_fraction": 0.02, "gamma": 0.5, "step_every_epochs": 2 if name == "step" else None}
        | settings
    )

    def factor(step: int) -> float:
        return schedule_factor(step, 100, config, steps_per_epoch=20)

    assert factor(0) == pytest.approx(1 / (warm + 1)) and factor(warm) == 1.0
    if warm:
        assert factor(warm - 1) == pytest.approx(warm / (warm + 1))
    drops = (99 - warm) // 40
    assert factor(99) == pytest.approx(
        {
            "cosine": 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (99 - warm) / (100 - warm))),
            "constant": 1.0,
            "step": 0.5**drops,
        }[name]
    )
    assert factor(100) == pytest.approx({"cosine": 0.02, "constant": 1.0, "step": 0.5 ** ((100 - warm) // 40)}[name])
    assert name != "step" or (factor(warm + 39), factor(warm + 40)) == (1.0, 0.5)
    assert all(0 < factor(step) <= 1 for step in range(101))
