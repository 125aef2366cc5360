"""`rsgeo-train compare`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import rich_click as click

from rsgeo_cli.progress import shown
from rsgeo_cli.train_commands.data_option import DEMO, existing
from rsgeo_cli.train_commands.evaluate import examination_options, examine_runs

_DEMO_BUDGET, _DEMO_BATCH = 6400, 32  # as many as `pretrain` takes of the demo


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--methods",
    metavar="A,B,…",
    help="Train these under one budget and compare them: methods (rsgeo-train methods), and `supervised`.",
)
@click.option(
    "--budget",
    type=click.IntRange(1),
    help="Samples that each method sees in training.  [default: 128000; of the demo 6400]",
)
@click.option("--seeds", metavar="0,1,…", help="Seeds of the training, a run each.  [default: 0]")
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    metavar="METHOD=FILE",
    help="A YAML file or a shipped recipe; repeatable.  [default: METHOD-small; supervised: finetune-small]",
)
@click.option(
    "--train",
    multiple=True,
    metavar="[METHOD:]A.B=C",
    help="Change one setting of all recipes, or of one method's; repeatable.",
)
@click.option(
    "--from",
    "taken",
    multiple=True,
    metavar="METHOD=RUN",
    help="Take a run that is there in place of training; repeatable.",
)
@examination_options
def command(
    runs: tuple[Path, ...],
    methods: str | None,
    budget: int | None,
    seeds: str | None,
    recipes: tuple[str, ...],
    train: tuple[str, ...],
    taken: tuple[str, ...],
    **options: Any,
) -> None:
    """Judge several RUNS by one protocol into one table, with paired differences.

    Runs of one recipe that differ by their seed alone are judged as one, by the mean over seeds.

    With --methods the runs are trained first, each method with its recipe on as many samples (--budget), into
    OUTPUT/runs; the page then tells scores beside floors, label-efficiency curves, t-SNE panels and cost. The same
    command goes on where it was ended.
    """
    if methods is None:
        if not runs or any((budget, seeds, recipes, train, taken)):
            raise click.UsageError("Name RUNS to judge, or --methods A,B,… to train and judge.")
        examine_runs(list(runs), **options)
        return
    if runs:
        raise click.UsageError(f"{runs[0]}: --methods takes runs by --from METHOD=RUN.")

    from rsgeo_train.contestants import Settings

    known: dict[str, list[Path]] = {}
    for name, run in _pairs(taken, "--from csf=runs/csf"):
        known.setdefault(name, []).append(Path(run))
    names = [name.strip() for name in methods.split(",") if name.strip()]
    chosen = dict(_pairs(recipes, "--recipe csf=csf-small"))
    if str(options["catalog"]) == DEMO:
        budget = budget or _DEMO_BUDGET
        usual = [name for name in names if name not in chosen]
        train = (*(f"{name}:{change}" for name in usual for change in _demo_changes(name)), *train)
    settings = Settings(budget or 128_000, chosen, train, known)
    _compare(names, settings, _numbers(seeds or "0"), **options)


def _demo_changes(name: str) -> tuple[str, ...]:
    """What differs of a method's usual recipe on the small demo."""
    from rsgeo_train.methods.registry import DEMO_SETTINGS

    return f"data.batch_size={_DEMO_BATCH}", *DEMO_SETTINGS.get(name, ())


def _pairs(texts: tuple[str, ...], example: str) -> list[tuple[str, str]]:
    pairs = [text.partition("=") for text in texts]
    for text, (name, equals, value) in zip(texts, pairs, strict=True):
        if not (name and equals and value):
            raise click.UsageError(f"{text}: expected METHOD=…, such as {example}")
    return [(name, value) for name, _, value in pairs]


def _numbers(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.UsageError(f"--seeds {text}: expected whole numbers, such as 0,1,2") from None
    if len(set(found)) < len(found):
        raise click.UsageError(f"--seeds {text}: each once")
    return found


def _compare(
    names: list[str],
    settings: Any,
    seeds: tuple[int, ...],
    catalog: Path,
    output: Path,
    *,
    questions: tuple[str, ...],
    overrides: tuple[str, ...],
    **how: Any,
) -> None:
    """Train, judge, and say where the report is; `how` are the layers and the seeds of the floors."""
    from rsgeo_train.catalog import read_catalog
    from rsgeo_train.contest import Contest, hold, train_all
    from rsgeo_train.contestants import entrants
    from rsgeo_train.evaluate.contest_page import ContestPage
    from rsgeo_train.evaluate.contest_protocol import protocol_of
    from rsgeo_train.evaluate.examination import examine

    def tell(line: str) -> None:
        click.echo(line, err=True)

    catalog = existing(catalog)
    samples = read_catalog(catalog)
    protocol = protocol_of(samples, questions, overrides)
    taking_part = tuple(entrants(names, samples, settings))
    judged = {"protocol": protocol.model_dump(mode="json"), **how, "layers": list(how["layers"])}
    contest = Contest(output, catalog, taking_part, seeds, settings.budget, judged)
    if hold(contest):
        tell(f"{output}: begun before, goes on")
    with shown(as_json=False) as (display, cancel):
        train_all(contest, samples, tell=tell, on_event=display, cancel=cancel)
    page = ContestPage(contest, samples, protocol, how["layers"], shlex.join(["rsgeo-train", *sys.argv[1:]]))
    examine(contest.runs, samples, catalog, output, protocol, tell=tell, page=page, **how)
    click.echo(f"report: {output / 'index.html'}")
