"""The language of the current run of the page's script.

Order: what the reader chose on the page, the cookie of an earlier choice, the browser's language,
English. The choice is kept in a cookie and not in the address: a link that is passed on must not
change the language of whoever opens it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from apps.case_lookup.texts.language import Language, language_of

__all__ = ["COOKIE", "begin_run", "choose", "current_language", "speaking"]

COOKIE = "medembed-language"
"""Set by accessible.js in the browser; it holds a language's code and nothing else."""

_CHOSEN, _OF_RUN = "language", "language-of-run"

_spoken: ContextVar[Language | None] = ContextVar("spoken", default=None)


def current_language() -> Language:
    """Give the language of this run; English outside of one."""
    spoken = _spoken.get()
    if spoken is not None:
        return spoken
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    if get_script_run_ctx(suppress_warning=True) is None:
        return Language.ENGLISH
    import streamlit as st

    # a fragment or a callback runs without begin_run, in the language of the last whole run
    return Language(st.session_state.get(_OF_RUN, Language.ENGLISH))


def begin_run() -> Language:
    """Decide on the language; the script calls this before it draws anything."""
    import streamlit as st

    chosen = st.session_state.get(_CHOSEN)
    found = (
        Language(chosen)
        if chosen
        else language_of(st.context.cookies.get(COOKIE)) or language_of(st.context.locale)
    ) or Language.ENGLISH
    st.session_state[_OF_RUN] = found
    return found


def choose(language: Language) -> None:
    """Use this language from the next run on."""
    import streamlit as st

    st.session_state[_CHOSEN] = language.value


@contextmanager
def speaking(language: Language) -> Iterator[None]:
    """Use a language inside this block, whatever the page's is (exports, tests)."""
    token = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(token)
