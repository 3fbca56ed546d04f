"""The texts that are printed and scanned: one `Page` per entry of `pages.txt`."""

from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it was typed: the text that a perfect reader would return."""

    number: int
    title: str
    text: str

    @property
    def name(self) -> str:
        """A short name that sorts: `page-07`."""
        return f"page-{self.number:02d}"


def load_pages() -> list[Page]:
    """Load all pages in the order of the file, numbered from 1."""
    source = files("document_ocr").joinpath("pages.txt").read_text(encoding="utf-8")
    entries = ("\n" + source).split("\n== ")[1:]  # what precedes the first title is a comment
    pages = []
    for number, entry in enumerate(entries, start=1):
        title, _, text = entry.partition("\n")
        pages.append(Page(number, title.strip(), text.strip()))
    return pages
