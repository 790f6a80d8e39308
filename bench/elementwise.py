"""elementwise.py BUILD [--threads 1,2] [--rows 4096] [--rounds N] [-o FILE.json]

Elementwise, norm and layout kernels beside the machine's read bandwidth: every round runs `tegula bench` once for each kernel, with a cache of its
own, so that the bandwidth is measured anew beside each figure. Prints the median of the rounds in GB/s (each tensor counted once) and its ratio to
the bandwidth, and writes JSON.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile

KERNELS = [
    ("rmsnorm", "T={m},H=7168", ""), ("rmsnorm", "T={m},H=1536", ""), ("rmsnorm", "T={m},H=512", ""),
    ("quantize_rows", "M={m},K=7168", ""), ("quantize_rows", "M={m},K=7168", "BM=8"), ("quantize_rows", "M={m},K=2048", ""),
    ("quantize_blocks", "N={m},K=7168", ""), ("swiglu", "T={m},I=2048", ""), ("swiglu_quantize", "T={m},I=2048", ""),
    ("pack_weights", "N=7168,K=2048", ""),
]


def bench(program, kernel, shape, settings, threads, cache):
    command = [program, "bench", kernel, "--shape", shape, "--threads", str(threads), "--runs", "15", "--json"]
    if settings:
        command += ["--set", settings]
    limits = os.path.join(cache, "limits.jsonl")
    if os.path.exists(limits):
        os.remove(limits)
    run = subprocess.run(command, env=dict(os.environ, TEGULA_CACHE=cache), capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    return json.loads(run.stdout)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("build")
    a.add_argument("--threads", default="1")
    a.add_argument("--rows", type=int, default=4096)
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("-o", "--output")
    o = a.parse_args()
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    result = {"command": "bench/elementwise.py " + " ".join(sys.argv[1:]), "cpu": cpu, "rounds": o.rounds, "rows": []}
    with tempfile.TemporaryDirectory() as cache:
        for threads in map(int, o.threads.split(",")):
            found = [[] for _ in KERNELS]
            for _ in range(o.rounds):
                for k, (kernel, shape, settings) in enumerate(KERNELS):
                    found[k].append(bench(os.path.join(o.build, "tegula"), kernel, shape.format(m=o.rows), settings, threads, cache))
            print("%d thread%s (%s)" % (threads, "" if threads == 1 else "s", cpu))
            for (kernel, shape, _), documents in zip(KERNELS, found):
                gbs = statistics.median(d["gbs"] for d in documents)
                stream = statistics.median(d["stream_gbs"] for d in documents)
                config = documents[0]["config"]
                print("%-16s %-16s %6.1f GB/s of %5.1f (%.2f)  %s" % (kernel, shape.format(m=o.rows), gbs, stream, gbs / stream, config))
                result["rows"].append({"kernel": kernel, "shape": documents[0]["shape"], "config": config, "threads": threads, "gbs": gbs,
                                       "stream_gbs": stream, "ratio": gbs / stream, "load": os.getloadavg()[0]})
    if o.output:
        with open(o.output, "w") as f:
            json.dump(result, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
