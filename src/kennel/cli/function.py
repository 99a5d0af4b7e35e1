"""`kennel function …`: what the public asks, in front of the endpoint."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kennel import settings as settings_of
from kennel.cli.console import agree, err, out, print_json, progress
from kennel.cli.local import On, SettingsFile, there
from kennel.cli.predict import print_chart
from kennel.errors import KennelError, PictureError

if TYPE_CHECKING:
    from kennel.cloud.function_requests import FunctionPlan
    from kennel.cloud.session import Cloud

app = typer.Typer(help="The function in front of the endpoint, and its public address.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="The same, for machines.")]


@app.command(
    epilog="Examples: kennel function deploy · kennel function deploy --on aws · kennel function deploy --rollback"
)
def deploy(
    on: On = "local",
    rollback: Annotated[bool, typer.Option("--rollback", help="Back to the version before.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before what costs money.")] = False,
    settings_file: SettingsFile = None,
    as_json: Json = False,
) -> None:
    """Publish it as kennel.toml says, move the alias `live` to it, wait for its instances; tell its address.

    What is so already is left so. Done again after any end, it goes on where it was.
    """
    from kennel.cloud import function

    cloud = there(on, settings_of.load(settings_file))
    _agree(cloud, yes)
    plan, steps = _plan(cloud), progress()
    with steps.step(f"function {plan.name}"):
        done = (function.rollback if rollback else function.deploy)(cloud, plan, steps.say)
    if as_json:
        print_json(asdict(done))
        return
    out.print(done.url, highlight=False)
    err.print(f"{done.action}: version {done.version}, {done.ready} provisioned instances are ready", highlight=False)
    err.print(f"ask it: kennel function invoke photo.jpg --on {on}; its address shows a page", highlight=False)


@app.command(
    epilog="Examples: kennel function invoke photo.jpg · kennel function invoke https://example.org/dog.jpg --on aws"
)
def invoke(
    picture: Annotated[str, typer.Argument(help="A photograph, or its address on the web.")],
    on: On = "local",
    settings_file: SettingsFile = None,
    as_json: Json = False,
) -> None:
    """Ask it about a photograph, by Lambda's own call."""
    from kennel.cloud import function

    settings = settings_of.load(settings_file)
    given = picture if "://" in picture else _content(Path(picture))
    answer = function.invoke(there(on, settings), settings.function.name, given)
    print_json(answer) if as_json else print_chart(answer["predictions"])


@app.command(epilog="Example: curl --data-binary @photo.jpg $(kennel function url)")
def url(on: On = "local", settings_file: SettingsFile = None) -> None:
    """Its public address: a page in a browser, and where pictures are sent."""
    from kennel.cloud import function

    settings = settings_of.load(settings_file)
    out.print(function.url_of(there(on, settings), settings.function.name), highlight=False)


@app.command(epilog="Examples: kennel function logs · kennel function logs --on aws | grep '\"status\": 5'")
def logs(on: On = "local", settings_file: SettingsFile = None) -> None:
    """Its log, all that is kept: a line of JSON a request, between Lambda's own."""
    from kennel.cloud.function_requests import GROUP
    from kennel.cloud.logs import Follower, LogLine, Notice
    from kennel.cloud.session import told

    settings = settings_of.load(settings_file)
    cloud, group = there(on, settings), GROUP + settings.function.name

    def tell(event: LogLine | Notice) -> None:
        if isinstance(event, Notice):
            raise KennelError(event.text, "Ask whoever administers the account for this permission")
        sys.stdout.write(event.text + "\n")

    with told(f"read {group}"):
        count = Follower(cloud.client("logs"), group, "", tell).read()
    if not count:
        err.print(f"nothing is in {group}")


def _plan(cloud: Cloud) -> FunctionPlan:
    from kennel.cloud.function_requests import plan_of
    from kennel.cloud.iam.apply import ensure
    from kennel.cloud.package import package

    return plan_of(cloud.settings, ensure(cloud, "function"), package())


def _agree(cloud: Cloud, yes: bool) -> None:
    """Show what it costs while idle. Raises KennelError where nobody agrees."""
    from kennel.cloud import prices
    from kennel.comparison.costs import HOURS_A_MONTH

    asked = cloud.settings.function
    if cloud.side == "local" or not asked.provisioned:
        return
    costs = prices.load().provisioned(cloud.region, asked.memory_mb, asked.provisioned)
    month = None if costs is None else costs * HOURS_A_MONTH
    detail = f"{asked.provisioned} × {asked.memory_mb} MB provisioned"
    err.print(f"{detail}: {prices.usd(costs)} an hour, {prices.usd(month)} a month, until kennel teardown")
    declined = KennelError("nothing was deployed", "Say yes, or set provisioned = 0 in kennel.toml")
    agree(yes, "Deploy?", declined)


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise PictureError("unknown", f"no picture at {path}", "Name a file, or an address that begins with https://")
    return path.read_bytes()
