"""Writers of the storage kinds, independent of the readers: TFRecords, safetensors in LMDB, BigEarthNet folders."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def example_class():
    """`tf.train.Example` by protobuf's own library, from the published message definition."""
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tf", syntax="proto3")
    kind = descriptor_pb2.FieldDescriptorProto
    for name, number in (
        ("BytesList", kind.TYPE_BYTES),
        ("FloatList", kind.TYPE_FLOAT),
        ("Int64List", kind.TYPE_INT64),
    ):
        file.message_type.add(name=name).field.add(name="value", number=1, type=number, label=kind.LABEL_REPEATED)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("Bytes", "Float", "Int64"), start=1):
        feature.field.add(
            name=f"{name.lower()}_list",
            number=number,
            type=kind.TYPE_MESSAGE,
            type_name=f".tf.{name}List",
            label=kind.LABEL_OPTIONAL,
            oneof_index=0,
        )
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=kind.TYPE_STRING, label=kind.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=kind.TYPE_MESSAGE, type_name=".tf.Feature", label=kind.LABEL_OPTIONAL)
    features.field.add(
        name="feature",
        number=1,
        type=kind.TYPE_MESSAGE,
        type_name=".tf.Features.FeatureEntry",
        label=kind.LABEL_REPEATED,
    )
    example = file.message_type.add(name="Example")
    example.field.add(
        name="features", number=1, type=kind.TYPE_MESSAGE, type_name=".tf.Features", label=kind.LABEL_OPTIONAL
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tf.Example"))


def write_tfrecord(path: Path, examples: list[dict]) -> None:
    """Write Examples with TensorBoard's own record writer."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    make = example_class()
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for features in examples:
            message = make()
            for name, values in features.items():
                kind = {bytes: "bytes_list", int: "int64_list", float: "float_list"}[type(values[0])]
                getattr(message.features.feature[name], kind).value.extend(values)
            writer.write(message.SerializeToString())


def csf_example(number: int, side: int, label: int | None = None) -> tuple[dict, np.ndarray]:
    """An Example of 12 channels and its (H, W, 12) pixels."""
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 12), dtype=np.uint8)
    features: dict = {"spot_naip_phr": [pixels.tobytes()]}
    if label is not None:
        features["label"] = [label]
    return features, pixels


def write_lmdb(folder: Path, records: dict[str, dict[str, np.ndarray]]) -> None:
    """Write records of safetensors, one tensor a band."""
    import lmdb
    from safetensors.numpy import save

    folder.parent.mkdir(parents=True, exist_ok=True)
    with lmdb.open(str(folder), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for key, tensors in records.items():
            transaction.put(key.encode(), save(tensors))


S2_SIZES = {
    **dict.fromkeys(("B02", "B03", "B04", "B08"), 120),
    **dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12"), 60),
    **dict.fromkeys(("B01", "B09"), 20),
}


def patch_bands(number: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Bands of a BigEarthNet pair, S2 and S1, (h, w) each."""
    random = np.random.default_rng(number)
    s2 = {band: random.integers(0, 4000, (size, size), dtype=np.uint16) for band, size in S2_SIZES.items()}
    s1 = {band: random.normal(-12, 3, (120, 120)).astype(np.float32) for band in ("VV", "VH")}
    return s2, s1


def write_patch(folder: Path, bands: dict[str, np.ndarray], facts: dict | None = None) -> None:
    """A BigEarthNet patch: a file a band, and the label file of v1."""
    folder.mkdir(parents=True, exist_ok=True)
    for band, pixels in bands.items():
        transform = Affine(1200 / len(pixels), 0, 500000, 0, -1200 / len(pixels), 5300000)
        facts_of = {"count": 1, "dtype": pixels.dtype, "width": len(pixels), "height": len(pixels)}
        path = folder / f"{folder.name}_{band}.tif"
        with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32632", transform=transform, **facts_of) as target:
            target.write(pixels, 1)
    if facts is not None:
        (folder / f"{folder.name}_labels_metadata.json").write_text(json.dumps(facts))


def damage(path: Path, at: int) -> None:
    """Turn one byte of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 0x40
    path.write_bytes(bytes(content))


def record_lengths(path: Path) -> list[int]:
    """Bytes of data of each record of a TFRecord file."""
    content, at, found = path.read_bytes(), 0, []
    while at < len(content):
        found.append(struct.unpack_from("<Q", content, at)[0])
        at += 16 + found[-1]
    return found
