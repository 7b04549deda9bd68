"""Everything that is measured besides synchronisation."""

import os
import subprocess
import time
from statistics import median

import procfs
from bed import Failed, await_, instant
from replay import Replay
from tools import instructions, timed

POLLS_PER_HOUR = 20  # One each three minutes, the default.


def size(bench):
    """The binary as it is packaged, without symbols, and the package, where there is one."""
    stripped = bench.path("stripped")
    subprocess.run(["strip", "--strip-unneeded", "-o", stripped, bench.binary], check=True)
    debs = [f"{bench.dist}/{name}" for name in os.listdir(bench.dist) if name.endswith(".deb")] if os.path.isdir(bench.dist) else []
    plain = [deb for deb in debs if "-dbg" not in deb]
    return {
        "binary_bytes": os.path.getsize(stripped),
        "deb_bytes": os.path.getsize(max(plain, key=os.path.getmtime)) if plain else None,
    }


def idle(bench):
    """An agent with 100 applications that nobody asks anything, and what a poll adds to that."""
    applications, span = 100, 20 if bench.quick else 60
    bench.plane.landscape(applications)
    agent = bench.agent("idle", level="info")
    agent.start()
    agent.pair(bench.plane, "idle")
    agent.published()
    # Threads that wrote files linger for ten seconds.
    await_("the threads that wrote ended", lambda: time.sleep(0.2) or procfs.threads(agent.pid) == 1, agent.process, 30)
    row = {"applications": applications, "span_s": span}
    row |= procfs.memory(agent.pid)
    row |= {"threads": procfs.threads(agent.pid), "descriptors": procfs.descriptors(agent.pid)}
    woken, ran = procfs.wakeups(agent.pid), procfs.running_s(agent.pid)
    time.sleep(span)
    row["wakeups_in_span"] = procfs.wakeups(agent.pid) - woken
    ran = procfs.running_s(agent.pid) - ran
    # The main thread's, and those of the threads that looked at the files: they live for ten seconds more.
    woken_by_poll, ran_by_poll = procfs.wakeups(agent.pid), procfs.running_s(agent.pid)
    agent.unchanged()
    woken_by_poll = procfs.wakeups(agent.pid) - woken_by_poll
    ran_by_poll = procfs.running_s(agent.pid) - ran_by_poll
    row["wakeups_of_a_poll"] = woken_by_poll
    row["wakeups_per_hour"] = round(row["wakeups_in_span"] * 3600 / span + POLLS_PER_HOUR * woken_by_poll)
    row["cpu_s_per_hour"] = ran * 3600 / span + POLLS_PER_HOUR * ran_by_poll
    row |= {f"{name}_after_poll": value for name, value in procfs.memory(agent.pid).items()}
    agent.remove()
    return row


def pair(bench):
    """From a dropped token to files, with the key that planes ask for, and with one that costs next to nothing.

    The network's share is the time from each of the agent's lines "asking …" to the plane's own note that the answer
    was ready: connections, handshakes (the agent's part of them, too) and the plane's work. All else is the agent's.
    What of that is the key comes out with the RSA key, between "the Connector accepted the token" and the next request,
    and `ours` with a P-256 key, whose making is counted as ours, so that nothing else is called the key's.
    """
    bench.plane.landscape(10)
    runs = {"rsa2048": [], "ecdsa-p256": []}
    for number in range(3 if bench.quick else 7):
        for algorithm in runs:
            bench.plane.call("set", "--key-algorithm", algorithm)
            runs[algorithm].append(pair_once(bench, f"pair-{algorithm}-{number}"))
    bench.plane.call("set", "--key-algorithm", "rsa2048")
    middle = lambda algorithm, name: median(run[name] for run in runs[algorithm])
    return {
        "applications": 10,
        "total_ms": middle("rsa2048", "total"),
        "paired_ms": middle("rsa2048", "paired"),
        "key_ms": middle("rsa2048", "key"),
        "network_ms": middle("rsa2048", "network"),
        "ours_ms": middle("ecdsa-p256", "ours"),
        "ours_until_paired_ms": middle("ecdsa-p256", "ours_until_paired"),
        "p256_total_ms": middle("ecdsa-p256", "total"),
    }


def pair_once(bench, name):
    agent = bench.agent(name)
    agent.start()
    bench.plane.forget_requests()
    began = agent.pair(bench.plane, name)
    ended = agent.published()
    lines = [(instant(line["timestamp"]), line) for line in agent.lines()]
    at = lambda part: next(when for when, line in lines if part in line["message"])
    asked = {line["REQUEST_ID"]: when for when, line in lines if "REQUEST_ID" in line}
    answered = {request["request_id"]: instant(request["answered"]) for request in bench.plane.requests()}
    waits = [(when, answered[request] - when) for request, when in asked.items() if when < ended]
    paired = at("paired with")
    network = sum(wait for _, wait in waits)
    before = sum(wait for when, wait in waits if when < paired)
    key = at("asking signCertificateSigningRequest") - at("the Connector accepted")
    agent.remove()
    return {name: value * 1000 for name, value in {
        "total": ended - began, "paired": paired - began, "key": key, "network": network,
        "ours": ended - began - network, "ours_until_paired": paired - began - before,
    }.items()}


def change(bench):
    """One of many applications changes, and no disk is part of it, where there is a file system in memory."""
    return changed(bench, 1_000 if bench.quick else 10_000, bench.roomy)


def change_on_disk(bench):
    """The same on the disk, with fewer, for writing all others first takes long there."""
    return changed(bench, 100 if bench.quick else 1_000, bench.folder)


def changed(bench, applications, place):
    """From the plane's last answer to published files, when one of so many applications has changed."""
    plane = bench.plane
    plane.landscape(applications)
    agent = bench.agent(f"change-{applications}", place=place)
    agent.take_identity(bench.paired)
    agent.start()
    agent.published()
    agent.unchanged()
    plane.forget_requests()
    agent.unchanged()
    replay = Replay(bench.path(f"replay-change-{applications}"), plane, bench.paired, plane.requests())
    one = plane.admin("GET", "/applications")[applications // 2]["id"]
    ours, whole, files, links = [], [], [], []
    # From the sixth on, an old generation goes with each, as it does for the rest of a host's life: those count.
    for number in range(10):
        plane.call("change", one, "--target-url", f"https://moved-{number}.example.com")
        replay.run()  # The plane executes the queries anew.
        mark = bench.path("mark")
        open(mark, "w", encoding="ascii").close()
        time.sleep(0.02)
        took = agent.sync()[0]
        published = agent.published(number + 2)
        polled = [line for line in agent.lines() if line["message"].startswith("a poll took")]
        if number < 5:
            continue
        ours.append((published - instant(polled[-1]["timestamp"])) * 1000)
        whole.append(took)
        files.append(newer(agent.state, mark, "f"))
        links.append(newer(agent.state, mark, "l"))
    agent.remove()
    return {
        "applications": applications,
        "files_written": median(files),
        "links_written": median(links),
        "ours_ms": median(ours),
        "sync_s": median(whole),
    }


def newer(folder, mark, kind):
    """How many files (f) or links (l) below a folder are newer than a mark."""
    command = ["find", folder, "-newer", mark, "-type", kind]
    return len(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines())


TEMPLATE = """# {{ application.name }}: {{ bundle.name }}
{% for api in bundle.apis %}
URL_{{ api.key | upper | replace("-", "_") }}={{ api.target_url | env_quote }}
{% endfor %}
"""


def with_templates(bench, name, applications):
    """A paired agent with a template for each bundle, and its destination, both still to be used."""
    bench.plane.landscape(applications)
    destination = f"{bench.roomy}/{name}-files"
    os.makedirs(destination)
    rule = (
        '[[template]]\nname = "for-each-bundle"\nfor_each = "bundle"\nsource = "bundle.j2"\n'
        f'destination = "{destination}/{{{{ application.slug }}}}.{{{{ bundle.slug }}}}.env"\n'
    )
    agent = bench.agent(name, more=rule, place=bench.roomy)
    with open(f"{agent.folder}/templates/bundle.j2", "w", encoding="utf-8") as file:
        file.write(TEMPLATE)
    agent.take_identity(bench.paired)
    return agent, destination


def render(bench):
    """`render --dry-run` of 1,000 files, as a process, and the installation of 10,000 by the applier, both without a disk."""
    row = {}
    agent, _ = with_templates(bench, "render", 500)
    agent.start()
    agent.published()
    command = [bench.binary, "render", "--dry-run", "--config", agent.config]
    runs = [timed(command) for _ in range(5)]
    row["rendered_files"] = 1_000
    row["render_s"] = median(run["wall_s"] for run in runs)
    row["render_peak_kib"] = max(run["peak_kib"] for run in runs)
    agent.remove()
    files = 1_000 if bench.quick else 10_000
    agent, destination = with_templates(bench, "apply", files // 2)
    agent.start()
    published = agent.published()
    applied = instant(agent.await_line("config-changed (generation 1):")["timestamp"])
    there = len(os.listdir(destination))
    if there != files:
        raise Failed(f"{there} files were installed, not {files}")
    row |= {"applied_files": files, "apply_s": applied - published}
    agent.remove()
    return row


def polled_instructions(bench):
    """Instructions of one unchanged poll: the difference between runs with one and with three more, halved."""
    found = {}
    for applications in [100] if bench.quick else [100, 1_000]:
        bench.plane.landscape(applications)

        def run(polls):
            agent = bench.agent(f"counted-{applications}-{polls}", place=bench.roomy)
            agent.take_identity(bench.paired)
            report = f"{agent.folder}/callgrind"
            # The program itself becomes the agent: it is the process that was started.
            agent.start("valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={report}")
            agent.published()
            for _ in range(polls):
                agent.unchanged()
            agent.stop()
            total = instructions(report)
            agent.remove()
            return total

        run_once = run(1)
        found[applications] = round((run(3) - run_once) / 2)
    return found
