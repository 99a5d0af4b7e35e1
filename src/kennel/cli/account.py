"""`kennel status` and `kennel teardown`: what runs and costs, and its end."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Column, Table

from kennel import settings as settings_of
from kennel.cli.console import agree, err, out, print_json
from kennel.cli.local import On, SettingsFile, there
from kennel.errors import KennelError

STATUS_EPILOG = "Examples: kennel status · kennel status --on aws --json"
TEARDOWN_EPILOG = (
    """Examples: kennel teardown · kennel teardown --on aws --everything · kennel teardown --on aws --verify"""
)


def status(
    on: On = "local",
    settings_file: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same, for machines.")] = False,
) -> None:
    """This project's jobs, machines and endpoints that run, what they cost an hour, which endpoints serve nobody."""
    from kennel.cloud import prices
    from kennel.cloud.status import status as look

    found = look(there(on, settings_of.load(settings_file)), prices.load())
    if as_json:
        print_json(
            [{**asdict(each), "since": str(each.since), "idle_since": _text(each.idle_since)} for each in found.running]
        )
        return
    if not found.running:
        out.print("nothing is running")
        return
    table = Table(
        "what",
        Column("name", no_wrap=True),
        "status",
        Column("machines", overflow="fold"),
        "scaled",
        "an hour",
        "serves nobody since",
    )
    for each in found.running:
        machines = f"{each.instances} × {each.instance_type}" if each.instance_type else ""
        costs, idle = prices.usd(each.hourly), _text(each.idle_since)
        table.add_row(each.kind, each.name, each.status, machines, each.scaling, costs, idle)
    out.print(table)
    out.print(f"in all {prices.usd(found.hourly)} an hour, by the prices of {found.as_of}", highlight=False)
    if found.idle:
        err.print("endpoints that serve nobody cost as much as others; end them: kennel teardown")


def teardown(
    on: On = "local",
    everything: Annotated[bool, typer.Option("--everything", help="Logs, data, bucket and roles too.")] = False,
    images: Annotated[bool, typer.Option("--images", help="The images in ECR too.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Remove nothing; tell what is still billed, exit 1 if any.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    settings_file: SettingsFile = None,
) -> None:
    """Remove what carries this project's tag, in the right order: endpoints, jobs and machines that run, models. Asks
    first."""
    from kennel.cloud import teardown as ends

    cloud = there(on, settings_of.load(settings_file))
    if not verify:
        plan = ends.plan(cloud, everything, images)
        for each in plan:
            out.print(str(each), highlight=False)
        _agree(bool(plan), yes)
        ends.carry_out(cloud, plan, lambda each, gone: err.print(f"gone: {each}") if gone else None)
    left = ends.verify(cloud)
    for what in left:
        out.print(f"still billed: {what}", highlight=False)
    err.print(
        "nothing of this project is billed any more" if not left else "see: kennel teardown --everything --images"
    )
    raise typer.Exit(1 if verify and left else 0)


def _agree(any_plan: bool, yes: bool) -> None:
    if any_plan:
        agree(yes, "Remove all of this?", KennelError("nothing was removed", "Say yes"))
    else:
        err.print("there is nothing to remove")


def _text(value: object) -> str:
    return "" if value is None else str(value)[:16]
