"""Public tools that measure whole processes: time, strace, callgrind."""

import re
import subprocess
import tempfile
import time

from bed import Failed


def timed(command):
    """Runs a command under /usr/bin/time: its seconds, processor time and most memory, children included."""
    with tempfile.NamedTemporaryFile(mode="r") as report:
        began = time.monotonic()
        subprocess.run(["/usr/bin/time", "-f", "%U %S %M", "-o", report.name, *command], check=True,
                       stdout=subprocess.DEVNULL)
        wall = time.monotonic() - began
        user, system, peak = report.read().split()[-3:]
    return {"wall_s": wall, "cpu_s": float(user) + float(system), "peak_kib": int(peak)}


def system_calls(report):
    """The sum of what `strace -c -U calls,name` counted."""
    with open(report, encoding="utf-8") as file:
        for line in file:
            words = line.split()
            if words and words[-1] == "total":
                return int(words[0])
    raise Failed("strace counted nothing")


def instructions(report):
    """The sum of what callgrind counted."""
    with open(report, encoding="utf-8") as file:
        found = re.search(r"^(?:summary|totals): (\d+)", file.read(), re.MULTILINE)
    if not found:
        raise Failed("callgrind counted nothing")
    return int(found.group(1))
