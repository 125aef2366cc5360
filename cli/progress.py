"""How a run shows itself: a bar on a terminal, plain lines in a pipe, JSON lines on request."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from rsgeo_core import events


class Display:
    """A listener that tells a person, or a program with `as_json`, what a run does.

    Args:
        as_json: whether events are told as lines of JSON on standard output.
        quiet: whether only warnings are told.
        scene: the scene that all events belong to, where there are several.
    """

    def __init__(self, as_json: bool, quiet: bool = False, scene: str | None = None) -> None:
        self._json, self._quiet, self._scene = as_json, quiet, scene
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task = None
        self._last_share = -1
        self._lock = threading.Lock()
        self._stage = ""

    def __call__(self, event: events.Event) -> None:
        """Show an event."""
        with self._lock:
            if self._json:
                click.echo(event.line(self._scene))
            elif isinstance(event, events.Stage):
                self._begin(event)
            elif isinstance(event, events.Progress):
                self._advance(event)
            elif isinstance(event, events.Warn):
                click.echo(f"Warning: {event.text}", err=True)
            elif isinstance(event, events.Log) and not self._quiet:
                click.echo(event.text, err=True)

    def _begin(self, event: events.Stage) -> None:
        names = {"map": "Mapping", "finish": "Finishing", "train": "Training"}
        self._stage = names.get(event.name, event.name)
        self._last_share = -1
        if self._quiet or not self._console.is_terminal:
            return
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[amount]}"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._bar.start()
        elif self._task is not None:
            self._bar.update(self._task, completed=1.0, total=1.0)
        self._task = self._bar.add_task(self._stage, total=1.0, amount="")

    def _advance(self, event: events.Progress) -> None:
        share = event.done / event.total if event.total else 1.0
        digits = 0 if event.unit == "steps" else 1
        done, total = (f"{amount:,.{digits}f}" for amount in (event.done, event.total))
        note = f" · {event.note}" if event.note else ""
        if self._bar is not None and self._task is not None:
            amount = f"{done}/{total} {event.unit}{note}" if event.unit != "file" else ""
            self._bar.update(self._task, completed=share, total=1.0, amount=amount)
        elif not self._quiet and self._stage in ("Mapping", "Training") and int(share * 10) > self._last_share:
            self._last_share = int(share * 10)
            eta = f", {event.eta_s:.0f} s left" if event.eta_s else ""
            click.echo(f"{self._stage}: {100 * share:.0f} % ({done} of {total} {event.unit}{eta}){note}", err=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@contextmanager
def shown(as_json: bool, quiet: bool = False, scene: str | None = None) -> Iterator[tuple[Display, events.CancelToken]]:
    """A display and a cancel token that Ctrl-C and SIGTERM raise; a second Ctrl-C ends at once."""
    display, cancel = Display(as_json, quiet, scene), events.CancelToken()

    def stop(number: int, frame: FrameType | None) -> None:
        if cancel.is_cancelled:
            raise KeyboardInterrupt
        cancel.cancel()

    in_main = threading.current_thread() is threading.main_thread()
    before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)} if in_main else {}
    try:
        yield display, cancel
    finally:
        display.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def closing_line(stats: dict[str, object]) -> str:
    """Time, speed, how busy each stage was, device, peak memory: one line."""
    busy = stats["busy"]
    assert isinstance(busy, dict)
    peak = stats["peak_memory_bytes"]
    memory = f", peak memory {peak / 1e6:,.0f} MB" if isinstance(peak, int) else ""
    shares = " · ".join(f"{name} {100 * share:.0f} %" for name, share in busy.items())
    return (
        f"{stats['seconds']:.1f} s, {stats['megapixels_per_second']:.2f} MPix/s "
        f"(busy: {shares}) on {stats['device']}{memory}"
    )
