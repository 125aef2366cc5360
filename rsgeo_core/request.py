"""What can be asked of an inference run: one value that the commands, the worker and Python programs share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rsgeo_core.card import Resampling, Task
from rsgeo_core.scene import ReadOptions


class InferRequest(BaseModel):
    """What is asked for: exactly the options of `rsgeo infer`.

    Attributes:
        scene: files of the model's single sensor.
        out: the map to write; of a detector the vector file of its objects.
        model: a name or file; None chooses what fits.
        sensors: sensor key to files, for models of several sensors.
        grid: the sensor or raster on whose grid the map lies; None lets rsgeo choose.
        resampling: how bands of files on other grids are resampled; None for what the model's card says.
        bands: band name to 1-based number.
        task: which output of the model; None for its own.
        layer: which output by name, where several serve the task; None for the first.
        stride: pixels per cell of window models.
        tile: side of the model's input, pixels; None lets rsgeo choose.
        halo: context around each tile's result, pixels, or `auto`.
        blend: `exact`, `hann`, or None for what the model needs.
        extent, extent_crs: see `vectors.read_extent`.
        mask: polygons to keep.
        probabilities, confidence, entropy, vector: further files to write.
        min_score: lowest score of the objects of a detector; None for what its card recommends.
        quantisation: how embeddings and probabilities are stored.
        nodata, nodata_rule, value_scale, crs: see `scene.ReadOptions`; nodata and value_scale are of all sensors, or
            by sensor key.
        device, batch, threads: how to run; they do not change the map.
        memory: to plan for, bytes; it bounds the tile, which is part of the map's tags.
        resume: go on with a killed run, and leave a finished one as it is.
        force: take units and resolutions outside the model's range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scene: tuple[str, ...] = ()
    out: str
    model: str | None = None
    sensors: dict[str, tuple[str, ...]] = {}
    grid: str | None = None
    resampling: Resampling | None = None
    bands: dict[str, int] = {}
    task: Task | None = None
    layer: str | None = None
    stride: int | None = Field(default=None, gt=0)
    tile: int | None = Field(default=None, gt=0)
    halo: int | Literal["auto"] = "auto"
    blend: Literal["exact", "hann"] | None = None
    extent: str | None = None
    extent_crs: str | None = None
    mask: str | None = None
    probabilities: str | None = None
    confidence: str | None = None
    entropy: str | None = None
    vector: str | None = None
    min_score: float | None = Field(default=None, ge=0, le=1)
    quantisation: Literal["uint8", "int8", "float16", "float32"] = "uint8"
    nodata: float | dict[str, float] | None = None
    nodata_rule: Literal["any", "all"] = "any"
    value_scale: tuple[float, float] | dict[str, tuple[float, float]] | None = None
    crs: str | None = None
    device: str = "auto"
    batch: int | None = Field(default=None, gt=0)
    memory: int = Field(default=2 << 30, gt=0)
    threads: int = Field(default=0, ge=0)
    resume: bool = False
    force: bool = False

    @property
    def files(self) -> dict[str, Sequence[str]]:
        """Files by sensor key; those of an unnamed sensor under the key ""."""
        named: dict[str, Sequence[str]] = {key: tuple(paths) for key, paths in self.sensors.items()}
        return {**({"": self.scene} if self.scene else {}), **named}

    @property
    def read_options(self) -> ReadOptions:
        """How the scene's values are taken."""
        return ReadOptions(
            self.bands,
            self.nodata,
            self.nodata_rule,
            self.value_scale,
            force=self.force,
            crs=self.crs,
            grid=self.grid,
            resampling=self.resampling,
        )
