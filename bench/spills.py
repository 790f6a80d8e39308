"""spills.py BUILD [--archs sm_80,…] [--kernels K,…] [--options] [--all] [-o FILE.json]

Every kernel of the library as the target's defaults make it, both variants, judged by ptxas: registers, spilled bytes, blocks on a multiprocessor,
warnings of every launch, and its main loop where nvdisasm is found. With --options each value of each option that names its values too, by itself. One
ptxas at a time; the table that is printed has the rows with spills or warnings, with --all every row. Ends with 1 when there are such rows.
"""
import argparse
import json
import os
import subprocess
import sys

ARCHS = ["sm_80", "sm_86", "sm_89", "sm_90a", "sm_100a", "sm_120a"]
STATICS = {"H": 64, "E": 256, "k": 8, "Dqk": 192, "Dv": 128}  # what DeepSeek-V3.2 has: heads of the indexer, experts, those of a token, widths of a head


def kernels(build):
    done = subprocess.run([os.path.join(build, "tegula"), "kernels", "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def choices(kernel, options):
    """The defaults, then every other value of every option that names its values, by itself."""
    yield {}
    for setting in kernel["settings"]:
        if options and setting["kind"] == "option":
            for value in setting["allowed"]:
                if value != setting["default"]:
                    yield {setting["name"]: value}


def report(build, kernel, arch, settings):
    fixed = {}
    while True:
        words = [os.path.join(build, "tegula"), "compile", kernel, "--target", "nvptx:" + arch, "--report", "--json"]
        words += ["--set", ",".join("%s=%s" % item for item in settings.items())]
        for item in fixed.items():
            words += ["--fix", "%s=%s" % item]
        done = subprocess.run(words, capture_output=True, text=True, env=dict(os.environ, TEGULA_COMPILE_SECONDS="600"))
        if done.returncode == 0:
            return json.loads(done.stdout)
        missing = done.stderr.rsplit("--fix ", 1)
        name = missing[1].split("=")[0] if len(missing) == 2 else ""
        if name not in STATICS or name in fixed:
            return {"error": done.stderr.strip().replace("tegula: error: ", "")}
        fixed[name] = STATICS[name]


def rows_of(arch, kernel, settings, said):
    row = {"arch": arch, "kernel": kernel, "settings": ",".join("%s=%s" % item for item in settings.items())}
    if "error" in said:
        yield dict(row, error=said["error"])
        return
    tune = {name: value for name, value in said["config"].items() if name not in settings}
    for launch in said["launches"]:
        loop = launch["loop"] or {}
        yield dict(row, config=tune, entry=launch["entry"], threads=launch["threads"], registers=launch["registers"], spilled_bytes=launch["spilled_bytes"],
                   shared_bytes=launch["shared_bytes"] + launch["static_shared_bytes"], blocks=launch["occupancy"]["blocks"],
                   loop=loop.get("instructions"), matrix=loop.get("matrix_instructions"), warnings=said["warnings"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    parser.add_argument("build")
    parser.add_argument("--archs", type=lambda s: s.split(","), default=ARCHS)
    parser.add_argument("--kernels", type=lambda s: s.split(","))
    parser.add_argument("--options", action="store_true", help="the options' values too")
    parser.add_argument("--all", action="store_true", help="print every row")
    parser.add_argument("-o", dest="output", help="write all rows as JSON")
    o = parser.parse_args()
    rows, bad = [], 0
    for kernel in kernels(o.build):
        if o.kernels and kernel["name"] not in o.kernels:
            continue
        for options in choices(kernel, o.options):
            for arch in o.archs:
                for variant in ("0", "1"):
                    said = report(o.build, kernel["name"], arch, dict(options, variant=variant))
                    for row in rows_of(arch, kernel["name"], dict(options, variant=variant), said):
                        rows.append(row)
                        wrong = bool(row.get("error") or row["spilled_bytes"] or row["warnings"])
                        bad += wrong
                        if wrong or o.all:
                            print(json.dumps(row), flush=True)
    if o.output:
        with open(o.output, "w") as f:
            json.dump(rows, f, indent=1)
            f.write("\n")
    print("%d rows, %d with spills, warnings or errors" % (len(rows), bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
