"""torch_peer.py PEER: a torch competitor of the GEMM benchmark; same line protocol as bench/peer.c.

Peers: f32, bf16 (weights ready), scaled_mm (fp8, one scale a tensor), dequant (fp8 with 1x128 and 128x128 scales dequantised in f32 each call).
"""
import sys
import time

import torch


def make(peer, M, N, K):
    a, w = torch.randn(M, K), torch.randn(N, K)
    if peer == "f32":
        return lambda: a @ w.t()
    if peer == "bf16":
        a16, w16 = a.bfloat16(), w.bfloat16()
        return lambda: a16 @ w16.t()
    q, wq = a.to(torch.float8_e4m3fn), w.to(torch.float8_e4m3fn)
    if peer == "scaled_mm":
        one = torch.tensor(1.0)
        return lambda: torch._scaled_mm(q, wq.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)
    sa, sb = torch.rand(M, K // 128), torch.rand(N // 128, K // 128)

    def dequant():
        x = (q.float().view(M, K // 128, 128) * sa[:, :, None]).view(M, K)
        y = (wq.float().view(N // 128, 128, K // 128, 128) * sb[:, None, :, None]).view(N, K)
        return (x @ y.t()).bfloat16()

    return dequant


def main():
    peer, f, threads = sys.argv[1], None, 1
    for line in sys.stdin:
        words = line.split()
        try:
            if words[0] == "quit":
                break
            if words[0] == "prepare":
                M, N, K, threads = map(int, words[1:])
                torch.set_num_threads(threads)
                f = make(peer, M, N, K)
                f()
                print("ready", flush=True)
            elif words[0] == "run":
                clock, best = (time.thread_time if threads == 1 else time.perf_counter), 1e30
                for _ in range(int(words[1])):
                    start = clock()
                    f()
                    best = min(best, clock() - start)
                print("%.9g" % best, flush=True)
        except Exception as error:  # a peer that cannot do a shape says so and goes on
            print("error", str(error).splitlines()[0][:200], flush=True)


if __name__ == "__main__":
    with torch.no_grad():
        main()
