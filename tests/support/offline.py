"""A strict reader of pages that must work offline and may not do anything."""

from __future__ import annotations

from html.parser import HTMLParser


class Checker(HTMLParser):
    """Every element closed in order, every id once, every link with its place, nothing that could act or load."""

    VOID = ("meta", "input", "path", "circle", "br")

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(source)
        assert not self.open
        assert len(set(self.ids)) == len(self.ids)
        assert set(self.links) <= set(self.ids)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "img", "iframe", "link", "object", "form", "base", "foreignobject")
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in ("src", "srcset", "xlink:href", "action")
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                assert value is not None
                assert value.startswith("#")
                self.links.append(value[1:])
            if name == "aria-labelledby":
                self.links += (value or "").split()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
