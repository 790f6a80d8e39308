#!/usr/bin/env python3
"""Small checkpoints as the public safetensors package (0.8.0) writes them: tests/golden/safetensors/. The values are those of make_npy.py."""
import json, os
import numpy as np, ml_dtypes
from safetensors import TensorSpec, serialize

DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "safetensors")
VALUES = np.array([[0, 1, -2], [3, 0.5, 6]], np.float32)


def save(name, tensors, metadata=None):
    """tensors: name -> (the package's name of the dtype, array whose bytes and shape are written)"""
    kept = {k: np.ascontiguousarray(a) for k, (_, a) in tensors.items()}
    specs = {k: TensorSpec(dtype=d, shape=tensors[k][1].shape, data_ptr=kept[k].ctypes.data, data_len=kept[k].nbytes)
             for k, (d, _) in tensors.items()}
    path = os.path.join(DIR, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(serialize(specs, metadata))


def cast(kind): return VALUES.astype(kind)


codes = VALUES.reshape(-1).astype(ml_dtypes.float4_e2m1fn).view(np.uint8).reshape(3, 2)
ours = {
    "f64": ("float64", cast(np.float64)), "f32": ("float32", VALUES), "f16": ("float16", cast(np.float16)),
    "bf16": ("bfloat16", cast(ml_dtypes.bfloat16)), "e4m3": ("float8_e4m3fn", cast(ml_dtypes.float8_e4m3fn)),
    "e4m3fnuz": ("float8_e4m3fnuz", cast(ml_dtypes.float8_e4m3fnuz)), "e5m2": ("float8_e5m2", cast(ml_dtypes.float8_e5m2)),
    "e8m0": ("float8_e8m0fnu", np.array([127, 128, 0], np.uint8)), "e2m1": ("float4_e2m1fn_x2", codes[:, :1] | codes[:, 1:] << 4),
    "i64": ("int64", cast(np.int64)), "i32": ("int32", cast(np.int32)), "i8": ("int8", cast(np.int8)), "i1": ("bool", cast(np.bool_)),
    "scalar": ("float32", np.float32(7).reshape(())), "empty": ("float32", np.zeros((0, 7), np.float32)),
    "größe \"q\"\\": ("int32", np.arange(5, dtype=np.int32)),
}
save("ours.safetensors", ours, {"format": "pt\n\x01\"é"})
save("none.safetensors", {})
save("others.safetensors", {
    "u8": ("uint8", VALUES.astype(ml_dtypes.float8_e4m3fn).view(np.uint8)), "i16": ("int16", cast(np.int16)),
    "u16": ("uint16", np.arange(3, dtype=np.uint16)), "u32": ("uint32", np.arange(3, dtype=np.uint32)),
    "u64": ("uint64", np.arange(3, dtype=np.uint64)), "c64": ("complex64", np.zeros(2, np.complex64)),
    "e5m2fnuz": ("float8_e5m2fnuz", np.zeros(3, np.uint8)), "f32": ("float32", VALUES)})

one, two = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
shards = {one: {"model.embed.weight": ("bfloat16", cast(ml_dtypes.bfloat16)), "model.norm.weight": ("float32", VALUES[0])},
          two: {"lm_head.weight": ("float8_e4m3fn", cast(ml_dtypes.float8_e4m3fn)), "lm_head.weight_scale_inv": ("float32", VALUES[:1, :1] + 0.25)}}
for directory in ("sharded", "loose"):  # with an index, and without
    for name, tensors in shards.items():
        save(os.path.join(directory, name), tensors, {"format": "pt"})
with open(os.path.join(DIR, "sharded", "model.safetensors.index.json"), "w") as f:
    json.dump({"metadata": {"total_size": 34, "nested": [1, -2.5e3, {"a": None}]},
               "weight_map": {k: name for name, tensors in shards.items() for k in tensors}}, f, indent=2)
