"""A text that tries to be anything but plain text."""

NASTY = (
    "no effusion <script>document.title='owned'</script>"
    "<img src=x onerror=\"document.title='owned'\"> **bold** _it_ `code` ~~gone~~ $E=mc^2$ $$x$$"
    " :red[red] :material/home: :smile: :streamlit: :blue-badge[x] [link](https://evil.example/a)"
    " ![image](https://evil.example/b.png) https://evil.example/c www.evil.example me@evil.example"
    " -- -> >= # head 1. one | a | b | \\( y \\) &lt;b&gt; <!-- c --> =1+1 {{x}}"
    " \u202eeht ta\u202c \u2066iso\u2069 ze\u200bro \ufeff\u00ad"
)
