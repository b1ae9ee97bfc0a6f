"""`python -m benchmarks [NAME ...] [--device cuda:0] [--quick]`: runs benchmarks, saves what they found, writes the page's tables.

Several run in a process each, one after the other, so that none finds another's memory, threads or warm caches.
"""

import argparse
import os
import subprocess
import sys
import time
from importlib import import_module

from benchmarks import tables
from benchmarks.harness import Findings, Options, cores
from gaid.devices import pick_device
from gaid.errors import OptionInvalid


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(tables.ORDER)} (all of these by default), {', '.join(tables.ELSEWHERE)}; on a GPU of "
        f"{', '.join(tables.ON_A_GPU)}",
    )
    parser.add_argument("--device", default="cpu", help="cpu (default), or a GPU such as cuda:0")
    parser.add_argument(
        "--quick", action="store_true", help="small and once, to see that it runs; nothing for the page"
    )
    parser.add_argument("--threads", type=int, default=cores(), help="of every rival; the cores by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        device = pick_device(options.device)
    except OptionInvalid as error:
        parser.exit(2, f"{error}\n")
    if device != "cpu" and not device.startswith("cuda"):
        parser.exit(2, f"--device {device}: benchmarks run on cpu or cuda\n")
    usual = tables.ORDER if device == "cpu" else tables.ON_A_GPU
    known = (*usual, *tables.ELSEWHERE) if device == "cpu" else usual
    wrong = sorted(set(options.names) - set(known))
    if wrong or options.threads < 1 or options.rounds < 1:
        said = f"there is no benchmark {wrong[0]} on {device}; choose of {', '.join(known)}" if wrong else ""
        parser.exit(2, f"{said or '--threads and --rounds are at least 1'}\n")
    names = options.names or list(usual)
    if len(names) == 1:
        found = run(names[0], Options(options.quick, options.threads, options.rounds, options.seed, device))
        return 0 if found.cases else 1
    rest = (arguments if arguments is not None else sys.argv[1:])[:]
    rest = [word for word in rest if word not in names]
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(options.threads))}
    failed = [
        name
        for name in names
        if subprocess.run([sys.executable, "-m", "benchmarks", name, *rest], env=environment).returncode
    ]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def run(name: str, options: Options) -> Findings:
    """Runs one benchmark, saves and shows it."""
    started = time.monotonic()
    module = import_module(f"benchmarks.{name}")
    findings: Findings = module.run_on_a_gpu(options) if options.on_a_gpu else module.run(options)
    file = tables.save(findings, options)
    if not options.quick:
        tables.write_page()
    print(tables.table({"machine": tables.describe_machine(options), **findings.to_dict()}))
    for goal in findings.goals:
        print(f"{'met    ' if goal.met else 'NOT met'}  {goal.text}: {goal.found}")
    print(f"{name}: {time.monotonic() - started:.0f} s; {file}", file=sys.stderr)
    return findings


if __name__ == "__main__":
    sys.exit(main())
