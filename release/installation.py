"""Puts the plugin's zip into a QGIS profile: `python -m release.installation --profile default`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from . import archive


class InstallationError(Exception):
    """The zip cannot be installed; the message says why and what to do."""


def homes(environment: dict[str, str], platform: str, home: Path) -> list[Path]:
    """The folders in which QGIS keeps `profiles`, in the order of preference, whether they are there or not.

    Args:
        environment: the process's variables.
        platform: as `sys.platform`.
        home: the user's folder.
    """
    custom = environment.get("QGIS_CUSTOM_CONFIG_PATH")
    if custom:
        return [Path(custom)]
    if platform == "win32":
        bases = [Path(environment.get("APPDATA") or home / "AppData" / "Roaming")]
    elif platform == "darwin":
        bases = [home / "Library" / "Application Support"]
    else:
        bases = [
            Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share"),
            home / ".var" / "app" / "org.qgis.qgis" / "data",  # Flatpak
        ]
    return [base / "QGIS" / name for base in bases for name in ("QGIS3", "QGIS4")]


def profiles(candidates: list[Path], name: str) -> list[Path]:
    """The profiles of that name: one for each QGIS that has it.

    Where no QGIS has run yet, `default` is made in the first folder, since QGIS will take it from there.

    Raises:
        InstallationError: if there are profiles, but none of that name.
    """
    there = [folder / "profiles" / name for folder in candidates if (folder / "profiles" / name).is_dir()]
    if there:
        return there
    others = sorted({path.name for folder in candidates for path in (folder / "profiles").glob("*") if path.is_dir()})
    if others or name != "default":
        known = f"there are {', '.join(others)}" if others else "there is none yet"
        raise InstallationError(
            f"QGIS has no profile {name}; {known} in {' or '.join(str(path / 'profiles') for path in candidates)}.\n"
            "Name one: make plugin-install PROFILE=<name>"
        )
    return [candidates[0] / "profiles" / name]


def install(package: Path, profile: Path) -> Path:
    """Unpack the zip into a profile in place of an older copy.

    Unpacking happens beside the plugins, where QGIS does not look; the old copy goes when the new one is whole.

    Args:
        package: the zip.
        profile: a profile's folder.

    Returns:
        The plugin's folder.

    Raises:
        InstallationError: if a link stands where the plugin goes.
    """
    python = profile / "python"
    target = python / "plugins" / archive.FOLDER
    if target.is_symlink():
        raise InstallationError(
            f"{target} is a link to {target.readlink()}: QGIS runs the plugin from there. "
            "Remove the link to install the zip."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rsgeo-", dir=python) as scratch:
        with zipfile.ZipFile(package) as zipped:
            zipped.extractall(scratch)
        old = Path(scratch) / "old"
        if target.exists():
            target.replace(old)
        try:
            (Path(scratch) / archive.FOLDER).replace(target)
        except OSError:
            if old.exists():
                old.replace(target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    return target


def main() -> int:
    """Build the zip, install it and say what comes next."""
    parser = argparse.ArgumentParser(description="Install the plugin into a QGIS profile.")
    parser.add_argument("--profile", default="default", help="the profile's name in QGIS (default: default)")
    name = parser.parse_args().profile
    try:
        package = archive.build(archive.ROOT / "dist")
        places = profiles(homes(dict(os.environ), sys.platform, Path.home()), name)
        for profile in places:
            print(f"rsgeo {archive.version()} is in {install(package, profile)}")
    except (archive.ArchiveError, InstallationError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"The plugin could not be put in place: {error}\nClose QGIS if it runs, and try again.", file=sys.stderr)
        return 1
    print(
        "Next: start QGIS and tick rsgeo in Plugins > Manage and Install Plugins > Installed, "
        "or without a window: qgis_process plugins enable rsgeo"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
