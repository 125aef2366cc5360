"""`rsgeo-train pretrain`, `join`, `evaluate` and `compare` through their commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

pytest.importorskip("torch", reason="the train extra is not installed")

from rsgeo_cli.rsgeo_train import cli
from rsgeo_cli.train_commands import compare, evaluate
from rsgeo_train.evaluate.protocol import QUESTIONS

TINY = (
    "trainer.max_steps=1",
    "data.batch_size=8",
    "data.selection_fraction=0",
    "method.views.crop=16",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
)
QUICK = ("repeats=1", "folds=3", "fractions=[1.0]", "ks=[5]", "band_draws=0")


def typed(*arguments: object, settings: tuple[str, ...] = ()) -> Result:
    """A command as it is typed, with `--set` before each setting."""
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(cli, [*words, *(word for setting in settings for word in ("--set", setting))])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two catalogs of pictures, one with classes, and a run on it."""
    root = tmp_path_factory.mktemp("evaluated")
    for index, name in enumerate(("dark", "light")):
        (root / "pictures" / name).mkdir(parents=True)
        for number in range(9):
            pixels = np.random.default_rng([index, number]).integers(40 + 90 * index, 120 + 90 * index, (24, 24, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(root / "pictures" / name / f"{name}{number}.png")
    assert typed("prepare", "folder", "--root", root / "pictures", "-o", root / "c.parquet").exit_code == 0
    done = typed(
        *("pretrain", "--method", "csf", "--data", root / "c.parquet", "--recipe", "csf-small", "-o", root / "run"),
        settings=TINY,
    )
    assert done.exit_code == 0, done.output
    return root


def test_evaluate_says_the_score_and_writes_the_report(root: Path) -> None:
    done = typed(
        "evaluate",
        root / "run",
        "--data",
        root / "c.parquet",
        "-o",
        root / "report",
        "--floor-seeds",
        1,
        settings=QUICK,
    )
    assert done.exit_code == 0, done.output
    *_, headline, where = done.stdout.splitlines()
    assert headline.startswith("linear ") and "against untrained resnet10t" in headline
    assert where == f"report: {root / 'report/index.html'}"
    facts = json.loads((root / "report/findings.json").read_text())
    assert facts["scores"]["linear"]["run"][0] > 0.9 and (root / "report/scores.csv").is_file()
    assert "k-means: run " in done.stderr  # told while it works


def test_compare_puts_runs_into_one_table(root: Path) -> None:
    second = typed(
        *("pretrain", "--method", "csf", "--data", root / "c.parquet", "--recipe", "csf-small", "-o", root / "other"),
        settings=(*TINY, "method.temperature=1.0"),
    )
    assert second.exit_code == 0, second.output
    done = typed(
        *("compare", root / "run", root / "other", "--data", root / "c.parquet", "-o", root / "both"),
        *("--floor-seeds", 1),
        settings=QUICK,
    )
    assert done.exit_code == 0, done.output
    facts = json.loads((root / "both/findings.json").read_text())
    assert {"run", "other", "untrained resnet10t"} <= set(facts["scores"]["linear"])
    assert "run − other" in facts["differences"]["linear"]


def test_samples_are_looked_for_where_that_is_asked(root: Path) -> None:
    typed_so = ("evaluate", root / "run", "--data", root / "c.parquet", "--protocol", "retrieval", "--floor-seeds", 1)
    done = typed(*typed_so, "-o", root / "looked", settings=("retrieval.ks=[1,5]", "retrieval.shown=1"))
    assert done.exit_code == 0, done.output
    headline = done.stdout.splitlines()[-2]
    assert headline.startswith("rgb8 → rgb8, mAP@5 ") and "against random ranking" in headline
    facts = json.loads((root / "looked/metrics.json").read_text())
    assert set(facts["protocols"]) == {"retrieval"} and {row["k"] for row in facts["protocols"]["retrieval"]} == {1, 5}
    for setting, words in (
        ("retrieval.queries=tset", "has no split tset"),
        ("retrieval.ks=[1,18]", "Type: --set retrieval.ks=[1]"),
        ("retrieval.ks=[0]", "greater than or equal to 1"),
        ("retrieval.query=val", "Did you mean retrieval.queries?"),
    ):
        refused = typed(*typed_so, "-o", root / "x", settings=(setting,))
        said = " ".join(refused.output.split())
        assert refused.exit_code == 2 and words in said and "Traceback" not in said, said
        assert not (root / "x/index.html").exists()


def test_join_says_which_sensors_the_samples_have(root: Path) -> None:
    copy = root / "again"
    copy.mkdir()
    for picture in (root / "pictures").rglob("*.png"):
        (copy / picture.parent.name).mkdir(exist_ok=True)
        (copy / picture.parent.name / f"x{picture.name}").write_bytes(picture.read_bytes())
    assert typed("prepare", "folder", "--root", copy, "-o", root / "d.parquet").exit_code == 0
    done = typed("join", root / "c.parquet", root / "d.parquet", "-o", root / "joined.parquet")
    assert done.exit_code == 0, done.output
    assert done.stdout.strip().endswith("joined.parquet: 36 samples; rgb8 36")
    twice = typed("join", root / "c.parquet", root / "c.parquet", "-o", root / "twice.parquet")
    assert twice.exit_code == 2 and "in a catalog before" in twice.stderr and not (root / "twice.parquet").exists()


def test_a_run_goes_on_with_its_own_catalog_alone(root: Path) -> None:
    other = root / "other-catalog.parquet"
    seeded = typed("prepare", "folder", "--root", root / "pictures", "--seed", 5, "-o", other)
    assert seeded.exit_code == 0
    named = ("pretrain", "--method", "csf", "--recipe", "csf-small", "-o", root / "run", "--resume", "--data")
    assert typed(*named, root / "c.parquet", settings=TINY).exit_code == 0
    refused = typed(*named, other, settings=TINY)
    assert refused.exit_code == 2 and "was started on another catalog" in refused.stderr


def test_outputs_of_the_wrong_kind_are_refused_before_the_work(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for arguments in (
        ("prepare", "folder", "--root", root / "pictures", "-o", tmp_path),
        ("export", root / "run", "-o", tmp_path),
        ("join", root / "c.parquet", root / "c.parquet", "-o", tmp_path),
        ("pretrain", "--method", "csf", "--data", root / "c.parquet", "-o", tmp_path / "file"),
        ("evaluate", root / "run", "--data", root / "c.parquet", "-o", tmp_path / "file"),
    ):
        refused = typed(*arguments)
        assert refused.exit_code == 2 and "Traceback" not in refused.output, arguments
    assert (tmp_path / "file").read_text() == "mine" and [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (("evaluate", "run"), ("judje=split",), "Did you mean judge"),
        (("evaluate", "run"), ("folds=20",), "folds need as many"),
        (("evaluate", "nothing"), (), "no run folder"),
        (("evaluate", "run", "--layer", "layr1"), (), "Did you mean"),
    ],
)
def test_wrong_requests_are_one_message(
    root: Path, tmp_path: Path, arguments: tuple[str, ...], settings: tuple[str, ...], words: str
) -> None:
    command, run, *more = arguments
    done = typed(command, root / run, *more, "--data", root / "c.parquet", "-o", tmp_path / "r", settings=settings)
    assert done.exit_code == 2 and words in done.stderr and "Traceback" not in done.output
    assert not (tmp_path / "r/index.html").exists()


def test_the_questions_offered_are_the_protocols() -> None:
    for command in (evaluate.command, compare.command):
        (option,) = [parameter for parameter in command.params if parameter.name == "questions"]
        assert tuple(option.type.choices) == QUESTIONS


def test_single_pictures_are_drawn_with_their_points(root: Path, tmp_path: Path) -> None:
    shared = (root / "run", "--data", root / "c.parquet", "-o")
    done = typed("plot", "projection", *shared, tmp_path / "p.png", "--kind", "t-sne", "--perplexity", 4)
    assert done.exit_code == 0, done.output
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert lines[0] == "row,id,class,x,y" and len(lines) == 1 + 18
    assert {line.split(",")[2] for line in lines[1:]} == {"dark", "light"}
    done = typed("plot", "neighbours", *shared, tmp_path / "n.png", "--images", 3, "--bands", "red,green")
    assert done.exit_code == 0 and "of the 6 neighbours shown have the query's class" in done.stdout
    assert typed("plot", "salient", *shared, tmp_path / "s.png", "--units", 2, "--images", 3).exit_code == 0
    assert all(Image.open(tmp_path / f"{name}.png").size[0] > 100 for name in "pns")
    refused = typed("plot", "salient", *shared, tmp_path / "x.png", "--bands", "nir")
    assert refused.exit_code == 2 and "there is no nir" in refused.stderr
    assert typed("plot", "salient", *shared, tmp_path / "x.jpg").exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["n.png", "p.csv", "p.png", "s.png"]


def test_views_are_drawn_without_a_model_as_show_draws_them(root: Path, tmp_path: Path) -> None:
    data, settings = root / "c.parquet", ("method.views.crop=16",)
    drawn = typed("plot", "views", "--data", data, "--recipe", "csf-small", "-o", tmp_path / "v.png", settings=settings)
    shown = typed("show", data, "--views", "csf-small", "-o", tmp_path / "s.png", settings=settings)
    assert drawn.exit_code == 0 == shown.exit_code, drawn.output
    assert (tmp_path / "v.png").read_bytes() == (tmp_path / "s.png").read_bytes()
    more = ("--samples", 1, "--views", 3)
    plain = typed("plot", "views", "--data", data, "-o", tmp_path / "d.png", *more, settings=settings)
    assert plain.exit_code == 0 and (tmp_path / "d.png").is_file(), plain.output


def test_words_are_of_what_was_typed(root: Path) -> None:
    """A protocol is no recipe, what has an option is not listed, and a hint can be typed."""
    done = typed("evaluate", root / "run", "--data", root / "c.parquet", "-o", root / "x", settings=("repeat=1",))
    said = " ".join(done.output.split())
    assert done.exit_code == 2 and "Protocol: there is no setting repeat; known here: judge, folds," in said
    assert "Did you mean repeats?" in said
    done = typed(
        *("plot", "projection", root / "run", "--data", root / "c.parquet", "--bands", "red,B99"),
        *("-o", root / "x.png"),
    )
    said = " ".join(done.output.split())
    assert done.exit_code == 2 and "there is no B99" in said and "For example: --bands red" in said
    assert "--set" not in said and not (root / "x.png").exists()
