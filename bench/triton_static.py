"""triton_static.py DIRECTORY ARCH: compiles Triton's side of static.py without a GPU, into DIRECTORY.

Prints a JSON line for each kernel: name, tile, warps, stages, cubin's file, shared bytes, CPU ms of a compile in a process that has compiled before,
with nothing cached, ptxas included. ARCH is sm_80, sm_89 or sm_90.
"""
import json
import os
import resource
import sys
import tempfile
import time

os.environ["TRITON_CACHE_DIR"] = tempfile.mkdtemp(prefix="triton-", dir=sys.argv[1])
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


@triton.jit
def pointers(a, b, c, M, N, K, lda, ldb, ldc, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """C[M,N] = A[M,K] B[N,K]^T by pointers as in Triton's tutorial: edges of M and N wrap, the edge of K is masked."""
    m, n, deep = tl.program_id(0) * BM + tl.arange(0, BM), tl.program_id(1) * BN + tl.arange(0, BN), tl.arange(0, BK)
    at, bt = a + (m % M)[:, None] * lda + deep[None, :], b + (n % N)[None, :] * ldb + deep[:, None]
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(0, tl.cdiv(K, BK)):
        x = tl.load(at, mask=deep[None, :] < K - k * BK, other=0.0)
        y = tl.load(bt, mask=deep[:, None] < K - k * BK, other=0.0)
        acc = tl.dot(x, y, acc)
        at += BK
        bt += BK
    tl.store(c + m[:, None] * ldc + n[None, :], acc.to(tl.bfloat16), mask=(m[:, None] < M) & (n[None, :] < N))


@triton.jit
def scaled_pointers(a, sa, b, sb, c, M, N, K, lda, ldb, ldc, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """Block-scaled fp8 by pointers, the form that DeepSeek published: a row scale for 128 of k, a column scale for 128x128."""
    m, n, deep = tl.program_id(0) * BM + tl.arange(0, BM), tl.program_id(1) * BN + tl.arange(0, BN), tl.arange(0, BK)
    blocks = tl.cdiv(K, BK)
    at, bt = a + (m % M)[:, None] * lda + deep[None, :], b + (n % N)[None, :] * ldb + deep[:, None]
    sat, sbt = sa + (m % M) * blocks, sb + (n % N) // 128 * blocks
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(0, blocks):
        x = tl.load(at, mask=deep[None, :] < K - k * BK, other=0.0)
        y = tl.load(bt, mask=deep[:, None] < K - k * BK, other=0.0)
        acc += tl.dot(x, y) * tl.load(sat)[:, None] * tl.load(sbt)[None, :]
        at += BK
        bt += BK
        sat += 1
        sbt += 1
    tl.store(c + m[:, None] * ldc + n[None, :], acc.to(tl.bfloat16), mask=(m[:, None] < M) & (n[None, :] < N))


@triton.jit
def descriptors(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """The same product through TMA."""
    m, n = tl.program_id(0) * BM, tl.program_id(1) * BN
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(0, K, BK):
        acc = tl.dot(a.load([m, k]), b.load([n, k]).T, acc)
    c.store([m, n], acc.to(tl.bfloat16))


@triton.jit
def scaled_descriptors(a, b, c, sa, sb, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """Block-scaled through TMA, tuned: row scales lie by k, and BN = 128 makes the column scale one number."""
    m, j = tl.program_id(0) * BM, tl.program_id(1)
    row, blocks = m + tl.arange(0, BM), tl.cdiv(K, BK)
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(0, blocks):
        part = tl.dot(a.load([m, k * BK]), b.load([j * BN, k * BK]).T)
        acc += part * (tl.load(sa + k * M + row) * tl.load(sb + j * blocks + k))[:, None]
    c.store([m, j * BN], acc.to(tl.bfloat16))


OLD = [(pointers, "bf16", 128, 128, 64, 4, 3), (pointers, "bf16", 128, 128, 64, 8, 3)]
CASES = {
    "sm_80": OLD,
    "sm_89": OLD + [(pointers, "fp8e4nv", 128, 128, 64, 8, 3), (scaled_pointers, "fp8e4nv", 128, 128, 128, 8, 2)],
    "sm_90": OLD
    + [
        (pointers, "fp8e4nv", 128, 128, 64, 8, 3),
        (scaled_pointers, "fp8e4nv", 128, 128, 128, 8, 3),
        (descriptors, "bf16", 128, 256, 64, 8, 3),
        (descriptors, "fp8e4nv", 128, 128, 128, 8, 3),
        (scaled_descriptors, "fp8e4nv", 128, 128, 128, 8, 3),
        (scaled_descriptors, "fp8e4nv", 128, 128, 128, 8, 4),
    ],
}


def cpu_seconds():
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def source(fn, dtype, tile):
    names, tiles = list(fn.arg_names), dict(zip(("BM", "BN", "BK"), tile))
    types = {n: "i32" for n in ("M", "N", "K", "lda", "ldb", "ldc")}
    types.update({n: "*fp32" for n in ("sa", "sb")})
    if fn in (pointers, scaled_pointers):
        types.update(a="*" + dtype, b="*" + dtype, c="*bf16")
    else:
        boxes = {"a": (dtype, "BM", "BK"), "b": (dtype, "BN", "BK"), "c": ("bf16", "BM", "BN")}
        types.update({n: "tensordesc<%s[%d,%d]>" % (t, tiles[x], tiles[y]) for n, (t, x, y) in boxes.items()})
    types = {n: types.get(n, "constexpr") for n in names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, n in enumerate(names) if types[n] != "constexpr" and "tensordesc" not in types[n]}
    return ASTSource(fn=fn, signature=types, constexprs={(names.index(n),): v for n, v in tiles.items()}, attrs=aligned)


def build(case, arch):
    fn, dtype, bm, bn, bk, warps, stages = case
    os.environ["TRITON_CACHE_DIR"] = triton.knobs.cache.dir = tempfile.mkdtemp(prefix="triton-", dir=sys.argv[1])
    start, wall = cpu_seconds(), time.perf_counter()
    made = triton.compile(source(fn, dtype, (bm, bn, bk)), target=GPUTarget("cuda", int(arch[3:]), 32), options={"num_warps": warps, "num_stages": stages})
    return made, 1e3 * (cpu_seconds() - start), 1e3 * (time.perf_counter() - wall)


if __name__ == "__main__":
    cases = CASES[sys.argv[2]]
    build(cases[0], sys.argv[2])  # the first compile of a process loads what the others find loaded
    for i, case in enumerate(cases):
        kernel, cpu, wall = build(case, sys.argv[2])
        file = os.path.join(sys.argv[1], "triton-%s-%d.cubin" % (sys.argv[2], i))
        with open(file, "wb") as f:
            f.write(kernel.asm["cubin"])
        row = {"peer": "triton " + triton.__version__, "kernel": case[0].fn.__name__, "dtype": case[1], "tile": "%dx%dx%d" % case[2:5], "warps": case[5], "stages": case[6]}
        print(json.dumps(dict(row, file=file, shared_bytes=kernel.metadata.shared, compile_cpu_ms=cpu, compile_wall_ms=wall)), flush=True)
