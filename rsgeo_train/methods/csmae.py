r"""Cross-Sensor Masked Autoencoders (Hackstein et al., IEEE TGRS 2024): hidden patches, seen from all sensors.

Each sensor sees part of its patches. With E_m the tokens of sensor m, D_{m→n} what is decoded from them into sensor n,
P_n the normalised pixels of n and M_n the patches hidden from n:

    UMR = Σ_m MSE(D_{m→m}, P_m; M_m)                       each sensor from itself
    CMR = Σ_{m≠n} MSE(D_{m→n}, P_n; M_m or M_n)            each from each other: what the source or the target lacks
    MIM = NT-Xent of the pooled features of the sensors    see `losses.similarity.nt_xent`
    MDE                                                    see `losses.discrepancy`
    L   = w_umr UMR + w_cmr CMR + w_mim MIM + w_mde MDE

| variant | encoder.options.sharing | method.decoders |
|---|---|---|
| CECD, CESD | common | common, specific |
| SECD, SESD | specific | common, specific |

Tokens are put back where they came from (the source's mask), whichever patches are asked for; the reference puts them
where the target's mask says when that one is asked for.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rsgeo_train import randomness
from rsgeo_train.augment import augment
from rsgeo_train.errors import RecipeError
from rsgeo_train.fusion import FusionEncoder
from rsgeo_train.learner import SelfSupervised
from rsgeo_train.losses.discrepancy import discrepancy
from rsgeo_train.losses.reconstruction import Error, reconstruction_error, standardised
from rsgeo_train.losses.similarity import nt_xent
from rsgeo_train.masking import Mask, Masking, draw
from rsgeo_train.methods.registry import Input
from rsgeo_train.patches import cut
from rsgeo_train.recipe import Recipe
from rsgeo_train.samples import Sample
from rsgeo_train.sensor_transformer import SIZES, SensorTransformer
from rsgeo_train.settings.network import EncoderBlock
from rsgeo_train.token_decoder import TokenDecoder


class CsmaeBlock(BaseModel):
    """Settings of CSMAE.

    Attributes:
        mask_ratio: share of the patches that is hidden; with `disjoint` masking from the first sensor, while the others
            see that share, in equal parts.
        masking: how the sensors' masks belong together; see `masking.draw`.
        cmr_mask: which patches cross-sensor reconstruction is asked for: those that the `source` does not see, or those
            that the `target` does not.
        umr, cmr, mim, mde: weights of the losses; 0 switches one off.
        temperature: τ of MIM.
        decoders: one decoder with an output layer for each sensor (`common`), or one decoder a sensor (`specific`).
        decoder_width, decoder_depth, decoder_heads: features, blocks and attention heads of a decoder.
        error: of a pixel, squared or absolute.
        norm_pix: reconstruct each patch's pixels by their own mean and spread.
    """

    model_config = ConfigDict(extra="forbid")

    mask_ratio: float = Field(default=0.5, gt=0, lt=1)
    masking: Masking = "random"
    cmr_mask: Literal["source", "target"] = "source"
    umr: float = Field(default=1.0, ge=0)
    cmr: float = Field(default=1.0, ge=0)
    mim: float = Field(default=1.0, ge=0)
    mde: float = Field(default=0.0, ge=0)
    temperature: float = Field(default=0.5, gt=0)
    decoders: Literal["common", "specific"] = "common"
    decoder_width: int = Field(default=512, gt=0, multiple_of=4)
    decoder_depth: int = Field(default=8, gt=0)
    decoder_heads: int = Field(default=16, gt=0)
    error: Error = "mse"
    norm_pix: bool = False


class SensorEncoderBlock(EncoderBlock):
    """The backbone, by default one that takes each sensor by itself."""

    name: str = "sensor_vit_base"


class CsmaeRecipe(Recipe):
    """All settings of a CSMAE run."""

    encoder: SensorEncoderBlock = SensorEncoderBlock()
    method: CsmaeBlock = CsmaeBlock()  # type: ignore[assignment]


class Encoded(NamedTuple):
    """A masked batch after the encoder.

    Attributes:
        masks: per sensor.
        tokens: per sensor (B, 1 + K, D).
        pooled: per sensor (B, D).
        shape: rows and columns of patches.
    """

    masks: dict[str, Mask]
    tokens: dict[str, Tensor]
    pooled: dict[str, Tensor]
    shape: tuple[int, int]


class CsmaeNetwork(nn.Module):
    """The encoder and the decoders.

    Raises:
        RecipeError: the backbone is no sensor transformer, or the decoder's features cannot be shared among its heads.
    """

    def __init__(self, recipe: CsmaeRecipe, taken: Input) -> None:
        super().__init__()
        method = recipe.method
        if recipe.encoder.name not in SIZES:
            raise RecipeError(
                f"encoder.name: csmae needs each sensor's patches by themselves; {recipe.encoder.name} has none.",
                f"Choose one of {', '.join(SIZES)}.",
            )
        if method.decoder_width % method.decoder_heads:
            raise RecipeError(
                f"method.decoder_width: {method.decoder_width} features cannot be shared among "
                f"{method.decoder_heads} heads.",
                f"Type: --set method.decoder_heads={math.gcd(method.decoder_width, method.decoder_heads)}",
            )
        self.encoder = FusionEncoder(recipe.encoder, taken.bands, taken.normalisation)
        backbone = self.backbone
        for name, side in (("The samples have", taken.side), ("augment.crop is", recipe.augment.crop)):
            if side and side % backbone.patch:
                fitting = [n for n in range(2, side // 2 + 1) if side % n == 0]
                near = min(fitting, key=lambda n: abs(n - backbone.patch), default=side)
                raise RecipeError(
                    f"{name} {side} pixels, which patches of {backbone.patch} do not divide.",
                    f"Type: --set encoder.options.patch={near} --set encoder.options.grid={side // near}",
                )
        values = {sensor: backbone.patch**2 * count for sensor, count in backbone.sizes.items()}
        groups = [values] if method.decoders == "common" else [{sensor: count} for sensor, count in values.items()]
        shape = method.decoder_width, method.decoder_depth, method.decoder_heads, backbone.grid
        self.decoders = nn.ModuleList(TokenDecoder(backbone.width, group, *shape) for group in groups)

    @property
    def backbone(self) -> SensorTransformer:
        """The encoder's transformer."""
        backbone = self.encoder.backbone
        assert isinstance(backbone, SensorTransformer)
        return backbone

    def encoded(self, values: Tensor, method: CsmaeBlock, random: torch.Generator) -> Encoded:
        """Normalised values (B, C, H, W), of which each sensor sees a part."""
        backbone = self.backbone
        tokens = backbone.embedded(values)
        count, patches = next(iter(tokens.values())).shape[:2]
        masks = draw(list(tokens), count, patches, method.mask_ratio, method.masking, random)
        masks = {sensor: Mask(*(part.to(values.device) for part in mask)) for sensor, mask in masks.items()}
        seen = {sensor: backbone.through(sensor, masks[sensor].seen(part))[-1] for sensor, part in tokens.items()}
        height, width = (side // backbone.patch for side in values.shape[-2:])
        return Encoded(masks, seen, {sensor: backbone.pooled(part) for sensor, part in seen.items()}, (height, width))

    def decoded(self, encoded: Encoded, *, cross: bool = True) -> dict[tuple[str, str], Tensor]:
        """By source and target sensor the patches (B, T, values); without `cross` each sensor from itself alone."""
        found = {}
        for source, tokens in encoded.tokens.items():
            for decoder in self.decoders:
                if cross or source in decoder.heads:
                    parts = decoder(tokens, encoded.masks[source], encoded.shape)
                    found |= {(source, target): part for target, part in parts.items() if cross or target == source}
        return found

    def forward(
        self, values: Tensor, present: Tensor, method: CsmaeBlock, random: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch and its parts.

        Args:
            values: (B, C, H, W) normalised, 0 where missing.
            present: (B, C) bool; a sensor without any band is neither seen nor asked for.
            method: the weights.
            random: CPU generator of the masks.
        """
        backbone = self.backbone
        encoded = self.encoded(values, method, random)
        sensors = list(encoded.tokens)
        has = dict(zip(sensors, (p.any(1) for p in present.split(list(backbone.sizes.values()), 1)), strict=True))
        told: dict[str, Tensor] = {}
        if method.umr or method.cmr:
            guesses = self.decoded(encoded, cross=method.cmr > 0)
            truths = {
                sensor: cut(part, backbone.patch)
                for sensor, part in zip(sensors, values.split(list(backbone.sizes.values()), 1), strict=True)
            }
            if method.norm_pix:
                truths = {sensor: standardised(patches) for sensor, patches in truths.items()}
            told |= self._reconstruction(guesses, truths, encoded.masks, has, method)
        pairs = list(itertools.combinations(sensors, 2))
        if method.mim and pairs:
            known = torch.stack([has[sensor] for sensor in sensors], dim=1)
            told["mim"] = nt_xent([encoded.pooled[sensor] for sensor in sensors], method.temperature, known)
        if method.mde and pairs:
            terms = [discrepancy(encoded.pooled[a], encoded.pooled[b], has[a] & has[b]) for a, b in pairs]
            told["mde"] = torch.stack(terms).mean()
        total = sum(getattr(method, name) * told[name] for name in ("umr", "cmr", "mim", "mde") if name in told)
        return total, told

    def _reconstruction(
        self,
        guesses: dict[tuple[str, str], Tensor],
        truths: dict[str, Tensor],
        masks: dict[str, Mask],
        has: dict[str, Tensor],
        method: CsmaeBlock,
    ) -> dict[str, Tensor]:
        """UMR and CMR, and for CMR what the mean of each band would have been off."""
        zero = next(iter(truths.values())).new_zeros(())
        told = {name: zero for name in ("umr", "cmr", "cmr_of_mean") if name == "umr" or method.cmr}
        for (source, target), guess in guesses.items():
            of_itself = source == target
            asked = masks[source if of_itself or method.cmr_mask == "source" else target].hidden
            asked = asked & (has[source] & has[target])[:, None]
            off = reconstruction_error(guess, truths[target], asked, method.error)
            told["umr" if of_itself else "cmr"] = told["umr" if of_itself else "cmr"] + off
            if not of_itself:
                mean = torch.zeros_like(truths[target])
                told["cmr_of_mean"] = told["cmr_of_mean"] + reconstruction_error(
                    mean, truths[target], asked, method.error
                )
        return told if method.umr else {name: value for name, value in told.items() if name != "umr"}


class Csmae(SelfSupervised):
    """A CSMAE run.

    Args:
        recipe: all settings.
        taken: what it is fed.
    """

    recipe: CsmaeRecipe

    def __init__(self, recipe: CsmaeRecipe, taken: Input) -> None:
        super().__init__(recipe)
        method = recipe.method
        if not (method.umr or method.cmr or method.mim or method.mde):
            raise RecipeError("method: umr, cmr, mim and mde are all 0; nothing is left to learn.", "Set one above 0.")
        if len(taken.bands) == 1 and not method.umr:
            raise RecipeError(
                f"method.umr is 0; with {next(iter(taken.bands))} alone there is no other sensor to learn from.",
                "Type: --set method.umr=1, or give a catalog of several sensors.",
            )
        self._set_network(CsmaeNetwork(recipe, taken))

    def cautions(self) -> list[str]:
        """What one sensor alone leaves of the losses; how little each of many sensors sees where masks are disjoint."""
        sensors, method = list(self.network.backbone.sizes), self.recipe.method
        if len(sensors) > 2 and method.masking == "disjoint":
            others = len(sensors) - 1
            return [
                f"disjoint masking: {sensors[0]} sees {1 - method.mask_ratio:.0%} of the patches, "
                f"{', '.join(sensors[1:])} {method.mask_ratio / others:.0%} each; all would see as much with "
                f"--set method.mask_ratio={others / len(sensors):.4g}"
            ]
        if len(sensors) > 1 or not (method.cmr or method.mim or method.mde):
            return []
        return [f"{sensors[0]} is the only sensor: it learns by its own reconstruction (umr) alone"]

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor:
        """One step on freshly augmented and masked images."""
        images, _ = augment(batch.images, batch.labels, self.recipe.augment, self.random("augment"))
        values = self.network.encoder.prepared(images, batch.present)
        loss, told = self.network(values, batch.present, self.recipe.method, self.random("masks"))
        self.note(loss=loss, **told)
        return loss

    def judge(self, batch: Sample, random: randomness.Draws) -> tuple[Tensor, dict[str, Any]]:
        """The losses as they are."""
        values = self.normalised(batch.images, batch.present)
        return self.average(values, batch.present, self.recipe.method, random)


RECIPE, LEARNER = CsmaeRecipe, Csmae
