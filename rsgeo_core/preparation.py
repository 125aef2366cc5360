"""What is known of a run before its first tile: model, bands, layout and the cells wanted. Shared by runs and plans."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rsgeo_core import targets, tiling, zoo
from rsgeo_core.bands import listed, told_bands
from rsgeo_core.card import ModelCard, Output, Task, served_tasks
from rsgeo_core.errors import RequestError, did_you_mean
from rsgeo_core.events import Listener, Log, Warn
from rsgeo_core.fitting import choose_layout, share_threads
from rsgeo_core.grid import Grid, Span, metres
from rsgeo_core.request import InferRequest
from rsgeo_core.scene import Scene
from rsgeo_core.session import Session, devices
from rsgeo_core.zoo import Model

if TYPE_CHECKING:
    from rsgeo_core.vectors import Mask


@dataclass(frozen=True)
class Prepared:
    """A request that has met its scene and model.

    Attributes:
        request: what was asked for.
        model: the model named or chosen.
        files: sensor key to files.
        output: which of the model's outputs.
        scene: the open scene.
        layout: how model and scene meet.
        region: the cells wanted, in the output grid of the whole scene.
        mask: where results are wanted; None for everywhere.
    """

    request: InferRequest
    model: Model
    files: Mapping[str, Sequence[str]]
    output: Output
    scene: Scene
    layout: tiling.Layout
    region: Span
    mask: Mask | None

    @property
    def cells(self) -> Grid:
        """The output grid of the whole scene."""
        return self.scene.grid.strided(self.layout.stride)

    def wants(self, span: Span) -> bool:
        """Whether something of these cells may be wanted."""
        return self.mask is None or self.mask.touches(span)

    def wanted_cells(self, span: Span) -> int:
        """How many of these cells are wanted."""
        return span.height * span.width if self.mask is None else int(self.mask.window(span).sum())

    def bands(self) -> list[dict[str, Any]]:
        """Every band of every input, with the file and number it comes from; both None where it is lacking."""
        rows = []
        for item in self.model.card.inputs:
            reader = self.scene.sensors.get(item.sensor)
            found = {match.channel: match for match in reader.matched} if reader is not None else {}
            for channel, band in enumerate(item.bands):
                match = found.get(channel)
                rows.append(
                    {
                        "sensor": item.sensor,
                        "band": band.name,
                        "common_name": band.common_name,
                        "wavelength_nm": band.wavelength_nm,
                        "path": match.path if match else None,
                        "number": match.index if match else None,
                        "why": match.why if match else None,
                    }
                )
        return rows

    def workers(self) -> tuple[int, int]:
        """Runs of the model at a time and threads of each; a GPU takes one run."""
        request = self.request
        if request.device not in ("auto", "cpu") or (request.device == "auto" and devices()[0] != "cpu"):
            return 1, request.threads
        batch = request.batch or (64 if self.layout.window else 1)
        return share_threads(self.layout, batch, request.memory, request.threads or os.cpu_count() or 1)

    def batch(self, session: Session) -> int:
        """How many tiles or windows run together: one tile on a CPU, windows and GPUs take more."""
        if self.request.batch is not None:
            return self.request.batch
        if session.fixed_batch is not None:
            return session.fixed_batch
        channels = sum(len(item.bands) for item in session.card.inputs)
        side = self.layout.window or self.layout.tile
        fitting = self.request.memory // 8 // max(1, side * side * 4 * (channels + 64))
        wished = 64 if self.layout.window else (1 if session.device == "cpu" else 16)
        return int(max(1, min(wished, fitting)))


@contextmanager
def prepared(request: InferRequest, tell: Listener) -> Iterator[Prepared]:
    """Open a request's scene with the model that it names or that fits; the model's choice and bands are told.

    Raises:
        RequestError: scene, model and options do not go together.
    """
    model = _model(request, tell)
    files = zoo.named_files(request.files, model.card)
    output = _output(request, model)
    with Scene(files, model.card.inputs, replace(request.read_options, border=model.card.context.border)) as scene:
        _check_sensor(output, scene)
        _tell_bands(scene, tell)
        _tell_grid(scene, tell)
        for problem in scene.check():
            tell(Warn(code="forced", text=problem))
        layout = choose_layout(model.card, output, request, scene.grid.shape)
        region, mask = _region(request, scene.grid, layout)
        yield Prepared(request, model, files, output, scene, layout, region, mask)


def _model(request: InferRequest, tell: Listener) -> Model:
    if request.model is not None:
        return zoo.find(request.model)
    model, _ = zoo.choose(request.files, request.read_options, request.task)
    tell(
        Log(
            text=f"Model: {model.card.name} {model.card.version} ({model.card.title or model.card.task}), "
            "chosen by bands and ground resolution."
        )
    )
    return model


def chosen_output(card: ModelCard, task: Task | None = None, layer: str | None = None) -> Output:
    """The output of a model that is asked for; see `ModelCard.output`.

    Raises:
        RequestError: there is none.
    """
    try:
        return card.output(task, layer)
    except KeyError as error:
        names = [output.name for output in card.outputs if output.name != layer]
        fitting = [name for name in names if task is None or task in served_tasks(card.output(name=name))]
        typed = f"Type: --layer {fitting[0]}" if layer and fitting else ""
        raise RequestError(f"{error.args[0]}.", did_you_mean(layer or "", names, "--layer {}") or typed) from None


def _output(request: InferRequest, model: Model) -> Output:
    output = chosen_output(model.card, request.task, request.layer)
    has_classes = output.kind in ("logits", "probabilities")
    for name in ("probabilities", "confidence", "entropy", "vector"):
        if getattr(request, name) is not None and not has_classes:
            raise RequestError(f"--{name} needs a model with classes; {model.card.name} gives {output.kind}.")
    if request.min_score is not None and output.objects is None:
        raise RequestError(f"--min-score is of detectors; {model.card.name} gives {output.kind}.", "Leave it out.")
    targets.check_kind(request, model.card.name, finds_objects=output.objects is not None)
    return output


def _check_sensor(output: Output, scene: Scene) -> None:
    """Refuse to map what a sensor says where there is no file of it."""
    if output.sensor in scene.lacking:
        others = ", ".join(scene.sensors)
        raise RequestError(
            f"The output {output.name} is what {output.sensor} says, of which no file was given; given: {others}.",
            f"Add --sensor {output.sensor}=FILE, or choose an output of what is there with --layer.",
        )


def _tell_bands(scene: Scene, tell: Listener) -> None:
    for key, reader in scene.sensors.items():
        tell(Log(text=f"Bands of {key}: {told_bands(reader.matched, len(reader.paths) > 1)}."))
        if unused := [path for path in reader.paths if all(match.path != path for match in reader.matched)]:
            tell(Log(text=f"Not used, since the model takes no band of {key} that is in them: {listed(unused)}."))
        lacking = [str(b) for b, there in zip(reader.wanted.bands, reader.present, strict=True) if not there]
        if lacking:
            tell(Warn(code="missing-bands", text=f"The scene lacks {', '.join(lacking)}; the model goes without."))
    for key in scene.lacking:
        tell(Warn(code="missing-bands", text=f"No file of {key} was given; the model goes without."))


def _tell_grid(scene: Scene, tell: Listener) -> None:
    """On which grid the map lies, and how files on other grids come onto it."""
    if scene.is_aligned and scene.reference.is_given:
        return
    tell(Log(text=f"Grid of the map: that of {scene.reference.name}, {_size(scene.grid.gsd)}."))
    for key, reader in scene.sensors.items():
        for source in reader.sources:
            if source.alignment.is_same:
                continue
            said, limit = source.report(), reader.finest_shown(source)
            methods = sorted(set(said.methods.values()))
            how = methods[0] if len(methods) == 1 else ", ".join(f"{band} {m}" for band, m in said.methods.items())
            tell(Log(text=f"{key}: {said.name}, {_size(said.gsd)}, {f'resampled: {how}' if how else 'shifted'}."))
            if limit is not None and said.gsd is not None and said.gsd > limit * 1.001 and how:
                tell(
                    Warn(
                        code="resolution",
                        text=f"{said.name} has {metres(said.gsd, limit)} per pixel; the model's bands were made of "
                        f"pixels up to {metres(limit, said.gsd)}. The map shows no finer detail of it.",
                    )
                )
            if said.covered < 1:
                share = f"{100 * said.covered:.3g} %" if said.covered else "nothing"
                what = "goes without it" if reader.wanted.missing_bands == "present" else "has no data"
                elsewhere = "elsewhere the map" if said.covered else "the map"
                text = f"{said.name} covers {share} of the map's grid; {elsewhere} {what}."
                tell(Warn(code="coverage", text=text))


def _size(gsd: float | None) -> str:
    return "of unknown resolution" if gsd is None else metres(gsd)


def _region(request: InferRequest, grid: Grid, layout: tiling.Layout) -> tuple[Span, Mask | None]:
    """The cells wanted and the mask on the output grid."""
    cells = grid.strided(layout.stride)
    region = cells.span
    if request.extent is None and request.mask is None:
        return region, None
    from rsgeo_core.vectors import Mask, read_extent, read_polygons  # geopandas takes half a second to import

    if request.extent is not None:
        bounds = read_extent(request.extent, request.extent_crs, grid.crs, around=grid.bounds())
        pixels = grid.span_of(bounds)
        region = Span(
            pixels.top // layout.stride,
            pixels.left // layout.stride,
            -(-pixels.bottom // layout.stride),
            -(-pixels.right // layout.stride),
        ).intersection(cells.span)
        if not region.height or not region.width:
            raise RequestError(
                f"The extent {request.extent} does not meet the scene, which covers {_rounded(grid.bounds())}.",
                "Give it in the scene's CRS, or name its own with --extent-crs EPSG:4326",
            )
    if request.mask is None:
        return region, None
    mask = Mask(read_polygons(request.mask, grid.crs, around=grid.bounds()), cells)
    if not mask.touches(region):
        raise RequestError(f"No polygon of {request.mask} meets the scene.")
    return region, mask


def _rounded(bounds: tuple[float, ...]) -> str:
    return ", ".join(f"{b:.8g}" for b in bounds)
