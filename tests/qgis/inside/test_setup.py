"""`rsgeo:setup` in QGIS: what it refuses, what it says, and the proxy that it takes."""

from __future__ import annotations

import pytest
from qgis.core import QgsApplication, QgsProcessingContext, QgsProcessingException, QgsProcessingFeedback, QgsSettings
from qgis.PyQt.QtCore import QSettings


class Heard(QgsProcessingFeedback):
    """Keeps what an algorithm says."""

    def __init__(self) -> None:
        super().__init__(False)
        self.said: list[str] = []

    def pushInfo(self, info: str) -> None:
        self.said.append(info)


def run(feedback: QgsProcessingFeedback | None = None, **parameters: str) -> dict:
    """The algorithm, checked first as every caller of Processing does."""
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("rsgeo:setup")
    context = QgsProcessingContext()
    is_right, text = algorithm.checkParameterValues(parameters, context)
    if not is_right:
        raise ValueError(text)
    got, _ = algorithm.run(parameters, context, feedback or Heard(), {}, False)
    return got


@pytest.fixture(autouse=True)
def home(plugin, tmp_path, monkeypatch):
    monkeypatch.setenv("RSGEO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize("source", ["wheelhouse", "checkout"])
def test_folder_that_is_none_is_refused_before_the_run(source, tmp_path, home) -> None:
    with pytest.raises(ValueError, match=f"is not a {source}"):
        run(ACTION="create", SOURCE=source, LOCATION=str(tmp_path))
    assert not home.exists()


@pytest.mark.parametrize(
    ("name", "value"), [("ACTION", "destroy"), ("SOURCE", "cd"), ("VARIANT", "tpu"), ("TOOL", "x")]
)
def test_unknown_words_are_refused(name, value) -> None:
    with pytest.raises(ValueError, match=name):
        run(**{"ACTION": "remove", name: value})


def test_verifying_nothing_fails_with_the_way_out() -> None:
    with pytest.raises(QgsProcessingException, match=r"not installed.*ACTION=create"):
        run(ACTION="verify")


def test_removing_gives_an_empty_interpreter(home) -> None:
    (home / "env" / "0.0.1").mkdir(parents=True)
    feedback = Heard()
    assert run(feedback, ACTION="remove") == {"PYTHON": ""}
    assert not (home / "env").exists()
    assert feedback.said[-1] == "The environment is removed."


@pytest.mark.parametrize("is_headless", [False, True])
def test_cancelled_creation_says_so_and_leaves_nothing(is_headless, home, tmp_path, monkeypatch) -> None:
    from rsgeo.interrupts import INTERRUPTS

    monkeypatch.setattr(INTERRUPTS, "is_headless", is_headless)
    (tmp_path / "rsgeo-0-py3-none-any.whl").touch()
    feedback = Heard()
    feedback.cancel()
    if is_headless:
        with pytest.raises(QgsProcessingException, match="cancelled"):
            run(feedback, ACTION="create", SOURCE="wheelhouse", LOCATION=str(tmp_path))
    else:
        assert run(feedback, ACTION="create", SOURCE="wheelhouse", LOCATION=str(tmp_path)) == {}
        assert "cancelled" in feedback.said[-1]
    assert list((home / "env").glob("*")) == []


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({}, ""),
        ({"proxyHost": "proxy.example", "proxyPort": "3128"}, "http://proxy.example:3128"),
        ({"proxyHost": "p", "proxyUser": "an a", "proxyPassword": "1:2/3@"}, "http://an%20a:1:2%2F3%40@p"),
        ({"proxyHost": "p", "proxyType": "Socks5Proxy"}, ""),
        ({"proxyHost": "p", "proxyEnabled": False}, ""),
    ],
)
def test_proxy_is_that_of_qgis(settings, address, tmp_path) -> None:
    from rsgeo.algorithms.setup import proxy_of_qgis

    stored = QgsSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)
    for name, value in {"proxyEnabled": True, "proxyType": "HttpProxy", **settings}.items():
        stored.setValue(f"proxy/{name}", value)
    assert proxy_of_qgis(stored) == address
