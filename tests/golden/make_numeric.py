#!/usr/bin/env python3
"""Golden numbers of every small float format, from ml_dtypes: numeric.txt, and with --sums (minutes) numeric_sums.txt.

numeric.txt, a section per dtype:
  decode NAME N       then N lines: the f32 bits of code 0, 1, ... (NaN as 7fc00000)
  hash NAME H         16-bit formats: FNV-1a over those f32 bits, little-endian, all 65536 codes
  encode NAME N       then N lines: f32 bits of the input, code rounded as ml_dtypes does, code when saturating
numeric_sums.txt: for each chunk of 2^24 consecutive f32 bit patterns, sum of (code + 1) * (2 i + 1) mod 2^64 over i = 0 ... 2^24 - 1, one column a
format in the order of SUMS, a NaN's code counted as 0xffff.
"""
import os, sys, warnings
import numpy as np, ml_dtypes

warnings.filterwarnings("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))
FORMATS = {  # name: (numpy type, storage, significant bits of storage, largest finite, None where there is Inf)
    "e4m3": (ml_dtypes.float8_e4m3fn, np.uint8, 8, 448.0),
    "e4m3fnuz": (ml_dtypes.float8_e4m3fnuz, np.uint8, 8, 240.0),
    "e5m2": (ml_dtypes.float8_e5m2, np.uint8, 8, None),
    "e8m0": (ml_dtypes.float8_e8m0fnu, np.uint8, 8, 2.0**127),
    "e2m1": (ml_dtypes.float4_e2m1fn, np.uint8, 4, 6.0),
    "bf16": (ml_dtypes.bfloat16, np.uint16, 16, None),
    "f16": (np.float16, np.uint16, 16, None),
}
SUMS = ["f16", "bf16", "e4m3", "e4m3fnuz", "e5m2"]


def codes(x, name):
    kind, storage, _, _ = FORMATS[name]
    return x.astype(kind).view(storage)


def values(name):
    kind, storage, bits, _ = FORMATS[name]
    return np.arange(1 << bits).astype(storage).view(kind).astype(np.float32)


def inputs(name, rng):
    """Every code, every midpoint of neighbouring codes and of the first beyond the top, their f32 neighbours, specials, random bits."""
    v = values(name)
    v = np.unique(v[np.isfinite(v)].astype(np.float64))
    if FORMATS[name][2] == 16:  # a sample: the smallest, the largest and some between
        v = np.unique(np.concatenate([v[:20], v[-20:], v[len(v) // 2 - 20 : len(v) // 2 + 20], rng.choice(v, 300)]))
        mid = (v[:-1] + v[1:]) / 2
    else:
        top = v[-1] + (v[-1] - v[-2])
        mid = (v[:-1] + v[1:]) / 2
        mid = np.concatenate([mid, [(v[-1] + top) / 2, -(v[-1] + top) / 2, top]])
    x = np.concatenate([v, mid]).astype(np.float32)
    x = np.concatenate([x, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(-np.inf))])
    special = [0x0, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x1, 0x80000001, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0xFF7FFFFF]
    bits = np.concatenate([x.view(np.uint32), np.array(special, np.uint32), rng.integers(0, 1 << 32, 200).astype(np.uint32)])
    near = rng.normal(0, 1, 200) * np.exp2(rng.integers(-12, 10, 200))
    return np.unique(np.concatenate([bits, near.astype(np.float32).view(np.uint32)]))


def saturating(x, name):
    largest = FORMATS[name][3]
    return codes(x if largest is None else np.clip(x, -largest if name != "e8m0" else -np.inf, largest).astype(np.float32), name)


def write_table():
    rng = np.random.default_rng(20261122)
    with open(os.path.join(HERE, "numeric.txt"), "w") as out:
        for name, (_, _, bits, _) in FORMATS.items():
            v = values(name)
            pattern = np.where(np.isnan(v), np.uint32(0x7FC00000), v.view(np.uint32))
            if bits <= 8:
                out.write(f"decode {name} {len(pattern)}\n" + "".join(f"{p:08x}\n" for p in pattern))
            else:
                h = 0xCBF29CE484222325
                for byte in pattern.astype("<u4").tobytes():
                    h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
                out.write(f"hash {name} {h:016x}\n")
            raw = inputs(name, rng)
            x = raw.view(np.float32)
            if name == "e2m1":  # the format has no NaN to compare with
                raw, x = raw[~np.isnan(x)], x[~np.isnan(x)]
            if name == "e8m0":  # ml_dtypes 0.6 rounds subnormal floats between 2^-127 and 1.5*2^-127 up, away from the nearest
                keep = (raw <= 0x00400000) | (raw >= 0x00600000)
                raw, x = raw[keep], x[keep]
            wide = 4 if bits == 16 else 2
            rows = zip(raw, codes(x, name), saturating(x, name))
            out.write(f"encode {name} {len(raw)}\n" + "".join(f"{r:08x} {c:0{wide}x} {s:0{wide}x}\n" for r, c, s in rows))


def write_sums():
    n = 1 << 24
    weight = 2 * np.arange(n, dtype=np.uint64) + 1
    with open(os.path.join(HERE, "numeric_sums.txt"), "w") as out:
        for chunk in range(256):
            x = np.arange(chunk * n, (chunk + 1) * n, dtype=np.uint64).astype(np.uint32).view(np.float32)
            line = []
            for name in SUMS:
                c = x.astype(FORMATS[name][0])
                code = c.view(FORMATS[name][1]).astype(np.uint64)
                if (chunk & 0x7F) == 0x7F or name in ("e4m3", "e4m3fnuz"):
                    code[np.isnan(c)] = 0xFFFF
                line.append(f"{int(((code + 1) * weight).sum(dtype=np.uint64)):016x}")
            out.write(" ".join(line) + "\n")
            out.flush()


if __name__ == "__main__":
    write_sums() if "--sums" in sys.argv[1:] else write_table()
