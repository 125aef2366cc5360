"""From scenes to maps: the request, and the run that the commands, the worker and Python programs share."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import rasterio
from pydantic import BaseModel, ConfigDict, Field

from rsgeo_core import __version__, cog, provenance, style, tiling, zoo
from rsgeo_core.card import ModelCard, Output, Task
from rsgeo_core.errors import OutputError, RequestError
from rsgeo_core.events import CancelToken, Hello, Listener, Log, Progress, Result, Stage, Warn, WrittenFile, ignore
from rsgeo_core.grid import Span
from rsgeo_core.journal import Journal, flush
from rsgeo_core.onnx_file import sha256
from rsgeo_core.pipeline import Pipeline
from rsgeo_core.rasters import (
    Product,
    class_product,
    confidence_product,
    embedding_product,
    entropy_product,
    probability_product,
    value_product,
)
from rsgeo_core.scene import ReadOptions, Scene
from rsgeo_core.session import Session, devices, onnxruntime
from rsgeo_core.vectors import Mask, read_extent, read_polygons
from rsgeo_core.zoo import Model

_GEOTIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


class InferRequest(BaseModel):
    """What is asked for: exactly the options of `rsgeo infer`.

    Attributes:
        scene: files of the model's single sensor.
        out: the map to write.
        model: a name or file; None chooses what fits.
        sensors: sensor key to files, for models of several sensors.
        bands: band name to 1-based number.
        task: which output of the model; None for its own.
        stride: pixels per cell of window models.
        tile: side of the model's input, pixels; None lets rsgeo choose.
        halo: context around each tile's result, pixels, or `auto`.
        blend: `exact`, `hann`, or None for what the model needs.
        extent, extent_crs: see `vectors.read_extent`.
        mask: polygons to keep.
        probabilities, confidence, entropy, vector: further files to write.
        quantisation: how embeddings and probabilities are stored.
        nodata, nodata_rule, value_scale: see `scene.ReadOptions`.
        device, batch, memory, threads: how to run; they do not change the map.
        resume: go on with a killed run, and leave a finished one as it is.
        force: take units and resolutions outside the model's range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scene: tuple[str, ...] = ()
    out: str
    model: str | None = None
    sensors: dict[str, tuple[str, ...]] = {}
    bands: dict[str, int] = {}
    task: Task | None = None
    stride: int | None = Field(default=None, gt=0)
    tile: int | None = Field(default=None, gt=0)
    halo: int | Literal["auto"] = "auto"
    blend: Literal["exact", "hann"] | None = None
    extent: str | None = None
    extent_crs: str | None = None
    mask: str | None = None
    probabilities: str | None = None
    confidence: str | None = None
    entropy: str | None = None
    vector: str | None = None
    quantisation: Literal["uint8", "int8", "float16", "float32"] = "uint8"
    nodata: float | None = None
    nodata_rule: Literal["any", "all"] = "any"
    value_scale: tuple[float, float] | None = None
    device: str = "auto"
    batch: int | None = Field(default=None, gt=0)
    memory: int = Field(default=2 << 30, gt=0)
    threads: int = Field(default=0, ge=0)
    resume: bool = False
    force: bool = False

    @property
    def files(self) -> dict[str, Sequence[str]]:
        """Files by sensor key; those of an unnamed sensor under the key ""."""
        named: dict[str, Sequence[str]] = {key: tuple(paths) for key, paths in self.sensors.items()}
        return {**({"": self.scene} if self.scene else {}), **named}

    @property
    def read_options(self) -> ReadOptions:
        """How the scene's values are taken."""
        return ReadOptions(self.bands, self.nodata, self.nodata_rule, self.value_scale, force=self.force)


def infer(scene: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, Sequence[str]],
          out: str | os.PathLike[str], model: str | os.PathLike[str] | None = None, *,
          on_event: Listener = ignore, cancel: CancelToken | None = None, **options: Any) -> Result:
    """Run a model over a scene and write a georeferenced map.

    Args:
        scene: a raster, several rasters of one sensor on one grid, or sensor key to rasters.
        out: the map to write, a GeoTIFF.
        model: a model's name or file; None chooses the built-in or own model that fits the scene.
        on_event: called with each event of the run, from the thread that makes it.
        cancel: raise it from any thread to stop the run.
        **options: the other fields of `InferRequest`.

    Returns:
        The files written and figures of the run.

    Raises:
        RsgeoError: see `rsgeo_core.errors`; nothing is left under a final name.
    """
    named: dict[str, Any] = {}
    if isinstance(scene, Mapping):
        named["sensors"] = {key: tuple(os.fspath(p) for p in paths) for key, paths in scene.items()}
    else:
        named["scene"] = (os.fspath(scene),) if isinstance(scene, (str, os.PathLike)) else tuple(map(os.fspath, scene))
    request = InferRequest(out=os.fspath(out), model=os.fspath(model) if model is not None else None, **named, **options)
    return run(request, on_event, cancel)


def run(request: InferRequest, on_event: Listener = ignore, cancel: CancelToken | None = None) -> Result:
    """Do what a request asks for; see `infer`."""
    cancel = cancel or CancelToken()
    with rasterio.Env(GDAL_CACHEMAX=64, GDAL_PAM_ENABLED="YES"):
        return _Run(request, on_event, cancel).do()


class _Run:
    """The steps of one run, and what they share."""

    def __init__(self, request: InferRequest, on_event: Listener, cancel: CancelToken) -> None:
        self.request, self.tell, self.cancel = request, on_event, cancel
        self.began = time.perf_counter()
        self.out = Path(request.out)

    def do(self) -> Result:
        """The whole run."""
        request = self.request
        self._check_paths()
        model = self._model()
        files = zoo.named_files(request.files, model.card)
        output = self._output(model)
        scene_options = ReadOptions(**{**request.read_options.__dict__, "border": model.card.context.border})
        with Scene(files, model.card.inputs, scene_options) as scene:
            self._tell_bands(scene)
            for problem in scene.check():
                self.tell(Warn(code="forced", text=problem))
            layout = choose_layout(model.card, output, request, scene.grid.shape)
            cells = scene.grid.strided(layout.stride)
            region, mask = self._region(scene, layout)
            products = self._products(output)
            key = self._key(model, files, layout, region)
            if (finished := self._already_done(key)) is not None:
                return finished
            session = Session(model.path, model.card, output, request.device, request.threads, self.cancel)
            self._tell_session(session, model, layout)
            journal = Journal(self.out, key, request.resume)
            if journal.finished:
                self.tell(Log(text=f"Resuming: {len(journal.finished)} of {tiling.row_count(region, layout)} rows are done."))
            total = region.height * region.width
            self.tell(Stage(name="map", index=1, count=2, weight=0.95))
            pipeline = Pipeline(scene, session, layout, region, products, journal, mask, self._batch(session, layout),
                                self.cancel, _Meter(self.tell, total, layout.stride, journal, region, layout))
            pipeline.run()
            for warning in session.warnings:
                self.tell(Warn(code="memory", text=warning))
        self.tell(Stage(name="finish", index=2, count=2, weight=0.05))
        written = self._finish(journal, products, cells.sub_grid(region), region, layout, key, scene, model)
        seconds = time.perf_counter() - self.began
        megapixels = region.height * region.width * layout.stride ** 2 / 1e6
        busy = pipeline.busy
        stats = {
            "seconds": round(seconds, 3), "megapixels": round(megapixels, 4),
            "megapixels_per_second": round(megapixels / seconds, 4), "device": session.device,
            "busy": {"read": round(busy.read / seconds, 4), "model": round(busy.model / seconds, 4),
                     "write": round(busy.write / seconds, 4)},
            "model_runs": pipeline.model_runs, "peak_memory_bytes": peak_memory(),
            "tile": layout.tile, "halo": max(0, layout.lead), "blend": layout.blend, "stride": layout.stride,
        }
        item = provenance.map_item(self.out, cells.sub_grid(region), written, key, {
            **stats, "threads": request.threads, "batch": pipeline.batch, "onnxruntime": onnxruntime().__version__,
            "gdal": rasterio.__gdal_version__, "sources": {k: list(v) for k, v in files.items()}})
        beside = self.out.with_suffix(".json")
        _write_text(beside, json.dumps(item, indent=1) + "\n")
        self._publish()
        written.append(WrittenFile(role="metadata", path=str(beside), kind="application/geo+json"))
        journal.remove()
        written += self._vector()
        result = Result(outputs=written, stats=stats, provenance=key)
        self.tell(result)
        return result

    # Before the run ------------------------------------------------------------------------------------------

    def _check_paths(self) -> None:
        """Refuse outputs that cannot be written before any work is done."""
        if not self.request.files:
            raise RequestError("No scene was given.", "Type: rsgeo infer SCENE -o OUT")
        sources = {Path(p).resolve() for paths in self.request.files.values() for p in paths}
        targets = [self.request.out, self.request.probabilities, self.request.confidence, self.request.entropy,
                   self.request.vector]
        paths = [Path(t) for t in targets if t is not None]
        if len({p.resolve() for p in paths}) < len(paths):
            raise RequestError("Two outputs have the same name.")
        for path in paths:
            if path.resolve() in sources:
                raise OutputError(f"{path} is the scene itself.", "Choose another name with -o.")
            if path.is_dir():
                raise OutputError(f"{path} is a folder.", f"Name the file: -o {path / 'map.tif'}")
            parent = path.resolve().parent
            try:
                parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"{parent} cannot be made: {error.strerror}.", "Choose another place with -o.") from None
            if not os.access(parent, os.W_OK) or not _is_writable(parent):
                raise OutputError(f"{parent} cannot be written.", "Choose another place with -o.")

    def _model(self) -> Model:
        request = self.request
        if request.model is not None:
            return zoo.find(request.model)
        model, _ = zoo.choose(request.files, request.read_options, request.task)
        self.tell(Log(text=f"Model: {model.card.name} {model.card.version} ({model.card.title or model.card.task}), "
                           "chosen by bands and ground resolution."))
        return model

    def _output(self, model: Model) -> Output:
        try:
            output = model.card.output(self.request.task)
        except KeyError as error:
            raise RequestError(f"{error.args[0]}.") from None
        has_classes = output.kind in ("logits", "probabilities")
        for name in ("probabilities", "confidence", "entropy", "vector"):
            if getattr(self.request, name) is not None and not has_classes:
                raise RequestError(f"--{name} needs a model with classes; {model.card.name} gives {output.kind}.")
        return output

    def _tell_bands(self, scene: Scene) -> None:
        for key, reader in scene.sensors.items():
            how = ", ".join(f"{m.band.name} = band {m.index} ({m.why})" for m in reader.matched)
            self.tell(Log(text=f"Bands of {key}: {how}."))

    def _tell_session(self, session: Session, model: Model, layout: tiling.Layout) -> None:
        self.tell(Hello(rsgeo=__version__, python=".".join(map(str, os.sys.version_info[:3])),  # type: ignore[attr-defined]
                        onnxruntime=onnxruntime().__version__, providers=devices(), device=session.device, pid=os.getpid()))
        context = model.card.context
        if layout.window is None and context.tile_invariant is False:
            self.tell(Warn(code="seams", text=f"{model.card.name} is not tile-invariant: its result depends on the tiles, "
                                              "whatever the overlap. Measure it with: rsgeo check-seams"))
        elif layout.window is None and context.receptive_field is not None and layout.lead < context.receptive_field:
            self.tell(Warn(code="seams", text=f"The halo of {layout.lead} pixels is smaller than the model's receptive "
                                              f"field of {context.receptive_field}: seams may show."))

    def _region(self, scene: Scene, layout: tiling.Layout) -> tuple[Span, Mask | None]:
        """The cells wanted and the mask on the output grid."""
        request, grid = self.request, scene.grid
        cells = grid.strided(layout.stride)
        region = cells.span
        if request.extent is not None:
            bounds = read_extent(request.extent, request.extent_crs, grid.crs)
            pixels = grid.span_of(bounds)
            region = Span(pixels.top // layout.stride, pixels.left // layout.stride, -(-pixels.bottom // layout.stride),
                          -(-pixels.right // layout.stride)).intersection(cells.span)
            if not region.height or not region.width:
                raise RequestError(f"The extent {request.extent} does not meet the scene, which covers {_rounded(grid.bounds())}.",
                                   "Give it in the scene's CRS, or name its own with --extent-crs EPSG:4326")
        if request.mask is None:
            return region, None
        mask = Mask(read_polygons(request.mask, grid.crs), cells)
        if not mask.touches(region):
            raise RequestError(f"No polygon of {request.mask} meets the scene.")
        return region, mask

    def _products(self, output: Output) -> list[Product]:
        request = self.request
        if output.kind == "embedding":
            return [embedding_product(output, request.quantisation)]
        if output.kind == "values":
            return [value_product(output)]
        products = [class_product(output)]
        if request.probabilities is not None:
            dtype = request.quantisation if request.quantisation != "int8" else "uint8"
            products.append(probability_product(output, dtype))
        if request.confidence is not None:
            products.append(confidence_product(output))
        if request.entropy is not None:
            products.append(entropy_product(output))
        return products

    def _key(self, model: Model, files: Mapping[str, Sequence[str]], layout: tiling.Layout, region: Span) -> dict[str, Any]:
        """What determines the pixels."""
        request = self.request
        parameters: dict[str, Any] = {
            "tile": layout.tile, "halo": layout.lead, "core": layout.core, "stride": layout.stride, "blend": layout.blend,
            "region": [region.top, region.left, region.bottom, region.right], "bands": request.bands, "task": request.task,
            "nodata": request.nodata, "nodata_rule": request.nodata_rule, "value_scale": request.value_scale,
            "quantisation": request.quantisation, "force": request.force,
            "products": [n for n in ("probabilities", "confidence", "entropy") if getattr(request, n) is not None],
            "rsgeo": __version__.rsplit(".", 1)[0],
        }
        if request.mask is not None:
            parameters["mask"] = sha256(request.mask) if Path(request.mask).is_file() else request.mask
        model_facts = {"name": model.card.name, "version": model.card.version, "sha256": sha256(model.path)}
        return json.loads(json.dumps(  # type: ignore[no-any-return]
            {"model": model_facts, "parameters": parameters, "sources": provenance.source_facts(files)}))

    def _already_done(self, key: dict[str, Any]) -> Result | None:
        """With --resume, a finished map of the same key is left as it is."""
        beside = self.out.with_suffix(".json")
        if not (self.request.resume and self.out.exists() and beside.exists()):
            return None
        try:
            properties = json.loads(beside.read_text())["properties"]
        except (json.JSONDecodeError, KeyError):
            return None
        if properties.get("rsgeo:key") != key:
            return None
        self.tell(Log(text=f"{self.out} is finished already."))
        result = Result(outputs=[WrittenFile(role="map", path=str(self.out), kind=_GEOTIFF)],
                        stats=properties["rsgeo:run"], provenance=key)
        self.tell(result)
        return result

    def _batch(self, session: Session, layout: tiling.Layout) -> int:
        """How many tiles or windows run together: one tile on a CPU, windows and GPUs take more."""
        if self.request.batch is not None:
            return self.request.batch
        if session.fixed_batch is not None:
            return session.fixed_batch
        channels = sum(len(item.bands) for item in session.card.inputs)
        side = layout.window or layout.tile
        fitting = self.request.memory // 8 // max(1, side * side * 4 * (channels + 64))
        wished = 64 if layout.window else (1 if session.device == "cpu" else 16)
        return int(max(1, min(wished, fitting)))

    # After the run -------------------------------------------------------------------------------------------

    def _target(self, product: Product) -> Path:
        """The final name of a product."""
        name = getattr(self.request, product.role, None)
        return Path(name) if name is not None else self.out

    def _finish(self, journal: Journal, products: Sequence[Product], grid: Any, region: Span, layout: tiling.Layout,
                key: dict[str, Any], scene: Scene, model: Model) -> list[WrittenFile]:
        """Make the COGs and their side files, all under names that are not final."""
        written: list[WrittenFile] = []
        self._renames: list[tuple[Path, Path]] = []
        parts = [(row.index, row.finished) for row in tiling.plan(region, layout) if row.finished.height]
        tags = provenance.tags(key)
        for number, product in enumerate(products):
            final = self._target(product)
            fresh = journal.folder / "map.tif" if final == self.out else final.with_name(final.name + ".part")

            def step(share: float, number: int = number) -> None:
                if self.cancel.is_cancelled:
                    from rsgeo_core.errors import Cancelled
                    raise Cancelled("Cancelled; what is finished is kept.", "Go on with --resume.")
                self.tell(Progress(done=round((number + share) / len(products), 4), total=1, unit="file"))

            cog.build([cog.Part(journal.part(index, product.role), span.top - region.top, span.height)
                       for index, span in parts],
                      product, grid, tags, journal.folder, fresh, step, self.request.threads, scene_is_point(scene))
            flush(fresh)
            self._renames.append((fresh, final))
            if product.classes:
                _write_text(journal.folder / "map.aux.xml", style.aux_xml(product.classes))
                _write_text(journal.folder / "map.qml", style.class_qml(product.classes))
                self._renames.insert(0, (journal.folder / "map.aux.xml", final.with_name(final.name + ".aux.xml")))
                self._renames.insert(0, (journal.folder / "map.qml", final.with_suffix(".qml")))
            written.append(WrittenFile(role=product.role, path=str(final), kind=_GEOTIFF, nodata=_json_number(product.nodata),
                                       bands=product.count, classes=[c.name for c in product.classes] or None))
        self._renames.sort(key=lambda pair: pair[1] == self.out)  # the map itself comes last
        return written

    def _publish(self) -> None:
        for fresh, final in self._renames:
            stale = final.with_name(final.name + ".aux.xml")
            if final.suffix in (".tif", ".tiff") and stale not in [f for _, f in self._renames]:
                stale.unlink(missing_ok=True)  # statistics of an older map of that name
            os.replace(fresh, final)

    def _vector(self) -> list[WrittenFile]:
        if self.request.vector is None:
            return []
        from rsgeo_core.polygons import polygonize

        polygonize(self.out, Path(self.request.vector), overwrite=True, cancel=self.cancel)
        return [WrittenFile(role="vector", path=self.request.vector, kind="application/geopackage+sqlite3")]


class _Meter:
    """Counts finished cells and tells the progress, at most five times a second."""

    def __init__(self, tell: Listener, total: int, stride: int, journal: Journal, region: Span, layout: tiling.Layout) -> None:
        self._tell, self._unit = tell, stride * stride / 1e6
        self._done = sum(row.finished.height * row.finished.width for row in tiling.plan(region, layout)
                         if row.index in journal.finished)
        self._total, self._start, self._began, self._told = total, self._done, time.perf_counter(), 0.0

    def __call__(self, cells: int) -> None:
        self._done += cells
        now = time.perf_counter()
        if now - self._told < 0.2 and self._done < self._total:
            return
        self._told = now
        rate = (self._done - self._start) / max(1e-9, now - self._began)
        self._tell(Progress(done=round(self._done * self._unit, 4), total=round(self._total * self._unit, 4), unit="MPix",
                            eta_s=round((self._total - self._done) / rate, 1) if rate > 0 else None))


def choose_layout(card: ModelCard, output: Output, request: InferRequest, shape: tuple[int, int]) -> tiling.Layout:
    """How a model meets a scene, from its card and the request; the same for the same scene on every machine.

    Raises:
        RequestError: stride, tile or halo cannot be had with this model.
    """
    item = card.inputs[0]
    if not output.dense:
        stride = request.stride or output.stride
        if stride > item.tile_size:
            raise RequestError(f"--stride {stride} is larger than the model's window of {item.tile_size} pixels: "
                               "pixels between windows would not be seen.", f"Choose at most {item.tile_size}.")
        if request.tile is not None and request.tile != item.tile_size:
            raise RequestError(f"{card.name} looks at windows of {item.tile_size} pixels; --tile {request.tile} is another size.")
        cells = max(1, min(512 // stride, -(-max(shape) // stride)))
        return tiling.window_layout(item.tile_size, stride, cells)
    if request.stride is not None and request.stride != output.stride:
        raise RequestError(f"{card.name} gives one cell per {output.stride} pixels; --stride {request.stride} is not possible.")
    unit = item.size_multiple
    halo = card.context.halo if request.halo == "auto" else request.halo
    blend: tiling.Blend = request.blend or ("hann" if card.context.tile_invariant is False else "exact")
    if item.dynamic_size:
        tile = request.tile or _best_tile(halo, unit, request.memory)
        needed = max(-(-(side + 2 * halo) // unit) * unit + 2 * unit for side in shape)
        tile = min(tile, needed) if request.tile is None and blend == "exact" else tile
    else:
        tile = item.tile_size
        if request.tile not in (None, tile):
            raise RequestError(f"{card.name} takes tiles of {tile} pixels only; --tile {request.tile} is not possible.")
    try:
        return tiling.dense_layout(tile, halo, output.stride, unit, blend)
    except ValueError as error:
        raise RequestError(f"{error}.", "Choose a larger --tile or a smaller --halo.") from None


def _best_tile(halo: int, unit: int, memory: int) -> int:
    """The smallest of the usual tile sides that wastes less than an eighth on the halo, or the largest that fits."""
    sides = [side for side in (512, 768, 1024, 1536) if side * side * 4 * 256 <= memory] or [256]
    for side in sides:
        if (side / max(1, side - 2 * halo)) ** 2 <= 1.125:
            return side // unit * unit
    return sides[-1] // unit * unit


def scene_is_point(scene: Scene) -> bool:
    """Whether the reference raster says that its coordinates are those of pixel centres."""
    first = next(iter(scene.sensors.values()))
    return first.area_or_point == "Point"


def peak_memory() -> int | None:
    """The process's highest resident memory so far, bytes; None where the platform does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if os.uname().sysname == "Darwin" else peak * 1024


def _is_writable(folder: Path) -> bool:
    probe = folder / f".rsgeo-{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


def _write_text(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".part")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)


def _json_number(value: float) -> float | None:
    return None if value != value else value  # noqa: PLR0124 - NaN is no JSON number


def _rounded(bounds: tuple[float, ...]) -> str:
    return ", ".join(f"{b:.8g}" for b in bounds)
