#!/usr/bin/env python3
"""Measures the agent from outside, beside what an administrator would use instead, and prints one table.

Only Python's standard library and public tools are used: curl, jq, tar, find, strip, /usr/bin/time, strace and valgrind.
Everything runs on this machine, against the simulated plane in tests/plane; nothing is left behind.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time

# The tree is to stay as it is.
sys.dont_write_bytecode = True

import parts
import service
import synchronisation
from bed import Agent, Failed, Plane
from table import table

TOOLS = {"curl": "curl", "jq": "jq", "strace": "strace", "valgrind": "valgrind", "/usr/bin/time": "time",
         "strip": "binutils", "tar": "tar", "find": "findutils"}


class Bench:
    """What all parts share: the programs, the plane, and an agent that was paired and has stopped."""

    def __init__(self, arguments, folder, memory):
        self.binary = os.path.abspath(arguments.agent)
        self.dist, self.quick, self.folder = arguments.dist, arguments.quick, folder
        self.memory, self.disk_type = memory, first_line("stat", "-f", "-c", "%T", folder)
        # Where many files are written that are not what is measured.
        self.roomy = memory or folder
        self.sizes = [10, 100, 1_000] if self.quick else [10, 100, 1_000, 10_000, 100_000]
        if arguments.size:
            self.sizes = arguments.size
        # Beyond, a script or a trace would take minutes.
        self.most_at_once, self.most_each, self.most_traced = (1_000, 10, 100) if self.quick else (10_000, 1_000, 1_000)
        # Beyond, a disk would be all that is measured, for minutes: cold runs are then made in memory only.
        self.most_on_disk = 100 if self.quick else 1_000
        self.plane = Plane(os.path.abspath(arguments.plane), self.path("plane"))
        self.agents = []
        self.paired = self.agent("paired")
        self.paired.start()
        self.paired.pair(self.plane, "bench")
        self.paired.published()
        self.paired.stop()
        self.runtime = self.paired.runtime

    def path(self, name):
        return f"{self.folder}/{name}"

    def agent(self, name, level="debug", more="", place=None):
        agent = Agent(self.binary, f"{place or self.folder}/{name}", self.plane, level, more)
        self.agents.append(agent)
        return agent

    def end(self):
        for agent in self.agents:
            agent.stop()
        self.plane.end()


def in_memory():
    """A folder in memory, where there is one with room: there, no disk is part of what is measured."""
    place = "/dev/shm"
    if not os.access(place, os.W_OK) or shutil.disk_usage(place).free < 8 << 30:
        return None
    return tempfile.mkdtemp(prefix="runtime-agent-bench.", dir=place)


def first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (done.stdout or done.stderr).strip().splitlines()[0] if done.returncode == 0 else None
    except (OSError, IndexError):
        return None


def machine(bench):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processor": models[0] if models else platform.machine(),
        "processors": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "file_system": bench.disk_type,
        "load_at_start": os.getloadavg()[0],
        "agent": first_line(bench.binary, "--version"),
        "commit": first_line("git", "-C", os.path.dirname(os.path.abspath(__file__)), "describe", "--always", "--dirty"),
        "rustc": first_line("rustc", "--version"),
        "curl": first_line("curl", "--version"),
        "jq": first_line("jq", "--version"),
        "bash": first_line("bash", "--version"),
        "strace": first_line("strace", "--version"),
        "valgrind": first_line("valgrind", "--version"),
    }


def measure(bench, only):
    """All parts, in an order in which the short ones come first."""
    found = {"machine": machine(bench), "quick": bench.quick}
    if found["machine"]["load_at_start"] > 0.5:
        print("bench: this machine does other things as well; take the figures again when it is quiet", file=sys.stderr)
    steps = {
        "size": parts.size,
        "pair": parts.pair,
        "idle": parts.idle,
        "render": parts.render,
        "broker": service.broker,
        "change": parts.change,
        "change_on_disk": parts.change_on_disk,
        "instructions": parts.polled_instructions,
        "sync": lambda bench: [step(f"sync {n:,}", lambda: synchronisation.of_size(bench, n)) for n in bench.sizes],
    }
    for name, measured in steps.items():
        if not only or name in only:
            found[name] = step(name, lambda: measured(bench))
    if "instructions" in found:
        # One number for who looks for one: that of 100 applications, which is measured each time.
        found["unchanged_poll_instructions"] = found["instructions"][100]
    return found


def step(name, measured):
    began = time.monotonic()
    result = measured()
    print(f"bench: {name} ({time.monotonic() - began:.0f} s)", file=sys.stderr)
    return result


def recorded(path):
    """The instructions that are under version control, by the number of applications."""
    with open(path, encoding="ascii") as file:
        rows = [line.split() for line in file if line.strip() and not line.startswith("#")]
    return {int(applications): int(count) for applications, count in rows}


def compare(found, path, record):
    """Says how the instructions differ from the recorded ones; records them if that is asked for."""
    known = recorded(path)
    for applications, count in found.items():
        before = known.get(applications)
        change = f"{(count - before) / before:+.2%} against {before:,}" if before else "not recorded yet"
        print(f"instructions of an unchanged poll of {applications:,} applications: {count:,} ({change})")
    if record:
        known |= found
        with open(path, encoding="ascii") as file:
            head = [line for line in file if line.startswith("#")]
        with open(path, "w", encoding="ascii") as file:
            file.writelines(head + [f"{applications} {known[applications]}\n" for applications in sorted(known)])


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", required=True, help="the release binary")
    parser.add_argument("--plane", required=True, help="the simulated plane, a release binary as well")
    parser.add_argument("--dist", default="dist", help="where packages are, if there are any")
    parser.add_argument("--out", default="target/bench.json", help="where the figures go")
    parser.add_argument("--quick", action="store_true", help="a few sizes in about three minutes")
    parser.add_argument("--record", action="store_true", help="write the instructions to instructions.txt")
    parser.add_argument("--only", action="append", default=[], help="one part; can be repeated")
    parser.add_argument("--size", action="append", default=[], type=int, help="synchronise so many; can be repeated")
    arguments = parser.parse_args()
    missing = [package for tool, package in TOOLS.items() if not shutil.which(tool)]
    if missing:
        sys.exit(f"bench: this needs programs that are not here. On Debian: apt install {' '.join(missing)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder, memory = tempfile.mkdtemp(prefix="runtime-agent-bench."), in_memory()
    bench, done = None, False
    try:
        bench = Bench(arguments, folder, memory)
        found = measure(bench, arguments.only)
        done = True
    except (Failed, subprocess.CalledProcessError) as failure:
        said = getattr(failure, "stderr", None)
        sys.exit(f"bench: {failure}" + (f"\n{said}" if said else ""))
    finally:
        if bench is not None:
            bench.end()
            if not done:
                tails(bench)
        for made in [folder, memory]:
            if made is not None:
                shutil.rmtree(made, ignore_errors=True)
    os.makedirs(os.path.dirname(os.path.abspath(arguments.out)), exist_ok=True)
    with open(arguments.out, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=2)
        file.write("\n")
    print(table(found))
    if "instructions" in found:
        compare(found["instructions"], f"{here}/instructions.txt", arguments.record)
    print(f"All of it: {arguments.out}")


def tails(bench):
    """What the latest agent said last, before its files are removed."""
    log = bench.agents[-1].log if bench.agents else ""
    if os.path.exists(log):
        with open(log, encoding="utf-8", errors="replace") as file:
            sys.stderr.write("".join(file.readlines()[-10:]))


if __name__ == "__main__":
    main()
