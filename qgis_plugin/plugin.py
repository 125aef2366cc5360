"""The plugin: registers the Processing provider and, where there is a window, the menu, dialogs and options page."""

from __future__ import annotations

from qgis.core import QgsApplication

from . import translation
from .interrupts import INTERRUPTS
from .provider import RsgeoProvider


class RsgeoPlugin:
    """What QGIS loads.

    Args:
        iface: the window, or None in qgis_process.
    """

    def __init__(self, iface) -> None:
        self.iface = iface
        self.provider = None
        self.translator = None
        self.menu = None

    def initProcessing(self) -> None:
        """Add the provider; called alone by qgis_process."""
        if self.provider is None:
            self.translator = translation.install()  # before the algorithms, which say their names when they are added
            self.provider = RsgeoProvider()
            QgsApplication.processingRegistry().addProvider(self.provider)
            INTERRUPTS.is_headless = self.iface is None

    def initGui(self) -> None:
        """Add the provider and what is seen."""
        self.initProcessing()
        if self.iface is not None and self.menu is None:
            from .gui.menu import Menu  # widgets are of no use to qgis_process

            self.menu = Menu(self.iface)

    def unload(self) -> None:
        """Take everything away again."""
        if self.menu is not None:
            self.menu.remove()
            self.menu = None
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
            translation.remove(self.translator)
            self.translator = None
