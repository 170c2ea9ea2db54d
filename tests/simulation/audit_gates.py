"""All gates of the fairness audit in turn: what each asks, what was found, and a page of it.

    make audit-gates                       # everything at full size: about five hours on one core
    make audit-gates ARGS="--scale 0.02"   # the same way in a few minutes, with wide errors
    make audit-gates ARGS="--only G1 G4"

Each gate is a script of its own beside this one. Its JSON is kept under ``build/audit-gates``, so
that gates run one by one come together; ``--page FILE`` writes the page. Leaves with 1 where a gate
that was run is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
Found = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One figure: what it is of, what was found, what is asked, and whether it holds.

    ``holds`` is None where nothing is asked: the figure stands beside one of which something is.
    """

    what: str
    found: str
    asked: str
    holds: bool | None
    n: str


def percent(held: Found) -> str:
    """A share and its standard error."""
    return f"{held['share']:.1%} ({held['error']:.1%})"


def rate(what: str, held: Found, asked: str, holds: bool | None) -> Row:
    """Row of a share."""
    return Row(what, percent(held), asked, holds, f"{held.get('n', held.get('cohorts')):,}")


def upper(held: Found) -> float:
    """Upper end of the exact (Clopper–Pearson) 95% interval of a share."""
    from scipy.stats import beta

    n = held["n"]
    k = round(held["share"] * n)
    return 1.0 if k == n else float(beta.ppf(0.975, k + 1, n - k))


def g1(found: Found) -> Iterator[Row]:
    """False alarms."""
    for name, held in found.items():
        above = upper(held)
        row = rate(name, held, "at most 5%, upper bound at most 7%", above <= 0.07)
        yield Row(row.what, f"{row.found}, upper bound {above:.1%}", row.asked, row.holds, row.n)


def g2(found: Found) -> Iterator[Row]:
    """Coverage, by size of the group."""
    for name, held in found.items():
        large = int(name.split()[0]) >= 50
        asked = "93.5% to 96.5%" if large else "at least 93%"
        holds = 0.935 <= held["share"] <= 0.965 if large else held["share"] >= 0.93
        yield rate(name, held, asked, holds)


def g2_sections(found: Found) -> Iterator[Row]:
    """Coverage of the intervals of sections."""
    for name, held in found.items():
        yield rate(name, held, "93.5% to 96.5%", 0.935 <= held["share"] <= 0.965)


def g3(found: Found) -> Iterator[Row]:
    """Power."""
    for name, held in found.items():
        least = 0.6 if "primary" in name else 0.9
        yield rate(name, held, f"at least {least:.0%}", held["share"] >= least)


def g4(found: Found) -> Iterator[Row]:
    """Confounding."""
    asked: dict[str, tuple[str, Callable[[float], bool]]] = {
        "fair, flagged adjusted": ("at most 7%", lambda x: x <= 0.07),
        "harm of 0.05, found adjusted": ("at least 80%", lambda x: x >= 0.8),
    }
    for name, held in found.items():
        if "value" in held:
            said = f"{held['value']:+.4f} ({held['error']:.4f})"
            yield Row(name, said, "at most 0.005", abs(held["value"]) <= 0.005, f"{held['n']:,}")
        elif name in asked:
            words, fits = asked[name]
            yield rate(name, held, words, fits(held["share"]))
        else:
            yield rate(name, held, "", None)


def g5(found: Found) -> Iterator[Row]:
    """Exposure."""
    for name, held in found.items():
        n, fair = held["cohorts"], "fair" in name
        for key, what in (("flagged_verdict", "verdict"), ("flagged_p", "p alone")):
            share = held[key]
            error = (max(share * (1 - share), 1 / n) / n) ** 0.5
            verdict = key == "flagged_verdict"
            asked = ("at most 5%" if fair else "at least 90%") if verdict else ""
            holds = (share <= 0.05 if fair else share >= 0.9) if verdict else None
            yield rate(f"{name}, {what}", {"share": share, "error": error, "n": n}, asked, holds)


def g6(found: Found) -> Iterator[Row]:
    """Leakage."""
    for name, held in found.items():
        for probe in ("linear", "nonlinear"):
            one, n = held[probe], f"{held['cohorts']:,}"
            said = f"AUC {one['auc_mean']:.3f} ({one['auc_standard_error']:.3f})"
            if name == "null":
                near = abs(one["auc_mean"] - 0.5) <= 0.03
                yield Row(f"null, {probe}", said, "0.5 ± 0.03", near, n)
                even = one["p_uniform_ks"]
                yield Row(
                    f"null, {probe}, p uniform (KS)", f"p {even:.2f}", "uniform", even > 0.01, n
                )
                cover = one["interval_holds_best"]
                yield Row(f"null, {probe}, interval holds .5", f"{cover:.1%}", "", None, n)
            elif probe == "nonlinear" or name == "planted":
                near = abs(one["auc_mean"] - held["best"]) <= 0.02
                best = f"best possible {held['best']:.3f} ± 0.02"
                yield Row(f"{name}, {probe}", said, best, near, n)


def g7(found: Found) -> Iterator[Row]:
    """Swapped words."""
    for name, held in found.items():
        n = f"{held['cohorts']:,}"
        if name == "planted":
            within = held["estimates_within_10_percent"]
            ratio, error = (held[f"estimate_over_truth{end}"] for end in ("", "_standard_error"))
            said, near = f"{ratio:.3f} ({error:.3f})", abs(ratio - 1) <= 0.1
            yield Row("planted, estimate over truth", said, "0.9 to 1.1", near, n)
            yield Row("planted, single estimates within 10%", f"{within:.1%}", "", None, n)
        elif name == "invariant":
            none = held["flags"] == 0
            yield Row("invariant encoder, flags", str(held["flags"]), "0", none, n)
        else:  # any word moves it, in no direction: a nominal test
            share, error = held["flagged"], held["standard_error"]
            few = share <= 0.05
            yield Row(f"{name} encoder", f"{share:.1%} ({error:.1%})", "at most 5%", few, n)


def g8(found: Found) -> Iterator[Row]:
    """Undefined measures, and points that agree."""
    one, two = found["G8"], found["G11"]
    n = f"{one['tables']:,}"
    yield Row("numbers or verdicts without ground", str(one["faults"]), "0", one["faults"] == 0, n)
    far = two["largest_difference"]
    peers = "G11: difference from fairlearn's and scikit-learn's points"
    yield Row(peers, f"{far:.1e}", "1e-12", far <= 1e-12, f"{two['tables']:,}")
    far = two["largest_difference_of_rankings"]
    peers = "G11: difference from ir-measures' R@k (Success@k), P@k, MRR (RR), nDCG@k, by query"
    yield Row(peers, f"{far:.1e}", "1e-12", far <= 1e-12, f"{two['tables']:,}")
    turned = two["reruns_that_differ"]
    yield Row("G11: reruns that differ in a bit", str(turned), "0", turned == 0, n)


def g9(found: Found) -> Iterator[Row]:
    """Disclosure."""
    for name, held in found.items():
        small, told, before = (
            held[key] for key in ("small_counts", "told", "told_without_rounding")
        )
        said = f"{told} of {small:,} small counts told"
        yield Row(name, said, "at most 0.5%", told <= 0.005 * small, f"{held['n']:,}")
        said = f"{before} of {small:,}"
        yield Row(f"{name}: merged and not rounded", said, "", None, f"{held['n']:,}")


def g10(found: Found) -> Iterator[Row]:
    """Cost."""
    size = f"{found['queries']:,} queries, {found['patients']:,} patients"
    load = f"load {found['load']:.1f}"
    took, peak = found["seconds"], found["peak_gib"]
    yield Row(f"{size}: time ({load})", f"{took:.0f} s", "at most 60 s", took <= 60, "1")
    yield Row(f"{size}: memory", f"{peak:.1f} GiB", "at most 4 GB", peak * 1.0737 <= 4, "1")
    peer = found["fairlearn_seconds_per_repetition"]
    yield Row("fairlearn, one repetition of its bootstrap", f"{peer:.0f} s", "", None, "1")


def g12(found: Found) -> Iterator[Row]:
    """Mitigation."""
    for name, held in found["sham"].items():
        one = held["improved"]
        yield rate(f"sham, {name}: improves a group", one, "at most 5%", one["share"] <= 0.05)
        yield rate(f"sham, {name}: by a t-test of images", held["images_t"], "", None)
    for name, held in found["real"].items():
        yield rate(f"{name}: said to be improved", held["target"], "", None)
        yield rate(f"{name}: recommended", held["recommended"], "", None)


def beside(found: Found) -> Iterator[Row]:
    """Three ways on the same cohorts."""
    titles = {
        "fairlearn": "fairlearn's bootstrap",
        "images": "t-test of images, or four fifths",
        "patients": "this audit",
    }
    for name, held in found.items():
        for what, one in held.items():
            yield rate(f"{titles.get(name, name)}: {what}", one, "", None)


@dataclass(frozen=True)
class Gate:
    """A script, its size, and how its JSON is read."""

    title: str
    script: str
    cohorts: int
    read: Callable[[Found], Iterator[Row]]
    more: tuple[str, ...] = ()


GATES = {
    "G1": Gate("False alarms", "inference", 1000, g1, ("--gate", "G1")),
    "G2": Gate("Coverage of 95% intervals", "inference", 1000, g2, ("--gate", "G2")),
    "G2-sections": Gate("Coverage of all other intervals", "sections", 1000, g2_sections),
    "G3": Gate("Power", "inference", 1000, g3, ("--gate", "G3")),
    "G4": Gate("Confounding", "inference", 1000, g4, ("--gate", "G4")),
    "G5": Gate("Exposure", "exposure", 1000, g5),
    "G6": Gate("Leakage", "leakage", 500, g6),
    "G7": Gate("Swapped words", "counterfactual", 1000, g7),
    "G8": Gate("Undefined measures; G11 agreement", "undefined", 500, g8),
    "G9": Gate("Disclosure", "disclosure", 1000, g9),
    "G10": Gate("Cost", "cost", 0, g10),
    "G12": Gate("Mitigation", "mitigation", 1000, g12),
    "beside": Gate("Side by side with the usual ways", "side_by_side", 1000, beside),
}


def command(gate: Gate, scale: float, seed: int) -> list[str]:
    """The call of a gate's script, its size times ``scale``."""
    size = ["--cohorts", str(max(2, round(gate.cohorts * scale)))] if gate.cohorts else []
    if gate.script == "side_by_side":
        size += ["--slow-cohorts", str(max(2, round(50 * scale)))]
    if gate.script == "cost" and scale < 1:
        n = max(2000, round(1_000_000 * scale))
        size = ["--queries", str(n), "--patients", str(n // 4)]
    script = str(HERE / f"audit_gates_{gate.script}.py")
    return [sys.executable, script, *gate.more, *size, "--seed", str(seed)]


def run(gate: Gate, scale: float, seed: int) -> Found:
    """Run a gate; its figures, as its script prints them."""
    paths = os.pathsep.join([str(HERE.parents[1]), str(HERE.parent)])
    threads = "2" if gate.script == "cost" else "1"
    done = subprocess.run(
        command(gate, scale, seed),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": threads},
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))  # HiGHS prints now and then


def rows_of(name: str, found: Found) -> list[Row]:
    """Read a gate's figures."""
    asides = {"gate", "seed", "cohorts", "draws", "worst_sham_improved"}
    return list(GATES[name].read({k: v for k, v in found.items() if k not in asides}))


def page(results: dict[str, Found]) -> str:
    """Markdown of all gates that were run."""
    lines = [
        "# The gates of the fairness audit",
        "",
        "Made by `make audit-gates`; not written by hand. Simulated cohorts validate the",
        "instrument only; they are no claim about patients. In brackets the standard error of",
        "the simulation.",
    ]
    for name, gate in GATES.items():
        if name not in results:
            continue
        title = gate.title if name == "beside" else f"{name} {gate.title}"
        lines += ["", f"## {title}", ""]
        lines += ["| setting | found | asked | | cohorts |", "|---|---|---|---|---|"]
        for row in rows_of(name, results[name]):
            held = "" if row.holds is None else ("holds" if row.holds else "**missed**")
            lines.append(f"| {row.what} | {row.found} | {row.asked} | {held} | {row.n} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run what is asked; 1 where a gate is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", nargs="*", choices=list(GATES), help="these gates")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the full size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/audit-gates"))
    parser.add_argument("--page", type=Path, help="write the page of all that is in --out")
    parser.add_argument("--no-run", action="store_true", help="read what --out holds")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    chosen = asked.only or list(GATES)
    missed = 0
    for name in chosen:
        kept = asked.out / f"{name}.json"
        if not asked.no_run:
            kept.write_text(json.dumps(run(GATES[name], asked.scale, asked.seed), indent=1) + "\n")
        if not kept.is_file():
            continue
        for row in rows_of(name, json.loads(kept.read_text())):
            missed += row.holds is False
            state = {None: "", True: "holds", False: "MISSED"}[row.holds]
            sys.stdout.write(f"{name:6} {row.what}: {row.found}  {row.asked}  {state}\n")
            sys.stdout.flush()
    if asked.page:
        held = {n: asked.out / f"{n}.json" for n in GATES}
        asked.page.write_text(
            page({n: json.loads(p.read_text()) for n, p in held.items() if p.is_file()})
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
