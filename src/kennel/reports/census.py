"""The contact sheet of `data check`: a few pictures of every label, and everything that was found wrong."""

from __future__ import annotations

from kennel.pictures.census import Census, Finding
from kennel.reports.page import jpeg, render

PER_LABEL = 5
PAIRS = 40


def page(census: Census) -> str:
    """The contact sheet as HTML."""
    thumbnails = {each.path: each.thumbnail for each in census.findings if each.thumbnail}
    return render(
        "census.html",
        census=census,
        samples={label: samples(census, label) for label in census.labels},
        pairs=census.pairs[:PAIRS],
        thumbnail=lambda path: jpeg(thumbnails[path]),
        jpeg=jpeg,
    )


def samples(census: Census, label: str) -> list[Finding]:
    """A few usable pictures of a label, spread over its pictures."""
    usable = [each for each in census.findings if each.label == label and each.thumbnail]
    step = max(1, len(usable) // PER_LABEL)
    return usable[::step][:PER_LABEL]
