"""Numbers, paths and cards in words, as the dialogs show them."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "less than a second"), (41.6, "42 s"), (99.4, "99 s"), (150, "2 min"), (5900, "98 min"), (7200, "2.0 h")],
)
def test_durations(plugin, seconds: float, text: str) -> None:
    from rsgeo.gui.wording import duration

    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1600, "1.6 kB"), (612_000_000, "612 MB"), (3.2e12, "3200 GB")]
)
def test_sizes(plugin, count: float, text: str) -> None:
    from rsgeo.gui.wording import size

    assert size(count) == text


def test_places_and_lengths(plugin) -> None:
    from rsgeo.gui.wording import length, place

    assert place(Path.home() / "data") == str(Path("~") / "data")
    assert place(f"{Path.home()}-other/data") == f"{Path.home()}-other/data"
    assert (length(160.03), length(0.3), length(1234)) == ("160 m", "0.3 m", "1.23 km")


def test_a_resolution_has_three_digits(plugin) -> None:
    from rsgeo.gui.card_page import resolution

    assert resolution({"gsd": 20.0104, "gsd_range": (14.0073, 30.0156)}) == "20 m (14 to 30 m)"
    assert resolution({"gsd": 0.1}) == "0.1 m"


def test_what_others_wrote_is_no_html(plugin) -> None:
    from rsgeo.gui import card_page, wording

    card = {"name": "<b>x</b>", "description": "<script>", "cautions": ["<i>1</i>"], "inputs": [{"sensor": "<u>"}]}
    page = card_page.page(card)
    assert not any(tag in page for tag in ("<script>", "<i>1", "<u>", "<b>x"))
    assert "<p>" not in wording.refusal("<p>", "<p>").replace("&lt;p&gt;", "")


@pytest.mark.parametrize(
    ("band", "text"),
    [
        ({"unit": "reflectance", "scale": 0.0001, "offset": 0.0}, "reflectance × 10,000"),
        ({"unit": "reflectance", "scale": 0.0001, "offset": -0.1}, "reflectance × 10,000 + 1000"),
        ({"unit": "1", "scale": 1.0}, "numbers as stored"),
        ({"unit": "dB"}, "dB"),
    ],
)
def test_units_of_bands(plugin, band: dict, text: str) -> None:
    from rsgeo.gui.card_page import unit

    assert unit(band) == text


def test_a_card_that_says_little_is_shown(plugin) -> None:
    from rsgeo.gui.card_page import page

    assert "The card tells none." in page({"name": "net", "inputs": [{"bands": [{"name": "a"}]}], "outputs": [{}]})
