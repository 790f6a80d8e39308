"""tilelang_static.py DIRECTORY: compiles TileLang's side of static.py for sm_90a without a GPU, into DIRECTORY, by nvcc.

Prints a JSON line for each kernel: name, tile, threads, stages, cubin's file, CPU ms of lowering and of nvcc.
"""
import json
import os
import resource
import subprocess
import sys
import time

os.environ["TILELANG_CACHE_DIR"] = os.path.join(sys.argv[1], "tilelang-cache")
import tilelang
import tilelang.language as T

FP8, M, N, K = "float8_e4m3fn", 4096, 4096, 7168


def plain(bm, bn, bk, threads, stages, dtype):
    """C[M,N] = A[M,K] B[N,K]^T"""

    @T.prim_func
    def main(A: T.Tensor((M, K), dtype), B: T.Tensor((N, K), dtype), C: T.Tensor((M, N), "bfloat16")):
        with T.Kernel(T.ceildiv(N, bn), T.ceildiv(M, bm), threads=threads) as (x, y):
            a, b, c = T.alloc_shared((bm, bk), dtype), T.alloc_shared((bn, bk), dtype), T.alloc_fragment((bm, bn), "float32")
            T.clear(c)
            for k in T.Pipelined(T.ceildiv(K, bk), num_stages=stages):
                T.copy(A[y * bm, k * bk], a)
                T.copy(B[x * bn, k * bk], b)
                T.gemm(a, b, c, transpose_B=True)
            T.copy(c, C[y * bm, x * bn])

    return main


def scaled(threads, stages, w=128):
    """Block-scaled fp8: a row scale for 128 of k, a column scale for 128x128, each block's product added in f32."""

    @T.prim_func
    def main(
        A: T.Tensor((M, K), FP8), SA: T.Tensor((M, K // w), "float32"), B: T.Tensor((N, K), FP8), SB: T.Tensor((N // w, K // w), "float32"), C: T.Tensor((M, N), "bfloat16")
    ):
        with T.Kernel(N // w, M // w, threads=threads) as (x, y):
            a, b, s = T.alloc_shared((w, w), FP8), T.alloc_shared((w, w), FP8), T.alloc_shared((w,), "float32")
            part, c = T.alloc_fragment((w, w), "float32"), T.alloc_fragment((w, w), "float32")
            T.clear(c)
            T.clear(part)
            for k in T.Pipelined(K // w, num_stages=stages):
                T.copy(A[y * w, k * w], a)
                T.copy(B[x * w, k * w], b)
                for i in T.Parallel(w):
                    s[i] = SA[y * w + i, k] * SB[x, k]
                T.gemm(a, b, part, transpose_B=True)
                for i, j in T.Parallel(w, w):
                    c[i, j] += part[i, j] * s[i]
                T.clear(part)
            T.copy(c, C[y * w, x * w])

    return main


CASES = [
    ("gemm", "fp8", "128x128x128", 256, 4, lambda: plain(128, 128, 128, 256, 4, FP8)),
    ("gemm", "bf16", "128x256x64", 256, 4, lambda: plain(128, 256, 64, 256, 4, "bfloat16")),
    ("scaled", "fp8", "128x128x128", 128, 4, lambda: scaled(128, 4)),
    ("scaled", "fp8", "128x128x128", 256, 4, lambda: scaled(256, 4)),
]


def cpu_seconds():
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def assemble(text, stem):
    home = os.path.dirname(tilelang.__file__)
    with open(stem + ".cu", "w") as f:
        f.write(text)
    includes = ["-I" + os.path.join(home, d) for d in ("src", "src/cuda", "3rdparty/cutlass/include")]
    options = ["-std=c++17", "-O3", "-arch=sm_90a", "--expt-relaxed-constexpr", "-DENABLE_BF16", "-cubin", "-o", stem + ".cubin", stem + ".cu"]
    return subprocess.run(["nvcc"] + options + includes, capture_output=True, text=True)


if __name__ == "__main__":
    target = tilelang.tvm.target.Target({"kind": "cuda", "arch": "sm_90a"})
    for i, (name, dtype, tile, threads, stages, make) in enumerate(CASES):
        row = {"peer": "tilelang " + tilelang.__version__, "kernel": name, "dtype": dtype, "tile": tile, "warps": threads // 32, "stages": stages}
        stem = os.path.join(sys.argv[1], "tilelang-%d" % i)
        start, wall = cpu_seconds(), time.perf_counter()
        with target:
            text = tilelang.lower(make(), target=target).kernel_source
        done = assemble(text, stem)
        if done.returncode:
            print(json.dumps(dict(row, error=done.stderr.strip().splitlines()[0][:200])), flush=True)
        else:
            print(json.dumps(dict(row, file=stem + ".cubin", compile_cpu_ms=1e3 * (cpu_seconds() - start), compile_wall_ms=1e3 * (time.perf_counter() - wall))), flush=True)
