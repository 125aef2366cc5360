"""What the user has set for the plugin, in QGIS's settings under `rsgeo/`."""

from __future__ import annotations

from qgis.core import QgsSettings

DEVICES = ("auto", "cpu", "cuda", "rocm", "coreml", "directml")


class Setting:
    """One setting: its key, and the value that counts where the user has set none."""

    def __init__(self, key: str, default: str) -> None:
        self.key, self.default = f"rsgeo/{key}", default

    def value(self) -> str:
        """The user's value, as text."""
        return str(QgsSettings().value(self.key, self.default) or self.default)

    def set(self, value: str) -> None:
        """Keep a value; the default is not kept, so that later versions may change it."""
        if value == self.default:
            QgsSettings().remove(self.key)
        else:
            QgsSettings().setValue(self.key, value)


INTERPRETER = Setting("interpreter", "")
DEVICE = Setting("device", "auto")
MEMORY = Setting("memory", "2GB")
THREADS = Setting("threads", "0")
