"""What the kernel tells of a process from outside: memory, threads, descriptors, wake-ups, processor time."""

import os

TICKS = os.sysconf("SC_CLK_TCK")


def _fields(path):
    """The lines `Name: value kB` of a file below /proc, as numbers."""
    found = {}
    with open(path, encoding="ascii", errors="replace") as lines:
        for line in lines:
            name, _, rest = line.partition(":")
            words = rest.split()
            if words and words[0].isdigit():
                found[name] = int(words[0])
    return found


def memory(pid):
    """Proportional memory, what of it is no page of a file, and resident memory, in KiB; the former two only for root, for
    the agent lets nobody else look."""
    try:
        rollup = _fields(f"/proc/{pid}/smaps_rollup")
    except PermissionError:
        return {"pss_kib": None, "pss_anonymous_kib": None, "rss_kib": _fields(f"/proc/{pid}/status")["VmRSS"]}
    return {"pss_kib": rollup["Pss"], "pss_anonymous_kib": rollup["Pss_Anon"], "rss_kib": rollup["Rss"]}


def peak_kib(pid):
    """The most memory that was ever resident."""
    return _fields(f"/proc/{pid}/status")["VmHWM"]


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def descriptors(pid):
    """How many there are; like memory, for root alone."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        return None


def wakeups(pid):
    """Voluntary context switches of all threads that live."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            total += _fields(f"/proc/{pid}/task/{task}/status")["voluntary_ctxt_switches"]
        except FileNotFoundError:
            pass  # It ended meanwhile.
    return total


def running_s(pid):
    """Processor time of the threads that live, to the nanosecond."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        except FileNotFoundError:
            pass
    return total / 1e9


def cpu_s(pid):
    """Processor time of the whole process, ended threads included, to the tick of 10 ms."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        words = file.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS
