"""The plain pages around the sign-in, in the room's style: no script, nothing from elsewhere."""

from __future__ import annotations

from html import escape

from apps.access.provider import SignInFault
from apps.access.sessions import Ended
from apps.access.texts import SignInTexts

__all__ = [
    "POLICY",
    "STYLE",
    "failed_page",
    "not_allowed_page",
    "sign_in_page",
    "signed_out_page",
]

POLICY = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Content security policy of these pages."""

STYLE = b"""/* The room's colors; contrast on #0d1012: text 13:1, quiet 7:1. */
:root { color-scheme: dark; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: #0d1012;
  color: #d3d9dd; font: 1.05rem/1.5 "Source Sans", system-ui, sans-serif; }
main { width: min(26rem, calc(100vw - 3rem)); }
h1 { font-size: 1.5rem; font-weight: 600; margin: 0 0 0.5rem; }
p { margin: 0 0 1rem; overflow-wrap: anywhere; }
.product { color: #97a3ab; margin: 0; }
.note { border-left: 3px solid #d9a650; background: #1d1a13; padding: 0.55rem 0.9rem; }
.foot { color: #97a3ab; font-size: 0.9rem; margin-top: 2rem; }
.button { display: block; text-align: center; padding: 0.7rem 1rem; border-radius: 4px;
  background: #23586b; border: 1px solid #2f6f86; color: #eef3f5; text-decoration: none; }
.button:hover { background: #2b6a81; border-color: #5d9fb5; }
.button:focus-visible { outline: 3px solid #8cc4d6; outline-offset: 2px; }
@media (min-width: 2560px) { html { font-size: 150%; } }
@media print { body { background: #fff; color: #000; } .button { display: none; } }
"""


def sign_in_page(texts: SignInTexts, address: str, provider: str, ended: Ended | None) -> bytes:
    """Offer to sign in; ``ended`` says why the last session is over."""
    label = texts.sign_in_at(provider) if provider else texts.sign_in
    note = texts.ended[ended] if ended is not None else ""
    return _page(texts, texts.title, texts.introduction, note, (address, label))


def signed_out_page(texts: SignInTexts, address: str) -> bytes:
    """Say that the session is over."""
    return _page(texts, texts.signed_out, texts.ended[Ended.SIGNED_OUT], "", (address, texts.again))


def failed_page(texts: SignInTexts, fault: SignInFault, address: str) -> bytes:
    """Say why a sign-in failed, and offer another."""
    return _page(texts, texts.failed, "", texts.faults[fault], (address, texts.again))


def not_allowed_page(texts: SignInTexts, address: str) -> bytes:
    """Say that this account may not use the page."""
    note = texts.not_allowed_hint
    return _page(texts, texts.not_allowed, "", note, (address, texts.sign_out))


def _page(texts: SignInTexts, title: str, line: str, note: str, button: tuple[str, str]) -> bytes:
    address, label = button
    parts = [
        f'<p class="product">{escape(texts.product)}</p>',
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(line)}</p>" if line else "",
        f'<p class="note" role="status">{escape(note)}</p>' if note else "",
        f'<a class="button" href="{escape(address)}">{escape(label)}</a>',
        f'<p class="foot">{escape(texts.foot)}</p>',
    ]
    return (
        f'<!doctype html><html lang="{texts.language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} · MedEmbed</title>"
        '<link rel="stylesheet" href="/access/style.css"></head>'
        f"<body><main>{''.join(parts)}</main></body></html>"
    ).encode()
