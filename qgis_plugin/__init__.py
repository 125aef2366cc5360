"""The rsgeo plugin for QGIS, a thin client of the worker. Only the factory lives here; nothing heavy is imported."""

from __future__ import annotations


def classFactory(iface):
    """The plugin, for QGIS; `iface` is None in qgis_process."""
    from .plugin import RsgeoPlugin

    return RsgeoPlugin(iface)
