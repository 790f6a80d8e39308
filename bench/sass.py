"""sass.py FILE.cubin…: instructions of each kernel's main loop, from nvdisasm (the one of pip's nvidia-cuda-nvdisasm, else of CUDA).

The main loop is, of the innermost loops with matrix instructions, the one where these multiply most, and of equals the shortest: kernels have several
copies of it, with masks and without, and loops of few rows by smaller instructions. A loop is what lies between a branch and an earlier label that it goes to; loops that wait for a barrier, which
have no matrix instructions, count as part of the one around them.
"""
import collections
import glob
import math
import os
import re
import shutil
import struct
import subprocess
import sys

INSTRUCTION = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(.*?);")
LABEL = re.compile(r"^(\.L_x_\w+|\.L_\w+):")
BRANCH = re.compile(r"^U?(?:BRA|BRX)\b.*`\((\.L\w+)\)")
MATRIX = re.compile(r"^(H|Q|I|B|D|OM|UTC\w)?G?MMA$|^UTC\w*MMA$")


def disassembler():
    packages = glob.glob(os.path.join(sys.prefix, "lib", "python*", "site-packages", "nvidia", "*", "bin", "nvdisasm"))
    found = packages[0] if packages else shutil.which("nvdisasm") or "/usr/local/cuda/bin/nvdisasm"
    if not os.path.exists(found):
        sys.exit("bench: nvdisasm is missing: pip install 'nvidia-cuda-nvdisasm==13.*'")
    return found


class Kernel:
    """Of one entry: body = [(opcode without modifiers, text)], labels = {name: index in body}, registers of a thread."""

    def __init__(self, registers):
        self.body, self.labels, self.registers = [], {}, registers

    def local_accesses(self):
        """Loads and stores of local memory: what spills come to, at best 0."""
        return sum(op in ("LDL", "STL") for op, _ in self.body)


def register_counts(cubin):
    """{entry: registers of a thread}: the attribute EIATTR_REGCOUNT (4, 0x2f, 8 bytes: symbol, count) in the ELF section .nv.info."""
    data = open(cubin, "rb").read()
    offset, = struct.unpack_from("<Q", data, 40)
    size, n, names = struct.unpack_from("<HHH", data, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, offset + i * size) for i in range(n)]

    def text(at):
        return data[at : data.index(b"\0", at)].decode()

    sections = {text(sections[names][4] + s[0]): s for s in sections}
    info, symbols, strings = (sections.get(name) for name in (".nv.info", ".symtab", ".strtab"))
    found, at = {}, info[4]
    while at < info[4] + info[5]:
        form, attribute, length = struct.unpack_from("<BBH", data, at)
        if (form, attribute) == (4, 0x2F):
            symbol, count = struct.unpack_from("<II", data, at + 4)
            name, = struct.unpack_from("<I", data, symbols[4] + 24 * symbol)
            found[text(strings[4] + name)] = count
        at += 4 + (length if form == 4 else 0)
    return found


def kernels(cubin):
    """{entry: Kernel} of a file."""
    text = subprocess.run([disassembler(), "-c", cubin], capture_output=True, text=True, check=True).stdout
    found, at, registers = {}, None, register_counts(cubin)
    for line in text.splitlines():
        label, instruction = LABEL.match(line.strip()), INSTRUCTION.match(line)
        if line.startswith(".text."):
            name = line[6:].rstrip(":")
            at = found[name] = Kernel(registers.get(name))
        elif at and label:
            at.labels[label.group(1)] = len(at.body)
        elif at and instruction:
            words = re.sub(r"^[{\s]*(@!?U?P\w+\s+)?", "", instruction.group(2))
            at.body.append((words.split()[0].split(".")[0], words))
    return found


def work_of(text):
    """Multiplications of a warp by a matrix instruction: HGMMA.64x256x16 is of four warps, HMMA.16816 is 16 x 8 x 16. The shape of UTCHMMA lies in a
    register: as much as the largest of four warps. Anything else counts as the smallest."""
    if text.startswith("UTC"):
        return 64 * 256 * 32 // 4
    group, warp = re.search(r"\.(\d+)x(\d+)x(\d+)", text), re.search(r"\.168(\d+)", text)
    if group:
        return math.prod(map(int, group.groups())) // 4
    return 16 * 8 * int(warp.group(1)) if warp else 1


def main_loop(kernel):
    """(instructions, matrix instructions, {opcode: count}) of the main loop, which multiplies most; (0, 0, {}) when no loop has a matrix instruction."""
    loops = []
    body = kernel.body
    for at, (_, text) in enumerate(body):
        branch = BRANCH.match(text)
        start = kernel.labels.get(branch.group(1), at + 1) if branch else at + 1
        if start <= at:
            ops = collections.Counter(op for op, _ in body[start : at + 1])
            matrix = sum(n for op, n in ops.items() if MATRIX.match(op))
            if matrix and "EXIT" not in ops:
                work = sum(work_of(words) for op, words in body[start : at + 1] if MATRIX.match(op))
                loops.append((start, at, matrix, ops, work))
    inner = [l for l in loops if not any(o is not l and o[0] >= l[0] and o[1] <= l[1] for o in loops)]
    if not inner:
        return 0, 0, {}
    start, end, matrix, ops, _ = min(inner, key=lambda l: (-l[4], l[1] - l[0]))
    return end - start + 1, matrix, dict(ops.most_common())


if __name__ == "__main__":
    for file in sys.argv[1:]:
        for name, kernel in kernels(file).items():
            n, matrix, ops = main_loop(kernel)
            print("%s %s: %d registers, %d local accesses, %d instructions, main loop %d with %d matrix instructions %s"
                  % (file, name, kernel.registers, kernel.local_accesses(), len(kernel.body), n, matrix, ops))
