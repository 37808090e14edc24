"""Reads a page as a browser would, strictly: what is opened must be closed."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "br"}
SVG = "svg"


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[tuple[int, str]] = []
        self.texts: dict[str, list[str]] = {}
        """By the identifier of a section's heading its texts, the pictures' included."""
        self.words: list[str] = []
        self._open: list[str] = []
        self._section = ""
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag == "h2":
            self._section = given["id"] or ""
            self.texts[self._section] = []
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append((int(tag[1]), ""))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert SVG in self._open, f"<{tag}/> outside of a picture"
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1] == tag, f"</{tag}> closes <{self._open[-1]}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if not data.strip() or self._open[-1] == "style":
            return
        self.words.append(" ".join(data.split()))
        if self._section:
            self.texts[self._section].append(" ".join(data.split()))
        if self._open[-1] in ("h1", "h2", "h3", "h4"):
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)

    def section(self, identifier: str) -> str:
        """The text of a section."""
        return " ".join(self.texts[identifier])

    @property
    def text(self) -> str:
        """All text."""
        return " ".join(self.words)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]
