"""The optimiser, its rate, and the loop."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, model_validator


class GroupBlock(BaseModel, extra="forbid"):
    """What differs for the modules or parameters that a pattern names; 1-D parameters never decay."""

    multiplier: float = Field(default=1.0, ge=0)
    weight_decay: float | None = Field(default=None, ge=0)
    freeze: bool = False


class OptimizerBlock(BaseModel, extra="forbid"):
    """The optimiser, and the running average of the weights that is evaluated and exported.

    Attributes:
        lr: the highest learning rate; `lr_rule: batch/256` multiplies it by the samples of a step over 256.
        betas, eps: of Adam and AdamW.
        momentum, nesterov: of SGD and LARS (Nesterov: SGD).
        trust: trust coefficient of LARS.
        accumulate: batches whose gradients make one step. Steps are optimiser steps everywhere.
        clip_norm, clip_tensor_norm, clip_value: largest norm of all gradients together, of each weight tensor's
            gradient by itself (as Keras' `clipnorm`), or largest single value; one of them.
        groups: pattern of module or parameter names (`encoder.backbone.layer1`, `*.bias`) to what differs there; a
            module's name covers what is inside it, and of several patterns the last one counts.
    """

    name: Literal["adamw", "adam", "sgd", "lars"] = "adamw"
    lr: float = Field(default=1e-3, gt=0)
    lr_rule: Literal["none", "batch/256"] = "none"
    weight_decay: float = Field(default=0.05, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(default=1e-8, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    trust: float = Field(default=0.001, gt=0)
    average_decay: float = Field(default=0.995, ge=0, lt=1)
    accumulate: int = Field(default=1, gt=0)
    clip_norm: float | None = Field(default=None, gt=0)
    clip_tensor_norm: float | None = Field(default=None, gt=0)
    clip_value: float | None = Field(default=None, gt=0)
    groups: dict[str, GroupBlock] = {}

    @model_validator(mode="after")
    def _one_clip(self) -> OptimizerBlock:
        clips = [name for name in ("clip_norm", "clip_tensor_norm", "clip_value") if getattr(self, name) is not None]
        if len(clips) > 1:
            raise ValueError(f"{' and '.join(clips)} are both set; expected one of them")
        return self


class ScheduleBlock(BaseModel, extra="forbid"):
    """The learning rate by optimiser step: linear warm-up, then one of four ways down.

    Attributes:
        name: `cosine` falls to `final_fraction` of the rate in half a cosine, `constant` stays, `step` multiplies by
            `gamma` every `step_every` steps or `step_every_epochs` epochs or at the steps `step_at`, `plateau` whenever
            more than `patience` epochs have passed without a better selection score.
        warmup_fraction: length of the warm-up as a share of the run; `warmup_steps` or `warmup_epochs` replace it.
    """

    name: Literal["cosine", "constant", "step", "plateau"] = "cosine"
    warmup_fraction: float = Field(default=0.1, ge=0, lt=1)
    warmup_steps: int | None = Field(default=None, ge=0)
    warmup_epochs: float | None = Field(default=None, ge=0)
    final_fraction: float = Field(default=0.001, ge=0, le=1)
    gamma: float = Field(default=0.1, gt=0, le=1)
    step_every: int | None = Field(default=None, gt=0)
    step_every_epochs: float | None = Field(default=None, gt=0)
    patience: int = Field(default=2, ge=0)
    step_at: list[int] = []

    def warmup(self, total: int, steps_per_epoch: int) -> float:
        """Steps of the warm-up of a run of `total` steps."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return self.warmup_fraction * total if self.warmup_epochs is None else self.warmup_epochs * steps_per_epoch

    @model_validator(mode="after")
    def _one_length(self) -> ScheduleBlock:
        if self.warmup_steps is not None and self.warmup_epochs is not None:
            raise ValueError("warmup_steps and warmup_epochs are both set; expected one of them")
        ways = [self.step_every is not None, self.step_every_epochs is not None, bool(self.step_at)]
        if self.name == "step" and sum(ways) != 1:
            raise ValueError("name: step needs either step_every (steps), step_every_epochs or step_at")
        return self


class TrainerBlock(BaseModel, extra="forbid"):
    """The loop.

    Attributes:
        devices: processes that train together, one a GPU (or several on a CPU).
        precision: float32; or bfloat16 or float16 where that is exact enough, the latter with a scaled loss.
        sync_batchnorm: BatchNorm over the batches of all processes; on GPUs.
        patience: epochs without a better selection score after which the run ends; None trains on.
        checkpoint_every: steps between two checkpoints; there is one after every epoch anyway.
        log_every: steps between two records of the training loss.
        loggers: services told beside TensorBoard and `metrics.jsonl`.
        threads: of torch on a CPU; None leaves it to torch.
    """

    max_epochs: int = Field(default=10, gt=0)
    max_steps: int | None = Field(default=None, gt=0)
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    devices: int = Field(default=1, gt=0)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    sync_batchnorm: bool = True
    patience: int | None = Field(default=None, gt=0)
    checkpoint_every: int = Field(default=50, gt=0)
    log_every: int = Field(default=50, gt=0)
    loggers: list[Literal["wandb", "mlflow"]] = []
    threads: int | None = Field(default=None, gt=0)
