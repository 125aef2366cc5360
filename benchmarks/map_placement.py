"""Prints whether a map of a georeferenced copy of a picture lies where it should and has the areas that it should.

    python benchmarks/map_placement.py RUN MODEL.onnx [--split val] [--count 3] [-o FOLDER]

Pictures of a split of the run's catalog are copied with a place on the ground (UTM zone 40N; 0.3 m where the catalog
does not say), `rsgeo infer` runs the exported model over them, and each map is compared with what the trained network
says of the picture's chips, one by one, as they are in the catalog (where chips overlap, of the one in which a pixel
lies deeper): CRS, corners, pixels that agree, the same after a move of one pixel or a mirror (which must be lower), and
how far the area of each class by `rsgeo stats` is from pixels × pixel size. At its borders a chip lacks what the map
has seen, and at the picture's border a map is made with the picture continued; so the same is told of pixels that lie
in their chip as deep as the model looks (where its card says how deep), in chips whose cells lie where the map's do:
these must agree but for weights that are stored as float16. Ends with an error where a map lies elsewhere, or these
pixels differ by more than a hundredth.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray

from rsgeo_core import infer
from rsgeo_core.areas import class_areas
from rsgeo_core.card import read_card
from rsgeo_train import training
from rsgeo_train.catalog import Catalog
from rsgeo_train.methods.registry import Input
from rsgeo_train.runs import read_run
from rsgeo_train.samples import Samples
from rsgeo_train.sources import read_window
from rsgeo_train.tasks.supervised import SupervisedTask

CRS = "EPSG:32640"
CORNER = 325000.0, 2787000.0
PIXEL = 0.3  # metres
ALLOWED = 0.01  # of the pixels, and of the area


@torch.no_grad()
def by_chips(
    task: SupervisedTask, samples: Samples, windows: list, shape: tuple[int, int], multiple: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The network's classes, 1 to K, chip by chip, and how deep in its chip each pixel lies; −1 outside of all."""
    found, depth = np.zeros(shape, np.uint8), np.full(shape, -1)
    for number, window in enumerate(windows):
        column, row, width, height = (0, 0, *shape[::-1]) if window is None else window
        sample = samples[number]
        answer = task.answers(sample.images[None], sample.present[None])[0].numpy() + 1
        rows, columns = np.mgrid[:height, :width]
        margin = np.minimum(np.minimum(rows, height - 1 - rows), np.minimum(columns, width - 1 - columns))
        if column % multiple or row % multiple:
            margin[:] = 0  # its cells lie elsewhere than the map's
        place = slice(row, row + height), slice(column, column + width)
        deeper = margin > depth[place]
        found[place][deeper], depth[place][deeper] = answer[deeper], margin[deeper]
    return found, depth


def georeferenced(source: str, bands: Sequence[str], place: Affine, output: Path) -> tuple[int, int]:
    """A copy of a picture as a GeoTIFF with a place and the names of its bands; its height and width."""
    pixels = read_window(source, None)
    profile = {"driver": "GTiff", "count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2]}
    with rasterio.open(output, "w", dtype=pixels.dtype, crs=CRS, transform=place, **profile) as target:
        target.write(pixels)
        target.descriptions = tuple(bands)
    return pixels.shape[1:]


def check(task: SupervisedTask, catalog: Catalog, taken: Input, scene: str, model: Path, folder: Path) -> bool:
    """One picture; prints a line and says whether all is right."""
    (sensor,) = taken.bands
    rows = np.flatnonzero(catalog.scenes(sensor) == scene)
    copy, output = folder / f"{Path(scene).stem}.tif", folder / f"{Path(scene).stem}-map.tif"
    facts = catalog.header.sensors[sensor]
    size = facts.gsd or PIXEL
    place = Affine(size, 0, CORNER[0], 0, -size, CORNER[1])
    shape = georeferenced(catalog.path(scene), facts.bands, place, copy)
    infer(copy, output, model)
    windows = catalog.column(f"{sensor}_window")
    samples = Samples(catalog, rows, taken.bands, fills=taken.fills)
    card = read_card(model)
    chips, depth = by_chips(task, samples, [windows[row] for row in rows], shape, card.inputs[0].size_multiple)
    with rasterio.open(output) as found:
        values = found.read(1)
        corners = [found.transform * corner for corner in ((0, 0), (found.width, found.height))]
        expected = [place * corner for corner in ((0, 0), (shape[1], shape[0]))]
        is_placed = str(found.crs) == CRS and np.allclose(corners, expected, rtol=0, atol=1e-6)
    covered, reach = depth >= 0, card.context.receptive_field
    whole = covered if reach is None else depth >= reach

    def agreeing(answer: NDArray[np.uint8], where: NDArray[np.bool_]) -> float:
        return float((answer == chips)[where].mean())

    wrong = {"moved": np.roll(values, 1, axis=1), "mirrored": values[:, ::-1], "upside down": values[::-1]}
    worse = {name: agreeing(other, covered) for name, other in wrong.items()}
    (zone,) = class_areas(output).zones
    area = {item.value: item.area / size**2 for item in zone.classes}

    def off(other: NDArray[np.uint8], where: NDArray[np.bool_]) -> float:
        return (
            max(abs(float((other == k)[where].sum()) - float((chips == k)[where].sum())) for k in classes) / where.sum()
        )

    classes = range(1, task.classes + 1)
    counted = max(abs(area.get(k, 0.0) - float((values == k).sum())) for k in classes)
    print(
        f"{Path(scene).name}: {'in place' if is_placed else 'ELSEWHERE'}; stats and map differ by {counted:.2g} pixels"
        f"; {agreeing(values, covered):.4f} as chip by chip ("
        + ", ".join(f"{name} {share:.4f}" for name, share in worse.items())
        + f"), areas off by {off(values, covered):.4f} at most; of the {whole.mean():.0%} that see all: "
        f"{agreeing(values, whole):.5f}, {off(values, whole):.5f}"
    )
    good = agreeing(values, whole) > 1 - ALLOWED and off(values, whole) < ALLOWED and counted < 1
    return is_placed and good and agreeing(values, covered) > max(worse.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--count", type=int, default=3, help="pictures")
    parser.add_argument("-o", "--output", type=Path, help="keep copies and maps here")
    arguments = parser.parse_args()
    kind, recipe, catalog = read_run(arguments.run)
    taken = training.input_of(kind, recipe, catalog)
    (sensor,) = taken.bands
    task = training.build(kind, recipe, catalog, taken)
    assert isinstance(task, SupervisedTask)
    training.load_best(task, arguments.run)
    scenes = list(dict.fromkeys(catalog.scenes(sensor)[catalog.rows(arguments.split)]))[: arguments.count]
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.output or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        right = [check(task, catalog, taken, scene, arguments.model, folder) for scene in scenes]
    raise SystemExit(0 if all(right) else 1)


if __name__ == "__main__":
    main()
