"""The language of what users see: texts by `tr`, and the catalogue of the language that QGIS runs in."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsSettings
from qgis.PyQt.QtCore import QCoreApplication, QLocale, QTranslator

CONTEXT = "rsgeo"
FOLDER = Path(__file__).parent / "i18n"


def tr(text: str) -> str:
    """A text in the user's language.

    `text` is a literal, or the catalogue does not know it; what changes goes in afterwards:
    `tr("{count} tiles").format(count=count)`. Call it in functions: at import no language is installed yet.
    """
    return QCoreApplication.translate(CONTEXT, text)


def install(locale: str | None = None) -> QTranslator | None:
    """Make `tr` speak a language; keep what is returned until `remove`.

    Args:
        locale: such as `de` or `de_AT`; by default QGIS's, else the system's.

    Returns:
        The installed translator, or None where there is no catalogue: the texts are English then.
    """
    if locale is None:
        locale = QgsSettings().value("locale/userLocale", "") or QLocale.system().name()
    name = locale.replace("-", "_")
    for language in (name, name.split("_")[0]):
        catalogue = FOLDER / f"rsgeo_{language}.qm"
        translator = QTranslator()
        if catalogue.is_file() and translator.load(str(catalogue)):
            QCoreApplication.installTranslator(translator)
            return translator
    return None


def remove(translator: QTranslator | None) -> None:
    """Take away what `install` has given; None does nothing."""
    if translator is not None:
        QCoreApplication.removeTranslator(translator)
