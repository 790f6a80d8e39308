"""What the benches share: peers as processes with a line protocol, interleaved rounds, the processor's name, JSON records."""
import json
import os
import platform
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep # left out of recorded commands


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

    def prepare(self, words):
        self.error = None
        self.ask("prepare " + words)

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


def environment(threads):
    return dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads), MKL_THREADING_LAYER="GNU")


def have_torch():
    return subprocess.run([sys.executable, "-W", "ignore", "-c", "import torch"], stderr=subprocess.DEVNULL).returncode == 0


def measure(peers, words, rounds, most=3.0):
    """Least seconds of each peer by name; None where it cannot. `most`: seconds of a turn beyond which one round is enough."""
    for p in peers:
        p.prepare(words)
    best = {p.name: None for p in peers}
    slow = set()
    for _ in range(rounds):
        for p in peers:
            if p.name in slow:
                continue
            start = time.time()
            t = p.seconds(3 if best[p.name] is None or best[p.name] < 0.05 else 1)
            if t is not None and (best[p.name] is None or t < best[p.name]):
                best[p.name] = t
            if time.time() - start > most:
                slow.add(p.name)
    return best


def cpu_name():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":")[1].strip() for line in f if line.startswith("model name")), platform.machine())


def record(output, append, kernel, rounds):
    """An empty record, or the one that is in the file already when `append` is asked for."""
    result = {"command": "bench/run.py " + " ".join(sys.argv[2:]).replace(ROOT, ""), "cpu": cpu_name(), "kernel": kernel, "rounds": rounds, "rows": []}
    if append and output and os.path.exists(output):
        with open(output) as f:
            before = json.load(f)
        if [before[x] for x in ("cpu", "kernel", "rounds")] != [result["cpu"], kernel, rounds]:
            sys.exit("%s holds rows of another processor, kernel or number of rounds" % output)
        result = dict(before, command=before["command"] + "; " + result["command"])
    return result


def write(output, result):
    if output:
        with open(output, "w") as f:
            json.dump(result, f, indent=1)
            f.write("\n")


def serve(make):
    """A torch peer: `make(words)` gives the function to time and, or None, one to call before each run."""
    import torch

    clock, f, before = time.thread_time, None, None
    with torch.no_grad():
        for line in sys.stdin:
            words = line.split()
            try:
                if words[0] == "quit":
                    break
                if words[0] == "prepare":
                    given = dict(w.split("=") for w in words[1:])
                    threads = int(given["threads"])
                    torch.set_num_threads(threads)
                    clock = time.thread_time if threads == 1 else time.perf_counter
                    f = before = None
                    f, before = make(given)
                    f()
                    print("ready", flush=True)
                elif words[0] == "run":
                    best = 1e30
                    for _ in range(int(words[1])):
                        if before:
                            before()
                        start = clock()
                        f()
                        best = min(best, clock() - start)
                    print("%.9g" % best, flush=True)
            except Exception as error:  # a peer that cannot do a shape says so and goes on
                print("error", str(error).splitlines()[0][:200], flush=True)
