"""medembed audit TABLE: a table of any system's outcomes, its protocol, and its report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner, Result

from evaluation import TableProtocol, audit_outcomes, audit_table, load_table_protocol
from medembed.cli import build
from medembed.errors import ConfigError, InputError

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "audit.md"
DECLARED: dict[str, Any] = {
    "attributes": ["sex", "site"],
    "outcomes": ["hit", "rank_score"],
    "describe": {"hit": {"title": "a fitting case among 5", "harm": "a fitting case is missed"}},
    "strata": ["finding"],
    "primary": [{"attribute": "sex", "group": "F", "outcome": "hit"}],
    "expected": {"site": ["a", "nowhere"]},
    "instrument": {"cohorts": 0},
    "repetitions": 200,
    "permutations": 99,
}


def outcomes(gap: float = 0.25, n: int = 1200) -> pd.DataFrame:
    """Two queries a patient; women find less by ``gap``; site c has three patients."""
    rng = np.random.default_rng(7)
    half = n // 2
    sex = rng.choice(["F", "M", ""], half, p=[0.45, 0.5, 0.05]).repeat(2)
    site = np.where(np.arange(half) < 3, "c", rng.choice(["a", "b"], half)).repeat(2)
    rate = np.where(sex == "F", 0.75 - gap, 0.75)
    scores = np.where(rng.random(n) < 0.05, np.nan, rng.random(n))
    return pd.DataFrame(
        {
            "patient_id": [f"{row // 2:05d}" for row in range(n)],
            "sex": sex,
            "site": site,
            "finding": rng.choice(["x", "y"], n),
            "hit": (rng.random(n) < rate).astype(int),
            "rank_score": scores,
        }
    )


@pytest.fixture
def protocol(tmp_path: Path) -> Path:
    path = tmp_path / "declared.yaml"
    path.write_text(yaml.safe_dump(DECLARED), encoding="utf-8")
    return path


def saved(table: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def run(table: Path, protocol: Path, out: Path, *options: str) -> Result:
    call = ["audit", str(table), "--protocol", str(protocol), "--out", str(out), *options]
    return CliRunner().invoke(build(), call)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_every_file_gives_what_audit_outcomes_gives_of_the_frame(
    tmp_path: Path, protocol: Path, suffix: str
) -> None:
    table = outcomes()
    golden = audit_outcomes(
        table, ["hit", "rank_score"], ["sex", "site"], strata=["finding"], intersections=(),
        primary=[("sex", "F", "hit")], repetitions=200, permutations=99,
    )  # fmt: skip
    path = saved(table, tmp_path / f"outcomes{suffix}")
    report = audit_table(path, load_table_protocol(protocol))
    assert report["outcomes"]["table"] == golden.to_json()["table"]
    assert report["gate"]["passed"] == golden.gate().passed


def test_the_report_is_written_and_says_which_sections_need_a_library(
    tmp_path: Path, protocol: Path
) -> None:
    table = saved(outcomes(), tmp_path / "outcomes.csv")
    done = run(table, protocol, tmp_path / "out", "--gate")
    assert done.exit_code == 3, done.output
    assert "1200 queries of 600 patients" in done.output
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"audit.html", "audit.json", "audit.csv", "model-card.md"}
    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert "a fitting case among 5" in page.casefold()
    assert "this section needs a library" in page
    report = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert report["exposure"] is report["leakage"] is report["mitigation"] is None
    assert report["stamp"]["protocol_name"] == "declared"
    assert report["missing"]["absent"] == [
        "No query of the group 'nowhere' of site is in the table."
    ]
    assert [row["n_patients"] for row in report["missing"]["unknown"]][1] == 0


def test_a_fair_table_passes_its_gate(tmp_path: Path, protocol: Path) -> None:
    declared = DECLARED | {"margin": 0.2, "outcomes": ["hit"], "strata": []}
    protocol.write_text(yaml.safe_dump(declared), encoding="utf-8")
    table = saved(outcomes(gap=0.0, n=4000), tmp_path / "outcomes.csv")
    assert run(table, protocol, tmp_path / "out", "--gate").exit_code == 0


def test_no_group_of_1_to_10_patients_is_counted_in_the_report(
    tmp_path: Path, protocol: Path
) -> None:
    table = saved(outcomes(), tmp_path / "outcomes.csv")
    text = json.dumps(audit_table(table, load_table_protocol(protocol)))
    counts = [int(n) for n in re.findall(r'"n_patients": (\d+)', text)]
    assert counts
    assert not [n for n in counts if 0 < n < 11]


def test_an_undated_rerun_is_the_same_to_the_byte(tmp_path: Path, protocol: Path) -> None:
    table = saved(outcomes(n=400), tmp_path / "outcomes.csv")
    for out in ("one", "two"):
        assert run(table, protocol, tmp_path / out, "--undated").exit_code == 0
    for name in ("audit.html", "audit.json", "audit.csv", "model-card.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_options_of_a_protocol_are_those_of_audit_outcomes(
    tmp_path: Path, protocol: Path
) -> None:
    table = outcomes()
    rng = np.random.default_rng(1)
    table["years"] = rng.integers(1, 90, len(table) // 2).repeat(2)
    table["stands_for"] = rng.integers(1, 5, len(table) // 2).repeat(2)
    table["ward"] = np.arange(len(table)) // 2 % 20
    chosen: dict[str, Any] = {
        "reference": {"years": "18 to under 65"}, "bands": {"years": [18, 65]},
        "weight": "stands_for", "cluster": "ward", "ratio_margin": 2.0,
    }  # fmt: skip
    asked: dict[str, Any] = {"attributes": ["sex", "years"], "outcomes": ["hit"]}
    golden = audit_outcomes(
        table, **asked, **chosen, strata=["finding"], primary=[("sex", "F", "hit")],
        intersections=(), repetitions=200, permutations=99,
    )  # fmt: skip
    changed = DECLARED | asked | chosen | {"expected": {"years": ["18 to under 65", "under 1"]}}
    protocol.write_text(yaml.safe_dump(changed), encoding="utf-8")
    path = saved(table, tmp_path / "outcomes.csv")
    assert run(path, protocol, tmp_path / "out").exit_code == 0
    report = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert report["outcomes"]["table"] == golden.to_json()["table"]
    assert report["missing"]["absent"] == [
        "No query of the group 'under 1' of years is in the table."
    ]
    assert report["outcomes"]["settings"]["weight"] == "stands_for"
    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert "18 to under 65" in page
    plain = load_table_protocol(protocol)
    for name, value in chosen.items():
        other = plain.model_copy(update={name: TableProtocol.model_fields[name].get_default(
            call_default_factory=True)})  # fmt: skip
        assert value
        assert other.digest != plain.digest, name
    table.loc[3, "years"] = -1
    table["years"] = table["years"].astype(object)
    table.loc[5, "years"] = "old"
    done = run(saved(table, tmp_path / "wrong.csv"), protocol, tmp_path / "none")
    assert done.exit_code == 2
    line = done.stderr.splitlines()[-1]
    assert "years: values that are not finite numbers: 1, the first in data row 6" in line


def test_the_page_says_the_units_weights_margins_and_references_that_were_declared(
    tmp_path: Path, protocol: Path
) -> None:
    table = outcomes()
    owner = pd.factorize(table["patient_id"])[0]
    table["ward"], table["w"] = owner % 12, 1 + owner % 3
    group = str(sorted(table["site"].dropna().unique())[0])
    chosen = {
        "cluster": "ward", "weight": "w", "ratio_margin": 1.5, "reference": {"site": group},
        "margin": 1,
    }  # fmt: skip
    protocol.write_text(yaml.safe_dump(DECLARED | chosen), encoding="utf-8")
    done = run(saved(table, tmp_path / "t.csv"), protocol, tmp_path / "out")
    assert "Comparisons of a group with the rest or its reference: " in done.output
    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", re.sub("<[^>]+>", "", page))
    for words in (
        "Clusters of patients (ward) are the units, each group is compared with everyone else, or "
        "with the reference group that the protocol names",
        "clustered by ward", "permuting clusters", "bootstrap-t over clusters",
        "Estimates and gaps are weighted by w", "So was one rate up to 1.5 times another",
        "has to keep to 1.5 as well", "Conditional on the cases of this table",
    ):  # fmt: skip
        assert words in text
    for words in ("Patients are the units", "A query never finds itself", "clustered by patient"):
        assert words not in text
    card = (tmp_path / "out" / "model-card.md").read_text(encoding="utf-8")
    assert "The search finds past cases" not in card


def test_an_earlier_audit_by_the_same_protocol_is_compared(tmp_path: Path, protocol: Path) -> None:
    first = saved(outcomes(gap=0.0), tmp_path / "first.csv")
    second = saved(outcomes(gap=0.3), tmp_path / "second.csv")
    assert run(first, protocol, tmp_path / "one").exit_code == 0
    done = run(second, protocol, tmp_path / "two", "--before", str(tmp_path / "one"), "--json")
    rows = json.loads(done.stdout)["drift"]["rows"]
    new = {(row["group"], row["outcome"]) for row in rows if row["turn"] == "new"}
    assert ("F", "hit") in new
    protocol.write_text(yaml.safe_dump(DECLARED | {"margin": 0.1}), encoding="utf-8")
    done = run(second, protocol, tmp_path / "three", "--before", str(tmp_path / "one"))
    assert done.exit_code == 2
    assert "another protocol" in done.stderr


def test_ids_that_differ_by_leading_zeros_are_two_patients(tmp_path: Path) -> None:
    table = outcomes(n=400)
    table["patient_id"] = [
        str(row // 2) if row < 200 else f"0{row // 2 - 100}" for row in range(400)
    ]
    declared = TableProtocol(
        attributes=("sex",), outcomes=("hit",), instrument={"cohorts": 0}, permutations=99
    )
    report = audit_table(saved(table, tmp_path / "t.csv"), declared)
    assert report["stamp"]["n_patients"] == 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hit": None}, "columns missing: hit"),
        ({"patient_id": ""}, "queries without a patient"),
        ({"patient_id": "N/A"}, "queries without a patient"),
        ({"hit": "often"}, "hit: values that are not finite numbers: 400, the first in row 2"),
    ],
)
def test_a_table_that_does_not_fit_is_one_line(
    tmp_path: Path, protocol: Path, change: dict[str, str | None], message: str
) -> None:
    table = outcomes(n=400)
    for name, value in change.items():
        table = table.drop(columns=name) if value is None else table.assign(**{name: value})
    done = run(saved(table, tmp_path / "t.csv"), protocol, tmp_path / "out")
    assert done.exit_code == 2
    line = done.stderr.splitlines()[-1]
    assert line.startswith("medembed: ")
    assert message in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["TABLE"], "needs --protocol FILE"),
        (["TABLE", "--protocol", "P", "--by", "sex"], "--by: needs a LIBRARY"),
        (["TABLE", "--protocol", "P", "--against", "m"], "--against: needs a LIBRARY"),
        (["TABLE", "--protocol", "nowhere.yaml"], "nowhere.yaml: not valid YAML"),
        (["NOWHERE"], "neither a library nor a table"),
        (["P", "--protocol", "P"], "not a table"),
    ],
)
def test_a_call_that_does_not_fit_is_one_line(
    tmp_path: Path, protocol: Path, options: list[str], message: str
) -> None:
    table = saved(outcomes(n=40), tmp_path / "t.csv")
    places = {"TABLE": str(table), "P": str(protocol), "NOWHERE": str(tmp_path / "none")}
    call = ["audit", *(places.get(one, one) for one in options), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(build(), call)
    assert done.exit_code == 2
    assert message in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attributes": []}, "attributes"),
        ({"outcomes": None}, "outcomes"),
        ({"colour": "red"}, "colour"),
        ({"margin": -1}, "margin"),
        ({"describe": {"miss": {}}}, "describe names 'miss'"),
        ({"expected": {"race": ["x"]}}, "expected names 'race'"),
        ({"intersections": [["sex", "race"]]}, "intersections names 'race'"),
        ({"primary": [{"attribute": "race", "outcome": "hit"}]}, "primary names 'race'"),
        ({"primary": [{"attribute": "sex", "outcome": "miss"}]}, "primary names 'miss'"),
        ({"minimum": {"reported": 60, "precise": 50}}, "minimum.precise"),
        ({"ratio_margin": 1}, "ratio_margin"),
        ({"reference": {"race": "White"}}, "reference names 'race'"),
        ({"bands": {"age": [40]}}, "bands names 'age'"),
    ],
)
def test_a_protocol_that_does_not_fit_names_the_key(
    protocol: Path, change: dict[str, Any], message: str
) -> None:
    protocol.write_text(yaml.safe_dump(DECLARED | change), encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        load_table_protocol(protocol)
    assert "\n" not in str(caught.value)


def test_the_digest_is_of_what_is_declared_and_not_of_the_name(protocol: Path) -> None:
    declared = load_table_protocol(protocol)
    assert declared.model_copy(update={"name": "other"}).digest == declared.digest
    assert declared.model_copy(update={"margin": 0.1}).digest != declared.digest


def test_the_protocol_of_the_guide_is_valid() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    declared = [yaml.safe_load(block) for block in blocks if "outcomes:" in block]
    assert declared
    for values in declared:
        TableProtocol.model_validate(values)


class Column:
    """A column as polars has it: no ndim, an array by ``__array__``, None for missing values."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Any:
        return iter(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.values, dtype=dtype)


class Frame:
    """A frame that is none of pandas."""

    def __init__(self, table: pd.DataFrame) -> None:
        plain = table.astype(object).where(table.notna(), None)
        self.columns = {name: Column(plain[name].tolist()) for name in table}

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]


def test_a_frame_of_another_library_gives_what_pandas_gives() -> None:
    table = outcomes(n=400)
    asked: dict[str, Any] = {"repetitions": 200, "permutations": 0}
    golden = audit_outcomes(table, ["hit", "rank_score"], ["sex", "site"], **asked)
    found = audit_outcomes(Frame(table), ["hit", "rank_score"], ["sex", "site"], **asked)
    assert found.to_json() == golden.to_json()


def test_a_directory_of_parquet_is_no_table(tmp_path: Path) -> None:
    declared = TableProtocol(attributes=("sex",), outcomes=("hit",))
    with pytest.raises(InputError, match="not a table"):
        audit_table(tmp_path, declared)


def test_a_group_that_is_a_number_needs_no_quotes(protocol: Path) -> None:
    protocol.write_text(yaml.safe_dump(DECLARED | {"reference": {"sex": 1}}), encoding="utf-8")
    assert load_table_protocol(protocol).reference == {"sex": "1"}
