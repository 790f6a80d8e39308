"""attention.py FORM: a torch form of absorbed MLA decode, same line protocol as bench/layers.c; imported, what run.py needs to know of `mla_decode`.

Forms read one cache of rows of 576 numbers for all heads; the softmax scale is in q. None knows pages or lengths: each sequence has a block of its
own. `f32 …` find their cache in f32, which is twice the memory of tegula's; `bf16 …` in bf16.
"""
import sys

KERNELS = ["mla_decode"]
FORMS = ["f32 einsum", "f32 matmul", "f32 sdpa", "bf16 einsum", "bf16 matmul", "bf16 sdpa", "bf16 to f32"]
D, R = 512, 64
FULL = [(h, b, t) for h in (128, 16) for b in (1, 4, 16) for t in (1024, 2048, 4096, 8192)]
QUICK = [(128, 1, 1024), (128, 1, 8192), (16, 1, 8192), (16, 16, 1024)]
LETTERS = ("heads", "batch", "keys")


def shapes(kernel, quick):
    return QUICK if quick else FULL


def words(shape):
    return "heads=%d batch=%d keys=%d" % shape


def torch_peers(kernel):
    return FORMS


def work(kernel, shape):
    """flop, bytes from memory, and which of the two is the limit."""
    heads, batch, keys = shape
    return 2 * batch * heads * keys * (2 * D + R), 2 * batch * keys * (D + R), "fma"


def make(form, given):
    import torch

    H, B, T = (int(given[x]) for x in LETTERS)
    dtype = torch.float32 if form.startswith("f32") else torch.bfloat16
    kv = torch.randn(B, T, D + R).to(dtype)
    q = (torch.randn(B, H, D + R) * 0.04).to(dtype)
    if form.endswith("einsum"):
        def f():
            p = torch.softmax(torch.einsum("bhd,btd->bht", q, kv), -1, dtype=torch.float32).to(dtype)
            return torch.einsum("bht,btd->bhd", p, kv[..., :D])
    elif form.endswith("matmul"):
        def f():
            p = torch.softmax(q @ kv.transpose(1, 2), -1, dtype=torch.float32).to(dtype)
            return p @ kv[..., :D]
    elif form.endswith("sdpa"):  # all heads as queries of one head of keys; values as wide as keys, so that the fused kernel takes it
        def f():
            x = kv[:, None]
            return torch.nn.functional.scaled_dot_product_attention(q[:, None], x, x, scale=1.0)[..., :D]
    else:  # the cache as tegula has it, turned into f32 each time
        def f():
            x = kv.float()
            return torch.softmax(q.float() @ x.transpose(1, 2), -1) @ x[..., :D]
    return f, None


if __name__ == "__main__":
    from peers import serve

    serve(lambda given: make(sys.argv[1], given))
