"""What a case, a note, an attribute or a reader says is text on the page, whatever it is."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from apps.case_lookup.html import escaped
from medembed.cases import Case, Finding
from medembed.library import CaseLibrary
from medembed.model import toy_model
from medembed.notes import Assertion, Note, Section
from medembed.scans import read_scan
from tests.apps.conftest import make_case, write_radiograph
from tests.apps.nasty import ATTACKS
from tests.apps.serving import CHROMIUM, FLAGS, serving

pytestmark = pytest.mark.browser

# of a closed set, or no text
CLOSED = {"split", "sex"}
SHOWN_ON_THE_CASE = ("case_id", "patient_id", "modality", "view", "site", "scanner")
# elements that only an injection would bring; our own pictures are data
FOREIGN = (
    ".rr-hit a, .rr-hit em, .rr-hit code, .rr-hit del, .rr-note a, .rr-note em, .rr-note code,"
    " .rr-note b, .rr-facts a, .rr-facts b, .rr-facts em, .rr-facts code, .katex, script[src=''],"
    " img[src='x'], [href*='evil'], [src*='evil']:not([src^='pixels/case/']), [onmouseover],"
    " [onerror]"
)
NOT_VISIBLE = "[\u202a-\u202e\u2066-\u2069\u200b\u200f]"


def attacked(number: int, file: Path, attack: str) -> Case:
    """Give a case with the attack in every field that holds a text."""
    plain = make_case(number, [file])
    texts = [f.name for f in fields(Case) if f.type == "str" and f.name not in CLOSED]
    assert set(SHOWN_ON_THE_CASE) <= set(texts)
    line = " ".join(attack.split())  # ids hold no tabs
    label = " ".join(attack.lower().replace(":", " ").split())
    note_text = f"FINDINGS: {attack}\n{attack}: {attack}"
    start = len("FINDINGS:")
    return replace(
        plain,
        **{name: f"{name}{number} {line}" for name in texts},
        findings=(Finding(label),),
        note=Note(
            note_text,
            (Section("findings", start, start + 1 + len(attack)),),
            (Assertion(label, "absent", "", start + 1, start + 1 + len(attack)),),
        ),
        attributes={f"name {line}": f"value {attack}", "language": attack},
        scans=(replace(plain.scans[0], view=attack), replace(plain.scans[0], view="AP")),
    )


@pytest.fixture(scope="module")
def attacked_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with a case for each attack, in a folder whose name is one, too."""
    folder = tmp_path_factory.mktemp("attacked")
    path = folder / "a <img src=x> **b** $x$ _i_ :red[r] \u202e"
    with CaseLibrary.create(path) as library:
        files = [write_radiograph(folder / f"{n}.dcm", n) for n in range(len(ATTACKS))]
        for number, (file, attack) in enumerate(zip(files, ATTACKS.values(), strict=True)):
            assert library.add([attacked(number, file, attack)]).added == 1
        model = toy_model()
        model.save(path / "models" / "toy")
        library.active_model = "toy"
        of_case = {
            case.case_id: read_scan(library.scan_files(case)[0][0]) for case in library.cases()
        }
        ids = library.find()
        vectors = model.encode_scans([of_case[case_id] for case_id in ids])
        library.put_vectors(model.fingerprint, "image", ids, vectors)
    return path


@pytest.fixture(scope="module")
def page(attacked_library: Path) -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with serving(attacked_library) as (port, _), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened = browser.new_page(viewport={"width": 1440, "height": 2400})
        opened.asked = []
        opened.on("request", lambda request: opened.asked.append(request.url))
        opened.on("dialog", lambda dialog: opened.asked.append(f"evil dialog {dialog.message}"))
        opened.goto(f"http://localhost:{port}/")
        opened.locator(".rr-foot").wait_for(timeout=60_000)
        yield opened
        browser.close()


def flat(text: str) -> str:
    """Leave out how lines are broken, and the joiners between characters."""
    return " ".join(text.replace("\u2060", "").split())


def is_harmless(page: Any) -> None:
    assert page.title() == "MedEmbed"
    assert page.locator(FOREIGN).evaluate_all("all => all.map(e => e.outerHTML)") == []
    assert re.findall(NOT_VISIBLE, page.locator("body").inner_text()) == []
    assert page.locator(".rr-head").is_visible(), "no style sheet of a case hides the page"
    web = [url for url in page.asked if not url.startswith(("data:", "blob:"))]
    assert {urlsplit(url).hostname for url in web} <= {"localhost"}


def settle(page: Any) -> None:
    page.wait_for_selector('[data-test-script-state="notRunning"] .rr-foot')
    page.wait_for_timeout(300)


@pytest.mark.parametrize("kind", list(ATTACKS))
def test_what_a_reader_types_is_text(page: Any, kind: str) -> None:
    words = page.get_by_label("Findings or report text", exact=True)
    words.fill(f"effusion {ATTACKS[kind]}")
    words.press("Enter")
    typed = flat(escaped(f"effusion {ATTACKS[kind]}".strip(), "text"))
    asked, until = page.locator(".rr-asked"), time.monotonic() + 60
    while not asked.count() or flat(asked.inner_text()) != typed:  # the last one's is still there
        assert time.monotonic() < until, asked.all_inner_texts()
        page.wait_for_timeout(100)
    settle(page)
    assert flat(asked.inner_text()) == typed
    assert page.locator(".rr-hit").count()
    is_harmless(page)


@pytest.mark.parametrize("kind", list(ATTACKS))
def test_every_field_of_a_case_is_text(page: Any, kind: str) -> None:
    """On its page: ids, modality, view, site, scanner, finding, note, attribute and its name."""
    number, attack = list(ATTACKS).index(kind), ATTACKS[kind]
    words = page.get_by_label("Findings or report text", exact=True)
    words.fill("effusion")
    words.press("Enter")
    page.locator(".rr-hit").nth(len(ATTACKS) - 1).wait_for(timeout=60_000)
    settle(page)
    is_harmless(page)
    card = page.locator('[class*="st-key-hit-"]').filter(has_text=f"modality{number} ")
    card.get_by_role("button").first.click()
    page.locator(".rr-facts").wait_for(timeout=30_000)
    settle(page)
    is_harmless(page)
    shown = flat(page.locator('[data-testid="stMain"]').inner_text())
    line = flat(escaped(attack, "text"))
    for name in SHOWN_ON_THE_CASE:
        assert f"{name}{number} {line}" in shown, name
    assert f"value {line}" in shown
    assert line in flat(page.locator(".rr-note").inner_text())
    assert line.lower().replace(":", " ").split() == _chip(page).lower().split()
    page.go_back()
    page.locator(".rr-hit").first.wait_for(timeout=30_000)
    settle(page)


def _chip(page: Any) -> str:
    return flat(page.locator(".rr-chip").first.inner_text())
