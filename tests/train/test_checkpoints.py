"""Checkpoints: killed while they are written, damaged, and on a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from rsgeo_train.checkpoints import read_checkpoint, read_resumable, write_checkpoint
from rsgeo_train.errors import CheckpointError, RunFolderError


def content(step: int) -> dict:
    return {"step": step, "task": {"w": torch.full((50_000,), float(step))}}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_one_before_stays_until_the_next_is_whole(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write_checkpoint(tmp_path / "last.ckpt", content(step))
    assert names(tmp_path) == {"last.ckpt", "previous.ckpt"}
    assert read_checkpoint(tmp_path / "last.ckpt")["step"] == 3
    assert read_checkpoint(tmp_path / "previous.ckpt")["step"] == 2


@pytest.mark.parametrize("length", [0, 1000, 150_000])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, length: int) -> None:
    for step in (1, 2):
        write_checkpoint(tmp_path / "last.ckpt", content(step))
    os.truncate(tmp_path / "last.ckpt", length)
    state, told = read_resumable(tmp_path)
    assert state["step"] == 1
    assert "last.ckpt is no whole checkpoint" in told[0] and "previous.ckpt" in told[1]
    (tmp_path / "previous.ckpt").write_bytes(b"none")
    with pytest.raises(RunFolderError, match=r"last\.ckpt.*previous\.ckpt(.|\n)*-o"):
        read_resumable(tmp_path)
    write_checkpoint(tmp_path / "best.ckpt", content(1))
    assert read_resumable(tmp_path)[0]["step"] == 1


def test_flipped_bits_are_found(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "last.ckpt", content(1))
    data = bytearray((tmp_path / "last.ckpt").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "last.ckpt").write_bytes(data)
    with pytest.raises(RunFolderError, match="no whole checkpoint"):
        read_checkpoint(tmp_path / "last.ckpt")


def test_a_full_disk_is_told_and_leaves_what_was_there(tmp_path: Path) -> None:
    """A real limit on the size of files, in a process of its own."""
    write_checkpoint(tmp_path / "last.ckpt", content(1))
    before = (tmp_path / "last.ckpt").read_bytes()
    code = (
        "import resource, sys, torch\n"
        "from pathlib import Path\n"
        "from rsgeo_train.checkpoints import write_checkpoint\n"
        "from rsgeo_train.errors import CheckpointError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    write_checkpoint(Path(sys.argv[1]), {'task': torch.zeros(100_000)})\n"
        "except CheckpointError as error:\n"
        "    print(error)\n"
        "    sys.exit(error.exit_code)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "last.ckpt")], capture_output=True, text=True, timeout=100
    )
    assert result.returncode == 5, result.stderr
    assert "last.ckpt is whole" in result.stdout and "--resume" in result.stdout and "MB free" in result.stdout
    assert names(tmp_path) == {"last.ckpt"} and (tmp_path / "last.ckpt").read_bytes() == before


def test_a_failing_write_without_any_checkpoint_says_start_again(tmp_path: Path) -> None:
    (tmp_path / "last.part").mkdir()
    with pytest.raises(CheckpointError, match=r"no checkpoint yet(.|\n)*start again"):
        write_checkpoint(tmp_path / "last.ckpt", content(1))


def test_a_process_killed_while_it_writes_leaves_the_one_before(tmp_path: Path) -> None:
    """SIGKILL when half of the new file is on the disk."""
    write_checkpoint(tmp_path / "last.ckpt", content(1))
    code = (
        "import sys, time, torch\n"
        "from pathlib import Path\n"
        "from rsgeo_train import checkpoints\n"
        "def slow(content, file, save=torch.save):\n"
        "    file.write(b'x' * 100_000)\n"
        "    file.flush()\n"
        "    time.sleep(60)\n"
        "torch.save = slow\n"
        "checkpoints.write_checkpoint(Path(sys.argv[1]), {'step': 2})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "last.ckpt")])
    part = tmp_path / "last.part"
    deadline = time.monotonic() + 100
    while not (part.exists() and part.stat().st_size >= 100_000):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert read_resumable(tmp_path)[0]["step"] == 1
    write_checkpoint(tmp_path / "last.ckpt", content(3))
    assert read_resumable(tmp_path)[0]["step"] == 3 and names(tmp_path) == {"last.ckpt", "previous.ckpt"}


def test_a_run_without_weights_says_so(tmp_path: Path) -> None:
    """To whoever wants to use it; going on is another matter."""
    from rsgeo_train.training import load_best

    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(RunFolderError, match="ended before its first checkpoint: it has no weights"):
        load_best(None, tmp_path)  # type: ignore[arg-type]
