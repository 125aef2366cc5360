"""How samples are changed and fed."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, model_validator

Flip = bool | Literal["both"]
"""Whether images are mirrored left and right; `both`: and upside down."""


class AugmentBlock(BaseModel, extra="forbid"):
    """Random changes of a batch; amounts are half-widths, 0 switches one off.

    Attributes:
        flip: mirror left and right in every second sample; `both`: upside down too, by a draw of its own.
        quarter_turns: turn by 0, 90, 180 or 270 degrees.
        crop: side of a random crop, pixels; None keeps the size.
        crop_area: with `crop`, cut a piece of this share of the image's area, its sides apart by at most a third, and
            bring it to `crop` pixels (Szegedy et al., 2015); None cuts pixels as they are.
        scale: zoom factor range.
        shift: translation as a share of the side.
        rotate: free rotation, degrees either way.
        brightness: share of the mean added to all bands; contrast: relative; tint: share added per band.
        erase: probability of a filled rectangle.
        mixup: alpha of the Beta distribution of mixup (Zhang et al., 2018).
        haze: path reflectance per band, in the catalog's units, of which a random share is taken off, as atmospheric
            correction does; a network that has seen both takes top-of-atmosphere and surface reflectance.
        haze_share: share of the samples that are treated so.
        jitter: brightness, contrast, saturation and hue of red, green and blue, by kornia; of other bands a gain and an
            offset each, from the first two.
        colours: whether three bands are red, green and blue; as the catalog's names say where left out.
        jitter_share, grey, blur, solarise: share of the samples that are jittered, made grey (the mean of the bands in
            each), blurred (3×3, σ from 0.1 to 2), solarised (what lies above the middle of the range is inverted).
        noise, sharpen, motion_blur: share of the samples with white noise (its deviation from 0.012 to 0.028 of the
            range), sharpened (by 0.2 to 0.5), blurred along a line of 3 pixels.
        value_range: what counts as 0 and 1 for all of these, in the catalog's values: two numbers, or two lists band by
            band; where left out 0 and 255 for 8-bit bands, three deviations about the mean for others.
    """

    flip: Flip = True
    quarter_turns: bool = True
    crop: int | None = None
    crop_area: tuple[float, float] | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    rotate: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    tint: float = 0.0
    erase: float = 0.0
    mixup: float = 0.0
    haze: list[float] = []
    haze_share: float = Field(default=0.6, ge=0, le=1)
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    colours: bool | None = None
    jitter_share: float = Field(default=0.8, ge=0, le=1)
    grey: float = Field(default=0.0, ge=0, le=1)
    blur: float = Field(default=0.0, ge=0, le=1)
    solarise: float = Field(default=0.0, ge=0, le=1)
    noise: float = Field(default=0.0, ge=0, le=1)
    sharpen: float = Field(default=0.0, ge=0, le=1)
    motion_blur: float = Field(default=0.0, ge=0, le=1)
    value_range: tuple[float, float] | tuple[list[float], list[float]] | None = None


class DataBlock(BaseModel, extra="forbid"):
    """How samples are fed.

    Attributes:
        batch_size: samples that pass the network together, over all processes: with `trainer.devices: 4` each takes a
            quarter of them. A step sees batch_size · `optimizer.accumulate` samples.
        selection_fraction: share of the train split that selects the best epoch and is not trained on.
        workers: threads that read ahead; 0 reads between steps.
        prefetch: batches that are read ahead.
        cache: keep what was read in memory.
        label_fraction: share of the training samples that is used; where they have one class, of every class, at
            least one sample. Tasks select by the same share of the selection samples.
        splits: which splits are trained on; a method that looks at no labels may take held-out ones too.
        balance: draw samples, with replacement, so that every set of sensors that samples have is met equally often.
        partner: `date` gives every sample one of another date of its place beside it, for methods that compare dates;
            its own where there is none.
        together: samples of one place that stand beside each other in the order, as far as a place has so many: they
            look alike, so that a contrastive loss must tell them apart by what lies where. 1 mixes all.
    """

    batch_size: int = Field(default=64, gt=0)
    selection_fraction: float = Field(default=0.1, ge=0, lt=1)
    workers: int = Field(default=1, ge=0)
    prefetch: int = Field(default=2, gt=0)
    cache: bool = True
    label_fraction: float = Field(default=1.0, gt=0, le=1)
    splits: list[str] = Field(default=["train"], min_length=1)
    balance: bool = False
    together: int = Field(default=1, gt=0)
    partner: Literal["none", "date"] = "none"

    @model_validator(mode="after")
    def _one_order(self) -> DataBlock:
        if self.balance and self.together > 1:
            raise ValueError("balance and together both say which samples meet in a batch; expected one of them")
        return self
