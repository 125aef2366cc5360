"""What can go wrong in training, beside the failures of rsgeo_core: recipes, datasets and run folders."""

from __future__ import annotations

from rsgeo_core.errors import EnvironmentProblem, RequestError, RunError


class RecipeError(RequestError):
    """A recipe has a key or a value that means nothing here."""

    code = "recipe"


class DatasetError(RequestError):
    """A dataset on disk, or the catalog made of it, is not what it should be."""

    code = "dataset"


class RunFolderError(RequestError):
    """A run folder is missing, unfinished, or belongs to another recipe."""

    code = "run"


class ExportError(RequestError):
    """A trained network cannot be exported as asked, or its export does not equal it."""

    code = "export"


class CheckpointError(RunError):
    """A checkpoint could not be written: the disk is full or went away. What was there is as it was."""

    code = "checkpoint"


class NonFiniteError(RunError):
    """The loss or a weight is no number any more; no checkpoint holds it."""

    code = "non-finite"


class ProcessError(RunError):
    """One of several processes that train together ended without saying why."""

    code = "process"


class MissingPackage(EnvironmentProblem):
    """A package that a setting asks for is not installed."""

    code = "package"


class MissingDevice(EnvironmentProblem):
    """The machine has fewer devices than a recipe asks for."""

    code = "device"
