"""`rsgeo:setup`: the managed environment from the toolbox or from qgis_process."""

from __future__ import annotations

from pathlib import Path

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingOutputString,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsSettings,
)
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtGui import QIcon

from ..environment import managed, places
from ..environment.installation import SOURCES, TOOLS, VARIANTS
from ..interrupts import INTERRUPTS
from ..translation import tr

ACTION, SOURCE, LOCATION, VARIANT, TOOL, BASE = "ACTION", "SOURCE", "LOCATION", "VARIANT", "TOOL", "BASE"
PYTHON = "PYTHON"
ACTIONS = ("create", "upgrade", "verify", "remove")


def proxy_of_qgis(settings: QgsSettings | None = None) -> str:
    """The HTTP proxy of QGIS's network settings as an address, or empty; a SOCKS proxy is left to the variables."""
    settings = settings or QgsSettings()
    kind = str(settings.value("proxy/proxyType", "") or "")
    host = str(settings.value("proxy/proxyHost", "") or "")
    if not settings.value("proxy/proxyEnabled", False, type=bool) or kind not in ("HttpProxy", "HttpCachingProxy"):
        return ""
    if not host:
        return ""
    url = QUrl()
    url.setScheme("http")
    url.setHost(host)
    port = str(settings.value("proxy/proxyPort", "") or "")
    if port.isdigit():
        url.setPort(int(port))
    user = str(settings.value("proxy/proxyUser", "") or "")
    if user:
        url.setUserName(user)
        url.setPassword(str(settings.value("proxy/proxyPassword", "") or ""))
    return bytes(url.toEncoded()).decode("ascii")


class SetupAlgorithm(QgsProcessingAlgorithm):
    """Create, upgrade, verify or remove the managed environment."""

    def name(self) -> str:
        """The public name, never translated."""
        return "setup"

    def displayName(self) -> str:
        """The name in the toolbox."""
        return tr("Set up the environment")

    def group(self) -> str:
        """The group in the toolbox."""
        return tr("Installation")

    def groupId(self) -> str:
        """The group's public name."""
        return "installation"

    def icon(self) -> QIcon:
        """The icon in the toolbox."""
        return QIcon(self.svgIconPath())

    def svgIconPath(self) -> str:
        """The icon as SVG."""
        return str(Path(__file__).resolve().parents[1] / "icon.svg")

    def tags(self) -> list:
        """Words to find it by."""
        return ["install", "python", "pip", "uv", "onnxruntime", "wheelhouse", "offline"]

    def shortHelpString(self) -> str:
        """The help beside the parameters."""
        return tr(
            "Makes the Python environment in which rsgeo runs models: a folder of its own in your local data. Nothing "
            "is installed into the Python of QGIS. About 150 MB are downloaded and 600 MB are needed on the disk. At "
            "the end a small model is run as a self-test.\n\n"
            "create makes it anew, upgrade makes that of this plugin's version and removes older ones, verify runs the "
            "self-test, remove takes everything away.\n\n"
            "Without a network, choose the source wheelhouse and a folder that 'make wheelhouse' has filled on a "
            "machine with the same system and Python version. Proxies are taken from the settings of QGIS."
        )

    def createInstance(self) -> SetupAlgorithm:
        """A fresh one."""
        return SetupAlgorithm()

    def initAlgorithm(self, configuration=None) -> None:
        """Declare the parameters."""
        self._choice(ACTION, tr("What to do"), ACTIONS, tr("create, upgrade, verify or remove."))
        self._choice(
            SOURCE,
            tr("Where rsgeo comes from"),
            SOURCES,
            tr("The package index, a wheelhouse (a folder with all packages, offline), or a checkout of rsgeo."),
        )
        location = QgsProcessingParameterFile(
            LOCATION,
            tr("Folder of the wheelhouse or checkout"),
            QgsProcessingParameterFile.Behavior.Folder,
            optional=True,
        )
        location.setHelp(tr("Needed for wheelhouse and checkout, not read for index."))
        self.addParameter(location)
        self._choice(
            VARIANT,
            tr("Variant"),
            VARIANTS,
            tr("cpu works everywhere. gpu is larger and needs an NVIDIA card with CUDA and cuDNN."),
        )
        self._choice(
            TOOL,
            tr("Tool"),
            TOOLS,
            tr("auto takes pip where a Python has it, else uv. uv is fetched if it is missing and can bring a Python."),
            advanced=True,
        )
        base = QgsProcessingParameterFile(BASE, tr("Python to make it from"), optional=True)
        base.setHelp(tr("An interpreter of version 3.10 or newer. Empty: the best that is found."))
        base.setFlags(base.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
        self.addParameter(base)
        self.addOutput(QgsProcessingOutputString(PYTHON, tr("Interpreter of the environment")))

    def checkParameterValues(self, parameters, context):
        """Refuse a wheelhouse or checkout that is not one, before anything is touched."""
        is_right, text = super().checkParameterValues(parameters, context)
        action = self.parameterAsEnumString(parameters, ACTION, context)
        if is_right and action in ("create", "upgrade"):
            try:
                self._wish(parameters, context).check()
            except managed.EnvironmentFailure as failure:
                return False, _sentence(failure)
        return is_right, text

    def processAlgorithm(self, parameters, context, feedback) -> dict:
        """Do it, in Processing's thread."""

        def tell(text: str, done: float | None) -> None:
            feedback.pushInfo(text)
            if done is not None:
                feedback.setProgress(100.0 * done)

        def is_cancelled() -> bool:
            return INTERRUPTS.cancelled(feedback)

        action = self.parameterAsEnumString(parameters, ACTION, context)
        python = ""
        try:
            if action in ("create", "upgrade"):
                make = managed.create if action == "create" else managed.upgrade
                python = str(make(self._wish(parameters, context), tell, is_cancelled))
            elif action == "verify":
                python = str(self._verify(tell, is_cancelled))
            else:
                managed.remove(tell)
        except managed.Cancelled as cancelled:
            if INTERRUPTS.is_headless:  # in a script, no environment is no success
                raise QgsProcessingException(_sentence(cancelled)) from None
            feedback.pushInfo(_sentence(cancelled))
            return {}
        except managed.EnvironmentFailure as failure:
            if failure.log:
                feedback.pushConsoleInfo(failure.log)
            raise QgsProcessingException(_sentence(failure)) from failure
        return {PYTHON: python}

    def _verify(self, tell, is_cancelled) -> Path:
        python = places.managed_python()
        if python is None:
            raise managed.EnvironmentFailure(managed.status().problem, tr("Run it with ACTION=create."))
        tell(tr("Running the self-test"), None)
        stats = managed.verify(python, is_cancelled=is_cancelled)
        tell(tr("The self-test passed on {device}.").format(device=stats.get("device", "")), 1.0)
        return python

    def _wish(self, parameters, context) -> managed.Wish:
        return managed.Wish(
            source=self.parameterAsEnumString(parameters, SOURCE, context),
            location=self.parameterAsString(parameters, LOCATION, context),
            variant=self.parameterAsEnumString(parameters, VARIANT, context),
            tool=self.parameterAsEnumString(parameters, TOOL, context),
            base=self.parameterAsString(parameters, BASE, context),
            proxy=proxy_of_qgis(),
        )

    def _choice(self, name: str, label: str, options: tuple, text: str, advanced: bool = False) -> None:
        parameter = QgsProcessingParameterEnum(
            name, label, options=list(options), defaultValue=options[0], usesStaticStrings=True
        )
        parameter.setHelp(text)
        if advanced:
            parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
        self.addParameter(parameter)


def _sentence(failure: managed.EnvironmentFailure) -> str:
    return f"{failure.text} {failure.hint}".strip()
