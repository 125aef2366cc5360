"""Every tool of the table as a Processing algorithm: reads parameters, has the worker do it, hands on the answer."""

from __future__ import annotations

import re
from pathlib import Path

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterDefinition,
)
from qgis.PyQt.QtGui import QIcon

from .. import card, settings, styling
from ..interrupts import INTERRUPTS
from ..translation import tr
from ..worker import client, interpreter, protocol
from .kinds import KINDS, Given, has_value
from .narration import Narration
from .table import tools
from .tool import Tool

ICON = str(Path(__file__).resolve().parents[1] / "icon.svg")
HOME = "https://github.com/rsgeo/rsgeo"


def group_name(group: str) -> str:
    """A group's name in the toolbox."""
    return {"maps": tr("Maps"), "analysis": tr("Analysis"), "installation": tr("Installation")}[group]


class WorkerAlgorithm(QgsProcessingAlgorithm):
    """One tool of the table.

    Args:
        tool: what it is.
    """

    def __init__(self, tool: Tool) -> None:
        super().__init__()
        self.tool = tool
        self._request: dict = {}
        self._files: dict = {}
        self._python: Path | None = None

    def createInstance(self) -> WorkerAlgorithm:
        """A fresh one, in the user's language of now."""
        return type(self)(next(tool for tool in tools() if tool.name == self.tool.name))

    def name(self) -> str:
        """The public name, never translated."""
        return self.tool.name

    def displayName(self) -> str:
        """The name in the toolbox."""
        return self.tool.title

    def group(self) -> str:
        """The group in the toolbox."""
        return group_name(self.tool.group)

    def groupId(self) -> str:
        """The group's public name."""
        return self.tool.group

    def tags(self) -> list:
        """Words to find it by."""
        return [*self.tool.tags, "rsgeo"]

    def icon(self) -> QIcon:
        """The icon in the toolbox."""
        return QIcon(ICON)

    def svgIconPath(self) -> str:
        """The icon as SVG."""
        return ICON

    def helpUrl(self) -> str:
        """Where more is said."""
        return f"{HOME}#readme"

    def shortHelpString(self) -> str:
        """What it does, and what each parameter means."""
        rows = "".join(f"<p><b>{p.label}</b> ({p.key}): {p.help}</p>" for p in self.tool.parameters)
        return f"<p>{self.tool.summary}</p><h3>{tr('Parameters')}</h3>{rows}"

    def initAlgorithm(self, configuration=None) -> None:
        """Declare parameters and outputs."""
        for p in self.tool.parameters:
            definition = KINDS[p.kind].define(p)
            definition.setHelp(p.help)
            if p.advanced:
                definition.setFlags(definition.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
            self.addParameter(definition)
        for outcome in self.tool.outcomes:
            kind = QgsProcessingOutputNumber if outcome.kind == "number" else QgsProcessingOutputString
            self.addOutput(kind(outcome.key, outcome.label))

    # Before the run ----------------------------------------------------------------------------------------------

    def canExecute(self):
        """Whether there is an interpreter with rsgeo, and if not, what to do."""
        try:
            found = interpreter.find(settings.INTERPRETER.value())
        except interpreter.InterpreterProblem as problem:
            return False, " ".join(filter(None, (problem.text, problem.hint)))
        if found is None:
            return False, tr(
                "The environment is missing: make it in Settings > Options > rsgeo, by one click, or run rsgeo:setup."
            )
        return True, ""

    def checkParameterValues(self, parameters, context):
        """Refuse what can be told wrong without the worker: a file that is no model."""
        is_right, text = super().checkParameterValues(parameters, context)
        given = Given(self, parameters, context)
        named = [p for p in self.tool.parameters if p.key in self.tool.needs and has_value(given, p)]
        if is_right and self.tool.needs and len(named) != 1:
            return False, tr("Give one of {names}.").format(names=", ".join(self.tool.needs))
        path = str(parameters.get("MODEL_FILE") or "")
        if is_right and path:
            try:
                card.read_card(path)
            except card.CardProblem as problem:
                return False, str(problem)
        return is_right, text

    def prepareAlgorithm(self, parameters, context, feedback) -> bool:
        """Turn layers and parameters into plain values, in the main thread."""
        try:
            found = interpreter.find(settings.INTERPRETER.value())
        except interpreter.InterpreterProblem as problem:
            raise QgsProcessingException(" ".join(filter(None, (problem.text, problem.hint)))) from None
        if found is None:
            raise QgsProcessingException(self.canExecute()[1])
        self._python = found.path
        given = Given(self, parameters, context)
        self._request, self._files = {}, {}
        for p in self.tool.parameters:
            if not p.kind.endswith("_out"):
                self._request.update(KINDS[p.kind].read(given, p))
        return True

    # The run -----------------------------------------------------------------------------------------------------

    def processAlgorithm(self, parameters, context, feedback) -> dict:
        """Have the worker do it, in Processing's thread."""
        narration = Narration(feedback, self._in_words)
        self._read_outputs(parameters, context)
        try:
            result = self._work(narration, feedback)
        except client.WorkerCancelled:
            if INTERRUPTS.is_headless:  # in a script, no map is no success
                raise QgsProcessingException(tr("Cancelled; nothing was written.")) from None
            feedback.pushInfo(tr("Cancelled."))
            return {}
        except client.WorkerFailure as failure:
            if failure.log:
                feedback.pushConsoleInfo(failure.log)
            raise QgsProcessingException(self._told(failure)) from None
        return self._results(result, context, feedback)

    def _work(self, narration: Narration, feedback: QgsProcessingFeedback) -> dict:
        """The worker's result message; its request is in the log, to be repeated by `rsgeo worker FILE`."""
        feedback.pushCommandInfo(protocol.run_line(self.tool.task, self._request).decode().strip())
        return client.run(
            self._python, self.tool.task, self._request, narration, lambda: INTERRUPTS.cancelled(feedback)
        )

    def _read_outputs(self, parameters, context) -> None:
        """Where to write to. Not before the run: of what is to be loaded QGIS heeds only what the run's context has."""
        given = Given(self, parameters, context)
        for p in self.tool.parameters:
            value = KINDS[p.kind].read(given, p) if p.kind.endswith("_out") else {}
            if value:
                self._files[p.key] = path = next(iter(value.values()))
                _make_folder(Path(path).parent)
            self._request.update({key: item for key, item in value.items() if key != p.key})

    def _told(self, failure: client.WorkerFailure) -> str:
        """A failure and what to do about it."""
        hint = failure.hint
        if failure.code == "environment" and self._request.get("device", "auto") not in ("auto", "cpu"):
            hint = tr("Install the variant gpu: Settings > Options > rsgeo, or rsgeo:setup with VARIANT=gpu.")
        return self._in_words("\n".join(filter(None, (failure.text, hint))))

    def _in_words(self, text: str) -> str:
        """What the worker says, in the words of this algorithm: parameters instead of the command's options."""
        keys = {p.key.lower(): p.key for p in self.tool.parameters}
        for p in self.tool.parameters:
            keys.setdefault(p.field, p.key)  # MODEL before MODEL_FILE
        text = re.sub(r"rsgeo models \w+( FILE)?", tr("Raster > rsgeo > Models"), text)
        text = re.sub(r"rsgeo infer [^\n]*-o \S+", tr("Raster > rsgeo > Map a scene"), text)
        text = re.sub(r"--extent-crs (EPSG:[\w<>]+)", r"[\1] behind the numbers of EXTENT", text)
        text = re.sub(r"(?<![\w-])-o(?![\w-])", "OUTPUT", text)
        return re.sub(r"--([a-z][a-z-]*)", lambda m: keys.get(m.group(1).replace("-", "_"), m.group(0)), text)

    def _results(self, result: dict, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> dict:
        """What the algorithm returns; files that QGIS is to load get their look."""
        report = next((p.key for p in self.tool.parameters if p.kind == "html_out"), None)
        if report is not None and self.tool.report is not None and self._files.get(report):
            try:
                Path(self._files[report]).write_text(self.tool.report(result), encoding="utf-8")
            except OSError as error:
                text = tr("{path} cannot be written: {why}.").format(path=self._files[report], why=error.strerror)
                raise QgsProcessingException(text) from None
        roles = {file["path"]: file["role"] for file in result.get("outputs", [])}
        for path in self._files.values():
            if context.willLoadLayerOnCompletion(path) and roles.get(path):
                context.layerToLoadOnCompletionDetails(path).setPostProcessor(styling.processor(roles[path]))
        stats = result.get("stats", {})
        if "text" in stats:
            feedback.pushInfo(stats["text"])
        for sentence in stats.get("sentences", []):
            feedback.pushInfo(sentence)
        outcomes = {outcome.key: outcome.value(result) for outcome in self.tool.outcomes}
        return {**self._files, **{key: value for key, value in outcomes.items() if value is not None}}


def _make_folder(folder: Path) -> None:
    """Make a missing folder of an output, for every tool alike.

    Raises:
        QgsProcessingException: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        text = tr("The folder {folder} cannot be made: {why}.").format(folder=folder, why=error.strerror or error)
        raise QgsProcessingException(text) from None
