"""run.py BUILD [--quick] [--threads 1,2] [--shapes MxNxK,…] [--kernel gemm_fp8] [--rounds N] [-o FILE.json [--append]]

tegula beside its peers on the same shapes, in one interleaved run: every peer is a process of its own, and each round asks all of them in turn for
the least of a few runs. With one thread the figure is the thread's CPU time, with more it is wall time. Prints a table of GFLOP/s and writes JSON;
--append adds the rows and the command to those of a file that is there, for a record taken in several short runs.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SQUARES = [(1024, 1024, 1024), (2048, 2048, 2048), (4096, 4096, 4096)]
LINEAR = [(m, n, k) for n, k in ((7168, 2048), (4096, 7168)) for m in (1, 4, 16, 64, 128)]
QUICK = [(1024, 1024, 1024), (1, 7168, 2048), (4, 7168, 2048), (16, 7168, 2048), (128, 7168, 2048)]


class Peer:
    def __init__(self, name, command, env):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.error = None

    def ask(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().strip()
        except BrokenPipeError:
            answer = ""
        if not answer or answer.startswith("error"):
            self.error = answer[6:] or "the process ended"
            return None
        return answer

    def prepare(self, shape, threads):
        self.error = None
        self.ask("prepare %d %d %d %d" % (*shape, threads))

    def seconds(self, repeat):
        if self.error:
            return None
        answer = self.ask("run %d" % repeat)
        return float(answer) if answer else None

    def close(self):
        try:
            self.process.stdin.write("quit\n")
            self.process.stdin.close()
        except OSError:
            pass
        self.process.wait()


def peers_of(build, kernel, threads, python):
    program = os.path.join(build, "tegula-peer")
    libraries = os.path.join(os.path.dirname(os.path.dirname(python)), "lib")
    mkl = next((os.path.join(libraries, f) for f in ("libmkl_rt.so.3", "libmkl_rt.so.2") if os.path.exists(os.path.join(libraries, f))), None)
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads), MKL_THREADING_LAYER="GNU")
    mkl_env = dict(env, LD_LIBRARY_PATH=libraries)
    peers = [Peer("peak", [program, "peak"], env), Peer("peak bf16", [program, "peak_bf16"], env)]
    if kernel == "gemm_fp8":
        peers.append(Peer("tegula packed", [program, "tegula:gemm_fp8:packed=1"], env))
    peers.append(Peer("tegula", [program, "tegula:" + kernel], env))
    peers.append(Peer("openblas f32", [program, "blas:libopenblas.so.0"], env))
    if mkl:
        peers.append(Peer("mkl f32", [program, "blas:" + mkl], mkl_env))
        if kernel == "gemm_fp8":
            peers.append(Peer("mkl fp8", [program, "mkl_fp8:" + mkl], mkl_env))
    torch = ["f32", "bf16"] + (["scaled_mm", "dequant"] if kernel == "gemm_fp8" else [])
    if subprocess.run([python, "-c", "import torch"], stderr=subprocess.DEVNULL).returncode == 0:
        peers += [Peer("torch " + t, [python, os.path.join(HERE, "torch_peer.py"), t], env) for t in torch]
    return peers


def measure(peers, shape, threads, rounds):
    for p in peers:
        p.prepare(shape, threads)
    best = {p.name: None for p in peers}
    slow = set()
    for r in range(rounds):
        for p in peers:
            if p.name in slow:
                continue
            start = time.time()
            t = p.seconds(3 if best[p.name] is None or best[p.name] < 0.05 else 1)
            if t is not None and (best[p.name] is None or t < best[p.name]):
                best[p.name] = t
            if time.time() - start > 3:
                slow.add(p.name)  # hopeless on this shape: one round is enough
    return best


def main():
    a = argparse.ArgumentParser()
    a.add_argument("build")
    a.add_argument("--quick", action="store_true")
    a.add_argument("--threads", default="1,2")
    a.add_argument("--shapes")
    a.add_argument("--kernel", default="gemm_fp8", choices=["gemm_fp8", "gemm_bf16", "gemm_f32"])
    a.add_argument("--rounds", type=int, default=7)
    a.add_argument("-o", "--output")
    a.add_argument("--append", action="store_true")
    o = a.parse_args()
    shapes = [tuple(map(int, s.split("x"))) for s in o.shapes.split(",")] if o.shapes else QUICK if o.quick else SQUARES + LINEAR
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    result = {"command": "bench/run.py " + " ".join(sys.argv[2:]), "cpu": cpu, "kernel": o.kernel, "rounds": o.rounds, "rows": []}
    if o.append and o.output and os.path.exists(o.output):
        with open(o.output) as f:
            before = json.load(f)
        if [before[x] for x in ("cpu", "kernel", "rounds")] != [cpu, o.kernel, o.rounds]:
            sys.exit("%s holds rows of another processor, kernel or number of rounds" % o.output)
        result = dict(before, command=before["command"] + "; " + result["command"])
    for threads in map(int, o.threads.split(",")):
        peers = peers_of(o.build, o.kernel, threads, sys.executable)
        names = [p.name for p in peers]
        print("\n%s, %d thread%s (%s), GFLOP/s; in brackets the fraction of FMA peak (f32)" % (o.kernel, threads, "" if threads == 1 else "s", cpu))
        print("%18s " % "M x N x K" + " ".join("%14s" % n for n in names))
        for shape in shapes:
            best = measure(peers, shape, threads, o.rounds)
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
    if o.output:
        with open(o.output, "w") as f:
            json.dump(result, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
