"""Which models there are: the built-in ones, the user's own, and which of them fits a scene."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rsgeo_core.bands import open_raster
from rsgeo_core.card import ModelCard, Task, read_card, served_tasks
from rsgeo_core.errors import (
    ModelFileError,
    NoModelError,
    OutputError,
    RequestError,
    ResolutionError,
    UnitError,
    did_you_mean,
)
from rsgeo_core.scene import ReadOptions, Scene

_BUILT_IN = Path(__file__).parent / "models"


@dataclass(frozen=True)
class Model:
    """A model file and its card."""

    path: Path
    card: ModelCard
    built_in: bool


def home() -> Path:
    """The folder of what rsgeo keeps for the user: `RSGEO_HOME`, or the platform's place for user data."""
    if "RSGEO_HOME" in os.environ:
        return Path(os.environ["RSGEO_HOME"])
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", Path.home())) / "rsgeo"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "rsgeo"
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "rsgeo"


def user_folder() -> Path:
    """The folder of the user's own models: `RSGEO_MODELS`, or `models` in `home()`."""
    return Path(os.environ["RSGEO_MODELS"]) if "RSGEO_MODELS" in os.environ else home() / "models"


def all_models() -> tuple[list[Model], list[str]]:
    """All usable models, the user's own first, and one sentence for each file that is not usable."""
    models, broken = [], []
    for folder, built_in in ((user_folder(), False), (_BUILT_IN, True)):
        for path in sorted(folder.glob("*.onnx")) if folder.is_dir() else []:
            try:
                models.append(Model(path, read_card(path), built_in))
            except ModelFileError as error:
                broken.append(str(error.args[0]))
    return models, broken


def find(name_or_path: str) -> Model:
    """A model by name, or a model file.

    Raises:
        RequestError: there is neither; the message lists the names.
        ModelFileError: the file is no usable model.
    """
    path = Path(name_or_path)
    if path.suffix == ".onnx" or path.exists():
        return Model(path, read_card(path), path.resolve().parent == _BUILT_IN)
    models, _ = all_models()
    for model in models:
        if model.card.name == name_or_path:
            return model
    names = [model.card.name for model in models]
    raise RequestError(
        f"No model is called {name_or_path!r}, and there is no such file.",
        f"{did_you_mean(name_or_path, names)} Known models: {', '.join(names)}. See: rsgeo models list".lstrip(),
    )


def choose(files: Mapping[str, Sequence[str]], options: ReadOptions, task: Task | None) -> tuple[Model, list[str]]:
    """The first model that fits a scene by bands, units and ground resolution.

    Experimental models are never chosen; embedding models only where `task` asks for them.

    Args:
        files: sensor key to files; under the key "" the files of an unnamed sensor.
        options: how the scene is read.
        task: what the map is for; None for the model's own.

    Returns:
        The model, and why others were passed over.

    Raises:
        NoModelError: none fits; the message gives the list and each reason.
        SceneError, RunError: a file cannot be opened or read.
    """
    _check_names(files)
    for path in (path for paths in files.values() for path in paths):
        open_raster(path).close()  # what cannot be opened fits no model, and says so itself
    models, broken = all_models()
    reasons: list[tuple[int, str, str]] = [(3, text, "") for text in broken]
    for model in models:
        if (reason := _unfit(model, files, options, task)) is None:
            return model, [text for _, text, _ in reasons]
        reasons.append((reason[0], f"{model.card.name}: {reason[1]}", reason[2]))
    reasons.sort(key=lambda reason: reason[0])
    listed = "\n".join(f"  {text}" for _, text, _ in reasons)
    general = "Choose one with --model NAME|FILE, name bands with --bands, or add a model: rsgeo models add FILE"
    raise NoModelError(
        f"No model fits this scene:\n{listed}", "\n".join(filter(None, (reasons[0][2] if reasons else "", general)))
    )


def named_files(files: Mapping[str, Sequence[str]], card: ModelCard) -> dict[str, Sequence[str]]:
    """Files under the sensor keys of a card: unnamed files belong to a model's single input."""
    _check_names(files)
    if set(files) == {""} and len(card.inputs) == 1:
        return {card.inputs[0].sensor: files[""]}
    return dict(files)


def _check_names(files: Mapping[str, Sequence[str]]) -> None:
    if "" in files and len(files) > 1:
        raise RequestError(
            f"A scene without a sensor was given beside --sensor {', '.join(key for key in files if key)}.",
            "Name every file's sensor with --sensor KEY=FILE, or give just the scene.",
        )


def add(path: Path) -> Model:
    """Copy a model file into the user's folder.

    Raises:
        ModelFileError: it is no usable model.
        RequestError: a model of that name is there already.
        OutputError: the folder cannot be written.
    """
    card = read_card(path)
    if any(model.card.name == card.name for model in all_models()[0]):
        raise RequestError(
            f"A model called {card.name} is there already.", f"Remove it first: rsgeo models remove {card.name}"
        )
    target = user_folder() / f"{card.name}.onnx"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(target.name + ".part")
        shutil.copyfile(path, fresh)
        fresh.replace(target)
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written: {error.strerror}.", "Set RSGEO_MODELS to a folder of yours."
        ) from None
    return Model(target, card, False)


def remove(name: str) -> Path:
    """Delete a model of the user's folder.

    Raises:
        RequestError: there is none of that name, or it is built in.
    """
    model = find(name)
    if model.built_in or model.path.resolve().parent != user_folder().resolve():
        raise RequestError(f"{name} is not in your model folder {user_folder()}; only your own models can be removed.")
    model.path.unlink()
    return model.path


def _unfit(
    model: Model, files: Mapping[str, Sequence[str]], options: ReadOptions, task: Task | None
) -> tuple[int, str, str] | None:
    """How far off a model is, 0 for nearest, why, and what to do about it; None where it fits."""
    card = model.card
    serves = {t for output in card.outputs for t in served_tasks(output)}
    if task is not None and task not in serves:
        return 3, f"serves {', '.join(sorted(serves))}, not {task}", ""
    if task is None and card.task == "embedding":
        return 3, "an embedding model; choose it with --task embedding", ""
    if task is None and card.task == "detection":
        return 3, f"a detector; name it with --model {card.name}, and a vector file with -o", ""
    try:
        with Scene(named_files(files, card), card.inputs, options) as scene:
            scene.check()
    except (UnitError, ResolutionError) as error:  # the bands are there
        return (2, f"experimental; {error.args[0]}", "") if card.experimental else (0, str(error.args[0]), error.hint)
    except RequestError as error:
        return (2, f"experimental; {error.args[0]}", "") if card.experimental else (1, str(error.args[0]), error.hint)
    if card.experimental:
        return (
            -1,
            f"fits, but is experimental, so it is used only when named: --model {card.name}",
            f"Name it: --model {card.name}",
        )
    return None
