"""`kennel doctor`: an image against the container contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from kennel.cli.console import err, out, print_json

if TYPE_CHECKING:
    from kennel.doctor import Check

EPILOG = """Examples: kennel doctor kennel-serving:TAG --artifact out · kennel doctor kennel-training:TAG --weights
resnet50.safetensors · kennel doctor 123456789012.dkr.ecr.us-east-1.amazonaws.com/kennel-serving@sha256:… --json"""
MARKS = {"pass": ("✓", "green"), "fail": ("✗", "red"), "skip": ("–", "yellow")}


def doctor(
    image: Annotated[str, typer.Argument(help="An image's name, or a URI in a registry that you are logged in to.")],
    artifact: Annotated[Path | None, typer.Option(help="An artifact for the serving image to serve.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Pretrained weights for the training image; it has no network.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The checks, for machines.")] = False,
) -> None:
    """Hold an image against SageMaker's container contract by running it. One line a check; exit 1 if one fails."""
    from kennel import artifact as artifacts
    from kennel.doctor.examination import examine

    with ExitStack() as stack:
        folder = stack.enter_context(artifacts.opened(artifact)).folder if artifact else None
        checks = _told(examine(image, folder, weights or _cached_weights()), as_json)
    failed = sum(check.state == "fail" for check in checks)
    err.print(f"{len(checks)} checks, {failed} failed")
    raise typer.Exit(1 if failed else 0)


def _told(examined: Iterator[Check], as_json: bool) -> list[Check]:
    """Every check, printed as it is done."""
    checks = []
    for check in examined:
        checks.append(check)
        if not as_json:
            mark, colour = MARKS[check.state]
            out.print(Text(f"{mark} {check.name:<26}", style=colour).append(check.seen, style="default"))
            if check.remedy:
                out.print(Text(f"  → {check.remedy}"))
    if as_json:
        print_json([asdict(check) for check in checks])
    return checks


def _cached_weights() -> Path | None:
    """Weights that an earlier training fetched, if any: a container under test has no network."""
    from kennel.files import cache_dir

    return next(iter(sorted(cache_dir("weights").glob("*.safetensors"))), None)
