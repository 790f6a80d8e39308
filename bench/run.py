"""run.py BUILD [--quick] [--threads 1,2] [--shapes AxBxC,…] [--kernel gemm_fp8] [--rounds N] [-o FILE.json [--append]]

tegula beside its peers on the same shapes, in one interleaved run: every peer is a process of its own, and each round asks all of them in turn for
the least of a few runs. With one thread the figure is the thread's CPU time, with more it is wall time. Prints a table, of GFLOP/s for products
(shapes MxNxK), of milliseconds for attention (heads x batch x keys) and mixtures of experts (tokens x experts x hidden x inter), and writes JSON;
--append adds the rows and the command to those of a file that is there, for a record taken in several short runs.
"""
import argparse
import ctypes.util
import os
import sys
import tempfile

import attention
import moe
from peers import Peer, cpu_name, environment, have_torch, measure, record, write

HERE = os.path.dirname(os.path.abspath(__file__))
HOPELESS = 5  # times the best form's time: such a form is left out of the shapes after
PRODUCTS = ["gemm_fp8", "gemm_bf16", "gemm_f32"]
SQUARES = [(1024, 1024, 1024), (2048, 2048, 2048), (4096, 4096, 4096)]
LINEAR = [(m, n, k) for n, k in ((7168, 2048), (4096, 7168)) for m in (1, 4, 16, 64, 128)]
QUICK = [(1024, 1024, 1024), (1, 7168, 2048), (4, 7168, 2048), (16, 7168, 2048), (128, 7168, 2048)]


def peers_of(build, kernel, threads, python):
    program = os.path.join(build, "tegula-peer")
    libraries = os.path.join(os.path.dirname(os.path.dirname(python)), "lib")
    mkl = next((os.path.join(libraries, f) for f in ("libmkl_rt.so.3", "libmkl_rt.so.2") if os.path.exists(os.path.join(libraries, f))), None)
    env = environment(threads)
    mkl_env = dict(env, LD_LIBRARY_PATH=libraries)
    peers = [Peer("peak", [program, "peak"], env), Peer("peak bf16", [program, "peak_bf16"], env)]
    if kernel == "gemm_fp8":
        peers.append(Peer("tegula packed", [program, "tegula:gemm_fp8:packed=1"], env))
    peers.append(Peer("tegula", [program, "tegula:" + kernel], env))
    peers.append(Peer("openblas f32", [program, "blas:libopenblas.so.0"], env))
    dnnl = ctypes.util.find_library("dnnl")
    if dnnl:
        peers.append(Peer("onednn f32", [program, "dnnl:" + dnnl], env))
    if mkl:
        peers.append(Peer("mkl f32", [program, "blas:" + mkl], mkl_env))
        if kernel == "gemm_fp8":
            peers.append(Peer("mkl fp8", [program, "mkl_fp8:" + mkl], mkl_env))
    torch = ["f32", "bf16"] + (["scaled_mm", "dequant"] if kernel == "gemm_fp8" else [])
    if have_torch():
        peers += [Peer("torch " + t, [python, os.path.join(HERE, "torch_peer.py"), t], env) for t in torch]
    return peers


def products(o, result):
    shapes = o.shapes or (QUICK if o.quick else SQUARES + LINEAR)
    for threads in o.threads:
        peers = peers_of(o.build, o.kernel, threads, sys.executable)
        names = [p.name for p in peers]
        print("\n%s, %d thread%s (%s), GFLOP/s; in brackets the fraction of FMA peak (f32)" % (o.kernel, threads, "" if threads == 1 else "s", cpu_name()))
        print("%18s " % "M x N x K" + " ".join("%14s" % n for n in names))
        for shape in shapes:
            best = measure(peers, "%d %d %d %d" % (*shape, threads), o.rounds)
            peak = 1 / best["peak"] * threads
            row = {"threads": threads, "M": shape[0], "N": shape[1], "K": shape[2], "peak_gflops": peak, "bf16_peak_gflops": threads / best["peak bf16"] if best["peak bf16"] else None, "load": os.getloadavg()[0], "gflops": {}, "errors": {}}
            cells = ["%14.1f" % peak, "%14.1f" % row["bf16_peak_gflops"] if row["bf16_peak_gflops"] else "%14s" % "-"]
            for p in peers[2:]:
                t = best[p.name]
                g = 2e-9 * shape[0] * shape[1] * shape[2] / t if t else None
                row["gflops"][p.name] = g
                if p.error:
                    row["errors"][p.name] = p.error
                cells.append("%8.1f (%.2f)" % (g, g / peak) if g else "%14s" % "-")
            print("%18s " % "%dx%dx%d" % shape + " ".join(cells), flush=True)
            result["rows"].append(row)
        for p in peers:
            p.close()


def limits(best, threads, flop, moved, kind):
    """Seconds that the machine's limits allow: whichever is slower, or the one that `kind` names."""
    fma, dram = 1e-9 * flop * best["peak"] / threads, 1e-9 * moved * best["stream"] / threads
    kind = kind or ("fma" if fma > dram else "dram")
    return kind, fma if kind == "fma" else dram


# Attention and experts, whose limits are the FMA peak or one thread's read bandwidth, times the threads.
def layers(o, result, directory):
    bench = attention if o.kernel in attention.KERNELS else moe
    extra = [] if bench is attention else [directory]
    program = os.path.join(o.build, "tegula-peer")
    forms = bench.torch_peers(o.kernel) if have_torch() else []
    hopeless = {}  # forms that the shapes to come do without, and why
    print("%s, least ms (%s); limit: of f32 multiply-adds (fma) or of reading memory (dram)" % (o.kernel, cpu_name()))
    print("%7s %22s %14s %10s %6s %12s %6s  %s" % ("threads", " x ".join(bench.LETTERS), "limit", "tegula", "of it", "best torch", "times", "torch forms"))
    for shape in o.shapes or bench.shapes(o.kernel, o.quick):
        for threads in o.threads:
            env, torch = environment(threads), [n for n in forms if n not in hopeless]
            peers = [Peer(n, [program, n.replace(" ", "_")], env) for n in ("peak", "peak bf16", "stream")]
            peers.append(Peer("tegula", [os.path.join(o.build, "tegula-layers"), o.kernel + (":" + o.set if o.set else "")], env))
            peers += [Peer(n, [sys.executable, "-W", "ignore", bench.__file__, n], env) for n in torch]
            best = measure(peers, "threads=%d %s" % (threads, bench.words(shape, *extra)), o.rounds, most=20)
            flop, moved, kind = bench.work(o.kernel, shape, *extra)
            kind, least = limits(best, threads, flop, moved, kind)
            seconds = {n: best[n] for n in ["tegula"] + torch}
            row = {"threads": threads, **dict(zip(bench.LETTERS, shape)), "peak_gflops": threads / best["peak"],
                   "bf16_peak_gflops": threads / best["peak bf16"] if best["peak bf16"] else None, "stream_gbs": threads / best["stream"],
                   "flop": flop, "bytes": moved, "limit": kind, "limit_seconds": least, "load": os.getloadavg()[0], "seconds": seconds,
                   "errors": {**hopeless, **{p.name: p.error for p in peers[3:] if p.error}}}
            result["rows"].append(row)
            t, rivals = seconds["tegula"], [x for n, x in seconds.items() if n != "tegula" and x]
            print("%7d %22s %9.3f %s %10.3f %6.2f %12s %6s  %s" % (
                threads, "x".join(map(str, shape)), 1e3 * least, kind.ljust(4), 1e3 * (t or 0), least / t if t else 0, "%.3f" % (1e3 * min(rivals)) if rivals else "-",
                "%.2f" % (min(rivals) / t) if rivals and t else "-", ", ".join("%s %.3f" % (n, 1e3 * x) for n, x in seconds.items() if n != "tegula" and x)), flush=True)
            for name in torch:
                if seconds[name] and seconds[name] > HOPELESS * min(rivals):
                    hopeless[name] = "left out: it took %.0f times as long as the best form at %s" % (seconds[name] / min(rivals), "x".join(map(str, shape)))
            for name, why in row["errors"].items():
                print("%31s%s: %s" % ("", name, why))
            for p in peers:
                p.close()


def numbers(text):
    return [tuple(map(int, s.split("x"))) for s in text.split(",")]


def main():
    a = argparse.ArgumentParser()
    a.add_argument("build")
    a.add_argument("--quick", action="store_true")
    a.add_argument("--threads", default="1,2", type=lambda text: list(map(int, text.split(","))))
    a.add_argument("--shapes", type=numbers)
    a.add_argument("--kernel", default="gemm_fp8", choices=PRODUCTS + attention.KERNELS + moe.KERNELS)
    a.add_argument("--set", help="settings of tegula's kernel, P=V,…; not for products and the whole layer")
    a.add_argument("--rounds", type=int, default=7)
    a.add_argument("-o", "--output")
    a.add_argument("--append", action="store_true")
    o = a.parse_args()
    if o.set and o.kernel in PRODUCTS + ["moe"]:
        a.error("--set is for kernels that are timed alone")
    result = record(o.output, o.append, o.kernel, o.rounds)
    if o.kernel in PRODUCTS:
        products(o, result)
    else:
        with tempfile.TemporaryDirectory() as directory:
            layers(o, result, directory)
    write(o.output, result)


if __name__ == "__main__":
    main()
