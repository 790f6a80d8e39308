"""static.py BUILD [--archs sm_80,sm_89,sm_90a,sm_100a] [--without tilelang] [-o FILE.json]

What compilers make of the same products for NVIDIA GPUs, judged without one: instructions and matrix instructions of the main loop (sass.py),
registers, accesses to local memory (spills), shared memory, and what a compile takes. Tegula beside Triton and TileLang (on sm_100a by itself), each kernel at the tile that
its row names; an architecture that BUILD does not compile for is left out of tegula's rows with its message. Counts do not depend on the machine,
milliseconds are of this one. The script makes its virtual environment, bench/.venv-static, on its first run.
"""
import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(HERE, ".venv-static")
PACKAGES = {"triton": ["nvidia-cuda-nvdisasm==13.*", "triton==3.9.*"], "tilelang": ["tilelang==0.1.15"]}

# (arch, kernel, settings): the tiles that peers are known by
OURS = [
    ("sm_80", "gemm_bf16", "BM=128,BN=128,BK=64,warps=8"),
    ("sm_80", "gemm_bf16", "BM=128,BN=128,BK=64,warps=4"),
    ("sm_80", "gemm_fp8", "BM=128,BN=128,warps=8"),
    ("sm_80", "mla_decode", "BM=32,BK=64"),
    ("sm_89", "gemm_bf16", "BM=128,BN=128,BK=64,warps=8"),
    ("sm_89", "gemm_fp8", "BM=128,BN=128,warps=8"),
    ("sm_89", "mla_decode", "BM=32,BK=32"),
    ("sm_90a", "gemm_bf16", "BM=128,BN=256,BK=64"),
    ("sm_90a", "gemm_bf16", "BM=128,BN=128,BK=64"),
    ("sm_90a", "gemm_fp8", "BM=128,BN=128"),
    ("sm_90a", "gemm_fp8", "BM=128,BN=192"),
    ("sm_90a", "grouped_gemm_bf16", "BM=128,BN=128,BK=64"),
    ("sm_90a", "grouped_gemm_fp8", "BM=128,BN=128"),
    ("sm_90a", "grouped_gemm_fp8_masked", "BM=128,BN=128"),
    ("sm_90a", "mla_decode", "BM=64,BK=64"),
    ("sm_100a", "gemm_bf16", "BM=128,BN=256,BK=64"),
    ("sm_100a", "gemm_bf16", "BM=128,BN=128,BK=64"),
    ("sm_100a", "gemm_fp8", "BM=128,BN=128"),
]

PEERS = ["sm_80", "sm_89", "sm_90a"]  # what triton_static.py has cases for

# Compiles a kernel `n` times in one process and its helper, from tile IR on, with nothing cached.
WARM = """local tg = require "tegula"
local kernel, set = tg.load(arg[1]), {}
for name, value in arg[4]:gmatch "([^=,]+)=([^=,]+)" do set[name] = tonumber(value) or value end
for _ = 1, tonumber(arg[5]) do kernel:compile { target = arg[2], emit = arg[3], set = set } end
"""


def environment_python():
    """The virtual environment's interpreter, made when it is not there."""
    python = os.path.join(VENV, "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q"] + PACKAGES["triton"], check=True)
    return python


def children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_ours(build, words, cache):
    return subprocess.run([os.path.join(build, "tegula")] + words, capture_output=True, text=True, env=dict(os.environ, TEGULA_CACHE=cache, TEGULA_COMPILE_SECONDS="600"))


def warm_ms(build, scratch, arch, kernel, settings, form, runs=5):
    """CPU ms of one more compile in a process that has compiled before: helper and assembler included, nothing cached."""
    script = os.path.join(scratch, "warm.lua")
    with open(script, "w") as f:
        f.write(WARM)
    taken = []
    for n in (1, 1 + runs):
        start = children_cpu()
        done = run_ours(build, ["run", script, kernel, "nvptx:" + arch, form, settings, str(n)], "/dev/null")
        if done.returncode:
            return None
        taken.append(children_cpu() - start)
    return 1e3 * (taken[1] - taken[0]) / runs


def judge(row, file):
    """Adds to a row what its cubin shows; of several entries the one with the longest main loop."""
    import sass

    best = max(sass.kernels(file).values(), key=lambda k: sass.main_loop(k)[1])
    loop, matrix, ops = sass.main_loop(best)
    return dict(row, registers=best.registers, local_accesses=best.local_accesses(), instructions=len(best.body), loop=loop, matrix=matrix, loop_ops=ops)


def ours(o, scratch):
    cache = os.path.join(scratch, "cache")
    for arch, kernel, settings in OURS:
        if arch not in o.archs:
            continue
        row = {"peer": "tegula", "arch": arch, "kernel": kernel, "settings": settings}
        file = os.path.join(scratch, "ours.cubin")
        words = ["compile", kernel, "--target", "nvptx:" + arch, "--set", settings + ",variant=0"]
        start = children_cpu()
        done = run_ours(o.build, words + ["--emit", "obj", "-o", file], cache)
        slow = children_cpu() - start > 5  # seconds: five more of these are not worth the wait
        if done.returncode:
            yield dict(row, error=done.stderr.strip().replace("tegula: error: ", ""))
            continue
        meta = json.loads(run_ours(o.build, words + ["--emit", "meta"], cache).stdout)
        row["shared_bytes"] = max(l["shared_bytes"] + l["static_shared_bytes"] for l in meta["launches"])
        row["spilled_bytes"] = meta.get("spilled_bytes")
        row["warnings"] = meta.get("warnings", [])
        row["ptx_cpu_ms"] = warm_ms(o.build, scratch, arch, kernel, settings + ",variant=0", "asm")
        row["compile_cpu_ms"] = None if slow else warm_ms(o.build, scratch, arch, kernel, settings + ",variant=0", "obj")
        yield judge(row, file)


def peers(script, arguments, arch):
    env = dict(os.environ, TRITON_DEFAULT_FP_FUSION="1", PATH=os.environ["PATH"] + ":/usr/local/cuda/bin")
    done = subprocess.run([sys.executable, os.path.join(HERE, script)] + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode:
        rows.append({"peer": script.split("_")[0], "kernel": "", "error": (done.stderr.strip().splitlines() or ["no reason given"])[-1]})
    for row in rows:
        row["arch"] = arch
        file = row.pop("file", None)
        yield judge(row, file) if file else row


def have_tilelang():
    if subprocess.run([sys.executable, "-c", "import tilelang"], capture_output=True).returncode == 0:
        return True
    return subprocess.run([sys.executable, "-m", "pip", "install", "-q"] + PACKAGES["tilelang"]).returncode == 0


def all_rows(o, scratch):
    yield from ours(o, scratch)
    for arch in (a for a in o.archs if a in PEERS):
        yield from peers("triton_static.py", [scratch, arch.rstrip("a")], arch)
    if "sm_90a" in o.archs and "tilelang" not in o.without:
        if have_tilelang():
            yield from peers("tilelang_static.py", [scratch], "sm_90a")
        else:
            print("bench: tilelang is not to be had: it will be missing from the table", file=sys.stderr)


HEAD = ("arch", "who", "kernel", "loop", "matrix", "registers", "local", "shared", "PTX ms", "cubin ms")
FORM = "%-7s %-16s %-52s %6s %6s %9s %6s %7s %7s %8s"


def show(row):
    what = row["kernel"] + " " + (row.get("settings") or "%s %s, %s warps, %s stages" % tuple(row.get(k, "") for k in ("dtype", "tile", "warps", "stages")))
    if "error" in row:
        print("%-7s %-16s %-52s %s" % (row["arch"], row["peer"], what, row["error"]), flush=True)
        return
    ms = ["-" if row.get(k) is None else "%.0f" % row[k] for k in ("ptx_cpu_ms", "compile_cpu_ms")]
    print(FORM % (row["arch"], row["peer"], what, row["loop"], row["matrix"], row["registers"], row["local_accesses"], row.get("shared_bytes", "-"), *ms), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--archs", default=PEERS + ["sm_100a"], type=lambda text: text.split(","))
    parser.add_argument("--without", default=[], type=lambda text: text.split(","), help="peers to leave out: tilelang")
    parser.add_argument("-o")
    o = parser.parse_args()
    python = environment_python()
    if os.path.realpath(sys.prefix) != os.path.realpath(VENV):
        os.execv(python, [python] + sys.argv)
    from peers import cpu_name, ROOT

    scratch = tempfile.mkdtemp(prefix="tegula-static-")
    print(FORM % HEAD)
    rows = []
    try:
        for row in all_rows(o, scratch):
            rows.append(row)
            show(row)
    finally:
        shutil.rmtree(scratch)
    if o.o:
        command = " ".join(["bench/static.py"] + [a.replace(ROOT, "") for a in sys.argv[1:]])
        with open(o.o, "w") as f:
            f.write('{"command":%s,"cpu":%s,"rows":[\n' % (json.dumps(command), json.dumps(cpu_name())))
            f.write(",\n".join(json.dumps(r, separators=(",", ":")) for r in rows) + "\n]}\n")


if __name__ == "__main__":
    main()
