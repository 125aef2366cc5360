"""Failures are recognised from what the tools really say; the texts are records of pip 23, pip 26, uv and venv."""

from __future__ import annotations

from pathlib import Path

import pytest

from qgis_plugin.environment.failures import Cancelled, EnvironmentFailure, recognise, scrub

RECORDS = sorted((Path(__file__).parent / "failures").glob("*.txt"))
SAID = {
    "policy": "OSError: [WinError 1260] This program is blocked by group policy.",
    "antivirus": "OSError: [WinError 225] Operation did not complete successfully because the file contains a virus "
    "or potentially unwanted software",
    "vc-runtime": "ImportError: DLL load failed while importing onnxruntime_pybind11_state: The specified module could "
    "not be found.",
    "glibc": "ImportError: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.28' not found (required by numpy)",
    "locked": "PermissionError: [WinError 32] The process cannot access the file because it is being used by another "
    "process",
    "disk": "OSError: [WinError 112] There is not enough space on the disk",
    "outdated": "/usr/bin/python3: No module named rsgeo_core.worker",
    "dns": "Failed to establish a new connection: [Errno 11001] getaddrinfo failed",
}


def kind_of(path: Path) -> str:
    """The record `no-wheel.uv.txt` is of the kind no-wheel; longer names tell records of one kind apart."""
    kinds = ("proxy-unreachable", "no-ensurepip", "no-version", "no-rsgeo", "no-wheel")
    return next((kind for kind in kinds if path.name.startswith(kind)), path.name.split(".")[0].split("-")[0])


def test_there_are_records() -> None:
    assert len(RECORDS) > 30


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_record_is_recognised(path: Path) -> None:
    failure = recognise(path.read_text(encoding="utf-8"), "Installing")
    assert failure.kind == kind_of(path)
    assert failure.hint


@pytest.mark.parametrize("kind", SAID)
def test_what_other_systems_say_is_recognised(kind: str) -> None:
    assert recognise(SAID[kind], "Installing").kind == kind


def test_unknown_failure_shows_the_line_that_tells() -> None:
    failure = recognise("all well\nERROR: the moon is in the way\nbye", "Installing")
    assert failure.kind == "unknown"
    assert failure.text == "Installing: ERROR: the moon is in the way"


def test_passwords_of_proxies_are_not_in_the_log() -> None:
    log = "Looking in indexes: https://analyst:secret@mirror/simple and http://token@other/"
    assert "secret" not in scrub(log) and "token" not in scrub(log)
    failure = EnvironmentFailure("x", log=log)
    assert "secret" not in failure.log and "***@mirror/simple" in failure.log


def test_cancelling_is_a_failure_of_its_own() -> None:
    assert Cancelled().kind == "cancelled"
