from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner, Result
from PIL import Image

from rsgeo_cli.rsgeo_train import cli

pytest.importorskip("torch", reason="the train extra is not installed")

TINY = [
    "--set",
    "trainer.max_steps=2",
    "--set",
    "data.batch_size=4",
    "--set",
    "trainer.accelerator=cpu",
    "--set",
    "encoder.channels=[8,16]",
    "--set",
    "encoder.name=compact",
    "--set",
    "trainer.threads=1",
]


def call(*arguments: object, **more: str) -> subprocess.CompletedProcess:
    """`rsgeo-train` as a real process."""
    return subprocess.run(
        [sys.executable, "-m", "rsgeo_cli.rsgeo_train", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | more,
    )


def typed(*arguments: object) -> Result:
    """`rsgeo-train` in this process, as click's runner calls it."""
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def done(*arguments: object) -> str:
    """Standard output of a call that must succeed."""
    result = call(*arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for index, name in enumerate(("dark", "light")):
        (root / name).mkdir()
        for number in range(12):
            random = np.random.default_rng([index, number])
            pixels = random.integers(40 + 100 * index, 90 + 100 * index, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("labelled")
    for p, place in enumerate(("a", "b", "c")):
        for kind in ("images", "labels"):
            (root / place / kind).mkdir(parents=True)
        pixels = np.random.default_rng(p).integers(0, 255, (3, 64, 64), dtype=np.uint8)
        label = np.ones((1, 64, 64), np.uint8)
        label[:, 32:] = 2
        for kind, array in (("images", pixels), ("labels", label)):
            with rasterio.open(
                root / place / kind / "s.tif",
                "w",
                driver="GTiff",
                width=64,
                height=64,
                count=len(array),
                dtype="uint8",
                crs="EPSG:32632",
                transform=Affine(0.5, 0, 5e5, 0, -0.5, 5.3e6),
            ) as file:
                file.write(array)
    (root / "classes.yaml").write_text("- {name: one}\n- {name: two}\n")
    return root


@pytest.mark.alone
def test_help_is_quick_and_loads_no_torch():
    call("--help")  # compiles the byte code
    spent = []
    for _ in range(3):
        start = time.monotonic()
        result = call("--help")
        spent.append(time.monotonic() - start)
    assert result.returncode == 0 and min(spent) < 0.5
    for name in ("prepare", "show", "finetune", "export"):
        assert f" {name} " in result.stdout
    code = (
        "import sys, rsgeo_cli.rsgeo_train as r\n"
        "for name in r.TrainGroup.table: r.cli.get_command(None, name)\n"
        "sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_pretrain_takes_every_method():
    from rsgeo_cli.train_commands.pretrain import METHODS
    from rsgeo_train.methods import registry

    assert sorted(METHODS) == sorted(registry.METHODS)


def test_a_reader_that_leaves_is_no_defect():
    """As in `rsgeo-train prepare scenes --help | head`."""
    line = [sys.executable, "-m", "rsgeo_cli.rsgeo_train", "prepare", "scenes", "--help"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert "defect" not in process.stderr.read() and process.wait() == 1


def test_prepare_loads_no_torch():
    """It takes seconds."""
    code = (
        "import importlib, pkgutil, sys, rsgeo_train.prepare as p\n"
        "names = [m.name for m in pkgutil.iter_modules(p.__path__)]\n"
        "for name in names: importlib.import_module('rsgeo_train.prepare.' + name)\n"
        "sys.exit(f'{len(names)} modules, torch: ' + str('torch' in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "torch: False" in result.stderr and int(result.stderr.split()[0]) > 10


def test_classification_from_pictures_to_a_model(pictures, tmp_path):
    from rsgeo_core.card import read_card

    said = done("prepare", "folder", "--root", pictures, "-o", tmp_path / "c.parquet")
    assert "20 train" in said and "4 val" in said and "2 classes" in said
    shown = done("show", tmp_path / "c.parquet")
    assert "sensor rgb8: uint8" in shown and "dark" in shown and "red: mean" in shown
    said = done(
        "finetune",
        "--task",
        "classification",
        "--data",
        tmp_path / "c.parquet",
        "--from",
        "random",
        *TINY,
        "-o",
        tmp_path / "run",
    )
    assert "accuracy" in said and "floors: majority class 0.5" in said
    assert (tmp_path / "run/report/index.html").is_file()
    said = done("export", tmp_path / "run", "-o", tmp_path / "model.onnx")
    assert "parity" in said
    card = read_card(tmp_path / "model.onnx")
    assert card.task == "classification" and card.provenance.metrics[0].n == 4
    # the core's own loader and the self-test agree with what was written
    again = done(
        "finetune",
        "--task",
        "classification",
        "--data",
        tmp_path / "c.parquet",
        *TINY,
        "-o",
        tmp_path / "run",
        "--resume",
    )
    assert "resumed at step 2 of 2" in again


def test_segmentation_from_scenes_to_a_model(labelled, tmp_path):
    from rsgeo_core.card import read_card

    said = done(
        "prepare",
        "scenes",
        "--root",
        labelled,
        "--images",
        "*/images/*.tif",
        "--labels",
        "*/labels/*.tif",
        "--classes",
        labelled / "classes.yaml",
        "--chip",
        32,
        "--hold-out",
        "b",
        "-o",
        tmp_path / "c.parquet",
    )
    assert "8 train, 4 val" in said and "held out: b" in said
    said = done("finetune", "--task", "segmentation", "--data", tmp_path / "c.parquet", *TINY, "-o", tmp_path / "run")
    assert "mean IoU" in said
    said = done("export", tmp_path / "run", "-o", tmp_path / "model.onnx", "--weights", "float32")
    assert "tile-invariant: yes" in said
    card = read_card(tmp_path / "model.onnx")
    assert card.task == "segmentation" and [c.name for c in card.output().classes] == ["one", "two"]


def test_eurosat_by_the_commands(data_folder, tmp_path):
    said = done("prepare", "eurosat", "--root", data_folder / "eurosat_ms", "-o", tmp_path / "ms.parquet")
    assert "10 classes" in said
    shown = done("show", tmp_path / "ms.parquet")
    assert "219 samples have a footprint" in shown and "B8A: mean" in shown


@pytest.fixture
def data_folder() -> Path:
    path = Path(os.environ.get("RSGEO_DATA", Path(__file__).parents[2] / "../shared/data"))
    if not (path / "eurosat_ms").is_dir():
        pytest.skip("RSGEO_DATA is not set and ../shared/data is not there")
    return path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "nothing.parquet"], "no such catalog"),
        (["show", "nothing.parquet", "-o", "picture.txt"], "name it picture.png"),
        (
            ["finetune", "--task", "classification", "--data", "x.parquet", "--set", "trainer.max_epoch=3", "-o", "r"],
            "Did you mean trainer.max_epochs?",
        ),
        (
            ["finetune", "--task", "segmentation", "--data", "x", "--from=imagenet", "--set=encoder.init=a", "-o", "r"],
            "Give one of them",
        ),
        (
            ["finetune", "--task", "classification", "--data", "x.parquet", "--from", "away", "-o", "r"],
            "no such run folder",
        ),
        (["finetune", "--task", "dreams", "--data", "x.parquet", "-o", "r"], "dreams"),
        (["export", "no-run", "-o", "m.onnx"], "is no run folder"),
        (["prepare", "eurosat", "--root", ".", "-o", "c.parquet"], "holds no EuroSAT"),
        (["prepare", "folder", "--root", ".", "-o", "c.parquet"], "0 class folders"),
    ],
)
def test_wrong_requests_are_one_message_and_exit_code_2(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = typed(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.stderr and result.stdout == ""
    assert not list(tmp_path.iterdir())


def test_a_wrong_request_of_a_process(tmp_path):
    result = call("show", str(tmp_path / "nothing.parquet"))
    assert result.returncode == 2 and "no such catalog" in result.stderr and result.stdout == ""


def test_a_missing_package_says_what_to_install(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\ntrue = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'timm' else true(name, *more)\n"
    )
    result = call("show", "x.parquet", PYTHONPATH=str(tmp_path))
    assert result.returncode == 4 and "Traceback" not in result.stderr
    assert "missing: timm" in result.stderr and "rsgeo[train,cpu]" in result.stderr


@pytest.mark.parametrize("place", ["file/catalog.parquet", "/proc/catalog.parquet"])
def test_a_place_that_cannot_be_written_is_told(pictures, tmp_path, place):
    (tmp_path / "file").write_text("in the way")
    result = typed("prepare", "folder", "--root", pictures, "-o", tmp_path / place)
    assert result.exit_code == 2, result.stderr
    assert result.stderr.startswith("Error: ") and "Traceback" not in result.stderr and "defect" not in result.stderr


def test_an_unexpected_failure_has_exit_code_5(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import rsgeo_train.catalog as c\ndef broken(path): raise ZeroDivisionError('odd')\nc.read_catalog = broken\n"
    )
    result = call("show", "x.parquet", PYTHONPATH=str(tmp_path))
    assert result.returncode == 5 and "odd" in result.stderr


@pytest.mark.slow
def test_ctrl_c_finishes_the_step_and_says_how_to_go_on(pictures, tmp_path):
    """A real process in a pipe: plain lines of progress, exit code 3, a checkpoint that --resume takes."""
    import signal

    done("prepare", "folder", "--root", pictures, "-o", tmp_path / "c.parquet")
    arguments = ["finetune", "--task", "classification", "--data", str(tmp_path / "c.parquet"), *TINY]
    arguments += [
        "--set",
        "trainer.max_steps=100000",
        "--set",
        "trainer.max_epochs=100000",
        "-o",
        str(tmp_path / "run"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "rsgeo_cli.rsgeo_train", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "run/checkpoints/last.ckpt").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)  # progress is told a fifth of a second after the first step at the earliest
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=60)
    assert process.returncode == 3, complained
    assert "Stopped after step" in complained and "--resume" in complained and "Traceback" not in complained
    assert "Training: 0 %" in complained and "steps" in complained and "epoch 1/" in said
    import torch

    step = torch.load(tmp_path / "run/checkpoints/last.ckpt")["step"]
    assert f"Stopped after step {step} of" in complained
