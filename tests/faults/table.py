#!/usr/bin/env python3
"""Makes one table, and one JSON file, of what the cases of the fault campaign have written down, a line of JSON each."""

import json
import platform
import subprocess
import sys


class Family:
    def __init__(self):
        self.cases, self.broken, self.missed, self.longest, self.skipped = 0, [], 0, 0.0, None
        # How many there are in all; chance makes the cases of some families, without end.
        self.listed = None

    def take(self, line):
        if "skipped" in line:
            self.skipped = line["skipped"]
        elif "listed" in line:
            self.listed = line["listed"]
        elif "missed" in line:
            self.missed += 1
        else:
            self.cases += 1
            self.longest = max(self.longest, line["seconds"])
            if line["breaches"]:
                self.broken.append(line)

    def row(self, name):
        note = f"not run: {self.skipped}" if self.skipped else ""
        listed = "" if self.skipped else "endless" if self.listed is None else str(self.listed)
        return name, str(self.cases), listed, str(self.missed), str(len(self.broken)), f"{self.longest:.1f} s", note

    def summary(self):
        return {"cases": self.cases, "listed": self.listed, "nothing_went_wrong": self.missed,
                "longest_seconds": self.longest, "skipped": self.skipped, "broken": self.broken}


def commit():
    said = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return said.stdout.strip() or None


def table(families):
    rows = [("family", "cases", "of", "missed", "broken", "longest", "")]
    rows += [family.row(name) for name, family in sorted(families.items())]
    cases, missed, broken = (sum(int(row[column]) for row in rows[1:]) for column in (1, 3, 4))
    rows.append(("all", str(cases), "", str(missed), str(broken), "", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    line = lambda row: "  ".join(
        cell.ljust(width) if column in (0, 6) else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths))
    ).rstrip()
    return "\n".join(map(line, rows))


def main(lines, out):
    families, runs = {}, set()
    with open(lines, encoding="utf-8") as file:
        for line in map(json.loads, file):
            families.setdefault(line["family"], Family()).take(line)
            if "run" in line:
                runs.add(line["run"])
    found = {
        "commit": commit(), "kernel": platform.release(), "seeds": sorted(runs),
        "families": {name: family.summary() for name, family in sorted(families.items())},
    }
    with open(out, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)
        file.write("\n")
    print(f"\n{table(families)}\n\nSeed {', '.join(map(str, sorted(runs)))}; all of it in {out}")


if __name__ == "__main__":
    main(*sys.argv[1:])
