"""Checks for messages: one that says a thing twice, such as its own first half; "1 tasks wait"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

RUN = 5
"""This many words in a row count as a repetition. Shorter phrases may occur twice."""


def repeated(text: str) -> set[str]:
    """Find what a text says more than once."""
    words = re.findall(r"[^\s;:,()]+", text)
    runs = [" ".join(words[n : n + RUN]) for n in range(len(words) - RUN + 1)]
    clauses = [clause.strip() for clause in re.split(r"[;()]|: ", text)]
    several = [clause for clause in clauses if len(clause.split()) > 2]
    return {each for found in (runs, several) for each in found if found.count(each) > 1}


def miscounted(text: str) -> list[str]:
    """Find a plural after the number one. `1 of 1 pods` is none."""
    nouns = "tasks|replicas|pods|workers|containers|changes|entries|queues|triggers|firings|minutes"
    return re.findall(rf"(?<!of )\b1 (?:{nouns})\b", text)


def messages(value: Any) -> Iterator[str]:
    """Yield each message in an object of the API, at any depth."""
    if isinstance(value, dict):
        for key, child in value.items():
            if isinstance(child, str) and key in ("message", "brief"):
                yield child
            else:
                yield from messages(child)
    elif isinstance(value, list):
        for child in value:
            yield from messages(child)
