"""moe.py FORM: a torch form of a layer of experts, of its gate, dispatch or combine, same line protocol as bench/layers.c; imported, what run.py
needs to know of them. Router logits come from a file that all peers of a run read, so that all choose the same experts.
"""
import array
import os
import random
import struct
import sys

KERNELS = ["moe", "gate", "dispatch", "combine"]
GROUPS, KEPT, TOPK, SCALE = 8, 4, 8, 2.5
LETTERS = ("tokens", "experts", "hidden", "inter")
SMALL = [(t, 256, 2048, 512) for t in (1, 32, 512)]
LARGE = [(1, 32, 7168, 2048)]
FLUSH = 96 << 20


def shapes(kernel, quick):
    if kernel == "moe":
        return SMALL if quick else SMALL + LARGE
    return SMALL if kernel == "gate" else [(512, 256, 2048, 512), (512, 256, 7168, 2048)] if quick else [
        (t, 256, h, i) for h, i in ((2048, 512), (7168, 2048)) for t in (32, 512, 4096)]


def words(shape, directory):
    """The shape, and the file of its logits, which is written when it is not there."""
    tokens, experts = shape[:2]
    file = os.path.join(directory, "logits-%d-%d.npy" % (tokens, experts))
    if not os.path.exists(file):
        chance = random.Random(tokens)
        header = ("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (tokens, experts)).ljust(117) + "\n"
        with open(file, "wb") as f:
            f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
            array.array("f", (chance.gauss(0, 1) for _ in range(tokens * experts))).tofile(f)
    return " ".join("%s=%d" % x for x in zip(LETTERS, shape)) + " logits=" + file


def torch_peers(kernel):
    return ["bf16 loop", "f32 loop"] if kernel == "moe" else [kernel]


def routes(given):
    """Logits of the file as a tensor."""
    import torch

    with open(given["logits"], "rb") as f:
        data = bytearray(f.read())
    start = 10 + struct.unpack("<H", data[8:10])[0]
    return torch.frombuffer(data[start:], dtype=torch.float32).reshape(int(given["tokens"]), int(given["experts"]))


def route(logits, bias):
    """DeepSeek-V3's group-limited routing, as the published model does it in torch."""
    import torch

    tokens, experts = logits.shape
    scores = logits.sigmoid()
    biased = scores + bias
    best = biased.view(tokens, GROUPS, experts // GROUPS).topk(2, -1)[0].sum(-1)
    kept = torch.zeros_like(best).scatter_(1, best.topk(KEPT, -1)[1], 1).bool()
    kept = kept[:, :, None].expand(tokens, GROUPS, experts // GROUPS).reshape(tokens, experts)
    idx = biased.masked_fill(~kept, float("-inf")).topk(TOPK, -1)[1]
    w = scores.gather(1, idx)
    return idx, w / w.sum(-1, keepdim=True) * SCALE


def work(kernel, shape, directory):
    """flop, bytes from memory, and which of the two is the limit (moe: the slower one, None says so)."""
    tokens, experts, hidden, inter = shape
    if kernel == "moe":
        active = route_counts(shape, directory)
        return 6 * tokens * TOPK * hidden * inter, active * 3 * hidden * inter, None
    rows = 2 * hidden * tokens
    if kernel == "gate":
        return 0, tokens * (experts * 4 + TOPK * 8), "dram"
    return 0, rows * (TOPK + 1), "dram"  # dispatch reads a token once and writes it TOPK times, combine the other way round


def route_counts(shape, directory):
    import torch

    given = dict(w.split("=") for w in words(shape, directory).split())
    return int(route(routes(given), torch.zeros(shape[1]))[0].unique().numel())


def loop(given, dtype):
    import torch

    T, E, H, I = (int(given[x]) for x in LETTERS)
    logits, bias, x = routes(given), torch.zeros(E), torch.randn(T, H).to(dtype)
    first, second = torch.empty(E, 2 * I, H, dtype=dtype).fill_(0.01), torch.empty(E, H, I, dtype=dtype).fill_(0.01)
    cold = torch.ones(FLUSH // 8, dtype=torch.int64)

    def f():
        idx, w = route(logits, bias)
        out = torch.zeros(T, H, dtype=dtype)
        for e in idx.unique().tolist():
            t, slot = (idx == e).nonzero(as_tuple=True)
            h = x[t] @ first[e].t()
            a = torch.nn.functional.silu(h[:, :I]) * h[:, I:]
            out.index_add_(0, t, (a @ second[e].t()) * w[t, slot, None].to(dtype))
        return out

    return f, cold.sum if T <= 8 else None


def make(form, given):
    import torch

    if form.endswith("loop"):
        return loop(given, torch.bfloat16 if form.startswith("bf16") else torch.float32)
    T, E, H, _ = (int(given[x]) for x in LETTERS)
    logits, bias = routes(given), torch.zeros(E)
    if form == "gate":
        return lambda: route(logits, bias), None
    idx, w = route(logits, bias)
    x = torch.randn(T, H).bfloat16()
    if form == "dispatch":
        def f():
            order = idx.flatten().argsort(stable=True)
            return x[order // TOPK], torch.bincount(idx.flatten(), minlength=E).cumsum(0)
        return f, None
    order = idx.flatten().argsort(stable=True)
    back, y = order.argsort(), torch.randn(T * TOPK, H).bfloat16()
    return lambda: torch.einsum("tkh,tk->th", y[back].view(T, TOPK, H).float(), w).bfloat16(), None


if __name__ == "__main__":
    from peers import serve

    serve(lambda given: make(sys.argv[1], given))
