r"""Where an encoder's first weights come from: `encoder.init`, and how the first convolution meets other bands.

A network of C₀ bands with first filters w_c becomes one of C bands with filters

    W_b = s · Σ_c A_bc w_c

A_bc is 1 for the band of the same name, 1/C₀ for every c where the network has no such band (the mean filter), each
column then divided by its sum. s = C₀ / (number of columns that are used) makes up for bands that nobody takes over,
as `views.scaling: share` does. Where every filter is used, s = 1 and Σ_b W_b = Σ_c w_c: an image whose bands are all
equal is answered as before, which is how Carreira & Zisserman (2017, section 2.4, for frames instead of bands) inflate
filters; for R, G, B and others all filters are scaled by 3 / C.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from rsgeo_core.errors import RsgeoError
from rsgeo_core.sensors import REGISTRY, normal_name
from rsgeo_train import csmae_weights, vicreg_weights
from rsgeo_train.encoders import Encoder, TimmEncoder, create_backbone
from rsgeo_train.errors import RecipeError
from rsgeo_train.fusion import FusionEncoder
from rsgeo_train.learner import Learner
from rsgeo_train.recipe import Recipe
from rsgeo_train.runs import read_run, recipe_of, run_around
from rsgeo_train.sensor_networks import ALEXNET, PREFIX, SensorNetwork, is_sensor_network
from rsgeo_train.settings.network import EncoderBlock
from rsgeo_train.weights import Match, bands_of, match, read_weights

Bands = Mapping[str, Sequence[str]]
"""Band names by sensor key, in order."""

RGB: Bands = {"rgb8": ("red", "green", "blue")}
"""What networks trained on photographs take."""

Teller = Callable[[str], None]

_NAMED = "A file of an rsgeo run names its bands as: rsgeo-train export RUN -o encoder.safetensors"


def initialise(task: Learner, bands: Bands, tell: Teller) -> None:
    """Give a fresh learner's encoder the weights that its recipe names.

    Args:
        task: the learner; its network has an `encoder`.
        bands: what it takes.
        tell: takes lines that say what was loaded and what not.

    Raises:
        RecipeError: the weights cannot be had, or are of another network or other bands.
    """
    config = task.recipe.encoder
    if config.init == "random":
        return
    whole = task.network.encoder
    encoder = whole.backbone if isinstance(whole, FusionEncoder) else whole
    gain = 1 / (1 - whole.rate) if isinstance(whole, FusionEncoder) and whole.scaling == "rate" else 1.0
    if config.init == "pretrained":
        weights = pretrained(config)
        if isinstance(encoder, SensorNetwork):
            weights = encoder.spread(weights)
        load(encoder, weights, config, bands, RGB, tell, source="timm's weights", gain=1 / gain)
    else:
        _from_path(encoder, Path(config.init), config, bands, tell, gain)
        vicreg_weights.continue_expander(task.network, Path(config.init), tell)
    task.average.module.load_state_dict(task.network.state_dict())


def pretrained(config: EncoderBlock) -> dict[str, Tensor]:
    """The weights that timm publishes for a backbone, for RGB.

    Raises:
        RecipeError: there are none, or they cannot be downloaded.
    """
    if config.name in ("compact", ALEXNET):
        raise RecipeError(f"encoder.init: {config.name} has no published weights.", "Type: --set encoder.init=random")
    own = is_sensor_network(config.name)  # whose options are not timm's
    try:
        name = config.name.removeprefix(PREFIX) if own else config.name
        return create_backbone(name, pretrained=True, **({} if own else config.options)).state_dict()
    except RecipeError:
        raise
    except Exception as error:  # whatever the network, the hub or the file did
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise RecipeError(
            f"encoder.init: the pretrained weights of {config.name} cannot be had: {said}",
            "They are downloaded by timm. Without a network, give a file: --set encoder.init=WEIGHTS.safetensors",
        ) from None


def load(
    encoder: Encoder,
    tensors: Mapping[str, Tensor],
    config: EncoderBlock,
    bands: Bands,
    known: Bands | None,
    tell: Teller,
    *,
    source: str,
    made_up: float | None = None,
    gain: float = 1.0,
) -> Match:
    """Load weights into an encoder, the first convolution by the names of its bands.

    Args:
        encoder: what gets them.
        tensors: the weights, under any prefix.
        config: strictness, inflation, prefix.
        bands: what the encoder takes.
        known: what the weights are for; None where the file does not say.
        tell: takes lines.
        source: the weights in words.
        made_up: `s` of the formula above, where it is not what the bands say.
        gain: further factor of the first filters.

    Raises:
        RecipeError: nothing fits, or not everything does and `encoder.strict` is on, or bands differ.
    """
    target = encoder.backbone if isinstance(encoder, TimmEncoder) else encoder
    own = target.state_dict()
    names = {module: name for name, module in target.named_modules()}
    if encoder.takes_present:
        made_up = 1.0  # in training nothing made up for what was missing
    prefix = match(tensors, own, source, config.prefix).prefix
    tensors = dict(tensors)
    for convolution, taken in encoder.stems(bands):
        stem = f"{prefix}{names[convolution]}.weight"
        if (filters := tensors.get(stem)) is not None and filters.ndim == 4:
            of_sensor = known if known is None or taken is bands else {s: known[s] for s in taken if s in known}
            # What was trained on none of the sensors, such as photographs, is mixed for each of them.
            tensors[stem] = _for_bands(filters, taken, of_sensor or known, config, source, made_up, gain, tell)
    for sensor in dict.fromkeys(filter(None, (encoder.foreign(key.removeprefix(prefix)) for key in tensors))):
        tensors = {key: v for key, v in tensors.items() if encoder.foreign(key.removeprefix(prefix)) != sensor}
        tell(f"  left out what is of {sensor} alone")
    embedding = tensors.get(f"{prefix}pos_embed")
    if embedding is not None and "pos_embed" in own and embedding.shape != own["pos_embed"].shape:
        tensors[f"{prefix}pos_embed"] = _positions(embedding, target)
    found = match(tensors, own, source, prefix)
    differences = found.differences()
    if not found.weights or (differences and config.strict):
        raise RecipeError(
            f"encoder.init: {source} is of another network than {config.name}: {'; '.join(differences)}.",
            "Set encoder.name to its network"
            + (", or take what fits: --set encoder.strict=false" if found.weights else "."),
        )
    target.load_state_dict(found.weights, strict=False)
    tell(f"encoder from {source}: {len(found.weights)} of {len(own)} weights")
    for line in differences:
        tell(f"  {line}")
    return found


def mixing(known: Bands, bands: Bands) -> tuple[Tensor, list[str]]:
    """How a network of known bands is made one of others: the matrix A of the formula above.

    Args:
        known: what the network takes.
        bands: what it shall take.

    Returns:
        (C, C₀) float64 shares, and the names of the bands that the network does not know.
    """
    old, new = _listed(known), _listed(bands)
    rows, strange = torch.zeros(len(new), len(old), dtype=torch.float64), []
    for row, band in enumerate(new):
        same = [i for i, other in enumerate(old) if other == band]
        same = same or [i for i, other in enumerate(old) if _meaning(*other) == _meaning(*band)]
        if not same:
            strange.append(band[1])
        rows[row, same or slice(None)] = 1 / len(same or old)
    sums = rows.sum(0)
    return rows / sums.where(sums > 0, torch.ones(())), strange


def _for_bands(
    filters: Tensor,
    bands: Bands,
    known: Bands | None,
    config: EncoderBlock,
    source: str,
    made_up: float | None,
    gain: float,
    tell: Teller,
) -> Tensor:
    """First filters (O, C₀, k, k) for the bands wanted, (O, C, k, k)."""
    count, is_named = sum(map(len, bands.values())), True
    if known is None:
        if filters.shape[1] == count and not config.inflate:
            tell(f"  {source} does not name its {count} bands: they are taken in the catalog's order")
            return filters * gain
        if filters.shape[1] != 3 and not config.inflate:
            raise RecipeError(
                f"encoder.init: {source} takes {filters.shape[1]} bands and does not name them; "
                f"this run takes {count}: {_said(bands)}.",
                _NAMED,
            )
        is_named = False
        known = RGB if filters.shape[1] == 3 else {"": [f"channel {i + 1}" for i in range(filters.shape[1])]}
    matrix, strange = mixing(known, bands)
    if strange and not config.inflate and config.init != "pretrained":
        assumed = "" if is_named else ", which is assumed of three bands without a name"
        raise RecipeError(
            f"encoder.init: {source} is for {_said(known)}{assumed}; this run's {_said(bands)} adds "
            f"{', '.join(strange)}.",
            "Give new bands the mean filter with --set encoder.inflate=true, or leave them out with "
            f"--set 'sensors.{next(iter(bands))}.bands=[…]'" + ("" if is_named else f"\n{_NAMED}"),
        )
    if strange or _listed(known) != _listed(bands):
        mean = f"; the mean filter for {', '.join(strange)}" if strange else ""
        tell(f"  bands by name: {_said(known)} → {_said(bands)}{mean}")
    if made_up is None:
        made_up = matrix.shape[1] / int((matrix.sum(0) > 0).sum())
    return torch.einsum("bc,ocij->obij", matrix * (made_up * gain), filters.double()).to(filters.dtype)


def _from_path(encoder: Encoder, path: Path, config: EncoderBlock, bands: Bands, tell: Teller, gain: float) -> None:
    """Load from a run folder, a checkpoint of one, or any file of weights; the encoder's input is scaled by `gain`."""
    run = run_around(path)
    if run is None:
        if path.is_dir():
            raise RecipeError(
                f"encoder.init: {path} is no run folder.", "Train one with: rsgeo-train pretrain … -o RUN"
            )
        tensors, known = csmae_weights.translated(read_weights(path))
        known = known or bands_of(path)
        load(encoder, tensors, config, bands, known, tell, source=str(path), gain=1 / gain)
        return
    if path.is_dir():
        checkpoints = [path / "checkpoints" / f"{name}.ckpt" for name in ("best", "last")]
        path = next((file for file in checkpoints if file.is_file()), checkpoints[0])
    recipe, known = _of_run(run)
    before = recipe.encoder
    if (before.name, before.channels if before.name == "compact" else None) != (
        config.name,
        config.channels if before.name == "compact" else None,
    ):
        widths = ",".join(map(str, before.channels))
        channels = f" --set encoder.channels=[{widths}]" if before.name == "compact" else ""
        raise RecipeError(
            f"encoder.init: {run} is of another network than encoder.name: {before.name}, not {config.name}.",
            f"Type: --set encoder.name={before.name}{channels}",
        )
    views = getattr(recipe.method, "views", None)
    made_up = 1 / (1 - views.drop) if views is not None and views.scaling == "rate" else None
    load(encoder, read_weights(path), config, bands, known, tell, source=str(path), made_up=made_up, gain=1 / gain)


def _of_run(run: Path) -> tuple[Recipe, Bands | None]:
    """A run's recipe and bands; None where its catalog is gone and the recipe does not name them."""
    from rsgeo_train.training import input_of  # which calls this module

    _, recipe = recipe_of(run)
    if recipe.sensors and all(block.bands for block in recipe.sensors.values()):
        return recipe, {sensor: block.bands for sensor, block in recipe.sensors.items()}
    try:
        return recipe, input_of(*read_run(run)).bands
    except RsgeoError:
        return recipe, None


def _positions(embedding: Tensor, target: nn.Module) -> Tensor:
    """Position embeddings of a transformer for another number of patches, interpolated."""
    prefix = 0 if getattr(target, "no_embed_class", False) else int(getattr(target, "num_prefix_tokens", 0))
    grid = math.isqrt(embedding.shape[1] - prefix)
    if grid * grid + prefix != embedding.shape[1]:
        return embedding
    return resample_abs_pos_embed(embedding, list(target.patch_embed.grid_size), [grid, grid], prefix)


def _listed(bands: Bands) -> list[tuple[str, str]]:
    return [(sensor, name) for sensor, names in bands.items() for name in names]


def _meaning(sensor: str, name: str) -> str:
    """What a band shows: its STAC common name where the registry has one, else its own name."""
    try:
        return REGISTRY[sensor].band(name).common_name or f"{sensor} {normal_name(name)}"
    except KeyError:
        last = name.replace("-", "_").rpartition("_")[2].lower()  # SPOT_red
        return last if last in RGB["rgb8"] else normal_name(name)


def _said(bands: Bands) -> str:
    return "; ".join(f"{sensor} {', '.join(names)}".strip() for sensor, names in bands.items())
