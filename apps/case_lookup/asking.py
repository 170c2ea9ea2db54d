"""The query of a visit: what the reader's actions do to it, and how it follows the address.

The query is one :class:`~apps.case_lookup.query_state.QueryState`. The widgets of the sidebar show
it, the page's address writes it down, and a trail keeps what it was before. Whatever changes one of
them changes the others in the same run of the script:

- an action (a button, a widget) changes the state; :func:`settle` then writes the address, as a
  new step in the browser's history;
- the browser going elsewhere (Back, Forward, a reload, a link) changes the address;
  :func:`follow_address` then sets the state and the widgets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import streamlit as st

from apps.case_lookup.dropped import DroppedImage
from apps.case_lookup.held_queries import HELD, browser_key, may_stand_in_address, session_id
from apps.case_lookup.query_picture import forget_pictures
from apps.case_lookup.query_state import FILTER_LISTS, KEYS, Filters, QueryState, Refinement
from apps.case_lookup.query_widgets import new_round, show_value, widget_key
from apps.case_lookup.trail import Trail
from apps.case_lookup.visits import forget_uploads
from medembed.lookup import EncodedParts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apps.case_lookup.session import LibrarySession
    from medembed.library import Condition

_MOST_KNOWN = 100

__all__ = [
    "acted",
    "asked_state",
    "clear_filters",
    "clear_query",
    "close_case",
    "encoded_parts",
    "follow_address",
    "ignore_term",
    "keep_image",
    "less_like",
    "more_like",
    "open_case",
    "put_state",
    "redo",
    "remove_filter",
    "remove_refinement",
    "search_again",
    "search_region",
    "search_similar",
    "search_text",
    "settle",
    "trail",
    "undo",
    "use_all_terms",
]


def asked_state() -> QueryState:
    """Return the query of this visit."""
    state: QueryState = st.session_state.get("asked") or QueryState()
    return state


def trail() -> Trail:
    """Return the states that the query went through."""
    kept: Trail = st.session_state.get("trail") or Trail()
    return kept


def encoded_parts() -> EncodedParts:
    """Return what was encoded for this visit, so that another filter encodes nothing again."""
    kept: EncodedParts = st.session_state.setdefault("encoded", EncodedParts())
    return kept


# what a reader does -------------------------------------------------------------------------


def acted() -> None:
    """Note that the reader changed the query, for widgets: their results take a case's place."""
    st.session_state["acted"] = True
    close_case()


def put_state(state: QueryState) -> None:
    """Make this the query: the widgets show it, and its image is the one to search with.

    Only before the widgets are drawn: at the start of the script, or by an action.
    """
    kept = st.session_state
    kept["asked"] = state
    kept["acted"] = True
    filters = state.filters
    for name in FILTER_LISTS:
        show_value(f"f_{name}", list(getattr(filters, name)))
    for name, value in (
        ("text", state.words),
        ("f_age", filters.age),
        ("f_date_from", filters.date_from),
        ("f_date_to", filters.date_to),
        ("k", state.k),
        ("share", state.share),
        ("one", state.one_per_patient),
    ):
        show_value(name, value)
    dropped: DroppedImage | None = kept.get("dropped")
    if state.image != (dropped.token if dropped else ""):
        _put_image(cast("DroppedImage | None", _held(state.image)))


def open_case(case_id: str) -> None:
    """Go to a case's page; the results are kept."""
    st.session_state["acted"] = True
    st.session_state["to_case"] = case_id


def close_case() -> None:
    """Go back to the results."""
    open_case("")


def _search(state: QueryState) -> None:
    put_state(state)
    close_case()


def search_text(text: str) -> None:
    """Search for this text."""
    _search(asked_state().saying(text))


def search_similar(case_id: str) -> None:
    """Search for cases similar to this one, in place of any dropped image and text."""
    _search(asked_state().of_case(case_id))


def search_region(region: str) -> None:
    """Search by this region of the query's image; empty for the whole image."""
    _search(replace(asked_state(), region=region))


def more_like(case_id: str) -> None:
    """Add to the query that hits should resemble this case."""
    _search(asked_state().marking(case_id, more=True))


def less_like(case_id: str) -> None:
    """Add to the query that hits should not resemble this case."""
    _search(asked_state().marking(case_id, more=False))


def remove_refinement(gone: Refinement) -> None:
    """Take one line of what was asked for away."""
    _search(asked_state().without(gone))


def remove_filter(condition: Condition) -> None:
    """Reset the filter of one condition to "any"."""
    state = asked_state()
    _search(replace(state, filters=state.filters.without(condition)))


def clear_filters() -> None:
    """Reset every filter to "any"."""
    _search(replace(asked_state(), filters=Filters()))


def ignore_term(name: str) -> None:
    """Leave out one thing that the text was read as."""
    state = asked_state()
    _search(replace(state, leave=(*state.leave, name)))


def use_all_terms() -> None:
    """Let everything count again that the text was read as."""
    _search(replace(asked_state(), leave=()))


def undo() -> None:
    """Go back to what was asked before."""
    st.session_state["trail"] = trail().undone()
    _search(trail().present)


def redo() -> None:
    """Take an undo back."""
    st.session_state["trail"] = trail().redone()
    _search(trail().present)


def search_again() -> None:
    """Repeat the search even if the query is unchanged: cases may have been added."""
    st.session_state.pop("outcome", None)
    close_case()


def clear_query() -> None:
    """Clear what was asked for and free this visit's images at once; the filters stay."""
    state = asked_state()
    kept = QueryState(filters=state.filters, k=state.k, one_per_patient=state.one_per_patient)
    HELD.forget(session_id())
    _put_image(None)
    forget_pictures()
    encoded_parts().clear()
    _search(kept)


# images and words that stand in the address as a token -----------------------------------------


def keep_image(image: DroppedImage) -> DroppedImage:
    """Keep a dropped image for as long as a page of this browser uses it; give it its token."""
    if image.scan is None:
        return image
    token = HELD.keep(image, browser_key(), session_id())
    return replace(image, token=token)


def _held(token: str) -> DroppedImage | str | None:
    if not token:
        return None
    held = HELD.take(token, browser_key(), session_id())
    return replace(held, token=token, key=()) if isinstance(held, DroppedImage) else held


def _put_image(image: DroppedImage | None) -> None:
    """Search with this image in place of the present one, which the drop zone lets go of."""
    kept = st.session_state
    before: DroppedImage | None = kept.get("dropped")
    if before is not None:
        forget_uploads(before.key)
        new_round("drop")
        kept.pop("outcome", None)  # it holds the decoded image
        forget_pictures()
    kept["dropped"] = image


def _typed(session: LibrarySession, words: str) -> str:
    """Return the token that stands in the address for words; empty if they may stand there."""
    known: dict[str, str] = st.session_state.setdefault("typed", {})
    if words not in known:
        if len(known) >= _MOST_KNOWN:
            known.clear()
        is_plain = may_stand_in_address(session.library, words)
        known[words] = "" if is_plain else HELD.keep(words, browser_key(), session_id())
    return known[words]


# the address ------------------------------------------------------------------------------------


def follow_address() -> None:
    """Take the query from the address if the browser went to another one.

    If the reader acted, the address that came along is the one from before the action.
    """
    kept = st.session_state
    parts = _parts()
    if "asked" in kept and (kept.get("acted") or parts == kept.get("address")):
        if (
            widget_key("text") not in kept or widget_key("f_age") not in kept
        ):  # forgotten on a page without the sidebar
            has_acted = kept.get("acted", False)
            put_state(asked_state())
            kept["acted"] = has_acted
        return
    is_first = "asked" not in kept
    state, is_whole = QueryState.from_address(parts)
    if state.typed:
        words = _held(state.typed)
        state = replace(state, words=words if isinstance(words, str) else "")
    put_state(state)
    kept["acted"] = False
    kept["address"], kept["unread"] = parts, not is_whole
    kept["trail"] = Trail((state,)) if is_first else trail().go_to(state)


def settle(session: LibrarySession, read: QueryState) -> QueryState:
    """Take over what the widgets show, and write it into the address.

    Parameters
    ----------
    session : LibrarySession
    read : QueryState
        The state with what the widgets show in this run.

    Returns
    -------
    QueryState
        With the token of its words.
    """
    kept = st.session_state
    before = asked_state()
    if read.words != before.words:
        read = read.saying(read.words)
    if read.words and not read.typed:
        read = replace(read, typed=_typed(session, read.words))
    kept["asked"] = read
    kept["trail"] = trail().visit(read)
    has_acted = kept.pop("acted", False)
    if not has_acted and read == before:
        return read
    mine, goes_to = read.to_address(), kept.pop("to_case", None)
    others = {name: st.query_params.get_all(name) for name in st.query_params if name not in KEYS}
    if goes_to is not None:
        others.pop("case", None)
        others |= {"case": [goes_to]} if goes_to else {}
    wanted = {**others, **mine}
    if wanted != {name: st.query_params.get_all(name) for name in st.query_params}:
        one_or_all = {n: values[0] if len(values) == 1 else values for n, values in wanted.items()}
        st.query_params.from_dict(one_or_all)
    if mine != kept.get("address"):
        kept["address"] = mine
        kept["unread"] = kept.get("unread", False) and not has_acted
    return read


def _parts() -> Mapping[str, list[str]]:
    """Return the parts of the address that belong to the query."""
    return {name: st.query_params.get_all(name) for name in sorted(st.query_params) if name in KEYS}
