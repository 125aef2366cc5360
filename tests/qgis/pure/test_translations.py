"""The plugin's texts: each in the catalogue, each translated, with the same placeholders. Runs without QGIS."""

from __future__ import annotations

from pathlib import Path

import pytest

from release import archive, catalogue, qt_tools

ROOT = Path(__file__).parents[3]
PLUGIN = ROOT / "qgis_plugin"
CATALOGUES = sorted((PLUGIN / "i18n").glob("rsgeo_*.ts"))


@pytest.fixture(scope="module")
def known() -> dict[str, catalogue.Text]:
    return catalogue.texts(PLUGIN)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A plugin of one module, to be written by the test."""
    (tmp_path / "i18n").mkdir()
    return tmp_path


def module(plugin: Path, text: str) -> dict[str, catalogue.Text]:
    (plugin / "dialog.py").write_text(text)
    return catalogue.texts(plugin)


def test_german_is_there() -> None:
    assert [path.name for path in CATALOGUES] == ["rsgeo_de.ts"]


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.name)
def test_catalogue_is_complete(path: Path, known: dict[str, catalogue.Text]) -> None:
    """What fails here is put right by `make translations` and translating what it prints."""
    translations = catalogue.read(path)
    missing = [f"{text.file}:{text.line}: {source!r}" for source, text in known.items() if source not in translations]
    assert not missing, "not translated; see make translations:\n" + "\n".join(missing)
    language = path.stem.partition("_")[2]
    assert path.read_text(encoding="utf-8") == catalogue.rendered(language, known, translations), (
        f"{path.name} is not up to date; run make translations"
    )


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.name)
def test_translation_keeps_what_code_relies_on(path: Path) -> None:
    wrong = [
        f"{source!r}: {what}"
        for source, translation in catalogue.read(path).items()
        for what in catalogue.differences(source, translation)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "translation"),
    [
        ("{count} tiles", "{anzahl} Kacheln"),
        ("{count} tiles", "Kacheln"),
        ("{share:.1f} percent", "{share} Prozent"),
        ("<b>Bands</b>", "Bänder"),
        ("Scene:", "Szene"),
        ("Run…", "Ausführen"),
        ("Run", "Ausführen…"),
    ],
)
def test_difference_is_found(source: str, translation: str) -> None:
    assert catalogue.differences(source, translation)


def test_same_in_another_order_is_no_difference() -> None:
    assert not catalogue.differences("{a} of <b>{b}</b>", "<b>{b}</b>: davon {a}")


@pytest.mark.parametrize(
    "text",
    [
        "def f(name):\n    return tr(name)",
        'def f(name):\n    return tr(f"Model {name}")',
        'def f(name):\n    return tr("Model {}".format(name))',
        'def f(name):\n    return tr("Model", name)',
        'def f():\n    return tr("")',
        'LABEL = tr("Model")',
        'class A:\n    label = tr("Model")',
    ],
)
def test_text_that_cannot_be_looked_up_is_refused(plugin: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"dialog\.py:[12]: tr "):
        module(plugin, text)


def test_texts_are_found_in_order_and_once(plugin: Path) -> None:
    found = module(
        plugin,
        'def f():\n    g(tr("Two " "parts"), tr("It\'s <b>\\"bold\\"</b> & 5 %\\nnext"))\n    return tr("Two parts")\n'
        'h = lambda: translation.tr("Later")\n',
    )
    assert list(found) == ["Two parts", 'It\'s <b>"bold"</b> & 5 %\nnext', "Later"]
    assert found["Two parts"] == catalogue.Text("Two parts", "dialog.py", 2)


def test_update_keeps_translations_adds_new_texts_and_drops_old_ones(plugin: Path) -> None:
    path = plugin / "i18n" / "rsgeo_de.ts"
    text = 'def f():\n    return tr("Tile & <b>\\"it\'s\\"</b>"), tr("Gone")'
    assert len(catalogue.update(path, module(plugin, text))) == 2
    path.write_text(
        path.read_text().replace('<translation type="unfinished"></translation>', "<translation>Ü</translation>")
    )
    assert catalogue.read(path) == {'Tile & <b>"it\'s"</b>': "Ü", "Gone": "Ü"}

    known = module(plugin, text.replace("Gone", "New"))
    assert [text.source for text in catalogue.update(path, known)] == ["New"]
    assert catalogue.read(path) == {'Tile & <b>"it\'s"</b>': "Ü"}
    assert "Gone" not in path.read_text()
    before = path.read_bytes()
    catalogue.update(path, known)
    assert path.read_bytes() == before


def test_draft_is_kept_and_counts_as_not_translated(plugin: Path) -> None:
    path = plugin / "i18n" / "rsgeo_de.ts"
    known = module(plugin, 'def f():\n    return tr("Tile")')
    catalogue.update(path, known)
    draft = '<translation type="unfinished">Kachel</translation>'
    path.write_text(path.read_text().replace('<translation type="unfinished"></translation>', draft))
    assert catalogue.read(path) == {}
    assert [text.source for text in catalogue.update(path, known)] == ["Tile"]
    assert draft in path.read_text()


def test_changed_text_starts_with_the_old_translation(plugin: Path) -> None:
    path = plugin / "i18n" / "rsgeo_de.ts"
    known = module(plugin, 'def f():\n    return tr("Tiles run together"), tr("Model")')
    path.write_text(catalogue.rendered("de", known, {"Tiles run together": "Kacheln in einem Lauf", "Model": "Modell"}))
    known = module(plugin, 'def f():\n    return tr("Tiles that run together"), tr("Scene")')
    assert len(catalogue.update(path, known)) == 2
    assert catalogue.read(path, is_finished=False) == {"Tiles that run together": "Kacheln in einem Lauf"}


def test_qt_finds_the_translation(plugin: Path) -> None:
    core = pytest.importorskip("PyQt6.QtCore", exc_type=ImportError)
    try:
        qt_tools.lrelease()
    except qt_tools.ToolMissing as error:
        pytest.skip(str(error))
    path = plugin / "i18n" / "rsgeo_de.ts"
    source = 'Tile & <b>"it\'s"</b> {count}…\nnext'
    catalogue.update(path, {source: catalogue.Text(source, "dialog.py", 1)})
    path.write_text(
        path.read_text(encoding="utf-8").replace(' type="unfinished"></', ">Kachel „ä“ {count}…</"), encoding="utf-8"
    )
    binary = path.with_suffix(".qm")
    binary.write_bytes(archive.compiled(path))
    application = core.QCoreApplication.instance() or core.QCoreApplication([])
    translator = core.QTranslator()
    assert translator.load(str(binary))
    application.installTranslator(translator)
    try:
        assert application.translate(catalogue.CONTEXT, source) == "Kachel „ä“ {count}…"
        assert application.translate(catalogue.CONTEXT, "unknown") == "unknown"
    finally:
        application.removeTranslator(translator)
