"""What can go wrong in training, beside the failures of rsgeo_core: recipes, datasets and run folders."""

from __future__ import annotations

from rsgeo_core.errors import RequestError


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
