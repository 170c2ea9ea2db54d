"""Conditions answered by columns against those answered by SQL."""

from __future__ import annotations

import gc
import threading
import weakref
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.example_cases import make_case

from medembed.cases import Case, Finding
from medembed.columns import CaseFilter, column
from medembed.columns.column import fold
from medembed.columns.conditions import meeting
from medembed.errors import ConditionError, MedEmbedError
from medembed.index import CaseIndex
from medembed.library import CaseLibrary, Condition, parse_condition
from medembed.notes import Note

TEXTS = ["unknown", "w", "W", "Ä", "ä", "İ", "ß", "x\x00y", "x\x00z", "4", "4.0", "1e1", "ſ", "~"]
VALUES = [*TEXTS, "UNKNOWN", "f", "PA", "case-1", "CASE-1", "P-0", "g\x001", "test", "CR", "nan"]
DAYS = [None, date(999, 1, 1), date(2019, 1, 1), date(2019, 1, 2), date(2021, 6, 30)]
FIELDS = ["case", "patient", "group", "split", "sex", "modality", "view", "kind", "race", "site"]
FIELDS += ["scanner", "Level", "level", "id", "none such"]
FINDINGS = [
    Finding("effusion", "left"),
    Finding("effusion", "bilateral"),
    Finding("effusion"),
    Finding("ödem", "right"),
]
ORDER = ["<", "<=", ">", ">="]

contents = st.fixed_dictionaries(
    {
        "sex": st.sampled_from(["F", "M", "O", "unknown"]),
        "age_years": st.sampled_from([None, 0.0, 0.1 + 0.2, 59.9, 60.0, 130.0]),
        "study_date": st.sampled_from(DAYS),
        "race": st.sampled_from(TEXTS),
        "site": st.sampled_from(TEXTS),
        "view": st.sampled_from(["PA", "pa", "unknown"]),
        "findings": st.lists(st.sampled_from(FINDINGS), max_size=3).map(tuple),
        "attributes": st.dictionaries(
            st.sampled_from(["Level", "level", "id"]), st.sampled_from(TEXTS), max_size=3
        ),
        "note": st.sampled_from([None, Note("Right effusion."), Note("Érguss; none")]),
        "group_id": st.sampled_from(["", "g", "g\x001", "G\x001"]),
    }
)
several = st.lists(st.sampled_from(VALUES), min_size=1, max_size=3).map(tuple)
EQUAL = st.sampled_from(["=", "!=", "in", "not in"])
conditions = st.one_of(
    st.builds(Condition, st.sampled_from(FIELDS), EQUAL, several),
    st.builds(
        Condition,
        st.sampled_from(["Level", "id", "LEVEL"]),
        st.sampled_from(ORDER),
        st.sampled_from([(4.0,), (-1.0,), (10.0,)]),
    ),
    st.builds(
        Condition,
        st.just("age"),
        EQUAL,
        st.lists(st.sampled_from([None, 0.3, 59.9, 60, 2**60]), min_size=1, max_size=2).map(tuple),
    ),
    st.builds(
        Condition,
        st.just("age"),
        st.sampled_from(ORDER),
        st.sampled_from([(60.0,), (0.3,), (0.0,), (130,)]),
    ),
    st.builds(
        Condition,
        st.just("date"),
        EQUAL,
        st.lists(st.sampled_from([None, "2019-01-01", "2019-01-02"]), min_size=1, max_size=2).map(
            tuple
        ),
    ),
    st.builds(
        Condition,
        st.just("date"),
        st.sampled_from(ORDER),
        st.sampled_from([("2019-01-02",), ("0999-01-01",), ("2030-01-01",)]),
    ),
    st.builds(
        Condition,
        st.just("finding"),
        EQUAL,
        st.lists(
            st.sampled_from(["effusion", "effusion:left", "effusion:right", "ödem", "none"]),
            min_size=1,
            max_size=2,
        ).map(tuple),
    ),
    st.builds(Condition, st.just("note"), st.just("~"), st.sampled_from([("effusion",), ("x",)])),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 15), contents),
        st.tuples(st.just("erase"), st.integers(0, 7), st.none()),
        st.tuples(st.just("reopen"), st.just(0), st.none()),
    ),
    min_size=1,
    max_size=10,
)


def index_of(names: list[str]) -> CaseIndex:
    return CaseIndex.build(np.ones((len(names), 1)), names)


def found_by(
    kept: CaseFilter, library: CaseLibrary, index: CaseIndex, asked: list[Condition]
) -> tuple[object, object]:
    """The cases of an index that the columns find, and those that SQL finds."""
    try:
        by_sql: object = set(library.find(asked)) & set(index.case_ids)
    except MedEmbedError as error:
        by_sql = type(error)
    try:
        mask = kept.mask(index, asked)
        by_columns: object = {index.case_ids[row] for row in np.flatnonzero(mask)}
    except MedEmbedError as error:
        by_columns = type(error)
    return by_columns, by_sql


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(todo=steps, asked=st.lists(st.lists(conditions, max_size=3), min_size=2, max_size=6))
def test_columns_find_what_sql_finds_whatever_happens_to_the_library(
    tmp_path_factory: pytest.TempPathFactory,
    todo: list[tuple[str, int, dict[str, object]]],
    asked: list[list[Condition]],
) -> None:
    with CaseLibrary.create(tmp_path_factory.mktemp("lib") / "l") as library:
        kept = CaseFilter(library)
        index = index_of([])
        for what, number, content in todo:
            if what == "add":
                library.add([make_case(number, **content)], replace=True)
            elif what == "erase" and f"P-{number}" in library.patients().values():
                with library.database.write() as db:
                    db.execute("DELETE FROM cases WHERE patient_id = ?", (f"P-{number}",))
            elif what == "reopen":
                kept = CaseFilter(library)
            if number % 3:  # an index is often behind the library
                index = index_of([*library.find(), "never there"])
            by_columns, by_sql = found_by(kept, library, index, asked[number % len(asked)])
            assert by_columns == by_sql
        for one in asked:
            by_columns, by_sql = found_by(kept, library, index, one)
            assert by_columns == by_sql


def crowd(n: int) -> list[Case]:
    return [
        make_case(i, site=f"site {i % 3}", attributes={"study_id": f"S-{i // 2}", "level": str(i)})
        for i in range(n)
    ]


def test_identifying_texts_are_kept_as_hashes_and_found_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(column, "_MOST_VALUES", 4)
    with CaseLibrary.create(tmp_path / "l") as library:
        library.add(crowd(12))
        for kept in (CaseFilter(library), CaseFilter(library)):  # built, and read from its file
            index = index_of(library.find())
            for asked in ("study_id=s-3", "study_id!=S-3", "patient=p-2", "case in case-1,CASE-7"):
                by_columns, by_sql = found_by(kept, library, index, [parse_condition(asked)])
                assert by_columns == by_sql
            by_columns, by_sql = found_by(
                kept, library, index, [parse_condition("level>=5")]
            )  # by SQL
            assert by_columns == by_sql
            library.add(crowd(14))
        files = [path for path in (tmp_path / "l" / "index").rglob("*") if path.is_file()]
        stored = b"".join(path.read_bytes() for path in files)
        assert b"site 2" in stored
        for name in (b"case-7", b"P-2", b"S-3"):
            assert name not in stored


def test_nocase_of_sqlite_is_what_fold_says(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "l") as library:
        db = library.database.read()
        texts = [*VALUES, "X\x00Y", "x\x00yy", "x", "g", "", "Ａ", "ａ"]
        for one in texts:
            for other in texts:
                (equal,) = db.execute("SELECT ? = ? COLLATE NOCASE", (one, other)).fetchone()
                assert (fold(one) == fold(other)) == bool(equal), (one, other)


def test_an_empty_library_has_no_case_that_meets_anything(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "l") as library:
        kept = CaseFilter(library)
        assert kept.mask(index_of([]), "sex=F").shape == (0,)
        assert kept.mask(index_of(["gone"]), "sex!=F").tolist() == [False]
        with pytest.raises(ConditionError, match="unknown field"):
            kept.mask(index_of([]), "level=3")


def test_a_case_that_came_back_is_found_again_by_an_index_that_did_not_change(
    tmp_path: Path,
) -> None:
    with CaseLibrary.create(tmp_path / "l") as library:
        library.add(make_case(i) for i in range(4))
        kept, index = CaseFilter(library), index_of(library.find())
        assert kept.mask(index, "sex=F").tolist() == [False, True, False, True]
        with library.database.write() as db:
            db.execute("DELETE FROM cases WHERE case_id = 'case-1'")
        assert kept.mask(index, "sex=F").tolist() == [False, False, False, True]
        library.add([make_case(1)])
        assert kept.mask(index, "sex=F").tolist() == [False, True, False, True]


def test_a_condition_is_answered_once_for_as_long_as_no_case_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Condition] = []

    def counted(*given: object) -> object:
        asked.append(given[1])  # type: ignore[arg-type]
        return meeting(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("medembed.columns.case_filter.meeting", counted)
    with CaseLibrary.create(tmp_path / "l") as library:
        library.add(make_case(i) for i in range(4))
        kept, index = CaseFilter(library), index_of(library.find())
        for _ in range(3):
            kept.mask(index, ["sex=F", "age>=2"])
        library.put_vectors("f", "image", library.find(), np.eye(4))  # changes no case
        kept.mask(index, "age>=2")
        assert len(asked) == 2
        library.add([make_case(5)])
        kept.mask(index, "age>=2")
        assert len(asked) == 3


@pytest.mark.slow
def test_searching_threads_beside_a_writer_see_one_state_of_the_library_each(
    tmp_path: Path,
) -> None:
    with CaseLibrary.create(tmp_path / "l") as library:
        library.add(make_case(i, site="a", race="a") for i in range(60))
        kept, index = CaseFilter(library), index_of(library.find())
        wrong: list[int] = []
        stop = threading.Event()

        def look() -> None:
            while not stop.is_set():
                # all cases change at once, from a to b and back: never both, never none
                wrong.extend(
                    int(n)
                    for n in (
                        kept.mask(index, ["site=a", "race=b"]).sum(),
                        kept.mask(index, ["site=a", "note~x"]).sum(),
                    )
                    if n
                )

        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        for turn in range(10):
            one = "b" if turn % 2 == 0 else "a"
            library.add(
                (make_case(i, site=one, race=one) for i in range(60)), replace=True, batch=100
            )
        stop.set()
        for thread in threads:
            thread.join()
        assert not wrong
        assert kept.mask(index, "site=a").all()


def test_one_filter_is_shared_by_all_who_search_a_library_and_goes_with_it(tmp_path: Path) -> None:
    library = CaseLibrary.create(tmp_path / "l")
    library.add([make_case(1)])
    shared = weakref.ref(CaseFilter.of(library))
    assert CaseFilter.of(library) is shared()
    assert CaseFilter.of(library).mask(index_of(["case-1"]), "sex=F").tolist() == [True]
    library.close()
    del library
    gc.collect()
    assert shared() is None
