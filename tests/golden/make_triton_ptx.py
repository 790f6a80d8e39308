# PTX of Triton 3.9 for the simulator's tests: our own kernels, compiled without a GPU. TRITON_DISABLE_LINE_INFO=1 python3 make_triton_ptx.py
import os
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


@triton.jit
def matmul(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    acc = tl.zeros((BM, BN), tl.float32)
    for start in range(0, K, BK):
        x = tl.load(a + m[:, None] * K + (start + k)[None, :], mask=(m < M)[:, None] & (start + k < K)[None, :], other=0.0)
        y = tl.load(b + n[None, :] * K + (start + k)[:, None], mask=(n < N)[None, :] & (start + k < K)[:, None], other=0.0)
        acc = tl.dot(x, y, acc)
    tl.store(c + m[:, None] * N + n[None, :], acc, mask=(m < M)[:, None] & (n < N)[None, :])


@triton.jit
def softmax(x, y, columns, B: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, B)
    v = tl.load(x + row * columns + i, mask=i < columns, other=-float('inf'))
    e = tl.exp(v - tl.max(v, 0))
    tl.store(y + row * columns + i, e / tl.sum(e, 0), mask=i < columns)


@triton.jit
def plain(a, b, c, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """C = A B^T of whole tiles, by pointers"""
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    acc = tl.zeros((BM, BN), tl.float32)
    for start in range(0, K, BK):
        acc = tl.dot(tl.load(a + m[:, None] * K + (start + k)[None, :]), tl.load(b + n[None, :] * K + (start + k)[:, None]), acc)
    tl.store(c + m[:, None] * N + n[None, :], acc)


@triton.jit
def tensors(a, b, c, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """C = A B^T by tensor descriptors"""
    m = tl.program_id(0) * BM
    n = tl.program_id(1) * BN
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(0, K, BK):
        acc = tl.dot(a.load([m, k]), b.load([n, k]).T, acc)
    c.store([m, n], acc)


@triton.jit
def made(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """the same, the descriptors made by the kernel itself"""
    x = tl.make_tensor_descriptor(a, [M, K], [K, 1], [BM, BK])
    y = tl.make_tensor_descriptor(b, [N, K], [K, 1], [BN, BK])
    z = tl.make_tensor_descriptor(c, [M, N], [N, 1], [BM, BN])
    m = tl.program_id(0) * BM
    n = tl.program_id(1) * BN
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(0, K, BK):
        acc = tl.dot(x.load([m, k]), y.load([n, k]).T, acc)
    z.store([m, n], acc)


def make(fn, name, signature, constants, divisible, capability=80, **options):
    attributes = {(i,): [['tt.divisibility', 16]] for i in divisible}
    src = ASTSource(fn=fn, signature={**signature, **{k: 'constexpr' for k in constants}}, constexprs={(fn.arg_names.index(k),): v for k, v in constants.items()}, attrs=attributes)
    kernel = triton.compile(src, target=GPUTarget('cuda', capability, 32), options=options)
    text = '\n'.join(l for l in kernel.asm['ptx'].split('\n') if not l.strip().startswith(('.file', '.loc')))
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'ptx', name + '.ptx'), 'w') as f:
        f.write(text)
    print(name, kernel.metadata.shared, kernel.metadata.num_warps)


make(matmul, 'triton_matmul', {'a': '*bf16', 'b': '*bf16', 'c': '*fp32', 'M': 'i32', 'N': 'i32', 'K': 'i32'}, {'BM': 64, 'BN': 64, 'BK': 32}, (0, 1, 2, 5), num_warps=4, num_stages=3)
make(softmax, 'triton_softmax', {'x': '*fp32', 'y': '*fp32', 'columns': 'i32'}, {'B': 256}, (0, 1), num_warps=2)
make(plain, 'triton_plain_90', {'a': '*bf16', 'b': '*bf16', 'c': '*fp32', 'N': 'i32', 'K': 'i32'}, {'BM': 64, 'BN': 64, 'BK': 64}, (0, 1, 2, 3, 4), capability=90, num_warps=4, num_stages=3)
tiles = {'a': 'tensordesc<bf16[64,64]>', 'b': 'tensordesc<bf16[64,64]>', 'c': 'tensordesc<fp32[64,64]>'}
make(tensors, 'triton_tensors_90', {**tiles, 'K': 'i32'}, {'BM': 64, 'BN': 64, 'BK': 64}, (3,), capability=90, num_warps=4, num_stages=3)
make(made, 'triton_made_90', {'a': '*bf16', 'b': '*bf16', 'c': '*fp32', 'M': 'i32', 'N': 'i32', 'K': 'i32'}, {'BM': 64, 'BN': 64, 'BK': 64}, (0, 1, 2, 3, 4, 5), capability=90, num_warps=4, num_stages=3)
