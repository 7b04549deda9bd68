"""The one table that is printed: what, how much, what was aimed at."""


def number(value, digits=3):
    """Three significant digits, without an exponent."""
    if value is None:
        return "-"
    if isinstance(value, int) or value >= 100:
        return f"{round(value):,}"
    return f"{value:.{max(0, digits - len(str(int(value))))}f}" if value >= 1 else f"{value:.3f}"


def mib(kib):
    return f"{kib / 1024:.1f} MiB"


class Rows:
    def __init__(self):
        self.rows = []

    def add(self, what, value, aim=None, met=None):
        verdict = "" if met is None else ("yes" if met else "NO")
        self.rows.append((what, value, aim or "", verdict))

    def text(self):
        rows = [("what", "figure", "aim", "met"), *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        line = lambda row: f"| {row[0]:<{widths[0]}} | {row[1]:>{widths[1]}} | {row[2]:<{widths[2]}} | {row[3]:<{widths[3]}} |"
        rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
        return "\n".join([line(rows[0]), rule, *map(line, rows[1:])])


def table(found):
    rows, host = Rows(), found["machine"]
    head = (
        f"{host['agent']} ({host['commit']}), {host['rustc']}; {host['date']}\n"
        f"{host['processors']} × {host['processor']}, {host['memory_bytes'] / 2**30:.0f} GiB, Linux {host['kernel']}, "
        f"{host['file_system']}, load {host['load_at_start']:.1f}\n"
        f"{host['curl']}; {host['jq']}; {host['bash']}\n"
    )
    for name, part in [("size", of_size), ("idle", of_idle), ("pair", of_pair), ("sync", of_sync), ("change", of_change),
                       ("change_on_disk", of_change_on_disk),
                       ("render", of_render), ("broker", of_broker)]:
        if name in found:
            part(rows, found[name])
    return f"{head}\n{rows.text()}\n"


def of_size(rows, size):
    binary, deb = size["binary_bytes"] / 1e6, size["deb_bytes"]
    rows.add("binary, stripped", f"{binary:.2f} MB", "≤ 6 MB", binary <= 6)
    if deb is not None:
        rows.add("package (.deb)", f"{deb / 1e6:.2f} MB", "≤ 2.5 MB", deb <= 2.5e6)


def of_idle(rows, idle):
    what = f"idle, {idle['applications']} applications: "
    if idle["pss_kib"] is None:
        rows.add(what + "PSS", "- (only root may look)", "≤ 6 MB")
    else:
        rows.add(what + "PSS", mib(idle["pss_kib"]), "≤ 6 MB", idle["pss_kib"] * 1024 <= 6e6)
        rows.add("  of that: its own, and no page of the program", mib(idle["pss_anonymous_kib"]))
    rows.add(what + "RSS", mib(idle["rss_kib"]))
    rows.add(what + "threads, descriptors", f"{idle['threads']}, {number(idle['descriptors'])}")
    rows.add(what + f"wake-ups in {idle['span_s']} s", number(idle["wakeups_in_span"]))
    rows.add(what + "wake-ups per hour, 20 polls included", number(idle["wakeups_per_hour"]))
    rows.add(what + "CPU per hour, 20 polls included", f"{idle['cpu_s_per_hour']:.2f} s")


def of_pair(rows, pair):
    rows.add("token dropped to files, RSA 2048", f"{number(pair['total_ms'])} ms")
    rows.add("  of that: the key", f"{number(pair['key_ms'])} ms")
    rows.add("  of that: network and plane", f"{number(pair['network_ms'])} ms")
    rows.add("token dropped to files, ours (with a P-256 key)", f"{number(pair['ours_ms'])} ms", "≤ 50 ms",
             pair["ours_ms"] <= 50)


def of_sync(rows, sizes):
    for row in sizes:
        what = f"{row['applications']:,} applications: "
        seconds = lambda name: f"{number(row[name])} s"
        rows.add(what + "unchanged poll", seconds("unchanged_s"))
        rows.add(what + "curl, the same requests", f"{seconds('curl_fetch_s')} ({number(row['curl_connect_s'])} connecting)")
        rows.add(what + "unchanged poll to curl, connecting left out", f"{row['unchanged_to_curl']:.2f}", "≤ 1.3",
                 row["unchanged_to_curl"] <= 1.3)
        rows.add(what + "processor of an unchanged poll, agent / plane",
                 f"{number(row['unchanged_cpu_s'])} / {number(row['unchanged_plane_cpu_s'])} s")
        for suffix, where in [("", row["cold_on"]), ("_memory", "tmpfs")]:
            if f"cold{suffix}_s" in row and (suffix or where != "tmpfs"):
                of_cold(rows, row, what, suffix, where)
        aim = {10_000: 64, 100_000: 256}.get(row["applications"])
        rows.add(what + "peak memory", f"{mib(row['peak_kib'])} (cold {mib(row['cold_peak_kib'])})", f"≤ {aim} MB" if aim else None,
                 row["peak_kib"] * 1024 <= aim * 1e6 if aim else None)
        rows.add(what + "requests, on the wire, files", f"{row['requests']:,}, {row['wire_bytes'] / 1e6:.2f} MB, {row['files']:,}")
        if "cold_system_calls" in row:
            rows.add(what + "system calls, cold / unchanged",
                     f"{row['cold_system_calls']:,} / {row['unchanged_system_calls']:,}")
    first, last = sizes[0], sizes[-1]
    if len(sizes) > 2:
        base = next((row for row in sizes if row["applications"] == 1_000), first)
        growth = lambda name: (last[name] / base[name]) / (last["applications"] / base["applications"])
        if last is not base:
            rows.add(f"{last['applications']:,} to {base['applications']:,}, per application: cold, unchanged",
                     f"{growth('cold_memory_s' if 'cold_memory_s' in base else 'cold_s'):.2f}, {growth('unchanged_s'):.2f}", "linear: about 1")


def of_cold(rows, row, what, suffix, where):
    seconds = lambda name: f"{number(row[name + suffix + '_s'])} s"
    rows.add(what + f"cold ({where})", f"{seconds('cold')} (asking {seconds('cold_asking')}, processor {seconds('cold_cpu')})")
    ratio = row[f"cold_to_fetch_and_write{suffix}"]
    rows.add(what + f"cold to curl, tar and sync ({where})", f"{ratio:.2f} ({seconds('fetch_and_write')})", "≤ 2", ratio <= 2)
    for name, how in [("script", "replacing each file"), ("script_at_once", "made fast")]:
        if f"{name}_to_cold{suffix}" in row:
            factor, aimed = row[f"{name}_to_cold{suffix}"], name == "script" and row["applications"] == 1_000
            rows.add(what + f"script, {how}, to cold ({where})", f"{factor:.1f} × ({seconds(name + '_cold')})",
                     "≥ 20 ×" if aimed else None, factor >= 20 if aimed else None)
        if f"{name}_to_unchanged{suffix}" in row:
            factor = row[f"{name}_to_unchanged{suffix}"]
            rows.add(what + f"script, {how}, again, to unchanged poll ({where})", f"{factor:.0f} × ({seconds(name + '_again')})")


def of_change_on_disk(rows, change):
    of_change(rows, change, " (disk)")


def of_change(rows, change, where=""):
    what = f"one of {change['applications']:,} changed{where}: "
    rows.add(what + "from the answer to files", f"{number(change['ours_ms'])} ms")
    rows.add(what + "files, links written", f"{change['files_written']:,}, {change['links_written']:,}")


def of_render(rows, render):
    rows.add(f"render --dry-run of {render['rendered_files']:,} files", f"{number(render['render_s'])} s")
    rows.add(f"installing {render['applied_files']:,} files", f"{number(render['apply_s'])} s")


def of_broker(rows, broker):
    rows.add(f"broker: catalogs of {broker['services']} services ({broker['catalog_bytes'] / 1e3:.0f} kB)",
             f"{number(broker['catalogs_per_s'])} /s")
    rows.add("broker: bindings accepted", f"{number(broker['binds_accepted_per_s'])} /s")
    rows.add("broker: bindings with credentials", f"{number(broker['binds_per_s'])} /s")
