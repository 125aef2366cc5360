"""The zip and its way into a profile: what is in it, what is not, the same bytes again. Runs without QGIS."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from release import archive, changelog, installation

ROOT = Path(__file__).parents[3]


def git(root: Path, *words: str) -> None:
    who = ["-c", "user.name=rsgeo", "-c", "user.email=rsgeo@users.noreply.github.com"]
    subprocess.run(["git", "-C", str(root), *who, *words], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small repository with a plugin, laid out as this one."""
    root = tmp_path / "checkout"
    (root / "qgis_plugin" / "gui").mkdir(parents=True)
    (root / "metadata.txt").write_text("[general]\nname=rsgeo\nversion=1.2.3\n")
    (root / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (root / "CHANGELOG.md").write_text("# Changes\n\n## 1.2.3\n\n- New: 100 % faster.\n\n## 1.2.2\n\n- Old.\n")
    (root / "LICENSE").write_text("MIT License\n")
    (root / "qgis_plugin" / "__init__.py").write_text("")
    (root / "qgis_plugin" / "gui" / "dialog.py").write_text("")
    (root / "qgis_plugin" / "metadata.txt").symlink_to("../metadata.txt")
    (root / ".gitignore").write_text("__pycache__/\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    return root


def names(package: Path) -> list[str]:
    with zipfile.ZipFile(package) as zipped:
        return zipped.namelist()


def general(package: Path) -> configparser.SectionProxy:
    """The metadata in a zip, read as QGIS reads it."""
    parser = configparser.ConfigParser()
    with zipfile.ZipFile(package) as zipped:
        parser.read_string(zipped.read("rsgeo/metadata.txt").decode())
    return parser["general"]


def test_zip_of_this_checkout(package: Path) -> None:
    inside = [PurePosixPath(name) for name in names(package)]
    assert {path.parts[0] for path in inside} == {"rsgeo"}
    for name in ("__init__.py", "metadata.txt", "LICENSE", "icon.svg", "plugin.py", "i18n/rsgeo_de.qm"):
        assert PurePosixPath("rsgeo", name) in inside
    for path in inside:
        assert not {"tests", "__pycache__", ".git"} & set(path.parts)
        assert path.suffix not in {".ts", ".pyc", ".so", ".dll", ".exe"}
    assert package.name == f"rsgeo-{archive.version()}.zip"
    assert general(package)["name"] == "rsgeo"
    with zipfile.ZipFile(package) as zipped:
        assert zipped.testzip() is None
        assert zipped.read("rsgeo/LICENSE") == (ROOT / "LICENSE").read_bytes()
        for entry in zipped.infolist():
            assert entry.external_attr >> 16 == 0o100644, "a plain file that nobody can execute"


def test_every_package_of_the_zip_can_be_imported_as_one(package: Path) -> None:
    inside = {PurePosixPath(name) for name in names(package)}
    folders = {path.parent for path in inside if path.suffix == ".py"}
    assert {folder / "__init__.py" for folder in folders} <= inside


def test_only_what_git_knows_gets_in(checkout: Path) -> None:
    before = names(archive.build(checkout / "dist", checkout))
    assert before == ["rsgeo/LICENSE", "rsgeo/__init__.py", "rsgeo/gui/dialog.py", "rsgeo/metadata.txt"]
    (checkout / "qgis_plugin" / "__pycache__").mkdir()
    (checkout / "qgis_plugin" / "__pycache__" / "plugin.pyc").write_bytes(b"")
    (checkout / "qgis_plugin" / "notes.txt").write_text("mine")
    assert names(archive.build(checkout / "dist", checkout)) == before
    assert archive.untracked(checkout) == ["qgis_plugin/notes.txt"]


def test_same_checkout_gives_the_same_bytes(checkout: Path, tmp_path: Path) -> None:
    first = archive.build(tmp_path / "first", checkout).read_bytes()
    module = checkout / "qgis_plugin" / "gui" / "dialog.py"
    os.utime(module, (1, 1))
    module.chmod(0o755)
    assert archive.build(tmp_path / "second", checkout).read_bytes() == first
    module.write_text("changed = True\n")
    assert archive.build(tmp_path / "third", checkout).read_bytes() != first


def test_metadata_is_the_file_with_the_newest_changes(checkout: Path) -> None:
    read = general(archive.build(checkout / "dist", checkout))
    assert read["version"] == "1.2.3"
    assert read["changelog"] == "1.2.3\n- New: 100 % faster."


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.onnx", b"x", "of a kind that the zip does not take"),
        ("library.so", b"x", "of a kind that the zip does not take"),
        (".hidden.py", b"x", "of a kind that the zip does not take"),
    ],
)
def test_file_that_the_store_refuses_is_refused(checkout: Path, name: str, content: bytes, said: str) -> None:
    (checkout / "qgis_plugin" / name).write_bytes(content)
    git(checkout, "add", "-A")
    with pytest.raises(archive.ArchiveError, match=said):
        archive.build(checkout / "dist", checkout)


def test_link_is_refused(checkout: Path) -> None:
    (checkout / "qgis_plugin" / "card.py").symlink_to("gui/dialog.py")
    git(checkout, "add", "-A")
    with pytest.raises(archive.ArchiveError, match=r"card\.py is a link"):
        archive.build(checkout / "dist", checkout)


def test_versions_must_agree(checkout: Path) -> None:
    (checkout / "pyproject.toml").write_text('[project]\nversion = "1.3.0"\n')
    with pytest.raises(archive.ArchiveError, match=r"1\.2\.3.*1\.3\.0"):
        archive.build(checkout / "dist", checkout)


def test_without_git_the_message_says_what_to_do(checkout: Path) -> None:
    shutil.rmtree(checkout / ".git")
    with pytest.raises(archive.ArchiveError, match="build it in a clone"):
        archive.build(checkout / "dist", checkout)


def test_changes_survive_configparser() -> None:
    text = (
        "# Changes\n\n## Unreleased\n\nSome words.\n\n- One: 5 % of\n  all = everything.\n- [general]\n- # no comment\n"
        "\n### QGIS plugin\n\n- In QGIS: %(name)s; yes.\n\n### Other\n\n- Not this.\n\n## 0.0.1\n\n- Old.\n"
    )
    assert changelog.newest(text) == ["In QGIS: %(name)s; yes."]
    entries = changelog.newest(text.replace("### QGIS plugin", "### More"))
    assert entries[:3] == ["One: 5 % of all = everything.", "[general]", "# no comment"]
    parser = configparser.ConfigParser()
    parser.read_string(f"[general]\nchangelog={changelog.metadata_value('1.0', entries)}\nname=rsgeo\n")
    assert parser["general"]["changelog"].split("\n") == ["1.0", *(f"- {entry}" for entry in entries)]
    assert parser["general"]["name"] == "rsgeo"
    for wrong in ("# Changes\n", "## 1.0\n\nNothing.\n"):
        with pytest.raises(ValueError, match=r"CHANGELOG\.md"):
            changelog.newest(wrong)


@pytest.mark.parametrize(
    ("variables", "platform", "expected"),
    [
        ({}, "linux", ".local/share/QGIS/QGIS3"),
        ({"XDG_DATA_HOME": "/data"}, "linux", "/data/QGIS/QGIS3"),
        ({}, "darwin", "Library/Application Support/QGIS/QGIS3"),
        ({}, "win32", "AppData/Roaming/QGIS/QGIS3"),
        ({"APPDATA": "/roaming"}, "win32", "/roaming/QGIS/QGIS3"),
    ],
)
def test_homes(variables: dict[str, str], platform: str, expected: str) -> None:
    home = Path("/home/analyst")
    found = installation.homes(variables, platform, home)
    assert found[0] == home / expected
    assert found[1] == (home / expected).with_name("QGIS4")


def test_custom_home_is_the_only_one() -> None:
    assert installation.homes({"QGIS_CUSTOM_CONFIG_PATH": "/own"}, "linux", Path("/home")) == [Path("/own")]


def test_profile_of_every_qgis_that_has_it(tmp_path: Path) -> None:
    homes = [tmp_path / "QGIS3", tmp_path / "QGIS4"]
    assert installation.profiles(homes, "default") == [homes[0] / "profiles" / "default"]
    with pytest.raises(installation.InstallationError, match="there is none yet"):
        installation.profiles(homes, "field")
    for path in (homes[0] / "profiles" / "field", homes[1] / "profiles" / "field", homes[1] / "profiles" / "office"):
        path.mkdir(parents=True)
    assert installation.profiles(homes, "field") == [home / "profiles" / "field" for home in homes]
    assert installation.profiles(homes, "office") == [homes[1] / "profiles" / "office"]
    with pytest.raises(installation.InstallationError, match="there are field, office"):
        installation.profiles(homes, "default")


def test_install_replaces_the_older_copy(checkout: Path, tmp_path: Path) -> None:
    profile = tmp_path / "profiles" / "default"
    package = archive.build(checkout / "dist", checkout)
    target = installation.install(package, profile)
    assert target == profile / "python" / "plugins" / "rsgeo"
    (target / "stale.py").write_text("")
    installation.install(package, profile)
    assert sorted(path.name for path in target.iterdir()) == ["LICENSE", "__init__.py", "gui", "metadata.txt"]
    assert not (target / "metadata.txt").is_symlink()
    assert os.listdir(profile / "python") == ["plugins"], "nothing is left beside it"
    assert os.listdir(profile / "python" / "plugins") == ["rsgeo"]


def test_broken_zip_leaves_the_older_copy(checkout: Path, tmp_path: Path) -> None:
    package = archive.build(checkout / "dist", checkout)
    target = installation.install(package, tmp_path / "profile")
    broken = tmp_path / "broken.zip"
    content = bytearray(package.read_bytes())
    content[60:70] = bytes(10)
    broken.write_bytes(content)
    with pytest.raises(zipfile.BadZipFile):
        installation.install(broken, tmp_path / "profile")
    assert (target / "LICENSE").read_text() == "MIT License\n"
    assert os.listdir(tmp_path / "profile" / "python") == ["plugins"]


def test_link_of_a_developer_is_left_alone(checkout: Path, tmp_path: Path) -> None:
    plugins = tmp_path / "python" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "rsgeo").symlink_to(checkout / "qgis_plugin")
    with pytest.raises(installation.InstallationError, match="is a link to"):
        installation.install(archive.build(checkout / "dist", checkout), tmp_path)
    assert (plugins / "rsgeo").is_symlink()


def test_make_plugin_install(package: Path, tmp_path: Path) -> None:
    """The command as people type it; the zip in dist/ is the one that `make plugin` writes."""
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    (tmp_path / "profiles" / "field").mkdir(parents=True)
    environment = {**os.environ, "QGIS_CUSTOM_CONFIG_PATH": str(tmp_path)}
    command = ["make", "-C", str(ROOT), "plugin-install", f"PYTHON={sys.executable}"]
    done = subprocess.run([*command, "PROFILE=field"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    target = tmp_path / "profiles" / "field" / "python" / "plugins" / "rsgeo"
    assert str(target) in done.stdout
    assert "qgis_process plugins enable rsgeo" in done.stdout
    assert re.search(r"^changelog=", (target / "metadata.txt").read_text(encoding="utf-8"), re.MULTILINE)
    done = subprocess.run([*command, "PROFILE=other"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "QGIS has no profile other; there are field" in done.stderr
