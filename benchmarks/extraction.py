"""
How fast is a page of an API made a DataFrame, beside the package of 2021?

``python -m benchmarks.extraction [--rounds 5]`` extracts a real page of 1,707 rows x 16 columns
with api2db 1.0.1, in an environment of its own, and with this package: the same form with lambdas,
and one with paths. All take the page decoded and return a DataFrame; the results must be equal.
Prints the medians, and exits with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "demo" / "data" / "usgs_all_week_2018-02-07.geojson"
FORM = ROOT / "benchmarks" / "extraction_form.py"
REQUIREMENTS = ROOT / "requirements" / "original.txt"
ORIGINAL = ROOT / ".cache" / "original-venv"
#: Extractions in one process.
REPEATS = 15


@dataclass(frozen=True)
class Way:
    """One thing to measure; *goal*: how many times as fast as the package of 2021."""

    title: str
    python: str
    form: str
    goal: float | None = None


def original() -> str:
    """Return the interpreter that has the package of 2021; install it at the first call."""
    python, done = ORIGINAL / "bin" / "python", ORIGINAL / ".ready"
    wanted = REQUIREMENTS.read_text()
    if not done.is_file() or done.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(ORIGINAL)], check=True)
        install = [str(python), "-m", "pip", "--disable-pip-version-check", "-q", "install"]
        subprocess.run([*install, "--require-hashes", "-r", str(REQUIREMENTS)], check=True)
        done.write_text(wanted)
    return str(python)


def measure(way: Way, page: Path) -> tuple[float, str]:
    """Return the median time of *way*, in seconds, in a new process; and its result's digest."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if way.goal is not None:
        env["PYTHONPATH"] = str(ROOT)
    command = [way.python, str(FORM), str(page), way.form, str(REPEATS)]
    ended = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE)
    found = json.loads(ended.stdout)
    return statistics.median(found["seconds"]), found["digest"]


def main() -> int:
    """Measure in alternating rounds; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    ways = [
        Way("api2db 1.0.1, lambdas", original(), "lambdas"),
        Way("lambdas", sys.executable, "lambdas", 2.0),
        Way("paths", sys.executable, "paths", 5.0),
    ]
    times: dict[Way, list[float]] = {way: [] for way in ways}
    digests = set()
    for _ in range(options.rounds):
        for way in ways:
            seconds, digest = measure(way, options.page)
            times[way].append(seconds)
            digests.add(digest)
    if len(digests) > 1:
        print("the results are not equal")
        return 1
    return report(times)


def report(times: dict[Way, list[float]]) -> int:
    """Print a line for each way; return 1 if one misses its goal."""
    base = statistics.median(next(iter(times.values())))
    missed = 0
    for way, seconds in times.items():
        took = statistics.median(seconds)
        line = f"{way.title:22} {took * 1000:6.2f} ms"
        if way.goal is not None:
            line += f"  {base / took:5.1f} times as fast (goal {way.goal:g})"
            if base / took < way.goal:
                line, missed = f"{line}  MISSED", 1
        print(line)
    return missed


if __name__ == "__main__":
    sys.exit(main())
