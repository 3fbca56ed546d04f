"""Reads the text off a scanned page with Tesseract, called as a subprocess."""

import csv
import io
import os
import subprocess
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

from PIL import Image, ImageDraw, ImageFilter, ImageFont

SCALES = (1.0, 1.5, 2.0)
COMMAND = (
    *("tesseract", "-", "-", "-l", "eng"),
    *("--psm", "6"),  # one block of text: looking for columns loses lines of tilted pages
    "tsv",
)
# One thread per page: the queue's concurrency says how many cores are in use, not OpenMP.
ENVIRONMENT = {**os.environ, "OMP_THREAD_LIMIT": "1"}
TIMEOUT_SECONDS = 60
WORD = "Document"


@dataclass(frozen=True, slots=True)
class Reading:
    """The text that one run of Tesseract read."""

    text: str
    word_count: int
    mean_confidence: float
    """From 0 to 100, over all words."""

    @property
    def weight(self) -> float:
        """Estimated number of words that were read correctly; low if a line was missed."""
        return self.word_count * self.mean_confidence


def read(image: bytes) -> Reading:
    """Read the cleaned page in its own size and enlarged, and return the best reading."""
    page = Image.open(io.BytesIO(image)).filter(ImageFilter.MedianFilter(3))
    return max((_recognise(_enlarge(page, by)) for by in SCALES), key=lambda r: r.weight)


def check() -> None:
    """Read a page with one word on it. This also loads what Tesseract needs into memory.

    Raises:
        RuntimeError: Tesseract read another word.
        FileNotFoundError, CalledProcessError: Tesseract or its language is not installed.
    """
    page = Image.new("L", (600, 200), 255)
    ImageDraw.Draw(page).text((60, 60), WORD, font=ImageFont.load_default(64), fill=0)
    out = io.BytesIO()
    page.save(out, format="PNG")
    if (found := read(out.getvalue()).text) != WORD:
        raise RuntimeError(f"Tesseract reads {found!r} where {WORD!r} is written")


def _enlarge(page: Image.Image, by: float) -> bytes:
    """Return the page as a bitmap, which costs Tesseract nothing to decode."""
    if by != 1.0:
        size = (round(page.width * by), round(page.height * by))
        page = page.resize(size, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    page.save(out, format="BMP")
    return out.getvalue()


def _recognise(bitmap: bytes) -> Reading:
    """Run Tesseract once.

    Raises:
        CalledProcessError: Tesseract failed; the error has its message.
        TimeoutExpired: it took too long.
    """
    table = subprocess.run(
        COMMAND,
        input=bitmap,
        capture_output=True,
        check=True,
        env=ENVIRONMENT,
        timeout=TIMEOUT_SECONDS,
    ).stdout.decode()
    return _parse(table)


def _parse(table: str) -> Reading:
    """Read Tesseract's table of words. Its columns number the lines and paragraphs."""
    rows = csv.DictReader(io.StringIO(table), delimiter="\t", quoting=csv.QUOTE_NONE)
    words = [row for row in rows if row["level"] == "5" and row["text"].strip()]
    paragraphs = []
    for _, in_paragraph in groupby(words, key=lambda w: (w["block_num"], w["par_num"])):
        lines = groupby(in_paragraph, key=lambda w: w["line_num"])
        paragraphs.append("\n".join(" ".join(w["text"] for w in line) for _, line in lines))
    confidence = fmean(float(w["conf"]) for w in words) if words else 0.0
    # Prose has no bars; in sans-serif type a capital I looks like one.
    text = "\n\n".join(paragraphs).replace("|", "I")
    return Reading(text, len(words), round(confidence, 1))
