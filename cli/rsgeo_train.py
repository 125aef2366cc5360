"""The program `rsgeo-train`: its commands are imported when they run, torch only by those that train."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import rich_click as click

from rsgeo_cli.lazy import LazyGroup
from rsgeo_core import __version__
from rsgeo_core.errors import EnvironmentProblem

_COMMANDS = "rsgeo_cli.train_commands"
_NEEDED = (
    *("torch", "lightning", "timm", "sklearn", "pandas", "pyarrow", "matplotlib", "tensorboard", "yaml"),
    *("lmdb", "safetensors", "google_crc32c"),
)


class TrainGroup(LazyGroup):
    """The commands of `rsgeo-train`; a missing training library is told with what to install (exit code 4)."""

    table: Mapping[str, tuple[str, str]] = {
        "prepare": (f"{_COMMANDS}.prepare", "Turn a dataset on disk into a catalog."),
        "join": (f"{_COMMANDS}.join", "Make one catalog of several."),
        "show": (f"{_COMMANDS}.show", "Say what a catalog holds."),
        "pack": (f"{_COMMANDS}.pack", "Copy a catalog's images into memory-mapped arrays."),
        "pretrain": (f"{_COMMANDS}.pretrain", "Train an encoder on a catalog without labels."),
        "finetune": (f"{_COMMANDS}.finetune", "Train a classifier or a segmentation network on a catalog."),
        "evaluate": (f"{_COMMANDS}.evaluate", "Judge a run's frozen encoder on labelled samples, with floors."),
        "compare": (f"{_COMMANDS}.compare", "Judge several runs by one protocol into one table."),
        "plot": (f"{_COMMANDS}.plot", "Draw what an encoder makes of samples, or the views it learns from."),
        "methods": (f"{_COMMANDS}.methods", "List what can be trained, or all settings of one method or task."),
        "export": (f"{_COMMANDS}.export", "Turn a run into one ONNX file with its card."),
    }

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, if what training stands on is installed; looked for without importing it."""
        missing = [name for name in _NEEDED if find_spec(name) is None]
        if missing:
            click.echo(
                f"Error: training needs Python packages that are missing: {', '.join(missing)}.\n"
                "Install them with: pip install 'rsgeo[train,cpu]'",
                err=True,
            )
            ctx.exit(EnvironmentProblem.exit_code)
        return super().invoke(ctx)


@click.group("rsgeo-train", cls=TrainGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rsgeo-train")
def cli() -> None:
    """Train models for remote sensing and export them for `rsgeo infer`.

    Start with: rsgeo-train prepare folder --root PICTURES -o catalog.parquet
    """


def main() -> None:
    """The entry point of `rsgeo-train`."""
    cli()


if __name__ == "__main__":
    main()
