"""Cold synchronisation and unchanged polls, beside curl, tar and the script, against the same plane."""

import os
import subprocess
import time
from statistics import median

import procfs
from bed import Failed, discard
from replay import Replay
from tools import system_calls, timed


def polls_for(applications):
    return 20 if applications <= 100 else 7 if applications <= 10_000 else 3


def cold_runs_for(applications):
    return 3 if applications <= 10_000 else 1


def files_below(folder):
    return sum(len(files) for _, _, files in os.walk(folder))


def of_size(bench, applications):
    """All figures for so many applications."""
    plane = bench.plane
    plane.landscape(applications)
    row = {"applications": applications}
    # The first read makes the plane execute the queries, and shows what an agent asks.
    agent = bench.agent(f"first-{applications}", place=bench.roomy)
    agent.take_identity(bench.paired)
    plane.forget_requests()
    agent.start()
    agent.published()
    requests = [request for request in plane.requests() if request["operation"] == "Applications"]
    row["requests"] = len(requests)
    replay = Replay(bench.path(f"replay-{applications}"), plane, bench.paired, requests)
    replay.run()
    row["files"] = files_below(os.path.realpath(f"{agent.state}/config"))

    polls(bench, agent, replay, row, polls_for(applications))
    archive = f"{bench.roomy}/files-{applications}.tar"
    agent.stop()
    subprocess.run(["tar", "-C", agent.state, "-cf", archive, "config"], check=True)
    row["file_bytes"] = os.path.getsize(archive)
    agent.remove()
    on_disk = applications <= bench.most_on_disk or bench.memory is None
    row["cold_on"] = bench.disk_type if on_disk else "tmpfs"
    places = [("", bench.folder)] if on_disk else []
    if bench.memory is not None:
        places.append(("_memory", bench.memory))
    for suffix, folder in places:
        colds(bench, row, replay, archive, suffix, folder)
        script(bench, row, suffix, folder)
    os.remove(archive)
    if not on_disk:
        for name in ["cold_s", "cold_asking_s", "cold_cpu_s", "fetch_and_write_s", "script_cold_s", "script_at_once_cold_s"]:
            row[name] = row[name.removesuffix("_s") + "_memory_s"]
    if applications <= bench.most_traced:
        traced(bench, row)
    ratios(row)
    return row


def polls(bench, agent, replay, row, count):
    """Unchanged polls and curl, in turns, so that both meet the same machine."""
    agent.unchanged()
    took, fetched, connected = [], [], []
    cpu, plane_cpu, before_curl = 0.0, 0.0, 0.0
    for _ in range(count):
        bench.plane.forget_requests()
        before, plane_before = procfs.cpu_s(agent.pid), procfs.cpu_s(bench.plane.pid)
        took.append(agent.unchanged())
        cpu += procfs.cpu_s(agent.pid) - before
        plane_cpu += procfs.cpu_s(bench.plane.pid) - plane_before
        seconds, connection, row["wire_bytes"] = replay.run()
        fetched.append(seconds)
        connected.append(connection)
    row["unchanged_s"] = median(took)
    row["unchanged_cpu_s"] = cpu / count
    row["unchanged_plane_cpu_s"] = plane_cpu / count
    row["curl_fetch_s"] = median(fetched)
    row["curl_connect_s"] = median(connected)
    row["polled_peak_kib"] = procfs.peak_kib(agent.pid)


def colds(bench, row, replay, archive, suffix, place):
    """From the start of a paired agent without files to published files; and curl with tar, in turns."""
    took, asked, cpu, peaks, other = [], [], [], [], []
    for number in range(cold_runs_for(row["applications"])):
        agent = bench.agent(f"cold{suffix}-{row['applications']}-{number}", place=place)
        agent.take_identity(bench.paired)
        bench.plane.forget_requests()
        os.sync()
        began = agent.start()
        took.append(agent.published() - began)
        cpu.append(procfs.cpu_s(agent.pid))
        peaks.append(procfs.peak_kib(agent.pid))
        asked.append(poll_milliseconds(agent) / 1000)
        agent.remove()
        folder = f"{place}/unpacked-{row['applications']}-{number}"
        os.makedirs(folder)
        os.sync()
        began = time.monotonic()
        replay.run()
        subprocess.run(["tar", "-C", folder, "-xf", archive], check=True)
        subprocess.run(["sync", "-f", folder], check=True)
        other.append(time.monotonic() - began)
        discard(folder)
    row[f"cold{suffix}_s"] = median(took)
    row[f"cold_asking{suffix}_s"] = median(asked)
    row[f"cold_cpu{suffix}_s"] = median(cpu)
    row["cold_peak_kib"] = max([row.get("cold_peak_kib", 0), *peaks])
    row["peak_kib"] = max([row["polled_peak_kib"], row.get("peak_kib", 0), *peaks])
    row[f"fetch_and_write{suffix}_s"] = median(other)


def poll_milliseconds(agent):
    """How long the agent itself says that asking took."""
    lines = [line["message"] for line in agent.lines() if line["message"].startswith("a poll took")]
    return int(lines[0].split()[3])


def script(bench, row, suffix, place):
    """The script, from nothing and once more: for it, there is no unchanged poll."""
    applications = row["applications"]
    chain, key = bench.paired.identity()
    plane = bench.plane
    here = os.path.dirname(os.path.abspath(__file__))
    # The fast one first: it makes the plane execute the queries of both.
    for how, most in [("at-once", bench.most_at_once), ("each", bench.most_each)]:
        name = {"at-once": "script_at_once", "each": "script"}[how]
        row[f"{name}_cold{suffix}_s"] = row[f"{name}_again{suffix}_s"] = None
        if applications > most:
            continue
        folder = f"{place}/scripted-{applications}-{how}"
        command = [f"{here}/script.sh", how, plane.overview["directorURL"], plane.ca, chain, key, bench.runtime]
        if how == "at-once":
            subprocess.run([*command, f"{folder}-first"], check=True)
            discard(f"{folder}-first")
        command.append(folder)
        cold = timed(command)
        row[f"{name}_cold{suffix}_s"] = cold["wall_s"]
        if files_below(folder) < applications:
            raise Failed("the script wrote too few files")
        # Replacing each file costs the same again, and takes minutes.
        again = how == "at-once" or applications <= 100
        row[f"{name}_again{suffix}_s"] = timed(command)["wall_s"] if again else None
        discard(folder)


def traced(bench, row):
    """System calls, counted by strace in runs of their own, for it slows the agent."""

    def run(polls):
        agent = bench.agent(f"traced-{row['applications']}-{polls}", place=bench.roomy)
        agent.take_identity(bench.paired)
        counts = f"{agent.folder}/counts"
        agent.start("strace", "-f", "-c", "-U", "calls,name", "-o", counts)
        agent.published()
        for _ in range(polls):
            agent.unchanged()
        agent.stop_traced()
        total = system_calls(counts)
        agent.remove()
        return total

    without, more = run(1), run(6)
    row["cold_system_calls"] = without
    row["unchanged_system_calls"] = round((more - without) / 5)


def ratios(row):
    # curl makes a connection first, which the agent has from the poll before: without it, curl looks better.
    row["unchanged_to_curl"] = row["unchanged_s"] / (row["curl_fetch_s"] - row["curl_connect_s"])
    for suffix in ["", "_memory"]:
        if f"cold{suffix}_s" not in row:
            continue
        cold = row[f"cold{suffix}_s"]
        row[f"cold_to_fetch_and_write{suffix}"] = cold / row[f"fetch_and_write{suffix}_s"]
        for name in ["script", "script_at_once"]:
            if row.get(f"{name}_cold{suffix}_s"):
                row[f"{name}_to_cold{suffix}"] = row[f"{name}_cold{suffix}_s"] / cold
            if row.get(f"{name}_again{suffix}_s"):
                row[f"{name}_to_unchanged{suffix}"] = row[f"{name}_again{suffix}_s"] / row["unchanged_s"]
