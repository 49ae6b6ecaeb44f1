"""Reads the pages of reports: HTML enters, the rows of its tables leave."""

from html.parser import HTMLParser

VOID_TAGS = {"meta", "img"}


class Page(HTMLParser):
    """Checks that tags close in order, and gathers images and tables.

    Attributes:
        images: attributes of all pictures.
        tables: by the anchor of a section, its tables: {label of a row: its cells}, each exact
            (a number, None for none) if the page has it so, or else the text that is shown.
        anchors, links: what may be led to, and what is.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.images, self.tables, self.anchors, self.links = [], [], {}, set(), []
        self._section, self._label, self._cells, self._exact = "", None, None, None
        self._words = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        if tag not in VOID_TAGS:
            self.open.append(tag)
        if "id" in known:
            assert known["id"] not in self.anchors, f"{known['id']} occurs twice"
            self.anchors.add(known["id"])
        if tag == "img":
            self.images.append(known)
        elif tag == "a":
            self.links.append(known["href"])
        elif tag == "section":
            self._section = known.get("id", "")
        elif tag == "table":
            self.tables.setdefault(self._section, []).append({})
        elif tag == "tr":
            self._label, self._cells = None, []
        elif tag in ("td", "th"):
            self._words, self._exact = [], known.get("data-value")

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        text = "".join(self._words)
        if tag == "th":
            self._label = text if self._label is None else self._label
        elif tag == "td":
            exact = self._exact
            self._cells.append(text if exact is None else float(exact) if exact else None)
        elif tag == "tr" and self._cells:
            self.tables[self._section][-1][self._label] = self._cells

    def handle_data(self, data):
        self._words.append(data)
