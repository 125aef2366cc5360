"""What sensors measure: bands with names, wavelengths, units and value ranges, and the registry of known sensors.

Knows neither models nor files. A sensor is told by what it measures, not by how many bands a file has: products with
13, 12, 10 or 4 bands of Sentinel-2 are choices and orders of the bands of one sensor, `s2`, mapped by band name;
`BAND_ORDERS` has the usual ones. Level 1C beside level 2A in one catalog is `s2_l1c`, since the same band then holds
two quantities (top-of-atmosphere and surface reflectance).

Band tables: ESA Sentinel-2 MSI handbook (S2A central wavelengths), USGS Landsat 8-9 data users handbook, Airbus SPOT
6/7 and Pléiades user guides, USDA NAIP, SpaceNet 7 (Van Etten et al., 2021), OMBRIA (Drakonakis et al., 2022),
METER-ML (Zhu et al., 2022).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, Field


class Band(BaseModel):
    """One band of a sensor; physical value = stored value · scale + offset.

    Attributes:
        name: the name in the sensor's own documents, such as `B04`.
        common_name: the STAC common name, such as `red`; None where there is none.
        wavelength_nm: centre wavelength in nanometres; None for radar and heights.
        unit: unit of the physical value: `reflectance` (0..1), `dB`, `m`, or `1` for uncalibrated display values.
        scale: physical units per stored unit.
        offset: physical value of stored 0.
        valid_range: lowest and highest stored value that can be a measurement; None where unknown.
        gsd: ground sampling distance in metres; None where it varies.
        aliases: further names found in files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    common_name: str | None = None
    wavelength_nm: float | None = None
    unit: str = "1"
    scale: float = 1.0
    offset: float = 0.0
    valid_range: tuple[float, float] | None = None
    gsd: float | None = None
    aliases: tuple[str, ...] = ()

    def is_called(self, label: str) -> bool:
        """Whether a label found in a file names this band, exactly or by its common name; `B4` is `B04`."""
        wanted = normal_name(label)
        names = (self.name, *self.aliases, *((self.common_name,) if self.common_name else ()))
        return any(normal_name(name) == wanted for name in names)

    def __str__(self) -> str:
        words = [
            word for word in (self.common_name, f"{self.wavelength_nm:g} nm" if self.wavelength_nm else None) if word
        ]
        return f"{self.name} ({', '.join(words)})" if words else self.name


class Sensor(BaseModel):
    """A sensor or product family: its bands in their usual order.

    Attributes:
        key: the key used in cards, requests and graph inputs, such as `s2`.
        title: for people.
        dtype: the usual storage type.
        bands: the bands, in the order of the sensor's documents.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    title: str
    dtype: str
    bands: tuple[Band, ...] = Field(min_length=1)

    def band(self, name: str) -> Band:
        """The band called `name` (its name, an alias or a common name).

        Raises:
            KeyError: the sensor has no such band.
        """
        for band in self.bands:
            if normal_name(band.name) == normal_name(name):
                return band
        for band in self.bands:
            if band.is_called(name):
                return band
        raise KeyError(f"{self.key} has no band {name}; it has {', '.join(b.name for b in self.bands)}")


def normal_name(label: str) -> str:
    """A band label without case, blanks, separators and leading zeros: `B04`, `b4` and `Band 4` are one."""
    text = re.sub(r"[\s_\-]+", "", label).lower()
    text = re.sub(r"^band(?=\d)", "b", text)
    return re.sub(r"^b0*(?=\d)", "b", text)


def _reflectance(name: str, common: str | None, nm: float, gsd: float | None, *aliases: str) -> Band:
    """A band stored as reflectance × 10,000, the convention of Sentinel-2 products before baseline 04.00."""
    return Band(
        name=name,
        common_name=common,
        wavelength_nm=nm,
        unit="reflectance",
        scale=1e-4,
        valid_range=(0, 28000),
        gsd=gsd,
        aliases=aliases,
    )


def _display(name: str, nm: float, gsd: float | None = None, *aliases: str) -> Band:
    """A band of uncalibrated 8-bit values."""
    return Band(name=name, common_name=name, wavelength_nm=nm, unit="1", valid_range=(0, 255), gsd=gsd, aliases=aliases)


_S2_BANDS = (
    _reflectance("B01", "coastal", 442.7, 60),
    _reflectance("B02", "blue", 492.4, 10),
    _reflectance("B03", "green", 559.8, 10),
    _reflectance("B04", "red", 664.6, 10),
    _reflectance("B05", "rededge071", 704.1, 20, "rededge1"),
    _reflectance("B06", "rededge075", 740.5, 20, "rededge2"),
    _reflectance("B07", "rededge078", 782.8, 20, "rededge3"),
    _reflectance("B08", "nir", 832.8, 10),
    _reflectance("B8A", "nir08", 864.7, 20),
    _reflectance("B09", "nir09", 945.1, 60),
    _reflectance("B10", "cirrus", 1373.5, 60),
    _reflectance("B11", "swir16", 1613.7, 20, "swir1"),
    _reflectance("B12", "swir22", 2202.4, 20, "swir2"),
)

_S2 = Sensor(key="s2", title="Sentinel-2 MSI, reflectance × 10,000", dtype="uint16", bands=_S2_BANDS)

_S2_L1C = Sensor(
    key="s2_l1c",
    title="Sentinel-2 MSI level 1C, top-of-atmosphere reflectance × 10,000, where s2 is level 2A beside it",
    dtype="uint16",
    bands=_S2_BANDS,
)

_S1 = Sensor(
    key="s1",
    title="Sentinel-1 C-band SAR backscatter, dB",
    dtype="float32",
    bands=(
        Band(name="VV", unit="dB", valid_range=(-60, 40), gsd=10),
        Band(name="VH", unit="dB", valid_range=(-60, 40), gsd=10),
    ),
)

_RGBN = (_display("red", 660), _display("green", 560), _display("blue", 490), _display("nir", 830))

REGISTRY: Mapping[str, Sensor] = MappingProxyType(
    {
        sensor.key: sensor
        for sensor in (
            _S2,
            _S2_L1C,
            _S1,
            Sensor(
                key="dem",
                title="Height above sea level",
                dtype="float32",
                bands=(Band(name="elevation", unit="m", valid_range=(-500, 9000), aliases=("dem", "height")),),
            ),
            Sensor(key="rgb8", title="8-bit red, green, blue of any camera", dtype="uint8", bands=_RGBN[:3]),
            Sensor(
                key="rgbn8", title="8-bit red, green, blue, near infrared of any camera", dtype="uint8", bands=_RGBN
            ),
            Sensor(key="naip", title="USDA NAIP aerial, 8 bit", dtype="uint8", bands=_RGBN),
            Sensor(key="spot", title="SPOT 6/7 pansharpened, 8 bit", dtype="uint8", bands=_RGBN),
            Sensor(key="phr", title="Pléiades pansharpened, 8 bit", dtype="uint8", bands=_RGBN),
            Sensor(
                key="planet_sn7",
                title="PlanetScope mosaics of SpaceNet 7, 8 bit; the fourth band of its files is a mask",
                dtype="uint8",
                bands=tuple(band.model_copy(update={"gsd": 4.0}) for band in _RGBN[:3]),
            ),
            Sensor(
                key="ombria_s1",
                title="Sentinel-1 of OMBRIA: VV scaled from each tile's least to its largest value, 8 bit, no decibels",
                dtype="uint8",
                bands=(Band(name="VV", valid_range=(0, 255), gsd=10),),
            ),
            Sensor(
                key="ombria_s2",
                title="Sentinel-2 of OMBRIA: reflectance × 255, 8 bit",
                dtype="uint8",
                bands=tuple(
                    band.model_copy(update={"scale": 1 / 255, "valid_range": (0, 255)})
                    for band in _S2_BANDS
                    if band.name in ("B03", "B08", "B11")
                ),
            ),
            Sensor(
                key="meterml_s1",
                title="Sentinel-1 of METER-ML: the integers of its archive, no decibels",
                dtype="uint16",
                bands=(Band(name="VV", gsd=10), Band(name="VH", gsd=10)),
            ),
            Sensor(
                key="landsat8",
                title="Landsat 8/9 OLI, collection 2 level 2 reflectance",
                dtype="uint16",
                bands=tuple(
                    Band(
                        name=name,
                        common_name=common,
                        wavelength_nm=nm,
                        unit="reflectance",
                        scale=2.75e-5,
                        offset=-0.2,
                        valid_range=(1, 65455),
                        gsd=30,
                    )
                    for name, common, nm in (
                        ("B1", "coastal", 443),
                        ("B2", "blue", 482),
                        ("B3", "green", 561.5),
                        ("B4", "red", 654.5),
                        ("B5", "nir08", 865),
                        ("B6", "swir16", 1608.5),
                        ("B7", "swir22", 2200.5),
                    )
                ),
            ),
        )
    }
)
"""Every sensor that rsgeo knows by key."""

BAND_ORDERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "s2_13": tuple(band.name for band in _S2_BANDS),
        "s2_12": tuple(band.name for band in _S2_BANDS if band.name != "B10"),
        "s2_10": ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B11", "B12", "B8A"),
        "s2_4": ("B02", "B03", "B04", "B08"),
    }
)
"""Bands of `s2` in the orders that data sets have: level 1C (SEN12MS, Sen1Floods11), level 2A (TerraMesh), the 10 m and
20 m bands (BigEarthNet-MM), the 10 m bands."""


def sensor(key: str) -> Sensor:
    """The sensor registered under `key`.

    Raises:
        KeyError: no such sensor; the message lists the known keys.
    """
    try:
        return REGISTRY[key]
    except KeyError:
        raise KeyError(f"no sensor {key!r}; known: {', '.join(REGISTRY)}") from None
