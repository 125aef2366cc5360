"""The locks hold what rsgeo needs, with hashes, for every system and Python that QGIS users have."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from qgis_plugin.environment import places, uv

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SYSTEMS = [
    {"sys_platform": "linux", "platform_machine": "x86_64", "os_name": "posix", "platform_system": "Linux"},
    {"sys_platform": "linux", "platform_machine": "aarch64", "os_name": "posix", "platform_system": "Linux"},
    {"sys_platform": "darwin", "platform_machine": "arm64", "os_name": "posix", "platform_system": "Darwin"},
    {"sys_platform": "darwin", "platform_machine": "x86_64", "os_name": "posix", "platform_system": "Darwin"},
    {"sys_platform": "win32", "platform_machine": "AMD64", "os_name": "nt", "platform_system": "Windows"},
]


def entries(variant: str) -> list[str]:
    """Each requirement with its hashes on one line."""
    text = (places.LOCKS / f"{variant}.txt").read_text(encoding="utf-8")
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_every_entry_is_pinned_with_a_hash(variant: str) -> None:
    for line in entries(variant):
        assert re.match(r"[a-z0-9._-]+==[^ ]+ ", line), line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), line


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_no_address_is_in_the_lock(variant: str) -> None:
    assert not re.search(r"https?://|file:|index-url|find-links", (places.LOCKS / f"{variant}.txt").read_text())


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_lock_satisfies_the_project(variant: str, python: str) -> None:
    """What pyproject.toml asks for is there, exactly once, for each system."""
    wanted = [Requirement(text) for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"][variant]]
    locked = [Requirement(line.split(" --hash")[0].strip()) for line in entries(variant)]
    for system in SYSTEMS:
        environment = {**system, "python_version": python, "python_full_version": f"{python}.2"}
        pinned: dict[str, str] = {}
        for requirement in locked:
            if requirement.marker is None or requirement.marker.evaluate(environment):
                assert requirement.name not in pinned, f"{requirement.name} twice for {environment}"
                pinned[requirement.name] = next(iter(requirement.specifier)).version
        for requirement in wanted:
            assert requirement.name in pinned, f"{requirement.name} is missing for {environment}; run make lock"
            assert pinned[requirement.name] in requirement.specifier, f"{requirement}: {pinned[requirement.name]}"


def test_plugin_has_the_version_of_the_project() -> None:
    assert places.plugin_version() == PROJECT["version"]


def test_uv_is_pinned_for_the_usual_systems() -> None:
    assert {("linux", "x86_64"), ("darwin", "arm64"), ("win32", "amd64")} <= set(uv._WHEELS)
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for _, digest in uv._WHEELS.values())
