"""What plugins.qgis.org checks in an upload, over the unpacked zip. Runs without QGIS.

The store runs bandit, detect-secrets and flake8. A finding of the first two blocks a release; of flake8 it looks at the
codes in FLAKE8. The tests are stricter where that costs nothing.
"""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
import tokenize
import zipfile
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
# The codes that the store has on, C901 apart, which does nothing without a limit.
FLAKE8 = (
    "E101,E711,E712,E713,E714,E721,E722,E731,E741,E742,E743,E901,E902,E999,W605,"
    "F402,F403,F404,F405,F811,F821,F822,F823,F831,F901"
)
REQUIRED = ("name", "description", "version", "qgisMinimumVersion", "author", "email", "about", "tracker", "repository")
RECOMMENDED = ("license", "homepage", "tags", "category", "icon", "changelog", "hasProcessingProvider")


def run(tool: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    if not list(BIN.glob(f"{tool}*")):
        pytest.skip(f"{tool} is not installed; it comes with rsgeo[dev]")
    return subprocess.run([str(BIN / tool), *words], cwd=cwd, capture_output=True, text=True, check=False)


def bandit(folder: Path) -> list[str]:
    # B404, the import of subprocess, is off in the store too; the rest is on whatever its severity.
    done = run("bandit", "-r", ".", "-f", "json", "--quiet", "-s", "B404", cwd=folder)
    report = json.loads(done.stdout)
    assert not report["errors"]
    return [
        f"{issue['filename']}:{issue['line_number']}: {issue['test_id']} {issue['issue_text']}"
        for issue in report["results"]
    ]


def secrets(folder: Path) -> list[str]:
    done = run("detect-secrets", "scan", "--all-files", "--exclude-files", r"metadata\.txt", ".", cwd=folder)
    found = json.loads(done.stdout)["results"]
    return [f"{name}:{each['line_number']}: {each['type']}" for name, all_of in found.items() for each in all_of]


def flake8(folder: Path, *options: str) -> list[str]:
    return run("flake8", "--isolated", "--max-line-length=120", *options, ".", cwd=folder).stdout.splitlines()


def unexplained(folder: Path) -> list[str]:
    """Comments that silence a check without naming it and saying why."""
    wrong = []
    for path in sorted(folder.rglob("*.py")):
        with path.open("rb") as file:
            for token in tokenize.tokenize(file.readline):
                comment = token.string
                if token.type != tokenize.COMMENT:
                    continue
                if "nosec" in comment and not re.search(r"# nosec B\d{3}(, ?B\d{3})* [-#] \w.{9,}", comment):
                    wrong.append(f"{path.name}:{token.start[0]}: expected '# nosec B603 - reason', found {comment!r}")
                if re.search(r"flake8[:=]\s*noqa", comment, re.IGNORECASE):
                    wrong.append(f"{path.name}:{token.start[0]}: flake8 is off for a whole file")
    return wrong


@pytest.fixture(scope="module")
def metadata(unpacked: Path) -> configparser.SectionProxy:
    """The zip's metadata, read as QGIS and the store read it."""
    parser = configparser.ConfigParser()
    parser.optionxform = str
    parser.read(unpacked / "rsgeo" / "metadata.txt", encoding="utf-8")
    return parser["general"]


def test_bandit(unpacked: Path) -> None:
    assert not bandit(unpacked)


def test_detect_secrets(unpacked: Path) -> None:
    assert not secrets(unpacked)


def test_flake8_as_the_store_runs_it(unpacked: Path) -> None:
    assert not flake8(unpacked, "--select", FLAKE8)


def test_flake8_with_everything_on(unpacked: Path) -> None:
    # E203 and W503 are what the formatter does, and what PEP 8 says today.
    assert not flake8(unpacked, "--extend-ignore=E203,W503")


def test_silenced_checks_say_why(unpacked: Path) -> None:
    assert not unexplained(unpacked)


def test_the_checks_find_what_they_look_for(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(
        "import subprocess\n"
        'KEY = "2a02aba9ed12e4ac4eb3ea9421c420301a0c6460d9830d74a9df87efa4912010"\n'
        "subprocess.run(KEY, check=False)  # nosec\n"
        "subprocess.run([KEY], check=False)\n"
        "if KEY == None: missing()\n"
    )
    assert any("B603" in line for line in bandit(tmp_path))
    assert secrets(tmp_path) == ["wrong.py:2: Hex High Entropy String"]
    assert {line.split()[1] for line in flake8(tmp_path, "--select", FLAKE8)} == {"E711", "F821"}
    assert len(unexplained(tmp_path)) == 1


def test_explained_call_passes_bandit(tmp_path: Path) -> None:
    line = "subprocess.run(words, check=False)  # nosec B603 - a list of words, the first an interpreter the user chose"
    (tmp_path / "right.py").write_text(f"import subprocess\nwords = []\n{line}\n")
    assert not bandit(tmp_path)
    assert not unexplained(tmp_path)


def test_hashes_of_pinned_packages_are_no_secrets(tmp_path: Path) -> None:
    digest = "2a02aba9ed12e4ac4eb3ea9421c420301a0c6460d9830d74a9df87efa4912010"
    (tmp_path / "cpu.txt").write_text(f"numpy==1.26.4 \\\n    --hash=sha256:{digest}\n")
    assert not secrets(tmp_path)


def test_files(package: Path) -> None:
    assert package.stat().st_size <= 25_000_000
    with zipfile.ZipFile(package) as zipped:
        entries = zipped.infolist()
    assert entries[0].filename.split("/")[0].isidentifier()
    for entry in entries:
        path = PurePosixPath(entry.filename)
        assert entry.filename.isascii()
        assert not path.name.startswith(".")
        assert ".." not in entry.filename
        assert path.suffix not in {".exe", ".dll", ".so", ".dylib", ".bat", ".sh", ".ps1", ".cmd", ".pyc"}
        assert not (entry.external_attr >> 16) & 0o111


def test_metadata_has_every_key(metadata: configparser.SectionProxy) -> None:
    assert not [key for key in (*REQUIRED, *RECOMMENDED) if not metadata.get(key, "").strip()]
    assert metadata["hasProcessingProvider"] == "yes"
    assert [metadata[key] for key in ("deprecated", "server")] == ["False", "False"]
    assert metadata["experimental"] in {"True", "False"}


def test_metadata_file_has_no_percent_sign_of_its_own(unpacked: Path) -> None:
    text = (ROOT / "metadata.txt").read_text(encoding="utf-8")
    assert "%" not in text
    assert not text.startswith("\ufeff")
    whole = (unpacked / "rsgeo" / "metadata.txt").read_text(encoding="utf-8")
    assert "%" not in whole.replace("%%", "")


def test_metadata_versions(metadata: configparser.SectionProxy) -> None:
    assert metadata["qgisMinimumVersion"] == "3.22"
    assert metadata["qgisMaximumVersion"] == "4.99", "a maximum of 4 or more is what lists a plugin for QGIS 4"
    assert "supportsQt6" not in metadata, "gone from QGIS and from the store"
    assert re.fullmatch(r"\d+\.\d+\.\d+", metadata["version"])
    assert f'version = "{metadata["version"]}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_metadata_texts(metadata: configparser.SectionProxy) -> None:
    assert "\n" not in metadata["description"]
    assert len(metadata["description"]) <= 150
    assert "plugin" not in metadata["name"].lower()
    assert "/" not in metadata["author"]
    assert re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", metadata["email"])
    assert metadata["license"] == "MIT"
    assert metadata["category"] == "Raster"
    assert metadata["changelog"].startswith(metadata["version"])
    about = metadata["about"].lower()
    assert "external dependencies" in about
    for name in ("numpy", "rasterio", "onnxruntime", "pydantic", "shapely", "pyproj", "geopandas", "pyogrio"):
        assert name in about
    assert "unlike" in about, "the store asks what differs from plugins of the same kind"


def test_metadata_tags(metadata: configparser.SectionProxy) -> None:
    tags = [tag.strip() for tag in metadata["tags"].split(",")]
    assert len(tags) == len(set(tags))
    assert all(tag and tag == tag.lower() for tag in tags)
    assert {"onnx", "raster", "remote sensing", "processing"} <= set(tags)


def test_metadata_links(metadata: configparser.SectionProxy) -> None:
    for key in ("homepage", "repository", "tracker"):
        link = urlsplit(metadata[key])
        assert link.scheme == "https"
        assert "." in link.netloc
    assert metadata["tracker"].startswith(metadata["repository"])


def test_metadata_icon_is_in_the_zip(metadata: configparser.SectionProxy, unpacked: Path) -> None:
    icon = (unpacked / "rsgeo" / metadata["icon"]).read_text(encoding="utf-8")
    assert "<svg" in icon
