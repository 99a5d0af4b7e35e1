"""`kennel run`: the whole story, on this machine or on AWS."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.panel import Panel
from rich.table import Table

from kennel import settings as settings_of
from kennel.cli.console import agree, err, out, print_json, progress
from kennel.cli.local import On, SettingsFile, connected
from kennel.cli.predict import print_chart
from kennel.errors import KennelError
from kennel.settings import Settings

if TYPE_CHECKING:
    from kennel.cloud.prices import Estimate
    from kennel.cloud.session import Cloud
    from kennel.workflow.stage import Summary

EPILOG = """Examples: kennel run · kennel run --data ~/dogImages --jobs 20 · kennel run --on aws --data ~/dogImages ·
kennel run --on aws --resume · kennel run --until tune"""

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before what costs money.")]


def run(
    data: Annotated[
        Path | None, typer.Option(envvar="KENNEL_DATA", help="A data set; without it, dogs are drawn.")
    ] = None,
    on: On = "local",
    out_folder: Annotated[Path, typer.Option("--out", help="The run's folder.")] = Path("run"),
    jobs: Annotated[int | None, typer.Option(min=1, max=750, help="Trials of the tuning job.")] = None,
    until: Annotated[
        Literal["upload", "features", "tune", "train", "deploy", "scale", "function", "predict"],
        typer.Option(help="The last step to do."),
    ] = "predict",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the local AWS, and the endpoint, running.")] = False,
    yes: Yes = False,
    settings_file: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="The summary, for machines.")] = False,
) -> None:
    """Data, channels, features, tuning, the best again, endpoint, scaling, function, prediction: on either side alike.

    Nothing that costs money starts before its estimate was shown and agreed to. Ended at any moment, --resume goes on.
    """
    from kennel.workflow import record
    from kennel.workflow.stage import Stage
    from kennel.workflow.story import Story

    settings = settings_of.load(settings_file)
    before = record.resumed(out_folder, on) if resume else None
    settings = _with_jobs(settings, before.jobs if before else jobs)
    with connected(on, settings, keep) as own:
        cloud = acting(own)
        _agree(cloud, yes)
        begun = before or record.begin(out_folder, on, data or _at_hand(), jobs)
        summary = Story(Stage(cloud, begun, out_folder, progress(), ask_to_stop)).tell(until)
    print_json(summary.as_json()) if as_json else _print(summary)
    if endpoint := summary.addresses.get("endpoint"):
        _print_next(on, endpoint, keep)


def acting(cloud: Cloud) -> Cloud:
    """On the local AWS its owner administers it, and the story is told by the deployer."""
    from kennel.cloud.iam.acting import as_deployer, prepared

    if cloud.side == "local":
        prepared(cloud)
    return as_deployer(cloud) if cloud.side == "local" or cloud.settings.iam.assume else cloud


def _with_jobs(settings: Settings, jobs: int | None) -> Settings:
    if jobs is None:
        return settings
    return settings.model_copy(update={"tuning": settings.tuning.model_copy(update={"jobs": jobs})})


def _at_hand() -> Path | None:
    """The folder that `kennel data fetch` makes, if it lies here."""
    if Path("dogImages/train").is_dir():
        return Path("dogImages")
    err.print("No data set named, so this uses a small set of drawings: eight breeds, no photographs.")
    err.print("For the real one: kennel data fetch && kennel run --data dogImages")
    return None


def _agree(cloud: Cloud, yes: bool) -> None:
    """Show what it costs before anything is started. Raises KennelError where nobody agrees."""
    from kennel.cloud import prices

    found = prices.estimate(cloud.settings, cloud.side, prices.load())
    if cloud.side == "local":
        err.print(found.notes[0])
        return
    show_estimate(found)
    agree(yes, "Start?", KennelError("nothing was started", "Say yes, or change kennel.toml"))


def show_estimate(found: Estimate) -> None:
    """A table on stderr."""
    head, *rows = found.table()
    table = Table(*head, title=f"estimate, prices of {found.as_of}", title_justify="left")
    for row in rows:
        table.add_row(*row)
    err.print(table)
    err.print(f"left running, endpoint and function cost {found.month()} a month", highlight=False)
    for note in found.notes:
        err.print(note)


def _print_next(on: str, endpoint: str, keep: bool) -> None:
    """What to type next. A home that was named by the environment has to be named again."""
    home = os.environ.get("KENNEL_LOCAL_HOME") if on == "local" else None
    kennel = f"KENNEL_LOCAL_HOME={home} kennel" if home else "kennel"
    if on == "local" and not keep:
        err.print(f"the local AWS is ended, and the endpoint with it; both are back by: {kennel} local up")
    err.print(f"ask the endpoint: {kennel} predict photo.jpg --endpoint {endpoint} --on {on}")
    if on == "aws":
        err.print("end what is billed: kennel teardown --on aws")


def ask_to_stop(kind: str, name: str, back: str = "--resume") -> bool:
    """After Ctrl-C. Where nobody can be asked it goes on, and the line says how to come back to it."""
    err.print(f"the {kind} {name} goes on without this command; {back} comes back to it", highlight=False)
    return sys.stdin.isatty() and typer.confirm(f"Stop {name} as well?", default=False, err=True)


def _print(summary: Summary) -> None:
    steps = Table(show_header=False, box=None)
    for step, seconds in summary.seconds.items():
        steps.add_row(step, f"{seconds:7.1f} s")
    steps.add_row("in all", f"{sum(summary.seconds.values()):7.1f} s", style="bold")
    out.print(Panel(steps, title="time", title_align="left", expand=False))
    if summary.answer and summary.photo:
        print_chart(summary.answer["predictions"])
        out.print(f"the photograph is {summary.photo.label}: {summary.photo.path}")
    if best := summary.best:
        chosen = ", ".join(f"{name} {value}" for name, value in sorted(best.hyperparameters.items()))
        out.print(f"best trial {best.job}: {best.value} with {chosen}", highlight=False)
    for name, value in summary.metrics.items():
        if name.startswith("test:"):
            out.print(f"{name:<20} {value * 100:.1f} %", highlight=False)
    from kennel.cloud.prices import usd

    on_aws = "" if summary.side == "aws" else " (nothing is billed on this machine)"
    more = f", up to {usd(summary.more)} more when scaled out" if summary.more else ""
    stay = f"endpoint and function {usd(summary.hourly)} an hour{more}"
    if summary.scaling:
        out.print(f"{'scaling':<14} {summary.scaling}", highlight=False)
    out.print(f"jobs cost {usd(summary.spent)}, {stay}{on_aws}", highlight=False)
    for name, place in summary.addresses.items():
        out.print(f"{name:<14} {place}")
