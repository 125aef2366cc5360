"""The tool uv: the one on PATH, or a pinned one in a folder of ours. It also brings a Python where none fits."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from ..worker.environ import clean
from . import index, places
from .failures import EnvironmentFailure, recognise

VERSION = "0.13.9"
PYTHON = "3.12"  # the standalone Python that uv brings where none fits
# (system, machine) -> (rest of the wheel's name, SHA-256); from the index's own listing of that version.
_WHEELS = {
    ("linux", "x86_64"): (
        "manylinux_2_17_x86_64.manylinux2014_x86_64",
        "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",  # pragma: allowlist secret
    ),
    ("linux", "aarch64"): (
        "manylinux_2_28_aarch64",
        "ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375",  # pragma: allowlist secret
    ),
    ("darwin", "x86_64"): (
        "macosx_10_12_x86_64",
        "c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5",  # pragma: allowlist secret
    ),
    ("darwin", "arm64"): (
        "macosx_11_0_arm64",
        "66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63",  # pragma: allowlist secret
    ),
    ("win32", "amd64"): (
        "win_amd64",
        "6a44b2ed8111d2f60d2b92627c5dccda3f7ed7570b18ce115e569cd68c28246b",  # pragma: allowlist secret
    ),
    ("win32", "arm64"): (
        "win_arm64",
        "eeb92051c2123b9730c46b04cc843cfa4bc7d7b0aec56df431a2215ef4cb0273",  # pragma: allowlist secret
    ),
}


def wheel() -> tuple:
    """File name and SHA-256 of the pinned wheel for this machine.

    Raises:
        EnvironmentFailure: none is pinned for it.
    """
    key = (sys.platform, platform.machine().lower())
    if key not in _WHEELS:
        raise EnvironmentFailure(
            f"No uv is pinned for {key[0]} on {key[1]}.", "Install uv so that it is on PATH, or choose the tool pip."
        )
    tags, digest = _WHEELS[key]
    return f"uv-{VERSION}-py3-none-{tags}.whl", digest


def find() -> Path | None:
    """The uv on PATH, else ours, else None."""
    on_path = shutil.which("uv", path=clean(os.environ).get("PATH"))
    if on_path:
        return Path(on_path)
    own = _own()
    return own if own.is_file() else None


def get(wheelhouse: Path | None, proxy: str, tell: Callable[[str], None]) -> Path:
    """A uv that can be run, fetched and unpacked if none is there.

    Args:
        wheelhouse: a folder that may hold the wheel; the index is then not asked.
        proxy: address of the proxy, or empty.
        tell: gets a sentence when uv is fetched.

    Raises:
        EnvironmentFailure: it cannot be had, or it is not the pinned file.
    """
    found = find()
    if found:
        return found
    filename, digest = wheel()
    step = "Getting uv"
    if wheelhouse is not None:
        if not (wheelhouse / filename).is_file():
            raise EnvironmentFailure(
                f"The wheelhouse has no {filename}, and uv is not on PATH.",
                "Fill the wheelhouse again (make wheelhouse), or choose the tool pip.",
            )
        body = (wheelhouse / filename).read_bytes()
    else:
        tell(f"Fetching uv {VERSION}")
        try:
            body = index.download("uv", filename, proxy, clean(os.environ))
        except (OSError, LookupError, ValueError) as error:
            raise recognise(f"{step} failed: {error}", step) from error
    if hashlib.sha256(body).hexdigest() != digest:
        raise recognise(f"{filename} does not have the pinned SHA-256 {digest}.", step)
    return _unpack(body)


def _own() -> Path:
    return places.home() / "tools" / f"uv-{VERSION}" / ("uv.exe" if os.name == "nt" else "uv")


def _unpack(body: bytes) -> Path:
    target = _own()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        member = f"uv-{VERSION}.data/scripts/{target.name}"
        part.write_bytes(archive.read(member))
    part.chmod(0o755)
    part.replace(target)
    return target
