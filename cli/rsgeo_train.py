"""The command group `rsgeo-train`: its commands are imported when they are called, torch only by those that train."""

from __future__ import annotations

import importlib
import sys

import rich_click as click

COMMANDS = {
    "prepare": "A dataset on disk to a catalog.",
    "show": "What a catalog holds.",
    "finetune": "Train a classifier or a segmentation network on a catalog.",
    "export": "A run to one ONNX file with its card.",
}


class LazyGroup(click.RichGroup):
    """A group whose commands live in `cli/train_commands/<name>.py` as `command`."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Names of the commands, in the order of the work."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command, imported now."""
        if name not in COMMANDS:
            return None
        return importlib.import_module(f"rsgeo_cli.train_commands.{name}").command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Train models for remote sensing and export them for `rsgeo infer`."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command; failures become one message and an exit code (2 request, 3 cancelled, 4 environment, 5 run)."""
    from rsgeo_core.errors import RsgeoError

    try:
        cli.main(args=arguments, prog_name="rsgeo-train", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        print("Cancelled.", file=sys.stderr)
        sys.exit(3)
    except RsgeoError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        print(
            f"Error: the Python package {error.name} is missing.\nInstall it with: pip install 'rsgeo[train,cpu]'",
            file=sys.stderr,
        )
        sys.exit(4)
    except Exception as error:
        print(f"Error: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(5)


if __name__ == "__main__":
    main()
