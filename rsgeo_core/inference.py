"""From scenes to maps: the request, and the run that the commands, the worker and Python programs share."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rasterio
from pydantic import ValidationError

from rsgeo_core import __version__, cog, provenance, targets, tiling
from rsgeo_core.bands import block_cache
from rsgeo_core.card import Output
from rsgeo_core.detection_pipeline import DetectionPipeline, joined
from rsgeo_core.errors import RequestError
from rsgeo_core.events import CancelToken, Listener, Log, Result, Stage, Warn, WrittenFile, ignore
from rsgeo_core.grid import Grid, Span
from rsgeo_core.journal import Journal
from rsgeo_core.meter import Meter, peak_memory
from rsgeo_core.onnx_file import sha256
from rsgeo_core.pipeline import Pipeline
from rsgeo_core.preparation import Prepared, prepared
from rsgeo_core.publishing import Publisher, size_and_time
from rsgeo_core.rasters import (
    Product,
    class_product,
    confidence_product,
    embedding_product,
    entropy_product,
    probability_product,
    value_product,
)
from rsgeo_core.request import InferRequest
from rsgeo_core.scene import Scene
from rsgeo_core.session import Session, greeting, onnxruntime
from rsgeo_core.zoo import Model


def infer(
    scene: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, Any],
    out: str | os.PathLike[str],
    model: str | os.PathLike[str] | None = None,
    *,
    on_event: Listener = ignore,
    cancel: CancelToken | None = None,
    **options: Any,
) -> Result:
    """Run a model over a scene and write a georeferenced map.

    Args:
        scene: a raster, several rasters of one sensor, or sensor key to rasters.
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
        named["sensors"] = {key: _paths(paths) for key, paths in scene.items()}
    else:
        named["scene"] = _paths(scene)
    given = {key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in options.items()}
    if isinstance(given.get("extent"), (tuple, list)):
        given["extent"] = ",".join(map(repr, map(float, given["extent"])))
    try:
        request = InferRequest(
            out=os.fspath(out), model=os.fspath(model) if model is not None else None, **named, **given
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise RequestError(f"{'.'.join(map(str, first['loc']))}: {first['msg']} (given: {first['input']!r}).") from None
    return run(request, on_event, cancel)


def _paths(given: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    """One path or several as text."""
    return (os.fspath(given),) if isinstance(given, (str, os.PathLike)) else tuple(os.fspath(path) for path in given)


def run(request: InferRequest, on_event: Listener = ignore, cancel: CancelToken | None = None) -> Result:
    """Do what a request asks for; see `infer`."""
    cancel = cancel or CancelToken()
    # Every block row that the COG driver holds open would keep a block of its own in memory.
    with rasterio.Env(GDAL_PAM_ENABLED="YES", GDAL_MAX_DATASET_POOL_SIZE=8), block_cache():
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
        targets.check(request)
        with prepared(request, self.tell) as ready:
            model, files, output, scene = ready.model, ready.files, ready.output, ready.scene
            layout, region = ready.layout, ready.region
            is_point = scene.reference.is_point
            products = self._products(output)
            key = self._key(model, output, files, scene, layout, region)
            bands = ready.bands()
            if (finished := self._already_done(key)) is not None:
                return finished
            workers, threads = ready.workers()
            session = Session(model.path, model.card, output, request.device, threads, self.cancel, scene.present)
            self._tell_session(session, model, layout)
            journal = Journal(self.out, key, request.resume)
            resumed = bool(journal.finished)
            if resumed:
                self.tell(
                    Log(text=f"Resuming: {len(journal.finished)} of {tiling.row_count(region, layout)} rows are done.")
                )
            total = region.height * region.width
            self.tell(Stage(name="map", index=1, count=2, weight=0.95))
            stages = (
                scene,
                session,
                layout,
                region,
                products,
                journal,
                ready.mask,
                ready.batch(session),
                workers,
                self.cancel,
                Meter(self.tell, total, layout.stride, journal, region, layout),
            )
            least = self._least_score(output)
            pipeline = Pipeline(*stages) if least is None else DetectionPipeline(least, *stages)
            with block_cache(min(request.memory // 8, scene.row_bytes(layout.tile))):
                pipeline.run()
            session.close()
            if not pipeline.cells and not resumed:
                self.tell(Warn(code="empty", text=_nothing(request)))
            for warning in session.warnings:
                self.tell(Warn(code="memory", text=warning))
        self.tell(Stage(name="finish", index=2, count=2, weight=0.05))
        grid = ready.cells.sub_grid(region)
        rows = [(row.index, row.finished) for row in tiling.plan(region, layout) if row.finished.height]
        count = None
        if output.objects is None:
            publisher = self._finish(journal, products, grid, rows, key, is_point)
        else:
            publisher = Publisher(self.out, journal.folder, 1, self.tell, self.cancel)
            count = publisher.add_objects(self.out, lambda path: self._write_objects(ready, journal, path))
            self.tell(Log(text=f"{count} objects."))
        seconds = time.perf_counter() - self.began
        megapixels = region.height * region.width * layout.stride**2 / 1e6
        busy = pipeline.busy
        stats = {
            "seconds": round(seconds, 3),
            "megapixels": round(megapixels, 4),
            "megapixels_per_second": round(megapixels / seconds, 4),
            "device": session.device,
            "busy": {
                "read": round(busy.read / seconds, 4),
                "model": round(busy.model / seconds, 4),
                "write": round(busy.write / seconds, 4),
            },
            "model_runs": pipeline.model_runs,
            "peak_memory_bytes": peak_memory(),
            "tile": layout.tile,
            "halo": max(0, layout.lead),
            "blend": layout.blend,
            "stride": layout.stride,
            "bands": bands,
            **({} if count is None else {"objects": count}),
        }
        item = provenance.map_item(
            self.out,
            grid,
            publisher.written,
            key,
            {
                **stats,
                "threads": request.threads,
                "batch": pipeline.batch,
                "onnxruntime": onnxruntime().__version__,
                "gdal": rasterio.__gdal_version__,
                "sources": {k: list(v) for k, v in files.items()},
            },
        )
        item["properties"]["rsgeo:files"] = publisher.sizes()
        beside = provenance.item_path(self.out)
        outputs = [*publisher.written, publisher.metadata(beside)]
        item["properties"]["rsgeo:outputs"] = [file.model_dump(exclude_none=True) for file in outputs]
        publisher.add_metadata(json.dumps(item, indent=1) + "\n", beside)
        publisher.publish()
        journal.remove()
        result = Result(outputs=publisher.written, stats=stats, provenance=key)
        self.tell(result)
        return result

    # Before the run ------------------------------------------------------------------------------------------

    def _tell_session(self, session: Session, model: Model, layout: tiling.Layout) -> None:
        self.tell(greeting(session.device))
        for caution in model.card.cautions:
            self.tell(Warn(code="caution", text=caution))
        context = model.card.context
        if model.card.task == "detection":  # what several tiles see is told once, whatever they say of it
            usual = model.card.inputs[0].tile_size
            if layout.tile > usual:
                text = (
                    f"Tiles of {layout.tile} pixels are larger than the model's {usual}, and can have no more objects."
                )
                self.tell(Warn(code="tile", text=f"{text} Some may be missed."))
            return
        if layout.window is None and context.tile_invariant is False:
            self.tell(
                Warn(
                    code="seams",
                    text=f"{model.card.name} is not tile-invariant: its result depends on the tiles, "
                    "whatever the overlap. Measure it with: rsgeo check-seams",
                )
            )
        elif layout.window is None and context.receptive_field is not None and layout.lead < context.receptive_field:
            self.tell(
                Warn(
                    code="seams",
                    text=f"The halo of {layout.lead} pixels is smaller than the model's receptive "
                    f"field of {context.receptive_field}: seams may show.",
                )
            )

    def _products(self, output: Output) -> list[Product]:
        request = self.request
        if request.quantisation == "int8" and output.kind != "embedding":
            raise RequestError(
                "int8 is AlphaEarth's rule for embeddings; probabilities take uint8, float16 or float32."
            )
        if output.objects is not None:
            return []
        if output.kind == "embedding":
            return [embedding_product(output, request.quantisation)]
        if output.kind == "values":
            return [value_product(output)]
        products = [class_product(output)]
        if request.probabilities is not None:
            products.append(probability_product(output, request.quantisation))
        if request.confidence is not None:
            products.append(confidence_product(output))
        if request.entropy is not None:
            products.append(entropy_product(output))
        return products

    def _least_score(self, output: Output) -> float | None:
        """The score from which on a detector's objects are taken; None for other models."""
        if output.objects is None:
            return None
        asked = self.request.min_score
        return output.objects.min_score if asked is None else asked

    def _key(
        self,
        model: Model,
        output: Output,
        files: Mapping[str, Sequence[str]],
        scene: Scene,
        layout: tiling.Layout,
        region: Span,
    ) -> dict[str, Any]:
        """What determines the pixels."""
        request = self.request
        parameters: dict[str, Any] = {
            "tile": layout.tile,
            "halo": layout.lead,
            "core": layout.core,
            "stride": layout.stride,
            "blend": layout.blend,
            "region": [region.top, region.left, region.bottom, region.right],
            "bands": request.bands,
            "task": request.task,
            "nodata": request.nodata,
            "nodata_rule": request.nodata_rule,
            "value_scale": request.value_scale,
            "quantisation": request.quantisation,
            "force": request.force,
            "products": [n for n in ("probabilities", "confidence", "entropy") if getattr(request, n) is not None],
            "rsgeo": __version__.rsplit(".", 1)[0],
        }
        if (least := self._least_score(output)) is not None:
            parameters["min_score"] = least
        if request.layer is not None:
            parameters["layer"] = request.layer
        if request.resampling is not None:
            parameters["resampling"] = request.resampling
        if request.crs is not None:
            parameters["crs"] = request.crs
        if request.mask is not None:
            parameters["mask"] = sha256(request.mask) if Path(request.mask).is_file() else request.mask
        model_facts = {"name": model.card.name, "version": model.card.version, "sha256": sha256(model.path)}
        key: dict[str, Any] = json.loads(
            json.dumps({"model": model_facts, "parameters": parameters, "sources": provenance.source_facts(files)})
        )
        if len(model.card.inputs) > 1 or not scene.is_aligned or not scene.reference.is_given:
            key["alignment"] = provenance.alignment_facts(scene)
        return key

    def _already_done(self, key: dict[str, Any]) -> Result | None:
        """With --resume, a finished map of the same key is left as it is."""
        beside = provenance.item_path(self.out)
        if not (self.request.resume and self.out.exists() and beside.exists()):
            return None
        try:
            properties = json.loads(beside.read_text())["properties"]
        except (json.JSONDecodeError, KeyError):
            return None
        files = properties.get("rsgeo:files", {})
        if (
            properties.get("rsgeo:key") != key
            or "rsgeo:outputs" not in properties
            or not all(
                path in files and files[path] == size_and_time(Path(path)) for path in targets.named(self.request)
            )
        ):
            return None
        self.tell(Log(text=f"{self.out} is finished already."))
        Journal.leftover(self.out)
        outputs = [WrittenFile.model_validate(file) for file in properties["rsgeo:outputs"]]
        result = Result(outputs=outputs, stats=properties["rsgeo:run"], provenance=key, was_finished=True)
        self.tell(result)
        return result

    # After the run -------------------------------------------------------------------------------------------

    def _write_objects(self, ready: Prepared, journal: Journal, path: Path) -> int:
        """Join what the rows of tiles found, and write it."""
        from rsgeo_core.object_layers import write_objects  # geopandas takes half a second to import

        output = ready.output
        assert output.objects is not None
        with_masks = output.objects.masks is not None
        found = joined(ready, journal)
        return write_objects(found, ready.scene.grid, output.classes, path, with_masks=with_masks)

    def _target(self, product: Product) -> Path:
        """The final name of a product."""
        name = getattr(self.request, product.role, None)
        return Path(name) if name is not None else self.out

    def _finish(
        self,
        journal: Journal,
        products: Sequence[Product],
        grid: Grid,
        rows: Sequence[tuple[int, Span]],
        key: dict[str, Any],
        is_point: bool,
    ) -> Publisher:
        """Make the files, all under names that are not final."""
        publisher = Publisher(self.out, journal.folder, len(products), self.tell, self.cancel)
        for product in products:
            parts = [
                cog.Part(journal.part(index, product.role), span.top - rows[0][1].top, span.height)
                for index, span in rows
            ]
            publisher.add_raster(
                product, self._target(product), parts, grid, provenance.tags(key), self.request.threads, is_point
            )
        if self.request.vector is not None:
            publisher.add_vector(Path(self.request.vector))
        return publisher


def _nothing(request: InferRequest) -> str:
    """Why a map may be without data."""
    if request.mask is not None or request.extent is not None:
        return "The map holds no data: no cell's centre lies inside the mask or extent where the scene has data."
    return "The map holds no data: the scene has none in the bands that the model uses."
