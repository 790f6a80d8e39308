"""What torch makes of the rows that `bench/gpu.lua` times, on the same GPU: cuBLAS for the products, Triton (torch.compile) for what goes
element by element. usage: gpu_torch.py ROWS DEVICE, a file with lines "KERNEL M=…,N=…" and the GPU's number. Writes JSON: seconds (the least
of the runs, by the GPU's events, its L2 cache overwritten before each, as tegula does), or why not.."""
import json
import sys

try:
    import torch
except ImportError:
    sys.exit("there is no torch here")
if not torch.cuda.is_available():
    sys.exit("this torch finds no CUDA")


def least_seconds(run, runs=50):
    flush = torch.empty(256 << 20, dtype=torch.int8, device="cuda")
    for _ in range(3):
        run()
    best = float("inf")
    for _ in range(runs):
        flush.zero_()
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        best = min(best, 1e-3 * start.elapsed_time(end))
    return best


def random(*shape, dtype=torch.bfloat16):
    return (2 * torch.rand(*shape, device="cuda") - 1).to(dtype)


def gemm_bf16(s):
    a, b = random(s["M"], s["K"]), random(s["N"], s["K"])
    return "cuBLAS", lambda: a @ b.T


def gemm_fp8(s):
    """One scale for each tensor, not for each 128 x 128: cuBLASLt's own way, with less to do."""
    a, b = random(s["M"], s["K"]).to(torch.float8_e4m3fn), random(s["N"], s["K"]).to(torch.float8_e4m3fn)
    one = torch.ones((), device="cuda")
    return "cuBLASLt, one scale a tensor", lambda: torch._scaled_mm(a, b.T, scale_a=one, scale_b=one, out_dtype=torch.bfloat16)


def rmsnorm(s):
    x, w = random(s["T"], s["H"]), random(s["H"])
    f = torch.compile(lambda x, w: (x.float() * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + 1e-6) * w.float()).to(x.dtype))
    return "torch.compile (Triton)", lambda: f(x, w)


def swiglu(s):
    g = random(s["T"], 2 * s["I"])
    f = torch.compile(lambda g: torch.nn.functional.silu(g[:, : s["I"]]) * g[:, s["I"] :])
    return "torch.compile (Triton)", lambda: f(g)


def measure(line):
    kernel, shape = line.split()
    make = {f.__name__: f for f in (gemm_bf16, gemm_fp8, rmsnorm, swiglu)}.get(kernel)
    row = {"kernel": kernel, "shape": shape}
    if not make:
        return None
    try:
        row["peer"], run = make({k: int(v) for k, v in (pair.split("=") for pair in shape.split(","))})
        row["seconds"] = least_seconds(run)
    except Exception as problem:  # a shape or a GPU that it does not take: the others go on
        row["error"] = str(problem).splitlines()[0][:200]
    return row


torch.cuda.set_device(int(sys.argv[2]))
with open(sys.argv[1]) as lines:
    measured = [row for row in map(measure, lines) if row]
print(json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda, "device": torch.cuda.get_device_name(), "rows": measured}))
