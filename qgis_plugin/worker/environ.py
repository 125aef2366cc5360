"""The variables of a child process: what QGIS sets for itself is taken out, what finds the network stays."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath

# pip's and uv's other settings say where to install (PIP_TARGET, PIP_USER, UV_SYSTEM_PYTHON), which is ours to say.
_PIP_KEPT = (
    "INDEX_URL EXTRA_INDEX_URL FIND_LINKS NO_INDEX CERT CLIENT_CERT PROXY TRUSTED_HOST CONFIG_FILE CACHE_DIR "
    "NO_CACHE_DIR DEFAULT_TIMEOUT TIMEOUT RETRIES KEYRING_PROVIDER DISABLE_PIP_VERSION_CHECK"
)
_UV_KEPT = (
    "INDEX INDEX_URL DEFAULT_INDEX EXTRA_INDEX_URL FIND_LINKS NO_INDEX OFFLINE CONFIG_FILE CACHE_DIR NATIVE_TLS "
    "SYSTEM_CERTS INSECURE_HOST HTTP_TIMEOUT KEYRING_PROVIDER PYTHON_INSTALL_MIRROR"
)
_KEPT = frozenset([f"PIP_{name}" for name in _PIP_KEPT.split()] + [f"UV_{name}" for name in _UV_KEPT.split()])
_DROPPED_STARTS = ("PYTHON", "PROJ_", "QGIS_", "PIP_", "UV_", "VIRTUAL_ENV", "O4W_")
_DROPPED = frozenset(
    [
        "GDAL_DATA",
        "GDAL_DRIVER_PATH",
        "QT_PLUGIN_PATH",
        "QT_QPA_PLATFORM_PLUGIN_PATH",
        "OSGEO4W_ROOT",
        "__PYVENV_LAUNCHER__",
    ]
)
_LIBRARY_PATHS = frozenset(
    ["LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH", "DYLD_FALLBACK_LIBRARY_PATH"]
)
_QGIS_FOLDER = re.compile(r"(osgeo4w(64)?|qgis([ -].*)?|qgis.*\.app)$", re.IGNORECASE)


def clean(environ: Mapping[str, str], *, windows: bool = os.name == "nt") -> dict[str, str]:
    """The environment of a child that must not see QGIS's Python, PROJ, GDAL or Qt.

    Proxies, certificate files and where pip and uv find packages are kept.

    Args:
        environ: the variables of this process.
        windows: whether names ignore case and paths are split at semicolons.

    Returns:
        A new mapping; PYTHONUTF8 is set, for children that are not started with -I.
    """
    roots = [value for name, value in environ.items() if name.upper() in ("OSGEO4W_ROOT", "APPDIR") and value]
    if "FLATPAK_ID" in environ:
        roots.append("/app")
    kept = {}
    for name, value in environ.items():
        known = name.upper() if windows else name
        if known in _DROPPED or (known.startswith(_DROPPED_STARTS) and known not in _KEPT):
            continue
        if known == "PATH" or known in _LIBRARY_PATHS:
            value = _without(value, roots, windows)
            if not value and known != "PATH":
                continue
        kept[name] = value
    kept["PYTHONUTF8"] = "1"
    return kept


def _without(value: str, roots: list[str], windows: bool) -> str:
    """A list of paths without those that QGIS brought along; on Linux /usr/bin stays although QGIS lives there."""
    separator = ";" if windows else ":"
    kind = PureWindowsPath if windows else PurePosixPath
    kept = []
    for entry in value.split(separator):
        path = kind(entry)
        folders = [path, *path.parents]
        under_root = any(kind(root) in folders for root in roots)
        installed = any(_QGIS_FOLDER.match(folder.name) for folder in folders) and (windows or ".app" in entry)
        if not under_root and not installed:
            kept.append(entry)
    return separator.join(kept)
