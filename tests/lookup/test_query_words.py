"""A text search honors what the words deny, their side and degree, and the attributes they name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from lookup.known_library import FINGERPRINT, Oracle, fill, vector
from support.example_cases import make_case

from medembed.cases import Finding
from medembed.errors import QueryError
from medembed.index import open_index
from medembed.index.exact import cosine
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup
from medembed.lookup.agreement import STATEMENT_BITS, finding_table
from medembed.lookup.fused import AGREEMENT_WEIGHT
from medembed.lookup.statements import Statements
from medembed.lookup.terms import Term, TermKind, read_terms
from medembed.notes import load_vocabulary, read_note

REPORTS = {
    "large-left": "Large left effusion.",
    "small-left": "Small left effusion.",
    "right": "Right effusion.",
    "unsided": "Pleural effusion.",
    "doubtful": "Possible pleural effusion.",
    "silent": "Cardiomegaly.",
    "denied": "No pleural effusion.",
    "earlier": "Pneumothorax. Previously seen effusion has resolved.",
    "both": "Left effusion. Cardiomegaly.",
}
NAMES = [*REPORTS, "no-report"]
ALIKE = vector(3)


@pytest.fixture
def alike(tmp_path: Path):
    """Cases with one and the same image vector: only what they state tells them apart."""
    with CaseLibrary.create(tmp_path / "alike") as opened:
        opened.add(
            make_case(
                number,
                case_id=name,
                note=read_note(REPORTS[name]) if name in REPORTS else None,
                findings=(),
                sex="F" if number % 2 else "M",
                age_years=float(20 + 10 * number),
                view="PA" if number % 3 else "AP",
            )
            for number, name in enumerate(NAMES)
        )
        opened.put_vectors(FINGERPRINT, "image", NAMES, np.stack([ALIKE] * len(NAMES)))
        yield opened


def found(library: CaseLibrary, text: str, **options) -> list[str]:
    result = CaseLookup(library, Oracle()).search(text=text, k=len(NAMES), **options)
    return [hit.case_id for hit in result.hits]


def agreements(library: CaseLibrary, text: str) -> dict[str, float]:
    result = CaseLookup(library, Oracle()).search(text=text, k=len(NAMES))
    return {hit.case_id: hit.evidence.parts["agreement"] for hit in result.hits}


def test_a_denied_finding_ranks_denied_then_not_mentioned_then_doubtful_then_stated(alike) -> None:
    agreed = agreements(alike, "no pleural effusion")
    assert agreed["denied"] > agreed["silent"] > agreed["no-report"] == 0
    assert agreed["no-report"] > agreed["doubtful"] > agreed["unsided"]
    assert agreed["unsided"] == agreed["small-left"] == agreed["both"] == -1
    ranked = found(alike, "no pleural effusion")
    assert ranked[0] == "denied"
    assert set(ranked[-5:]) == {"large-left", "small-left", "right", "unsided", "both"}


def test_one_finding_without_another_honors_both(alike) -> None:
    ranked = found(alike, "effusion without cardiomegaly")
    stating = {"large-left", "small-left", "right", "unsided"}
    assert set(ranked[:4]) == stating
    assert ranked.index("silent") > ranked.index("both") > 3  # "silent" has it the wrong way round


def test_the_side_counts_and_an_unknown_side_counts_in_part(alike) -> None:
    agreed = agreements(alike, "left effusion")
    assert agreed["large-left"] == agreed["small-left"] == 1
    assert 1 > agreed["unsided"] > agreed["right"] > agreed["denied"] == -1


def test_the_degree_counts(alike) -> None:
    agreed = agreements(alike, "large left effusion")
    assert agreed["large-left"] == 1
    assert agreed["large-left"] > agreed["both"] > agreed["small-left"] > 0


def test_attributes_are_soft_and_said_and_can_be_left_out(alike) -> None:
    text = "effusion in a 40-year-old woman, PA view"
    lookup = CaseLookup(alike, Oracle())
    result = lookup.search(text=text, k=3)
    assert str(result.plan.notes[-2]).startswith("read as: effusion, view PA, sex F, age about 40")
    assert len(lookup.search(text=text, k=100).hits) == len(NAMES)  # none is filtered out
    less = lookup.search(text=text, k=3, ignore=["sex F", "age about 40"])
    assert [str(term) for term in less.terms.terms] == ["effusion", "view PA"]
    read_as = json.loads(json.dumps(less.to_json()))["plan"]["read_as"]
    assert read_as["ignored"] == ["sex F", "age about 40"]
    assert [term["name"] for term in read_as["terms"]] == ["effusion", "view PA"]
    agreed = agreements(alike, "woman")
    assert set(agreed.values()) == {-1.0, 1.0}


def test_a_literal_search_scores_the_cosine_of_the_text_as_written(library) -> None:
    text = "no effusion in a woman"
    result = CaseLookup(library, Oracle()).search(text=text, k=7, literal=True)
    query = vector(sum(map(ord, text)) % 1000)
    scores = [float(cosine(query, vector(int(h.case_id[5:]))[np.newaxis])[0]) for h in result.hits]
    assert [hit.score for hit in result.hits] == pytest.approx(scores, abs=1e-6)
    assert result.agreement_weight == 0
    assert not result.terms.terms


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("no effusion", None),
        ("right effusion in a 40-year-old man", "age>=30"),
        ("effusion without cardiomegaly", ["age<60", "sex!=F"]),
    ],
)
@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_the_score_is_the_mean_of_cosine_and_agreement_over_every_case(
    library, text, where, kind
) -> None:
    open_index(library, FINGERPRINT, kind)
    lookup = CaseLookup(library, Oracle())
    result = lookup.search(text=text, where=where, k=9, bm25=False)
    names = lookup.index.index.case_ids
    read = read_terms(read_note(text), load_vocabulary())
    agreement = Statements(library, names).agreement(read.terms)
    code = lambda words: vector(sum(map(ord, words)) % 1000).astype(float)  # noqa: E731
    if not read.denied:
        query = code(read.affirmed)
    elif not read.affirmed:
        query = -code(read.denied)
    else:
        query = code(read.affirmed) - 0.5 * code(read.denied)
        query /= np.linalg.norm(query)
    slow = {
        name: (1 - AGREEMENT_WEIGHT) * float(query @ vector(int(name[5:])))
        + AGREEMENT_WEIGHT * float(agreement[row])
        for row, name in enumerate(names)
        if name in set(library.find(where))
    }
    best = sorted(slow, key=lambda name: (-slow[name], name))[:9]
    assert [hit.case_id for hit in result.hits] == best
    assert [hit.score for hit in result.hits] == pytest.approx([slow[n] for n in best], abs=1e-6)
    assert result.plan.method == "exact"
    assert result.plan.matching == len(slow)


def test_a_whole_report_is_compared_as_it_is(library) -> None:
    report = "No effusion. " + "The lungs are clear and the heart is of normal size today. " * 3
    oracle = Oracle()
    result = CaseLookup(library, oracle).search(text=report, k=3)
    assert result.agreement_weight == 0
    assert oracle.texts == [report.strip()]


def test_cases_without_a_readable_report_are_counted(alike) -> None:
    result = CaseLookup(alike, Oracle()).search(text="no effusion", k=3)
    assert "1 case without a readable report" in str(result.plan.notes[-1])


def test_a_view_that_no_case_has_is_said(alike) -> None:
    result = CaseLookup(alike, Oracle()).search(text="lateral chest radiograph, effusion", k=3)
    assert "no case here has" in " / ".join(map(str, result.plan.notes))


def test_ignoring_what_was_not_read_is_refused_and_names_what_was(alike) -> None:
    lookup = CaseLookup(alike, Oracle())
    with pytest.raises(QueryError) as caught:
        lookup.search(text="no effusion", ignore="sex F")
    assert caught.value.hint == "it was read as: no effusion"
    with pytest.raises(QueryError):
        lookup.search(case="right", ignore=["sex F"])


def test_a_denial_left_out_no_longer_moves_the_vector(alike) -> None:
    oracle = Oracle()
    CaseLookup(alike, oracle).search(
        text="effusion without cardiomegaly", ignore=["no cardiomegaly"]
    )
    assert oracle.texts == ["effusion"]


def test_a_text_part_of_weight_0_does_not_score(alike) -> None:
    result = CaseLookup(alike, Oracle()).search(
        text="no effusion", case="right", weights={"text": 0, "case": 1}
    )
    assert result.agreement_weight == 0


def test_what_a_replaced_case_states_is_read_again(alike) -> None:
    lookup = CaseLookup(alike, Oracle())
    assert lookup.search(text="no effusion", k=1).hits[0].case_id == "denied"
    case = alike.case("denied")
    alike.add(
        [
            make_case(
                6, case_id="denied", patient_id=case.patient_id, note=read_note("Left effusion.")
            )
        ],
        replace=True,
    )
    alike.put_vectors(FINGERPRINT, "image", ["denied"], ALIKE[np.newaxis])
    hit = next(h for h in lookup.search(text="no effusion", k=20).hits if h.case_id == "denied")
    assert hit.evidence.parts["agreement"] == -1


def test_recorded_findings_count_for_a_case_without_report(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "labels") as opened:
        opened.add(
            [
                make_case(0, note=None, findings=(Finding("effusion", "left"),)),
                make_case(1, note=None, findings=()),
            ]
        )
        columns = Statements(opened, ["case-0", "case-1"])
        absent = Term(TermKind.FINDING, "effusion", "absent")
        assert columns.agreement([absent]).tolist() == [-1.0, 0.0]
        assert columns.n_silent == 1


def test_a_finding_denied_on_each_side_is_denied() -> None:
    left, right = STATEMENT_BITS["absent", "left"], STATEMENT_BITS["absent", "right"]
    table = finding_table(Term(TermKind.FINDING, "effusion", "absent"))
    assert table[left | right] == table[STATEMENT_BITS["absent", ""]] == 1
    assert table[left] < 1


def test_a_text_out_of_depth_is_said_and_a_known_word_is_not(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "library") as opened:
        fill(opened, 40)
        lookup = CaseLookup(opened, Oracle())
        strange = lookup.search(text="fettuccine recipe")
        assert strange.out_of_depth
        assert strange.to_json()["plan"]["out_of_depth"] is True
        assert not lookup.search(text="normal study number").out_of_depth  # words of the reports
        assert not lookup.search(text="pneumothorax").out_of_depth  # known, though in no report
        assert not lookup.search(text="fettuccine in a woman").out_of_depth
        assert not lookup.search(text="heart and chest").out_of_depth  # plain words, in no report
        assert lookup.search(text="?!").out_of_depth
        assert lookup.search(text="recette des fettuccine aux champignons").out_of_depth


def test_without_reports_nothing_is_said_of_depth(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "library") as opened:
        opened.add(make_case(i, note=None) for i in range(3))
        opened.put_vectors(FINGERPRINT, "image", ["case-0"], vector(0)[np.newaxis])
        assert not CaseLookup(opened, Oracle()).search(text="fettuccine recipe").out_of_depth
