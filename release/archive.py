"""The plugin's zip, as plugins.qgis.org takes it: `python -m release.archive` writes dist/rsgeo-<version>.zip.

Only what git tracks goes in, with fixed times and in order, so the same checkout gives the same bytes.
"""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from . import changelog, qt_tools

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = "qgis_plugin"
FOLDER = "rsgeo"  # in the zip: QGIS imports the plugin by this name
SUFFIXES = {".py", ".svg", ".png", ".txt", ".html", ".md", ".json", ".toml", ".ui", ".qml", ".css", ".qm"}
TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
LARGEST = 25_000_000  # bytes; the store takes no more


class ArchiveError(Exception):
    """The zip cannot be made; the message says why and what to do."""


def version(root: Path = ROOT) -> str:
    """The plugin's version, which metadata.txt and pyproject.toml must agree on."""
    parser = configparser.ConfigParser()
    parser.read(root / "metadata.txt", encoding="utf-8")
    of_plugin = parser.get("general", "version")
    found = re.search(r'^version = "([^"]+)"', (root / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    of_package = found.group(1) if found else "none"
    if of_plugin != of_package:
        raise ArchiveError(
            f"metadata.txt has version {of_plugin}, pyproject.toml {of_package}; they must be the same. "
            "Correct the older one."
        )
    return of_plugin


def tracked(root: Path = ROOT) -> list[PurePosixPath]:
    """The plugin's files that git tracks, relative to its folder, in order."""
    return [PurePosixPath(name).relative_to(PLUGIN) for name in _listed(root)]


def untracked(root: Path = ROOT) -> list[str]:
    """The plugin's files that git neither tracks nor ignores: left out of the zip, most often forgotten."""
    return _listed(root, "--others", "--exclude-standard")


def _listed(root: Path, *options: str) -> list[str]:
    command = ["git", "-C", str(root), "ls-files", "-z", *options, "--", PLUGIN]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", "") or str(error)
        raise ArchiveError(
            f"git did not list the files of {PLUGIN}: {why.strip()}\n"
            "The zip holds what git tracks; build it in a clone of the repository."
        ) from error
    return sorted(name for name in done.stdout.split("\0") if name)


def contents(root: Path = ROOT) -> dict[str, bytes]:
    """What the zip holds.

    Returns:
        Bytes by name; the names begin with `rsgeo/`.

    Raises:
        ArchiveError: if a file is of a kind that the store refuses or that nobody has decided on.
    """
    files = {
        "metadata.txt": metadata(root).encode(),
        "LICENSE": (root / "LICENSE").read_bytes(),
    }
    for path in tracked(root):
        there = root / PLUGIN / path
        if path.as_posix() == "metadata.txt" or not there.exists():  # deleted, and the deletion not committed yet
            continue
        if path.suffix == ".ts":  # its source; what QGIS reads is the .qm
            files[path.with_suffix(".qm").as_posix()] = compiled(there)
            continue
        if there.is_symlink():
            raise ArchiveError(f"{PLUGIN}/{path} is a link; a zip holds files. Put the file itself there.")
        if path.suffix not in SUFFIXES or any(part.startswith(".") for part in path.parts):
            raise ArchiveError(
                f"{PLUGIN}/{path} is of a kind that the zip does not take ({', '.join(sorted(SUFFIXES))}). "
                "Move it out of the plugin, or add its suffix to release/archive.py."
            )
        files[path.as_posix()] = there.read_bytes()
    return {f"{FOLDER}/{name}": files[name] for name in sorted(files)}


def metadata(root: Path = ROOT) -> str:
    """metadata.txt with the newest changes added."""
    text = (root / "metadata.txt").read_text(encoding="utf-8").rstrip("\n")
    try:
        entries = changelog.newest((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArchiveError(str(error)) from error
    return f"{text}\nchangelog={changelog.metadata_value(version(root), entries)}\n"


def compiled(catalogue: Path) -> bytes:
    """The .qm of a .ts, by Qt's lrelease."""
    try:
        tool = qt_tools.lrelease()
    except qt_tools.ToolMissing as error:
        raise ArchiveError(str(error)) from error
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "catalogue.qm"
        done = subprocess.run(
            [tool, "-silent", str(catalogue), "-qm", str(binary)], capture_output=True, text=True, check=False
        )
        if done.returncode or not binary.exists():
            raise ArchiveError(f"{tool} could not compile {catalogue}: {(done.stderr or done.stdout).strip()}")
        return binary.read_bytes()


def write(target: Path, files: dict[str, bytes]) -> None:
    """Write the zip; `target` appears when it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix wherever it is made, for the mode and for the same bytes
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    size = part.stat().st_size
    if size > LARGEST:
        part.unlink()
        raise ArchiveError(f"The zip has {size} bytes; plugins.qgis.org takes at most {LARGEST}.")
    part.replace(target)


def build(folder: Path, root: Path = ROOT) -> Path:
    """Make the zip in a folder.

    Returns:
        Where it is.
    """
    target = folder / f"{FOLDER}-{version(root)}.zip"
    write(target, contents(root))
    return target


def main() -> int:
    """Make the zip in dist/ and say what is left out."""
    try:
        target = build(ROOT / "dist")
        forgotten = untracked()
    except ArchiveError as error:
        print(error, file=sys.stderr)
        return 1
    for name in forgotten:
        print(f"left out, not in git: {name}", file=sys.stderr)
    print(f"{target.relative_to(ROOT)}  {target.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
