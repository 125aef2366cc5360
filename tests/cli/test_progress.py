"""The bar of a run on a terminal, and its plain lines in a pipe."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from rsgeo_cli.progress import Display
from rsgeo_core.events import Progress, Stage


def told(*, is_terminal: bool, capsys: pytest.CaptureFixture) -> str:
    display = Display(as_json=False)
    screen = io.StringIO()
    display._console = Console(file=screen, force_terminal=is_terminal, width=120)
    display(Stage(name="train", index=0, count=1, weight=1))
    for step in range(0, 901, 30):
        display(
            Progress(done=step, total=900, unit="steps", eta_s=30.0 * (900 - step), note=f"loss {9 - step / 100:.4f}")
        )
    display.close()
    return screen.getvalue() if is_terminal else capsys.readouterr().err


def test_a_terminal_shows_steps_loss_and_time_left(capsys):
    shown = told(is_terminal=True, capsys=capsys)
    assert "Training" in shown and "900/900 steps · loss 0.0000" in shown and "100%" in shown


def test_a_pipe_gets_a_line_a_tenth(capsys):
    lines = told(is_terminal=False, capsys=capsys).splitlines()
    assert len(lines) == 11
    assert lines[1] == "Training: 10 % (90 of 900 steps, 24300 s left) · loss 8.1000"
