"""Kill operations on a library at every named write step, and check that nothing is lost.

Run from the project's root::

    python tests/benchmarks/kill_nine.py --rounds 3000 > docs/results/crash.md

A step is a call that makes something lasting (``fsync``, ``replace``, ``create``, a statement that
changes the database). Each operation is first run once to list its steps. Then a fork of this
process is ended at one of them: killed before it, killed after it, killed with the unsynced end of
the file cut off, at any time by the clock, or with a full disk from this step on. After each, the
library is opened and verified, everything acknowledged is compared, the operation is repeated, and
the library is verified again. Full disks are also made by a small file system in memory, where the
user may mount one.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.crash_steps import Fault
from support.crash_trials import OPERATIONS, Trials

KINDS = ("before", "after", "torn", "full")
ANY_TIME = 0.1
"""Share of the rounds that are killed by the clock."""

HEAD = """\
# What a crash leaves

`python tests/benchmarks/kill_nine.py --rounds {rounds} --seed {seed}` · {machine} · load average
{before} before, {after} after

{total} rounds over {steps} write steps of {operations} operations: {killed} ended by `kill -9` at a
step or by the clock, {torn} with the unsynced end of a file cut off, {full} with a full disk
{mounted}. Acknowledged and lost, or unreadable: **{wrong}**. Opening afterwards took
{median:.2f} s (median) and {most:.2f} s (most) for the small library of the trials.

| operation | steps | before | after | torn | full disk | any time |
|---|---|---|---|---|---|---|
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="one operation")
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    before = os.getloadavg()[0]
    names = [name for name in OPERATIONS if asked.only in ("", name)]
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(Path(folder) / "trials")
        steps = {name: trials.steps(name) for name in names}
        n_mounted = small_disk(trials, names, chance, max(1, asked.rounds // 30), wrong)
        rounds = asked.rounds - n_mounted
        for name, at, kind in planned(steps, rounds, chance):
            if kind == "any time":
                found = trials.crash_any_time(name, chance.random() * 1.2)
            else:
                found = trials.crash(name, Fault(at, kind, chance.random()))
            if found:
                wrong.append(found)
                sys.stderr.write(f"{found}\n")
    report(asked, trials, steps, wrong, before, n_mounted)
    if wrong:
        raise SystemExit(1)


def planned(
    steps: dict[str, list[str]], rounds: int, chance: random.Random
) -> list[tuple[str, int, str]]:
    """Choose the rounds: every step in every kind as often as the others, in a random order."""
    every = [
        (name, at, kind)
        for name, found in steps.items()
        for at in range(len(found))
        for kind in KINDS
    ]
    n_any = int(rounds * ANY_TIME)
    chosen = [(chance.choice(list(steps)), 0, "any time") for _ in range(n_any)]
    while len(chosen) < rounds:
        chosen += chance.sample(every, min(len(every), rounds - len(chosen)))
    chance.shuffle(chosen)
    return chosen


def small_disk(
    trials: Trials, names: list[str], chance: random.Random, rounds: int, wrong: list[str]
) -> int:
    """Run operations on a file system that is nearly full; return in how many rounds."""
    disk = trials.folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        return 0
    try:
        for i in range(rounds):
            name = names[i % len(names)]
            found = trials.fill_disk(name, disk, int(chance.random() ** 2 * 2**20))
            if found:
                wrong.append(found)
                sys.stderr.write(f"{found}\n")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    return rounds


def report(
    asked: argparse.Namespace,
    trials: Trials,
    steps: dict[str, list[str]],
    wrong: list[str],
    before: float,
    n_mounted: int,
) -> None:
    kinds: Counter[str] = Counter()
    cells: Counter[tuple[str, str]] = Counter()
    for (name, _, kind), count in trials.counts.items():
        kinds[kind] += count
        cells[name, kind] += count
    seconds = sorted(trials.seconds) or [0.0]
    head = HEAD.format(
        rounds=asked.rounds,
        seed=asked.seed,
        machine=f"{os.cpu_count()} CPUs, {platform.system()}, Python {platform.python_version()}",
        before=f"{before:.2f}",
        after=f"{os.getloadavg()[0]:.2f}",
        total=sum(kinds.values()),
        steps=sum(map(len, steps.values())),
        operations=len(steps),
        killed=kinds["before"] + kinds["after"] + kinds["any time"],
        torn=kinds["torn"],
        full=kinds["full"] + kinds["small disk"],
        mounted=f"({n_mounted} of them on a file system of 64 MiB)" if n_mounted else "(simulated)",
        wrong=len(wrong),
        median=seconds[len(seconds) // 2],
        most=seconds[-1],
    )
    sys.stdout.write(head)
    for name, found in steps.items():
        counted = [cells[name, kind] for kind in ("before", "after", "torn")]
        full = cells[name, "full"] + cells[name, "small disk"]
        row = (name, len(found), *counted, full, cells[name, "any time"])
        sys.stdout.write(f"| {' | '.join(map(str, row))} |\n")
    sys.stdout.write("\n## The steps\n\n| operation | step | in it | rounds |\n|---|---|---|---|\n")
    for name, found in steps.items():
        for step, times in Counter(found).items():
            n = sum(c for (op, what, _), c in trials.counts.items() if (op, what) == (name, step))
            sys.stdout.write(f"| {name} | `{step}` | {times} | {n} |\n")
    for line in wrong:
        sys.stdout.write(f"\nFAILED: {line}\n")


if __name__ == "__main__":
    main()
