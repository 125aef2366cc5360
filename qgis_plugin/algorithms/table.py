"""The tools of rsgeo in QGIS: one entry each. A new task of the worker becomes an algorithm by one entry here."""

from __future__ import annotations

from ..settings import DEVICES
from ..translation import tr
from . import reports
from .tool import Outcome, Parameter, Tool


def tools() -> tuple:
    """Every tool, with texts in the user's language."""
    return (_infer(), _detect(), _polygonize(), _stats(), _assess(), _preview(), _describe_model(), _diagnose())


def _infer() -> Tool:
    return Tool(
        name="infer",
        task="infer",
        group="maps",
        title=tr("Map a scene with a model"),
        summary=tr(
            "Runs a model over a scene of any size and writes a georeferenced map: classes, segmentation, embeddings "
            "or values. Without a model, the built-in one that fits the scene's bands and ground resolution is taken. "
            "The map lies on the scene's own grid (models that classify windows: one cell per stride), 0 is no data, "
            "classes count from 1. It appears under its name only when it is whole, with a QGIS style beside it. "
            "Bands, units and resolution that do not fit the model are refused with the reason. Memory does not grow "
            "with the scene, and a cancelled run stops within two seconds."
        ),
        tags=("deep learning", "land cover", "classification", "segmentation", "embedding", "onnx", "inference"),
        parameters=(
            Parameter(
                "INPUT", "scene", "scene", tr("Scene"),
                tr("The raster layer or file. Layers of web services (WMS, XYZ) are exported first, at the model's "
                   "ground resolution."),
            ),
            *_model(),
            Parameter(
                "BANDS", "bands", "bands", tr("Band numbers"),
                tr("Which band of the scene is which band of the model, where names do not say: B04=3,B03=2,B02=1. "
                   "Counted from 1."),
                optional=True,
            ),
            Parameter(
                "EXTENT", "extent", "extent", tr("Extent"),
                tr("Only this part of the scene, in any CRS. Empty: all of it."), optional=True,
            ),
            Parameter(
                "MASK", "mask", "mask", tr("Polygons to keep"),
                tr("Only inside these polygons, in any CRS; cells whose centre is outside become no data."),
                optional=True,
            ),
            Parameter(
                "STRIDE", "stride", "integer", tr("Pixels per cell"),
                tr("For models that classify windows: pixels of the scene per cell of the map. Smaller is finer and "
                   "takes longer. Empty: what the model recommends."),
                optional=True, unit=(1, None),
            ),
            Parameter("OUTPUT", "out", "raster_out", tr("Map"), tr("The map, a cloud-optimised GeoTIFF.")),
            Parameter(
                "PROBABILITIES", "probabilities", "raster_out", tr("Probabilities"),
                tr("One band per class."), optional=True,
            ),
            Parameter(
                "CONFIDENCE", "confidence", "raster_out", tr("Confidence"),
                tr("Probability of the class that was mapped."), optional=True,
            ),
            Parameter(
                "ENTROPY", "entropy", "raster_out", tr("Entropy"),
                tr("How undecided the model is, from 0 (sure) to 1."), optional=True,
            ),
            Parameter(
                "VECTOR", "vector", "vector_out", tr("Polygons"),
                tr("The classes as polygons, along the edges of the pixels."), optional=True,
            ),
            *_advanced_infer(),
        ),
        outcomes=(
            Outcome("DEVICE_USED", tr("Device that ran"), "text", lambda result: result["stats"].get("device")),
            Outcome("SECONDS", tr("Seconds"), "number", lambda result: result["stats"].get("seconds")),
        ),
    )  # fmt: skip


def _detect() -> Tool:
    """The same task of the worker with a vector layer as its output."""
    said = ("INPUT", "MODEL", "MODEL_FILE", "BANDS", "EXTENT", "MASK")
    rest = ("SENSORS", "SENSOR", "GRID", "RESAMPLING", "TILE", "HALO", "NODATA", "NODATA_RULE", "VALUE_SCALE", "DEVICE",
            "BATCH", "MEMORY", "THREADS", "RESUME", "FORCE", "MAX_TILES")  # fmt: skip
    of = {parameter.key: parameter for parameter in _infer().parameters}
    return Tool(
        name="detect",
        task="infer",
        group="maps",
        title=tr("Find objects with a detector"),
        summary=tr(
            "Runs a detector over a scene of any size and writes its objects, each once whatever tiles it lies in: a "
            "polygon, class and score each, in the scene's CRS. A GeoPackage has their boxes as a second layer. "
            "Objects without data, and those whose centre lies outside the extent or the polygons, are left out."
        ),
        tags=("deep learning", "detection", "instances", "buildings", "onnx", "inference"),
        parameters=(
            *(of[key] for key in said),
            Parameter(
                "MIN_SCORE", "min_score", "number", tr("Lowest score"),
                tr("Leave out objects that are less sure, 0 to 1. Empty: what the model recommends."),
                optional=True, unit=(0, 1),
            ),
            Parameter("OUTPUT", "out", "vector_out", tr("Objects"), tr("GeoPackage, FlatGeobuf or GeoJSON.")),
            *(of[key] for key in rest),
        ),
        outcomes=(
            Outcome("OBJECTS", tr("Number of objects"), "number", lambda result: result["stats"].get("objects")),
            Outcome("DEVICE_USED", tr("Device that ran"), "text", lambda result: result["stats"].get("device")),
        ),
    )  # fmt: skip


def _model() -> tuple:
    return (
        Parameter(
            "MODEL", "model", "model", tr("Model"),
            tr("A built-in model, or one of your own by name; auto takes the one that fits the scene."),
            default="auto", optional=True,
        ),
        Parameter(
            "MODEL_FILE", "model", "model_file", tr("Model file"),
            tr("An ONNX file with an rsgeo card or Deepness keys, instead of the model above."), optional=True,
        ),
    )  # fmt: skip


def _advanced_infer() -> tuple:
    def more(key, field, kind, label, text, **rest):
        return Parameter(key, field, kind, label, text, optional=True, advanced=True, **rest)

    return (
        more(
            "SENSORS", "sensors", "sensors", tr("Further sensors"),
            tr("For models of several sensors: a sensor's key and a raster layer or file of it, a row each; a sensor "
               "may have several, such as the bands of 10 m and of 20 m. Resolutions, extents and CRSs may differ. "
               "The scene above is then the sensor named below."),
        ),
        more(
            "SENSOR", "", "text", tr("Sensor of the scene"),
            tr("For models of several sensors: which of them the scene above is, such as s2."),
        ),
        more(
            "GRID", "grid", "text", tr("Grid of the map"),
            tr("A sensor's key, or a raster file, whose pixels the map shall have. Empty: the finest raster of the "
               "model's first sensor."),
        ),
        more(
            "RESAMPLING", "resampling", "choice", tr("Resampling"),
            tr("How rasters on other pixels than the map's are brought to them; auto takes what the model declares."),
            default="auto", choices=("auto", "nearest", "bilinear", "cubic", "average"),
        ),
        more(
            "TASK", "task", "choice", tr("Task"), tr("What to compute, for models with several outputs."),
            default="auto", choices=("auto", "classification", "segmentation", "embedding", "regression"),
        ),
        more("LAYER", "layer", "text", tr("Output of the model"), tr("By name, where several serve the task.")),
        more("TILE", "tile", "integer", tr("Tile side"), tr("Pixels. Empty: chosen."), unit=(1, None)),
        more(
            "HALO", "halo", "integer", tr("Halo"),
            tr("Context around each tile's result, pixels. Empty: what the model needs to leave no seams."),
            unit=(0, None),
        ),
        more(
            "BLEND", "blend", "choice", tr("Joining of tiles"),
            tr("exact keeps each tile's core, hann blends overlapping tiles; auto takes what the model needs."),
            default="auto", choices=("auto", "exact", "hann"),
        ),
        more(
            "QUANTISATION", "quantisation", "choice", tr("Storage of embeddings and probabilities"),
            tr("The rule back to numbers is in the file (scale and offset)."),
            default="uint8", choices=("uint8", "int8", "float16", "float32"),
        ),
        more(
            "NODATA", "nodata", "number", tr("No data value"),
            tr("A value of the scene that means no data, beside what the file declares."),
        ),
        more(
            "NODATA_RULE", "nodata_rule", "choice", tr("No data rule"),
            tr("A pixel has no data where any, or where all, of the bands have none."),
            default="any", choices=("any", "all"),
        ),
        more(
            "VALUE_SCALE", "value_scale", "scale", tr("Scale of values"),
            tr("SCALE or SCALE,OFFSET: physical value = stored · SCALE + OFFSET, where the file does not say. "
               "Reflectance of 0 to 1: 1."),
        ),
        more(
            "DEVICE", "device", "device", tr("Device"),
            tr("auto takes a GPU if there is one; a device that is named and not there is an error."),
            default="auto", choices=DEVICES,
        ),
        more("BATCH", "batch", "integer", tr("Batch"), tr("Tiles or windows run together. Empty: chosen."),
             unit=(1, None)),
        more("MEMORY", "memory", "memory", tr("Memory"), tr("Working memory to plan for, such as 2GB.")),
        more("THREADS", "threads", "threads", tr("Threads"), tr("Of the CPU; 0 takes all cores."), unit=(0, None)),
        more(
            "RESUME", "resume", "flag", tr("Resume"),
            tr("Go on with a run of the same output that was cancelled or killed, and keep what is finished when "
               "this one is."),
            default=False,
        ),
        more(
            "FORCE", "force", "flag", tr("Take what does not fit"),
            tr("Values and resolutions that the model was not made for."), default=False,
        ),
        more(
            "MAX_TILES", "", "limit", tr("Limit of exported tiles"),
            tr("For layers of web services: the most tiles of 256 × 256 pixels to ask for."),
            default=1000, unit=(1, None),
        ),
    )  # fmt: skip


def _polygonize() -> Tool:
    return Tool(
        name="polygonize",
        task="polygonize",
        group="analysis",
        title=tr("Class map to polygons"),
        summary=tr(
            "Turns the areas of a class map into polygons with value, class name, number of pixels and area in m². "
            "An area is made of pixels of one class that touch along their edges; outlines run along pixel edges. "
            "Memory does not grow with the map."
        ),
        tags=("vectorize", "polygons", "land cover"),
        parameters=(
            Parameter("INPUT", "map", "raster", tr("Class map"), tr("0 and no data belong to no polygon.")),
            Parameter(
                "CLASSES", "classes", "list", tr("Classes"),
                tr("Keep these only, by name or value, with commas between."), optional=True,
            ),
            Parameter(
                "MIN_AREA", "min_area", "number", tr("Smallest area (m²)"),
                tr("Leave out smaller ones; m² on the ground."), optional=True, unit=(0, None),
            ),
            Parameter(
                "SIMPLIFY", "simplify", "number", tr("Simplification tolerance (map units)"),
                tr("Neighbours keep their common edges. Empty: pixel edges."),
                optional=True, unit=(0, None),
            ),
            Parameter("OUTPUT", "out", "vector_out", tr("Polygons"), tr("GeoPackage, FlatGeobuf or GeoJSON.")),
        ),
        outcomes=(
            Outcome("POLYGONS", tr("Number of polygons"), "number", lambda result: result["stats"]["polygons"]),
        ),
    )  # fmt: skip


def _stats() -> Tool:
    return Tool(
        name="stats",
        task="stats",
        group="analysis",
        title=tr("Area of each class"),
        summary=tr(
            "Pixels, area (m², hectares, km²) and share of each class, of the map or of each polygon. A pixel belongs "
            "to a polygon when its centre is inside. Areas are true areas on the ellipsoid for maps in degrees and in "
            "projections that distort areas, else pixel counts times pixel size; the report says which."
        ),
        tags=("zonal statistics", "area", "land cover"),
        parameters=(
            Parameter("INPUT", "map", "raster", tr("Class map"), tr("0 and no data count nowhere.")),
            Parameter(
                "POLYGONS", "polygons", "polygons", tr("Polygons"),
                tr("Count within each of them, in any CRS. Empty: the whole map."), optional=True,
            ),
            Parameter(
                "BY", "by", "field", tr("Column that names a zone"),
                tr("Polygons of one name are one zone. Empty: every polygon is its own."),
                optional=True, unit="POLYGONS",
            ),
            Parameter("OUTPUT", "csv", "file_out", tr("Table"), tr("A row per zone and class."),
                      unit="CSV (*.csv)"),
            Parameter("REPORT", "", "html_out", tr("Report"), tr("The table to read."), optional=True),
        ),
        outcomes=(
            Outcome("ZONES", tr("Number of zones"), "number", lambda result: len(result["stats"]["zones"])),
            Outcome("AREA_METHOD", tr("How areas were computed"), "text", lambda result: result["stats"]["statement"]),
        ),
        report=reports.areas,
    )  # fmt: skip


def _assess() -> Tool:
    return Tool(
        name="assess",
        task="assess",
        group="analysis",
        title=tr("Accuracy of a class map"),
        summary=tr(
            "Compares a class map with reference data: confusion matrix, accuracy per class, and the area of each "
            "class with 95 % intervals (Olofsson et al. 2014). Classes match by name, or by value where the reference "
            "has numbers only. Pixels without a class in the map or a label in the reference are left out."
        ),
        tags=("confusion matrix", "validation", "accuracy", "kappa"),
        parameters=(
            Parameter("INPUT", "map", "raster", tr("Class map"), tr("The map to judge.")),
            Parameter(
                "REFERENCE", "reference", "vector", tr("Reference polygons or points"),
                tr("What is known, with a column of class names or values; any CRS."), optional=True,
            ),
            Parameter(
                "COLUMN", "class_column", "field", tr("Column of the class"), tr("Class names or values."),
                optional=True, unit="REFERENCE",
            ),
            Parameter(
                "REFERENCE_RASTER", "reference", "raster", tr("Reference raster"),
                tr("Labels on any grid, instead of polygons or points."), optional=True,
            ),
            Parameter(
                "MAP_CLASSES", "map_classes", "pairs", tr("Classes of the map that count as"),
                tr("A row each: class of the map, class it counts as. Several may join one; empty leaves it out."),
                optional=True, advanced=True,
            ),
            Parameter(
                "REFERENCE_CLASSES", "reference_classes", "pairs", tr("Labels of the reference that count as"),
                tr("A row each: label of the reference, class of the map; empty leaves it out."),
                optional=True, advanced=True,
            ),
            Parameter(
                "BOOTSTRAP", "bootstrap", "integer", tr("Resamples"),
                tr("Of whole polygons, or blocks of a raster, for intervals; 0 for none."),
                default=1000, optional=True, advanced=True, unit=(0, None),
            ),
            Parameter("OUTPUT", "out", "folder_out", tr("Report"),
                      tr("A folder with index.html, metrics.json and confusion.csv.")),
        ),
        outcomes=(
            Outcome("ACCURACY", tr("Overall accuracy of the samples"), "number", reports.overall_accuracy),
            Outcome("SAMPLES", tr("Number of samples"), "number", lambda result: result["stats"]["samples"]),
        ),
        needs=("REFERENCE", "REFERENCE_RASTER"),
    )  # fmt: skip


def _preview() -> Tool:
    return Tool(
        name="preview",
        task="preview",
        group="maps",
        title=tr("Picture of a map"),
        summary=tr("Draws a map as a PNG: classes with colours, names and shares, with scale and north; other maps "
                   "with a colour ramp, embeddings by their first three principal components."),
        tags=("png", "legend", "figure"),
        parameters=(
            Parameter("INPUT", "map", "raster", tr("Map"), tr("A class map, probabilities, embedding or any raster.")),
            Parameter("SCENE", "scene", "raster", tr("Scene"), tr("Shown beside the map."), optional=True),
            Parameter("WIDTH", "width", "integer", tr("Width (pixels)"), tr("Of the whole picture."),
                      default=1200, optional=True, unit=(300, 8000)),
            Parameter("TITLE", "title", "text", tr("Title"), tr("By default the file's name."), optional=True),
            Parameter("OUTPUT", "out", "file_out", tr("Picture"), tr("A PNG file."), unit="PNG (*.png)"),
        ),
    )  # fmt: skip


def _describe_model() -> Tool:
    return Tool(
        name="describe_model",
        task="describe_model",
        group="installation",
        title=tr("Describe a model"),
        summary=tr("Shows a model's card: bands, units, ground resolution, classes, context, scores with intervals and "
                   "the data they were measured on, cautions, licence."),
        tags=("onnx", "model card"),
        parameters=(
            *(
                Parameter(p.key, p.field, p.kind, p.label, p.help, default=None if p.key == "MODEL" else p.default,
                          optional=True)
                for p in _model()
            ),
            Parameter("REPORT", "", "html_out", tr("Report"), tr("The card to read."), optional=True),
        ),
        outcomes=(Outcome("TEXT", tr("Description"), "text", lambda result: result["stats"]["text"]),),
        needs=("MODEL", "MODEL_FILE"),
        report=reports.text,
    )  # fmt: skip


def _diagnose() -> Tool:
    return Tool(
        name="diagnose",
        task="diagnose",
        group="installation",
        title=tr("Diagnose the installation"),
        summary=tr("Says what the environment has: versions, devices, models, and whether each model gives its stored "
                   "result. Names of your folders are left out, so that the text can be shown to others."),
        tags=("environment", "bug report", "version"),
        parameters=(
            Parameter("SELFTEST", "selftest", "flag", tr("Run the models' self-tests"), tr("Takes a second."),
                      default=True, optional=True),
            Parameter("REPORT", "", "html_out", tr("Report"), tr("The text to read."), optional=True),
        ),
        outcomes=(Outcome("TEXT", tr("Diagnosis"), "text", lambda result: result["stats"]["text"]),),
        report=reports.text,
    )  # fmt: skip
