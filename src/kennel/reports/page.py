"""What all pages share: the template engine (escaping everything), pictures and plots as part of the page."""

from __future__ import annotations

import base64
import functools
import io
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, BLUE, ORANGE = "#1f2430", "#8a90a0", "#2563eb", "#ea580c"


def render(template: str, **values: Any) -> str:
    """A page from `templates/`. Values are escaped; a name that is missing is an error.

    What UTF-8 cannot write (the odd bytes of a file's name) becomes a question mark.
    """
    text = _environment().get_template(template).render(**values)
    return text.encode(errors="replace").decode()


def jpeg(content: bytes) -> str:
    """A JPEG as a data URL."""
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()


def svg(figure: Figure, tight: bool = True) -> Markup:
    """A figure as SVG to stand in the page; the same figure gives the same text. tight: whether its margins are cut."""
    import matplotlib as mpl

    file = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "kennel", "svg.fonttype": "none"}):
        box = "tight" if tight else None
        figure.savefig(file, format="svg", bbox_inches=box, transparent=True, metadata={"Date": None})
    text = file.getvalue()
    return Markup(text[text.index("<svg") :])  # noqa: S704 (matplotlib escapes the text it draws)


def axes(width: float, height: float, title: str) -> tuple[Figure, Any]:
    """An empty plot in the house style, sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    plot = figure.add_subplot()
    plot.set_title(title, loc="left", fontsize=11, color=INK)
    plot.spines[["top", "right"]].set_visible(False)
    plot.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    plot.tick_params(labelsize=9, colors=INK)
    return figure, plot


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("kennel.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
