"""Audits of the embedded cohort, without and with harm planted in one group: the whole way.

    python tests/simulation/planted_harm.py OUT --harm noisier-images

Images, training, search and audit, as ``medembed demo`` and ``medembed audit`` go it. The page of
the report is written to OUT, and what the audit says of the group to stdout.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from evaluation.library_audit import Protocol, TextSide, audit_library, load_protocol
from evaluation.report import write_report
from medembed.config import load_config
from medembed.library import CaseLibrary, ingest
from medembed.model import DualEncoder, embed_library
from medembed.model.report_text import note_text
from medembed.sources import open_source
from medembed.sources.synthetic import Bias, CohortConfig, write_cohort
from medembed.sources.synthetic.config import PREVALENCE
from medembed.training import train

SEED = 4
"""Not one that settings were chosen on (1), nor that of docs/results/demo.md (2)."""

HARMS: dict[str, Bias | None] = {
    "none": None,
    "noisier-images": Bias({"sex": "F"}, noisier_images=12.0),
    "under-reported": Bias({"sex": "F"}, under_reported=0.5),
    "prevalence": Bias({"sex": "F"}, prevalence=dict.fromkeys(PREVALENCE, 0.3)),
}


def audited(
    folder: Path,
    harm: str,
    protocol: Protocol,
    *,
    n_studies: int = 1500,
    epochs: int | None = None,
    seed: int = SEED,
) -> dict[str, Any]:
    """Make a cohort, train on it, and audit the search of its test split.

    In one thread: where something else computes as well, two wait for each other most of the time.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            return _audited(folder, harm, protocol, n_studies, epochs, seed)
    finally:
        torch.set_num_threads(before)


def _audited(
    folder: Path, harm: str, protocol: Protocol, n_studies: int, epochs: int | None, seed: int
) -> dict[str, Any]:
    config = CohortConfig(
        n_studies=n_studies, seed=seed, views={"PA": 0.7, "AP": 0.3}, bias=HARMS[harm]
    )
    cohort = write_cohort(folder / "cohort", config, workers=2)
    settings = load_config("demo")
    if epochs is not None:
        settings = settings.model_copy(update={"epochs": epochs})
    with CaseLibrary.open(folder / "library", create=True) as library:
        ingest(library, open_source(cohort.dicom, "dicom", notes=cohort.reports))
        model = DualEncoder.load(train(library, settings).folder)
        embed_library(library, model)
        return audit_library(
            library, protocol, text_side=TextSide(note_text, model.encode_notes), day=None
        )


def against_rest(report: dict[str, Any], part: str, group: str) -> list[dict[str, Any]]:
    """Rows of a group against the rest, of the outcomes or of a further section."""
    rows = report["outcomes"]["table"] if part == "outcomes" else report[part]["rows"]
    return [
        row for row in rows if row["group"] == group and row.get("comparison", "rest") == "rest"
    ]


def main() -> None:
    """Write one report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("out", type=Path, help="folder of the report")
    parser.add_argument("--harm", choices=list(HARMS), required=True)
    parser.add_argument("--studies", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="planted-"))
    try:
        report = audited(
            scratch, asked.harm, load_protocol("audit"), n_studies=asked.studies, seed=asked.seed
        )
    finally:
        shutil.rmtree(scratch)
    write_report(report, asked.out)
    shown = ("outcome", "measure", "estimate", "gap", "p_adjusted", "verdict")
    rows = [
        {key: row.get(key) for key in shown}
        for part in ("outcomes", "label_quality")
        for row in against_rest(report, part, "F")
    ]  # fmt: skip
    sys.stdout.write(json.dumps({"gate": report["gate"], "F": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
