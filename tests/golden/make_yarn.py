#!/usr/bin/env python3
"""Writes yarn.lua: rotary frequencies with and without YaRN, from the formulas of the paper (arXiv 2309.00071, section 3.2 and equation 22)
with the rounding of DeepSeek's code, in decimal arithmetic of 50 digits. Python's standard library alone."""
from decimal import Decimal as D, getcontext, ROUND_CEILING, ROUND_FLOOR

getcontext().prec = 50
PI = D("3.14159265358979323846264338327950288419716939937510")


def mscale(factor, m):
    return D("0.1") * D(m) * D(factor).ln() + 1


def dim_of(turns, dim, base, original):
    return D(dim) * (D(original) / (D(turns) * 2 * PI)).ln() / (2 * D(base).ln())


def case(dim, base, factor=None, original=None, beta_fast=32, beta_slow=1, m=None, m_all=None):
    freq = [(D(base).ln() * D(-2 * i) / D(dim)).exp() for i in range(dim // 2)]
    if factor is None:
        return freq, D(1), D(1)
    low = max(dim_of(beta_fast, dim, base, original).to_integral_value(ROUND_FLOOR), D(0))
    high = min(dim_of(beta_slow, dim, base, original).to_integral_value(ROUND_CEILING), D(dim - 1))
    if low == high:
        high += D("0.001")
    out = []
    for i, f in enumerate(freq):
        part = min(max((D(i) - low) / (high - low), D(0)), D(1))
        out.append(f / D(factor) * part + f * (1 - part))
    scale = mscale(factor, m) / mscale(factor, m_all) if m and m_all else mscale(factor, 1)
    return out, scale, mscale(factor, m_all) ** 2 if m_all else D(1)


CASES = [
    dict(dim=64, base=10000, factor=40, original=4096, beta_fast=32, beta_slow=1, m=1, m_all=1),  # DeepSeek-V3
    dict(dim=64, base=10000, factor=40, original=4096, beta_fast=32, beta_slow=1, m="0.707", m_all="0.5"),
    dict(dim=16, base=10000, factor=4, original=64),
    dict(dim=8, base=500000, factor="1.5", original=2048, beta_fast=16, beta_slow=2, m_all=1),
    dict(dim=2, base=10, factor=2, original=7),
    dict(dim=64, base=10000),
    dict(dim=6, base=500000),
]
NAMES = {"m": "mscale", "m_all": "mscale_all_dim"}

with open(__file__.rsplit("/", 1)[0] + "/yarn.lua", "w") as f:
    f.write("-- Written by make_yarn.py.\nreturn {\n")
    for c in CASES:
        freq, scale, softmax = case(**c)
        given = ", ".join(f"{NAMES.get(k, k)} = {v}" for k, v in c.items())
        f.write(f"  {{ given = {{ {given} }}, scale = {scale:.18}, softmax = {softmax:.18},\n    inv_freq = {{")
        for i, x in enumerate(freq):
            f.write(("\n      " if i % 5 == 0 else " ") + f"{x:.18e},")
        f.write(" } },\n")
    f.write("}\n")
