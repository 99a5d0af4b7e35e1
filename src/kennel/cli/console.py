"""How things look: results on stdout, everything else on stderr; progress bars on a terminal, lines elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from kennel.errors import KennelError
from kennel.progress import Advance, Printer, Progress, Unit

out = Console(soft_wrap=True, markup=False)
err = Console(stderr=True, soft_wrap=True, markup=False)
"""No markup: paths, labels and messages are shown as they are, brackets and all."""


def clean(text: str) -> str:
    """Without what would move a cursor: some of an error's words may come from elsewhere."""
    return "".join(sign for sign in text if sign.isprintable() or sign in "\n\t")


def progress(say_lines: bool = True) -> Progress:
    """Progress for a person on a terminal, else lines for a log, on stderr."""
    return Progress(Terminal(say_lines) if err.is_terminal else Printer(_log))


def print_json(value: Any) -> None:
    """A result for machines."""
    sys.stdout.write(json.dumps(value, indent=1) + "\n")


def agree(yes: bool, question: str, declined: KennelError) -> None:
    """Ask before something is spent, changed or removed. Raises `declined`, or KennelError where nobody can be
    asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise KennelError(f"nobody to ask: {question}", "Say --yes")
    if not typer.confirm(question, err=True):
        raise declined


class Terminal:
    """A watcher with one bar a step, which stays as a line when the step is done."""

    def __init__(self, say_lines: bool) -> None:
        self._say_lines = say_lines
        self._bars: Bars | None = None

    def say(self, line: str) -> None:
        if self._say_lines:
            console = self._bars.console if self._bars else err
            console.print(line, style="dim")

    @contextmanager
    def step(self, title: str, total: int | None, unit: Unit) -> Iterator[Advance]:
        columns = [
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=30),
            *([DownloadColumn() if unit == "bytes" else MofNCompleteColumn()] if total else []),
            TimeElapsedColumn(),
            *([TimeRemainingColumn(elapsed_when_finished=False)] if total else []),
        ]
        with Bars(*columns, console=err) as bars:
            self._bars = bars
            task = bars.add_task(title, total=total)
            yield lambda count: bars.advance(task, count)
            bars.update(task, total=total or 1, completed=total or 1)
        self._bars = None


def _log(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
