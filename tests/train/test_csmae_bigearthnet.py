"""BigEarthNet as it is delivered, from its folders to a map, by command: prepare, train, retrieve, export, infer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from click.testing import CliRunner

from rsgeo_cli.rsgeo import cli as rsgeo
from rsgeo_cli.rsgeo_train import cli as train
from rsgeo_train import training
from rsgeo_train.runs import read_run
from rsgeo_train.samples import Samples

SMALL = (
    "encoder.name=sensor_vit_tiny",
    "encoder.options.width=48",
    "encoder.options.depth=3",
    "method.decoder_width=32",
    "method.decoder_depth=1",
    "method.decoder_heads=2",
    "data.batch_size=2",
    "data.selection_fraction=0",
    "data.splits=[train,val]",
    "trainer.max_steps=2",
    "trainer.precision=32-true",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
)


def typed(command: object, *words: object) -> str:
    result = CliRunner().invoke(command, [str(word) for word in words])  # type: ignore[arg-type]
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_from_its_folders_to_a_map(data: Path, tmp_path: Path) -> None:
    """The four real pairs; what `rsgeo infer` reads from files of 10 m and 20 m is what training read of a sample."""
    root, catalog, run = data / "s1s2_pairs/bigearthnet", tmp_path / "ben.parquet", tmp_path / "run"
    typed(train, "prepare", "bigearthnet", "--root", root, "-o", catalog)
    settings = [word for setting in SMALL for word in ("--set", setting)]
    said = typed(
        train, "pretrain", "--method", "csmae", "--recipe", "csmae-sesd", "--data", catalog, *settings, "-o", run
    )
    assert f"evaluate {run} --data {catalog} --protocol retrieval" in said and f"plot reconstruction {run}" in said
    report = tmp_path / "report"
    typed(train, "evaluate", run, "--data", catalog, "--protocol", "retrieval", "--floor-seeds", 1, "-o", report)
    rows = json.loads((report / "metrics.json").read_text())["protocols"]["retrieval"]
    met = {(row["query"], row["archive"]) for row in rows}
    assert met >= {("s1", "s1"), ("s1", "s2"), ("s2", "s1"), ("s2", "s2")}
    model = tmp_path / "model.onnx"
    typed(train, "export", run, "-o", model, "--weights", "float32", "--tap", "tokens")

    kind, recipe, own = read_run(run)
    task = training.build(kind, recipe, own)
    training.load_best(task, run)
    taken = training.input_of(kind, recipe, own)
    samples = Samples(own, range(4), taken.bands, with_labels=False, fills=taken.fills)
    for number in range(4):
        files = {
            sensor: sorted((data / own.path(own.table[f"{sensor}_path"].iloc[number])).parent.glob("*.tif"))
            for sensor in ("s1", "s2")
        }
        words = [w for s, found in files.items() for w in ("--sensor", f"{s}={','.join(map(str, found))}")]
        out = tmp_path / f"map{number}.tif"
        typed(rsgeo, "infer", *words, "-m", model, "-o", out, "--quantisation", "float32")
        sample = samples[number]
        with torch.no_grad():
            wanted = task.encoded(sample.images[None], sample.present[None]).pooled
            wanted = torch.nn.functional.normalize(wanted, dim=1)[0].numpy()
        with rasterio.open(out) as found, rasterio.open(next(f for f in files["s2"] if f.stem.endswith("B02"))) as ten:
            assert found.shape == (1, 1) and found.crs == ten.crs
            assert found.transform == ten.transform @ ten.transform.scale(120)
            assert np.abs(found.read()[:, 0, 0] - wanted).max() < 1e-4
