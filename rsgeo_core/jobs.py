"""What the worker can be asked for: one table of jobs, each a request and the function that the command calls too.

The fields of a request are the options of the command of that name. A new tool is one entry of `JOBS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rsgeo_core.errors import EnvironmentProblem, RunError
from rsgeo_core.events import CancelToken, Listener, Result, WrittenFile
from rsgeo_core.request import InferRequest


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PolygonizeRequest(_Request):
    """See `polygons.polygonize`."""

    map: str
    out: str
    classes: tuple[str, ...] | None = None
    min_area: float | None = Field(default=None, ge=0)
    simplify: float | None = Field(default=None, ge=0)


class StatsRequest(_Request):
    """See `areas.measured`."""

    map: str
    polygons: str | None = None
    by: str | None = None
    layer: str | None = None
    csv: str | None = None


class AssessRequest(_Request):
    """See `accuracy.assess`; `out` is a folder for the report, or a .json file."""

    map: str
    reference: str
    class_column: str | None = None
    layer: str | None = None
    map_classes: dict[str, str] = {}
    reference_classes: dict[str, str] = {}
    bootstrap: int = Field(default=1000, ge=0)
    out: str | None = None


class PreviewRequest(_Request):
    """See `pictures.preview`."""

    map: str
    out: str
    width: int = Field(default=1200, ge=300, le=8000)
    scene: str | None = None
    scene_bands: tuple[int, ...] | None = None
    kind: Literal["classes", "values", "embedding", "scene"] | None = None
    title: str | None = None


class ModelRequest(_Request):
    """A model by name or file."""

    model: str


class SelfTestRequest(_Request):
    """A model by name or file, and the device to try; without a model all built-in ones."""

    model: str | None = None
    device: str = "auto"


class SceneRequest(_Request):
    """A raster."""

    scene: str


class DiagnoseRequest(_Request):
    """Whether the models' self-tests are run."""

    selftest: bool = True


class NoRequest(_Request):
    """Nothing to say."""


@dataclass(frozen=True)
class Job:
    """One thing that can be asked for."""

    request: type[BaseModel]
    run: Callable[[Any, Listener, CancelToken], Result]
    outputs: Callable[[Any], Sequence[str]] = lambda request: ()
    keeps: Callable[[Any], bool] = lambda request: False
    """Whether unfinished files stay for a later run."""


def _infer(request: InferRequest, tell: Listener, cancel: CancelToken) -> Result:
    from rsgeo_core.inference import run

    return run(request, tell, cancel)


def _plan(request: InferRequest, tell: Listener, cancel: CancelToken) -> Result:
    from rsgeo_core.prospect import plan

    return plan(request, tell, cancel)


def _polygonize(request: PolygonizeRequest, tell: Listener, cancel: CancelToken) -> Result:
    from rsgeo_core.polygons import polygonize

    count = polygonize(
        request.map,
        request.out,
        classes=request.classes,
        min_area=request.min_area,
        simplify=request.simplify,
        on_event=tell,
        cancel=cancel,
    )
    return _told(tell, {"polygons": count}, [WrittenFile(role="vector", path=request.out, kind=_kind(request.out))])


def _stats(request: StatsRequest, tell: Listener, cancel: CancelToken) -> Result:
    from rsgeo_core.areas import measured, write_csv

    report = measured(request.map, request.polygons, by=request.by, layer=request.layer, on_event=tell, cancel=cancel)
    files = []
    if request.csv is not None:
        write_csv(report, request.csv)
        files.append(WrittenFile(role="table", path=request.csv, kind=_kind(request.csv)))
    return _told(tell, {**report.as_dict(), "rows": report.rows()}, files)


def _assess(request: AssessRequest, tell: Listener, cancel: CancelToken) -> Result:
    from rsgeo_core.accuracy import assess
    from rsgeo_core.accuracy_report import sentences, write

    report = assess(
        request.map,
        request.reference,
        class_column=request.class_column,
        layer=request.layer,
        map_classes=request.map_classes,
        reference_classes=request.reference_classes,
        bootstrap=request.bootstrap,
        on_event=tell,
        cancel=cancel,
    )
    paths = write(report, request.out) if request.out is not None else []
    files = [WrittenFile(role="report", path=str(path), kind=_kind(path.name)) for path in paths]
    return _told(tell, {**report.as_dict(), "sentences": sentences(report)}, files)


def _preview(request: PreviewRequest, tell: Listener, cancel: CancelToken) -> Result:
    from rsgeo_core.pictures import preview

    height, width = preview(
        request.map,
        request.out,
        width=request.width,
        scene=request.scene,
        scene_bands=request.scene_bands,
        kind=request.kind,
        title=request.title,
    )
    file = WrittenFile(role="picture", path=request.out, kind=_kind(request.out))
    return _told(tell, {"height": height, "width": width}, [file])


def _describe_model(request: ModelRequest, tell: Listener, cancel: CancelToken) -> Result:
    from rsgeo_core import zoo
    from rsgeo_core.description import describe_card

    return _told(tell, _model_facts(model := zoo.find(request.model)) | {"text": describe_card(model.card, model.path)})


def _describe_scene(request: SceneRequest, tell: Listener, cancel: CancelToken) -> Result:
    from rsgeo_core.description import describe_scene

    return _told(tell, {"text": describe_scene(request.scene)})


def _models(request: NoRequest, tell: Listener, cancel: CancelToken) -> Result:
    from rsgeo_core import zoo

    models, broken = zoo.all_models()
    return _told(
        tell, {"models": [_model_facts(m) for m in models], "broken": broken, "folder": str(zoo.user_folder())}
    )


def _add_model(request: ModelRequest, tell: Listener, cancel: CancelToken) -> Result:
    from rsgeo_core import zoo

    return _told(tell, _model_facts(zoo.add(Path(request.model))))


def _remove_model(request: ModelRequest, tell: Listener, cancel: CancelToken) -> Result:
    from rsgeo_core import zoo

    return _told(tell, {"path": str(zoo.remove(request.model))})


def _selftest(request: SelfTestRequest, tell: Listener, cancel: CancelToken) -> Result:
    from rsgeo_core import zoo
    from rsgeo_core.selftest import map_selftest, selftest

    models = [zoo.find(request.model)] if request.model else [m for m in zoo.all_models()[0] if m.built_in]
    if not models:
        raise EnvironmentProblem("No built-in model is installed.", "Install rsgeo again.")
    tests = {model.card.name: selftest(model, request.device) for model in models}
    failed = [name for name, test in tests.items() if not test.passed]
    device = next(iter(tests.values())).device
    if failed:
        raise RunError(
            f"{', '.join(failed)} does not give its stored result on {device}.",
            "Run it with --device cpu, or install another version of onnxruntime.",
        )
    if request.model is None:
        device = map_selftest(next(m for m in models if m.card.task == "classification"), request.device)
    return _told(tell, {"device": device, "differences": {name: test.differences for name, test in tests.items()}})


def _diagnose(request: DiagnoseRequest, tell: Listener, cancel: CancelToken) -> Result:
    from rsgeo_core.diagnosis import diagnose

    return _told(tell, diagnose(request.selftest).as_dict())


def _model_facts(model: Any) -> dict[str, Any]:
    card = model.card.model_dump(mode="json", exclude_none=True, exclude={"selftest"})
    return {"path": str(model.path), "built_in": model.built_in, "card": card}


def _told(tell: Listener, stats: dict[str, Any], files: Sequence[WrittenFile] = ()) -> Result:
    result = Result(outputs=list(files), stats=stats, provenance={})
    tell(result)
    return result


def _kind(path: str) -> str:
    kinds = {
        ".csv": "text/csv",
        ".json": "application/json",
        ".html": "text/html",
        ".png": "image/png",
        ".geojson": "application/geo+json",
        ".gpkg": "application/geopackage+sqlite3",
    }
    return kinds.get(Path(path).suffix.lower(), "application/octet-stream")


def _infer_outputs(request: InferRequest) -> list[str]:
    from rsgeo_core.targets import named

    return named(request)


JOBS: dict[str, Job] = {
    "infer": Job(InferRequest, _infer, _infer_outputs, lambda request: bool(request.resume)),
    "plan": Job(InferRequest, _plan),
    "polygonize": Job(PolygonizeRequest, _polygonize, lambda request: [request.out]),
    "stats": Job(StatsRequest, _stats),
    "assess": Job(AssessRequest, _assess),
    "preview": Job(PreviewRequest, _preview),
    "describe_model": Job(ModelRequest, _describe_model),
    "describe_scene": Job(SceneRequest, _describe_scene),
    "models": Job(NoRequest, _models),
    "add_model": Job(ModelRequest, _add_model),
    "remove_model": Job(ModelRequest, _remove_model),
    "selftest": Job(SelfTestRequest, _selftest),
    "diagnose": Job(DiagnoseRequest, _diagnose),
}
