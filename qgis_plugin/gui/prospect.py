"""What a run would do: the request of `rsgeo:infer` given to the worker's task `plan`, and its answer in words."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from qgis.core import QgsProcessingContext, QgsProcessingException, QgsProcessingFeedback

from .. import card, models
from ..algorithms.scene_algorithm import SceneAlgorithm
from ..algorithms.table import tools
from ..scenes import TILE
from ..translation import tr
from ..worker.client import WorkerFailure
from .wording import duration, length, refusal, size, warning


class Prospect(SceneAlgorithm):
    """The algorithm `infer`, prepared and not run."""

    def __init__(self) -> None:
        super().__init__(next(tool for tool in tools() if tool.name == "infer"))
        self.initAlgorithm()
        self.export = ""
        """For a layer without a file: what is going to be exported, in words; there is no plan before that."""

    def createInstance(self) -> Prospect:
        """A fresh one."""
        return Prospect()

    def request(self, parameters: dict, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> dict:
        """The request that the run would make, in the main thread.

        Raises:
            QgsProcessingException: a parameter is wrong.
        """
        is_right, text = self.checkParameterValues(parameters, context)
        if not is_right:
            raise QgsProcessingException(text)
        self.prepareAlgorithm(parameters, context, feedback)
        self._read_outputs(parameters, context)
        if not self._scene.path:
            columns, rows = self._scene.export.size(self._extent, self._gsd)
            tiles = -(-columns // TILE) * -(-rows // TILE)
            if tiles > self._limit:
                raise QgsProcessingException(
                    tr("{tiles} tiles would be asked for; the limit is {limit}. Choose a smaller area.").format(
                        tiles=tiles, limit=self._limit
                    )
                )
            self.export = tr(
                "The layer has no file: {columns} × {rows} pixels ({tiles} tiles) are exported first. "
                "Mind the terms of the service."
            ).format(columns=columns, rows=rows, tiles=tiles)
        else:
            self._set_scene(self._scene.path)
        return self._request

    def explained(self, failure: WorkerFailure) -> str:
        """A failure in the words of the dialog, as HTML."""
        if failure.code == "bands":
            return refusal(failure.text, tr("Choose them in the tab Bands, or take another model."))
        text, hint = (in_words(self._told(WorkerFailure(part))) for part in (failure.text, failure.hint))
        return refusal(text, hint)


def in_words(text: str) -> str:
    """A message that names parameters, with the names that the dialog shows."""
    labels = {"BANDS": f"“{tr('Bands')}”"}
    for tool in tools():
        for p in tool.parameters:
            labels.setdefault(p.key, f"“{p.label}”")
    parameter = r"(?<![\w./\\-])[A-Z][A-Z_]+(?![\w/\\-]|\.\w)"  # not a part of a file's name
    return re.sub(parameter, lambda match: labels.get(match.group(), match.group()), text)


def facts(stats: dict) -> list:
    """A plan as pairs of a name and its value."""
    grid, layout = stats["grid"], stats["layout"]
    cell = length(grid["gsd"]) if grid.get("gsd") else tr("unknown")
    window = layout.get("window")
    model = tr("{name} {version}, {title}").format(**stats["model"])
    tiles = tr("{count:,} of {tile} × {tile} pixels, halo {halo}").format(count=stats["tiles"], **layout)
    if window:
        tiles = tr("{cells:,} windows of {window} × {window} pixels").format(cells=stats["cells"], window=window)
    return [
        (tr("Model"), model),
        (tr("Map"), tr("{width:,} × {height:,} cells of {cell}").format(cell=cell, **grid)),
        (tr("Work"), tr("{megapixels:,.2f} megapixels; {tiles}").format(megapixels=stats["megapixels"], tiles=tiles)),
        (tr("Size"), tr("at most {size}").format(size=size(_bytes(stats)))),
        (tr("Device"), stats["device"]),
        (tr("Time"), tr("about {time}").format(time=duration(stats["seconds"])) if stats["seconds"] else tr("none")),
    ]


def page(stats: dict, warnings: list) -> str:
    """A plan as HTML, the warnings below it."""
    pairs = facts(stats)
    half = -(-len(pairs) // 2)
    rows = ["<tr>" + "".join(map(_cells, two)) + "</tr>" for two in zip(pairs[:half], pairs[half:])]
    lacking = stats.get("lacking") or []
    if lacking:
        names = ", ".join(str(item) for item in lacking)
        warnings = [*warnings, tr("Bands that the scene does not have: {names}.").format(names=names)]
    notes = "".join(f"<div>{warning(text)}</div>" for text in warnings)
    return f'<table cellpadding="1" cellspacing="0">{"".join(rows)}</table>{notes}'


def _cells(pair: tuple) -> str:
    gap = "&nbsp;" * 4
    return f"<td>{escape(pair[0])}{gap}</td><td><b>{escape(pair[1])}</b>{gap}</td>"


def card_of_plan(stats: dict) -> dict | None:
    """The card of the model that a plan names."""
    known = models.card(stats["model"]["name"])
    if known is not None:
        return known
    path = stats["model"].get("path", "")
    try:
        return card.read_card(path) if Path(path).is_file() else None
    except card.CardProblem:
        return None


def _bytes(stats: dict) -> int:
    """The map before compression, without overviews: a byte per cell and class, or per number of an embedding."""
    found = card_of_plan(stats) or {}
    output = next((item for item in found.get("outputs", []) if item["name"] == stats["model"]["output"]), {})
    return stats["cells"] * (output.get("dimension") or 1)
