"""A click group that imports its commands when they run, so that `--help` answers at once, and tells our errors."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Mapping
from typing import Any

import rich_click as click

from rsgeo_core.errors import Defect, RsgeoError, as_ours

_AS_JSON = "rsgeo.as_json"  # in click's meta: whether the command that runs was asked for JSON


class LazyCommand(click.RichCommand):
    """Stands for a command in lists; imports the real one when its arguments are parsed."""

    def __init__(self, name: str, module: str, help_line: str) -> None:
        super().__init__(name, help=help_line, short_help=help_line)
        self._module = module

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The real command's context: from here on the stand-in is out of the way."""
        command: click.Command = importlib.import_module(self._module).command
        if parent is not None:
            parent.meta[_AS_JSON] = "--json" in args
        return command.make_context(info_name, args, parent=parent, **extra)


class LazyGroup(click.RichGroup):
    """A group made from a table: command name to (module, one line of help).

    Each module holds a click command called `command`. `RsgeoError` and interrupts end a command with one message and
    the exit code of their class, here and in `rio rsgeo` alike; with `--json` the failure is an event on standard
    output too.
    """

    table: Mapping[str, tuple[str, str]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The command names, in the table's order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command's stand-in."""
        return LazyCommand(cmd_name, *self.table[cmd_name]) if cmd_name in self.table else None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and tell its failure without a traceback, unless it is a defect of ours."""
        try:
            return super().invoke(ctx)
        except RsgeoError as error:
            _tell(ctx, error.code, str(error.args[0]), error.hint)
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            _tell(ctx, "cancelled", "Cancelled.")
            click.echo("Cancelled.", err=True)
            ctx.exit(3)
        except click.ClickException as error:
            _tell(ctx, "usage", error.format_message())
            raise
        except (click.exceptions.Exit, click.Abort, BrokenPipeError):  # the last: whoever read the output has left
            raise
        except Exception as error:
            ours = as_ours(error)
            is_defect = isinstance(ours, Defect)
            trace = traceback.format_exc() if is_defect else None
            _tell(ctx, ours.code, str(ours.args[0]), ours.hint, trace)
            click.echo(
                f"{trace}Error: this is a defect of rsgeo; please report it with the lines above."
                if is_defect
                else f"Error: {ours}",
                err=True,
            )
            ctx.exit(ours.exit_code)
        return None


def _tell(ctx: click.Context, code: str, text: str, hint: str = "", trace: str | None = None) -> None:
    """Tell a failure as a line of JSON, where the command was asked for JSON."""
    if not ctx.meta.get(_AS_JSON):
        return
    from rsgeo_core.events import CancelledRun, Failure  # pydantic takes a tenth of a second to import

    failure = Failure(code=code, text=text, hint=hint, traceback=trace)
    click.echo((CancelledRun() if code == "cancelled" else failure).line())
