"""Texts that try to be anything but plain text."""

NASTY = (
    "no effusion <script>document.title='owned'</script>"
    "<img src=x onerror=\"document.title='owned'\"> **bold** _it_ `code` ~~gone~~ $E=mc^2$ $$x$$"
    " :red[red] :material/home: :smile: :streamlit: :blue-badge[x] [link](https://evil.example/a)"
    " ![image](https://evil.example/b.png) https://evil.example/c www.evil.example me@evil.example"
    " -- -> >= # head 1. one | a | b | \\( y \\) &lt;b&gt; <!-- c --> =1+1 {{x}}"
    " \u202eeht ta\u202c \u2066iso\u2069 ze\u200bro \ufeff\u00ad"
)

ATTACKS = {
    "html": "<b>b</b><img src=x onerror=\"document.title='owned'\"><a href='https://evil.example/'>a</a>",
    "script": "<script>document.title='owned'</script></style><style>*{display:none}</style>",
    "attribute": "\" onmouseover=\"document.title='owned'\" x='",
    "markdown": "**bold** _it_ `code` [link](https://evil.example/) ![i](https://evil.example/i.png)",
    "katex": "$\\frac{a}{b}$ $$\\href{https://evil.example/}{x}$$ \\(y\\)",
    "shortcode": ":red[red] :material/home: :smile: :blue-badge[x] -> <- >= --",
    "bidi": "\u202eeht ta\u202c \u2066iso\u2069 \u200fr ze\u200bro",
    "formula": "=1+1 +1 -1 @SUM(A1) \t=cmd|' /C calc'!A0",
    "template": "{{7*7}} ${7*7} #{7*7} %s %(x)s {0.__class__}",
    "style": "</div></article>}; :root{--rr-text:red} /* ",
}
"""One text of each kind of attack."""
