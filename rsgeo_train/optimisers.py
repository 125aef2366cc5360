"""Optimisers and their parameter groups: rates by layer, what is frozen, what does not decay. Knows no schedules."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from rsgeo_train.errors import RecipeError
from rsgeo_train.settings.loop import GroupBlock, OptimizerBlock


class Lars(torch.optim.Optimizer):
    r"""Layer-wise adaptive rates with momentum (You, Gitman & Ginsburg, 2017, algorithm 1).

    For a weight w with gradient g, weight decay β, momentum m, rate γ and trust coefficient η:

        λ = η · ‖w‖ / (‖g‖ + β‖w‖)        v ← m · v + γ · λ · (g + β w)        w ← w − v

    Parameters of one dimension (biases, normalisation) take λ = 1 and β = 0, as does λ where a norm is 0.

    Args:
        params: parameters or groups.
        lr: γ.
        momentum: m.
        weight_decay: β.
        trust: η.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, group)
        return loss

    def _move(self, weight: Tensor, group: dict[str, Any]) -> None:
        change = weight.grad
        ratio: Tensor | float = 1.0
        if weight.ndim > 1:
            decay = group["weight_decay"]
            length = weight.norm()
            ratio = group["trust"] * length / (change.norm() + decay * length)
            # Kept on the device: a zero norm is no reason to wait for it.
            ratio = torch.where(torch.isfinite(ratio) & (ratio > 0), ratio, torch.ones_like(ratio))
            change = change.add(weight, alpha=decay)
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        speed = state["momentum_buffer"]
        speed.mul_(group["momentum"]).add_(change * (ratio * group["lr"]))
        weight.sub_(speed)


def new_optimizer(network: nn.Module, config: OptimizerBlock) -> torch.optim.Optimizer:
    """The optimiser of a recipe over what is not frozen; each group carries its `multiplier` of the rate.

    Raises:
        RecipeError: a pattern names nothing, or everything is frozen.
    """
    groups = parameter_groups(network, config)
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov)
    if config.name == "lars":
        return Lars(groups, config.lr, config.momentum, trust=config.trust)
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.lr, betas=config.betas, eps=config.eps)


def parameter_groups(network: nn.Module, config: OptimizerBlock) -> list[dict[str, Any]]:
    """Parameters by (multiplier, weight decay), without the frozen ones; vectors, such as tokens, do not decay.

    Raises:
        RecipeError: a pattern names nothing, or everything is frozen.
    """
    check_patterns(network, config.groups)
    found: dict[tuple[float, float], list[nn.Parameter]] = {(1.0, config.weight_decay): [], (1.0, 0.0): []}
    for name, parameter in network.named_parameters():
        block = group_of(name, config.groups)
        if block.freeze:
            continue
        decay = config.weight_decay if block.weight_decay is None else block.weight_decay
        found.setdefault((block.multiplier, decay if _is_matrix(parameter) else 0.0), []).append(parameter)
    groups = [
        {"params": members, "weight_decay": decay, "multiplier": multiplier}
        for (multiplier, decay), members in found.items()
        if members
    ]
    if not groups:
        raise RecipeError("optimizer.groups freezes every parameter.", "Leave something to train.")
    return groups


def _is_matrix(parameter: nn.Parameter) -> bool:
    """Whether it has more than one dimension; a token, (1, 1, D), is a vector."""
    is_token = parameter.ndim == 3 and parameter.numel() == parameter.shape[-1]
    return parameter.ndim > 1 and not is_token


def freeze(network: nn.Module, groups: dict[str, GroupBlock]) -> None:
    """Take the frozen parameters out of the gradient.

    Raises:
        RecipeError: a pattern names nothing.
    """
    check_patterns(network, groups)
    for name, parameter in network.named_parameters():
        if group_of(name, groups).freeze:
            parameter.requires_grad_(False)


def still(network: nn.Module, groups: dict[str, GroupBlock]) -> None:
    """Put the frozen modules into eval mode: their BatchNorm statistics stay, their dropout is off."""
    for name, module in network.named_modules():
        if group_of(name, groups).freeze:
            module.eval()


def group_of(name: str, groups: dict[str, GroupBlock]) -> GroupBlock:
    """The block that counts for a module or parameter: that of the last pattern that covers it."""
    for pattern in reversed(groups):
        if _covers(pattern, name):
            return groups[pattern]
    return GroupBlock()


def check_patterns(network: nn.Module, groups: dict[str, GroupBlock]) -> None:
    """Refuse a pattern that covers no parameter.

    Raises:
        RecipeError: there is one.
    """
    names = [name for name, _ in network.named_parameters()]
    for pattern in groups:
        if not any(_covers(pattern, name) for name in names):
            known = [
                name for name, module in network.named_modules() if name and any(True for _ in module.parameters())
            ]
            near = difflib.get_close_matches(pattern, known, 3, 0.4) or known[:5]
            raise RecipeError(
                f"optimizer.groups: {pattern!r} names no module or parameter of the network.",
                f"Near it: {', '.join(near)}. Names may hold *.",
            )


def _covers(pattern: str, name: str) -> bool:
    """Whether a pattern names this, or a module around it."""
    parts = name.split(".")
    return any(fnmatch.fnmatchcase(".".join(parts[: end + 1]), pattern) for end in range(len(parts)))
