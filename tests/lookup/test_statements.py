"""What the columns say that cases state, against the cases read one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.example_cases import make_case

from medembed.cases import Case, Finding
from medembed.library import CaseLibrary
from medembed.lookup.agreement import NO_REPORT, STATEMENT_BITS, age_agreement, finding_table
from medembed.lookup.statements import Statements
from medembed.lookup.terms import Term, TermKind
from medembed.notes import read_note

TEXTS = [
    "FINDINGS: Large right pleural effusion. No pneumothorax.",
    "IMPRESSION: No pleural effusion. Possible left pneumothorax.",
    "HISTORY: Effusion in the past.\nIMPRESSION: Previously seen effusion has resolved.",
    "IMPRESSION: Normal.",
    None,
]
TERMS = [
    Term(TermKind.FINDING, "effusion"),
    Term(TermKind.FINDING, "effusion", status="absent"),
    Term(TermKind.FINDING, "effusion", side="left"),
    Term(TermKind.FINDING, "pneumothorax", status="uncertain"),
    Term(TermKind.FINDING, "fracture"),
]


def cases() -> list[Case]:
    rng = np.random.default_rng(4)
    found = []
    for i in range(60):
        text = TEXTS[i % 5]
        kept = {"body_part": ["CHEST", "Chest", "KNEE", "unknown"][i % 4]} if i % 3 else {}
        if i % 7 == 0:
            kept["BodyPart"] = "SKULL"
        found.append(
            make_case(
                i,
                note=read_note(text) if text else None,
                findings=(Finding("effusion", "left"),) if i % 4 == 1 else (),
                sex=["F", "M", "unknown"][i % 3],
                age_years=None if i % 6 == 0 else float(rng.integers(0, 90)),
                attributes=kept,
            )
        )
    return found


def bits_of(case: Case, label: str, recorded: bool) -> int:
    said = case.note.assertions if case.note else ()
    findings = case.findings if recorded else ()
    bits = 0 if said or findings else NO_REPORT
    for one in said:
        if one.label == label and not one.historical:
            bits |= STATEMENT_BITS[one.status, one.side]
    for finding in findings:
        if finding.label == label:
            bits |= STATEMENT_BITS["present", finding.side]
    return bits


def body_part(case: Case) -> str:
    parts = [case.attributes[name] for name in sorted(case.attributes)]
    return parts[-1] if parts else "unknown"


@pytest.mark.parametrize("recorded", [True, False])
def test_columns_say_what_each_case_states(tmp_path: Path, recorded: bool) -> None:
    made = cases()
    with CaseLibrary.create(tmp_path / "l") as library:
        library.add(made)
        order = [made[i] for i in np.random.default_rng(1).permutation(60)[:50]]
        names = [*(case.case_id for case in order), "not in the library"]
        statements = Statements(library, names, recorded=recorded)
        silent = 1
        for case in order:
            silent += bool(bits_of(case, "effusion", recorded) & NO_REPORT)
        assert statements.n_silent == silent
        for term in TERMS:
            right = [finding_table(term)[bits_of(case, term.value, recorded)] for case in order]
            assert statements.agreement_with(term).tolist() == [*right, 0.0]
        for kind, code, value in (
            (TermKind.SEX, "f", lambda case: case.sex),
            (TermKind.BODY_PART, "chest", body_part),
            (TermKind.MODALITY, "CR", lambda case: case.modality),
        ):
            right = [
                0.0
                if value(case) == "unknown"
                else 1.0
                if value(case).lower() == code.lower()
                else -1.0
                for case in order
            ]
            found = statements.agreement_with(Term(kind, code, codes=(code,)))
            assert found.tolist() == [*right, 0.0]
        ages = np.array([np.nan if c.age_years is None else c.age_years for c in order])
        term = Term(TermKind.AGE, "60", years=(60.0, 60.0))
        right = age_agreement(ages.astype(np.float32), (60.0, 60.0))
        assert np.array_equal(statements.agreement_with(term)[:-1], right, equal_nan=True)
        assert [statements.row(name) for name in names] == list(range(51))
