#!/usr/bin/env python3
"""Small .npy files as numpy and ml_dtypes write them: tests/golden/npy/*.npy. Each holds the values of `VALUES` in the shape 2x3 unless named so."""
import os
import numpy as np, ml_dtypes

DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "npy")
VALUES = np.array([[0, 1, -2], [3, 0.5, 6]], np.float32)
os.makedirs(DIR, exist_ok=True)


def save(name, a, version=None):
    with open(os.path.join(DIR, name + ".npy"), "wb") as f:
        np.lib.format.write_array(f, a, version=version)


for name, kind in [("f32", np.float32), ("f16", np.float16), ("f64", np.float64), ("i8", np.int8), ("i32", np.int32), ("i64", np.int64),
                   ("i1", np.bool_), ("bf16_void", ml_dtypes.bfloat16), ("e4m3_void", ml_dtypes.float8_e4m3fn),
                   ("e4m3fnuz_void", ml_dtypes.float8_e4m3fnuz), ("e5m2_void", ml_dtypes.float8_e5m2)]:
    save(name, VALUES.astype(kind))
save("bf16", VALUES.astype(ml_dtypes.bfloat16).view(np.uint16))
save("e4m3", VALUES.astype(ml_dtypes.float8_e4m3fn).view(np.uint8))
save("e8m0", np.array([127, 128, 0], np.uint8))
codes = VALUES.reshape(-1).astype(ml_dtypes.float4_e2m1fn).view(np.uint8).reshape(3, 2)
save("e2m1_3x2", (codes[:, :1] | codes[:, 1:] << 4))
save("e2m1_void", VALUES.astype(ml_dtypes.float4_e2m1fn))
save("v2", VALUES, (2, 0))
save("v3", VALUES, (3, 0))
save("scalar", np.float32(7))
save("vector", np.arange(5, dtype=np.int32))
save("empty_0x7", np.zeros((0, 7), np.float32))
save("fortran", np.asfortranarray(VALUES))
save("big_endian", VALUES.astype(">f4"))
save("u32", VALUES.astype(np.uint32))
save("record", np.zeros(3, [("a", "<f4"), ("b", "<i4")]))
save("text", np.array(["a", "bc"]))
