"""Cards and scenes in words, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rsgeo_core.bands import open_raster, raster_grid
from rsgeo_core.card import ModelCard
from rsgeo_core.grid import metres, metres_between
from rsgeo_core.scene import ReadOptions, Scene


def describe_card(card: ModelCard, path: Path) -> str:
    """What a model is, a few lines."""
    lines = [
        f"{card.name} {card.version}{' (experimental)' if card.experimental else ''}: {card.title or card.task}",
        f"file         {path} ({path.stat().st_size / 1e6:.1f} MB)",
        f"licence      {card.license}",
    ]
    if card.description:
        lines.append(f"about        {card.description}")
    for item in card.inputs:
        lines.append(f"input        {item.sensor}: {', '.join(map(str, item.bands))}")
        band = item.bands[0]
        unit = f"{band.unit}, stored value · {band.scale:g}" + (f" + {band.offset:g}" if band.offset else "")
        size = f"tiles of {item.tile_size} pixels" + (", other sizes too" if item.dynamic_size else "")
        lines.append(
            f"             {unit}; {size}"
            + (f"; {metres(item.gsd)} per pixel" if item.gsd else "")
            + (f" ({metres_between(*item.gsd_range)})" if item.gsd_range else "")
        )
        other = {band.resampling for band in item.bands} - {"bilinear"}
        if other:
            told = ", ".join(f"{b.name} {b.resampling}" for b in item.bands if b.resampling in other)
            lines.append(f"             resampled from other grids: {told}; other bands bilinear")
        if item.missing_bands == "present" and len(card.inputs) > 1:
            lines.append("             may be missing, whole or in part")
        elif item.missing_bands == "present" and len(item.bands) > 1:
            lines.append("             some of its bands may be missing")
    for output in card.outputs:
        what = (
            f"{len(output.classes)} class{'es' * (len(output.classes) > 1)}"
            if output.classes
            else f"{output.dimension} values"
        )
        per = f"one {'cell' if output.dense else 'window'} per {output.stride} pixels"
        if (found := output.objects) is not None:
            per = f"score from {found.min_score:g}, {'boxes and masks' if found.masks else 'boxes'}"
            per += f"; whole up to {found.largest} pixels, larger ones joined from parts"
        lines.append(f"output       {output.name}: {output.kind}, {what}, {per}")
        lines += [f"             {c.value:3d} {c.color} {c.name}" for c in output.classes]
    context = card.context
    field = f"{context.receptive_field} pixels" if context.receptive_field is not None else "unknown or unbounded"
    invariant = {True: "yes", False: "no: tiles may show", None: "unknown: measure with rsgeo check-seams"}
    lines.append(
        f"context      receptive field {field}; halo {context.halo}; border {context.border}; "
        f"tile-invariant: {invariant[context.tile_invariant]}"
    )
    for metric in card.provenance.metrics:
        interval = (
            f" [{metric.low:.3f}, {metric.high:.3f}]" if metric.low is not None and metric.high is not None else ""
        )
        count = f", n = {metric.n}" if metric.n is not None else ""
        note = f" ({metric.note})" if metric.note else ""
        lines.append(f"measured     {metric.name} {metric.value:.3f}{interval} on {metric.data}{count}{note}")
    if card.parity is not None:
        lines.append(
            f"parity       max |torch - onnxruntime| {card.parity.max_abs_difference:.1e} on {card.parity.samples} "
            f"samples, against the network {'as trained' if card.parity.against == 'trained' else 'of these weights'}, "
            f"weights {card.parity.weights}"
        )
    lines += [f"caution      {caution}" for caution in card.cautions]
    lines += [f"note         {note}" for note in card.provenance.notes]
    if card.provenance.data:
        lines.append(f"trained on   {card.provenance.data}")
    return "\n".join(lines)


def describe_scene(path: str) -> str:
    """What a raster is, a few lines."""
    with open_raster(path) as dataset:
        grid = raster_grid(dataset, path)
        dtypes = ", ".join(sorted(set(dataset.dtypes)))
        crs = dataset.crs.to_string() if dataset.crs else "none"
        crs = crs if len(crs) < 60 else (dataset.crs.to_dict().get("proj", "custom") if dataset.crs else crs)
        gsd = grid.gsd
        lines = [
            f"{path}: {dataset.width} × {dataset.height} pixels, {dataset.count} bands of {dtypes}",
            f"CRS          {crs}",
            f"resolution   {grid.pixel_size[0]:g} × {grid.pixel_size[1]:g} CRS units"
            + (f", {metres(gsd)} on the ground" if gsd is not None else ""),
            f"bounds       {', '.join(f'{value:.10g}' for value in grid.bounds())} (x and y, lowest and highest)",
            f"storage      {dataset.driver}, blocks of {dataset.block_shapes[0][1]} × {dataset.block_shapes[0][0]}, "
            f"overviews {dataset.overviews(1) or 'none'}",
        ]
        for number in dataset.indexes:
            words = [
                w
                for w in (dataset.descriptions[number - 1], dataset.colorinterp[number - 1].name)
                if w and w != "undefined"
            ]
            nodata = dataset.nodatavals[number - 1]
            lines.append(
                f"band {number:<8}{', '.join(words) or 'no name'}"
                + (f"; nodata {nodata:g}" if nodata is not None else "")
            )
    return "\n".join(lines)


def describe_fit(card: ModelCard, files: Mapping[str, Sequence[str]], options: ReadOptions) -> str:
    """How the files of a scene come together for a model, a few lines."""
    with Scene(files, card.inputs, options) as scene:
        lines = [f"map          on the grid of {scene.reference.name}: {scene.nodata_rule()}"]
        for key, reader in scene.sensors.items():
            for source in reader.sources:
                said = source.report()
                how = ", ".join(sorted(set(said.methods.values())))
                words = [f"resampled, {how}" if how else "as it is"]
                words += [metres(said.gsd)] if said.gsd is not None else []
                words += [f"covers {100 * said.covered:.3g} %"] if said.covered < 1 else []
                lines.append(f"             {key}: {said.name}, {', '.join(words)}")
    return "\n".join(lines)
