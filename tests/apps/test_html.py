"""Every text of a case appears on the page as its characters."""

from __future__ import annotations

import ast
import re
import unicodedata
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import apps.case_lookup
from apps.case_lookup.html import Into, Markup, escaped, join, tag
from tests.apps.nasty import NASTY

JOINER = "\u2060"
SPECIAL = st.sampled_from(
    [
        *"<>&\"'`*_{}[]()#+-.!|~$:^=\\/@ \n\t\r",
        *"\u202e\u200b\x00\ufeff\u2028\ufe0f",
        *(":red[", ":material/home:", "https://", "www.", "--", "->", "$$", "\\(", "</p>", "<!--"),
    ]
)
TEXTS = st.lists(SPECIAL | st.characters(exclude_categories=["Cs"]), max_size=30).map("".join)


class Reader(HTMLParser):
    """Parse HTML like a browser: text and elements."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.elements = "", []
        self.feed(page)
        self.close()

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.elements.append(tag)

    def handle_comment(self, data: str) -> None:
        self.elements.append("comment")


def unseen(text: str) -> list[str]:
    """List invisible characters and those that reverse the reading direction."""
    hidden = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    marks = set("\u034f\u115f\u1160\u3164\uffa0\u2800") | {chr(c) for c in range(0xFE00, 0xFE10)}
    return [
        c for c in text if c not in "\n\t" and (unicodedata.category(c) in hidden or c in marks)
    ]


@given(TEXTS)
def test_html_reads_back_as_the_text_without_elements(text: str) -> None:
    reader = Reader(tag("p", text))
    assert reader.text == unescape(escaped(text, "html"))
    assert reader.elements == ["p"]
    assert unseen(reader.text) == []


@given(TEXTS)
def test_text_cannot_break_out_of_an_attribute(text: str) -> None:
    page = tag("img", alt=text, src=text)
    assert Reader(page).elements == ["img"]
    assert page.count('"') == 4


@given(TEXTS)
def test_markdown_reads_back_as_the_text(text: str) -> None:
    made = escaped(text, "markdown")
    reader = Reader(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(made))
    assert set(reader.elements) <= {"p"}
    assert reader.text.strip("\n").replace(JOINER, "") == escaped(text, "text").replace(JOINER, "")
    assert "\n" not in made


@given(TEXTS)
def test_rendered_markdown_contains_nothing_that_streamlit_searches_for(
    text: str,
) -> None:
    shown = Reader(MarkdownIt("commonmark").render(escaped(text, "markdown"))).text
    for sought in (
        r":material_\w+:",
        r":streamlit:",
        r":[\w+-]+:",  # emoji
        r":[a-z]+\[",  # colors and badges
        r"(^|\s)(<->|->|<-|--|>=|<=|~=)(\s|$)",
        r"https?://",
        r"www\.",
        r"[\w.+-]+@[\w-]",
    ):
        assert not re.search(sought, shown, re.IGNORECASE), sought


@given(TEXTS)
def test_everything_on_the_page_is_visible(text: str) -> None:
    for into in ("html", "text"):
        assert unseen(escaped(text, into)) == []
    assert unseen(escaped(text, "markdown").replace(JOINER, "")) == []
    assert escaped(escaped(text, "text"), "text") == escaped(text, "text")


@pytest.mark.parametrize("char", ["\u202e", "\u2066", "\u200e", "\u200b", "\x00", "\x1b", "\ufeff"])
@pytest.mark.parametrize("into", ["html", "markdown", "text"])
def test_invisible_characters_appear_as_their_code(char: str, into: Into) -> None:
    shown = escaped(f"no{char} effusion", into).replace("\\", "")
    assert shown == f"no[U+{ord(char):04X}] effusion"


@pytest.mark.parametrize(
    "text", ["Größe 3 × 4 cm", "右胸水", "هل يوجد انصباب", "µ ≥ ½ °C", "naïve\u00a0x"]
)
def test_letters_of_any_language_stay_as_they_are(text: str) -> None:
    assert escaped(text, "html") == text
    assert escaped(text, "text").replace(" ", "\u00a0") == text.replace(" ", "\u00a0")


def test_markup_is_not_escaped_twice() -> None:
    assert join(Markup("<br>"), "<", None) == "<br>&lt;"
    assert tag("p", tag("b", "&")) == "<p><b>&amp;</b></p>"


def test_a_nasty_note_is_text_in_html_and_in_markdown() -> None:
    assert Reader(tag("p", NASTY)).elements == ["p"]
    assert Reader(MarkdownIt().render(escaped(NASTY, "markdown"))).elements == ["p"]


# every place of the page -------------------------------------------------------------------

ROOM = Path(apps.case_lookup.__file__).parent
# what Streamlit shows, and which of its arguments are read as Markdown, HTML or shown as they are
SHOWING = {
    *("button", "caption", "checkbox", "code", "dataframe", "date_input", "download_button"),
    *("error", "exception", "expander", "file_uploader", "header", "html", "image", "info", "json"),
    *("latex", "link_button", "markdown", "metric", "multiselect", "number_input", "page_link"),
    *("pills", "popover", "radio", "segmented_control", "selectbox", "set_page_config", "slider"),
    *("spinner", "status", "subheader", "success", "table", "tabs", "text", "text_area"),
    *("text_input", "title", "toast", "toggle", "warning", "write"),
}
CHOOSING = {"multiselect", "pills", "radio", "segmented_control", "selectbox"}
UNREAD = {"key", "on_click", "on_change", "args", "type", "width", "value", "default", "icon"}
UNREAD |= {"label_visibility", "selection_mode", "min_value", "max_value", "step", "required"}
UNREAD |= {
    "select_all",
    "disabled",
    "expanded",
    "accept_multiple_files",
    "layout",
    "initial_sidebar_state",
    "format_func",
    "options",
}
OF_OURS = {("sidebar.py", "_choose", "label")}


def calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    """List the calls that display something, with their function."""
    found = []
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    root = node.func.value
                    while isinstance(root, ast.Attribute | ast.Subscript):
                        root = root.value
                    drawn = isinstance(root, ast.Name) and root.id in {
                        "st",
                        "left",
                        "right",
                        "columns",
                    }
                    if drawn and node.func.attr in SHOWING:
                        found.append((function.name, node))
    return found


def is_escaped(node: ast.AST, makes_markup: set[str], own: set[str]) -> bool:
    """Whether a text contains only source text, catalog texts, numbers and escaped text."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.Name):
        return node.id in own
    if isinstance(node, ast.Attribute):  # a text of the catalog, never one with values in it
        name = ast.unparse(node)
        return name.startswith("TEXTS.") or (name.startswith("texts.") and "texts" in own)
    if isinstance(node, ast.Subscript):  # a text of each state
        return isinstance(node.value, ast.Attribute) and is_escaped(node.value, makes_markup, own)
    if isinstance(node, ast.IfExp):
        return all(is_escaped(part, makes_markup, own) for part in (node.body, node.orelse))
    if isinstance(node, ast.JoinedStr):
        return all(is_escaped(value, makes_markup, own) for value in node.values)
    if isinstance(node, ast.FormattedValue):
        if node.format_spec is not None:
            return ast.unparse(node.format_spec) == "f'd'"  # fails at anything but a number
        return is_escaped(node.value, makes_markup, own)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in makes_markup | {"escaped"}
    return False


def names_of(tree: ast.AST, markup: set[str]) -> set[str]:
    """List names that are only assigned escaped text."""
    given: dict[str, list[bool]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            fine = is_escaped(node.value, markup, set())
            given.setdefault(node.targets[0].id, []).append(fine)
    return {name for name, fine in given.items() if all(fine)}


@pytest.mark.parametrize("file", sorted(ROOM.glob("*.py")), ids=lambda file: file.name)
def test_every_text_passed_to_streamlit_is_escaped(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    trees = [ast.parse(other.read_text(encoding="utf-8")) for other in ROOM.glob("*.py")]
    markup = {
        node.name
        for other in trees
        for node in ast.walk(other)
        if isinstance(node, ast.FunctionDef) and ast.unparse(node.returns or node) == "Markup"
    }
    own = names_of(tree, markup)
    for function, call in calls(tree):
        mine = own | {n for f, where, n in OF_OURS if (f, where) == (file.name, function)}
        assert isinstance(call.func, ast.Attribute)
        given = {word.arg: word.value for word in call.keywords if word.arg is not None}
        for more in (word.value for word in call.keywords if word.arg is None):
            assert ast.unparse(more).startswith("as_widget("), "key and callback, no text"
        shown = [*call.args[:1], *(v for k, v in given.items() if k not in UNREAD)]
        for node in shown:
            where = f"{file.name}:{call.lineno} {ast.unparse(node)}"
            assert is_escaped(node, markup, mine), f"{where} is not escaped"
        if call.func.attr in CHOOSING:
            words = ast.unparse(given["format_func"])
            assert re.fullmatch(r"lambda \w+: escaped\(.*\)", words, re.DOTALL), words


def test_this_check_sees_what_it_looks_for() -> None:
    tree = ast.parse(
        'def f(case):\n    st.button(case.site)\n    st.button(escaped(case.site, "html"))\n'
        "    st.button(TEXTS.results.case(case.site))\n    st.button(TEXTS.results.query)"
    )
    found = [is_escaped(call.args[0], set(), set()) for _, call in calls(tree)]
    assert found == [False, True, False, True]
    drawn = sum(len(calls(ast.parse(f.read_text(encoding="utf-8")))) for f in ROOM.glob("*.py"))
    assert drawn > 30
