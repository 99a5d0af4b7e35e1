"""`kennel scale …`: how many instances the endpoint has, and why."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from kennel import settings as settings_of
from kennel.cli.console import agree, err, out, print_json
from kennel.cli.local import On, SettingsFile, there
from kennel.errors import KennelError, SettingError

if TYPE_CHECKING:
    from kennel.cloud.scaling import Activity, Scaled
    from kennel.cloud.scaling_events import ScalingEvent
    from kennel.cloud.scaling_requests import Change
    from kennel.cloud.session import Cloud

app = typer.Typer(help="The endpoint's scaling: switched on, watched, understood.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="The same, for machines.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before what costs money.")]


@app.command(epilog="Examples: kennel scale apply · kennel scale apply --on aws · kennel scale apply --dry-run")
def apply(
    on: On = "local",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what differs, change nothing.")] = False,
    yes: Yes = False,
    settings_file: SettingsFile = None,
    as_json: Json = False,
) -> None:
    """Scale the endpoint as kennel.toml says, [scaling]: bounds, target, cooldowns, scheduled actions.

    What differs is shown first; what is so already is left so, and what others have put there too.
    """
    from kennel.cloud import scaling
    from kennel.cloud.scaling_requests import plan_of

    settings = settings_of.load(settings_file)
    if not settings.scaling.enabled:
        raise SettingError("scaling is switched off in kennel.toml", "Set [scaling] enabled, or: kennel scale remove")
    cloud = there(on, settings)
    wanted = scaling.difference(cloud, plan_of(settings))
    _show(wanted, err if as_json else out)
    if wanted and not dry_run:
        _agree(cloud, yes)
        scaling.carry_out(cloud, wanted, lambda line: None)
        err.print(f"see what it does: kennel scale watch --on {on}", highlight=False)
    if as_json:
        print_json([asdict(each) for each in wanted])


@app.command(epilog="Examples: kennel scale status · kennel scale status --on aws --json")
def status(on: On = "local", settings_file: SettingsFile = None, as_json: Json = False) -> None:
    """How many instances there are, the bounds, the alarms, and what scaling did last."""
    from kennel.cloud import scaling

    settings = settings_of.load(settings_file)
    found = scaling.look(there(on, settings), settings.endpoint_name)
    if as_json:
        print_json(json_of(found))
        return
    out.print(f"{found.endpoint}: {instances_of(found)}, {found.minimum} to {found.maximum} allowed", highlight=False)
    for name, target in found.targets.items():
        states = ", ".join(f"{each.short} {each.state}" for each in found.alarms if each.policy == name)
        out.print(f"policy {name}: target {target:g}{f'; alarms: {states}' if states else ''}", highlight=False)
    for name, schedule in found.actions.items():
        out.print(f"scheduled action {name}: {schedule}", highlight=False)
    if found.suspended:
        out.print(f"suspended: {', '.join(found.suspended)}", highlight=False)
    _print_activities(found)


@app.command(epilog="Examples: kennel scale watch · kennel scale watch --on aws --minutes 30 --json | jq .per_instance")
def watch(
    on: On = "local",
    minutes: Annotated[int | None, typer.Option(min=1, help="End after so many; without it, Ctrl-C ends it.")] = None,
    settings_file: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON an event, for machines.")] = False,
) -> None:
    """Minute by minute: the traffic against the target; alarms, activities and instances as they change."""
    from kennel.cloud import scaling
    from kennel.cloud import watch as wait

    settings = settings_of.load(settings_file)
    cloud, name = there(on, settings), settings.endpoint_name
    found = scaling.look(cloud, name)
    if as_json:
        wait.scaling(cloud, name, lambda event: _tell_line(event_json(event)), minutes)
        return
    err.print(f"{name} is scaled from {found.minimum} to {found.maximum} instances; Ctrl-C ends this", highlight=False)
    target = next((value for policy, value in found.targets.items() if policy.endswith(".invocations")), None)
    wait.scaling(cloud, name, lambda event: out.print(line_of(event, target), highlight=False), minutes)


@app.command(epilog="Examples: kennel scale remove · kennel scale remove --on aws --yes")
def remove(on: On = "local", yes: Yes = False, settings_file: SettingsFile = None) -> None:
    """Scale the endpoint no more: it keeps the instances that it has now."""
    from kennel.cloud import scaling

    settings = settings_of.load(settings_file)
    cloud = there(on, settings)
    wanted = scaling.leftovers(cloud, settings.endpoint_name)
    _show(wanted, out)
    if not wanted:
        return
    agree(yes, "Remove?", KennelError("nothing was removed", "Say yes"))
    scaling.carry_out(cloud, wanted, lambda line: None)


def instances_of(found: Scaled) -> str:
    """`2 instances`, `1 of 3 instances`."""
    if found.current == found.desired:
        return f"{found.current} instance{'s' * (found.current != 1)}"
    return f"{found.current} of {found.desired} instances"


def line_of(event: ScalingEvent, target: float | None) -> str:
    """For people. A minute over the target is marked."""
    from kennel.cloud.scaling import Activity
    from kennel.cloud.scaling_events import AlarmChanged, CountChanged, MinuteTold

    match event:
        case MinuteTold(at=at, invocations=several, per_instance=one):
            over = " ▲" if one is not None and target is not None and one > target else ""
            of = "" if target is None else f" of {target:g}"
            return (
                f"{at.astimezone():%H:%M}  {_number(several):>7} invocations  {_number(one):>7} an instance{of}{over}"
            )
        case AlarmChanged(alarm=alarm, before=before, state=state):
            return f"       alarm {alarm}: {before} → {state}"
        case CountChanged(current=current, desired=desired, minimum=least, maximum=most):
            counted = f"{current}" if current == desired else f"{current} of {desired}"
            return f"       instances: {counted} ({least}–{most} allowed)"
        case Activity():
            return f"       {event.status}: {event.description}\n         {why(event)}"


def why(activity: Activity) -> str:
    """Its cause; of one that has not come true, what AWS says of that too."""
    return activity.cause if activity.status == "Successful" else f"{activity.cause}. {activity.message}".strip()


def event_json(event: ScalingEvent) -> dict[str, object]:
    """`{"event": "MinuteTold", "at": …}`."""
    told = asdict(event)
    return {"event": type(event).__name__, **{k: v.isoformat() if k == "at" else v for k, v in told.items()}}


def json_of(found: Scaled) -> dict[str, object]:
    """For machines: times as text."""
    several = [{**asdict(each), "at": each.at.isoformat()} for each in found.activities]
    return {**asdict(found), "activities": several}


def _show(wanted: tuple[Change, ...], console: Console) -> None:
    for each in wanted:
        console.print(str(each), highlight=False)
    if not wanted:
        err.print("unchanged: it is as it shall be")


def _agree(cloud: Cloud, yes: bool) -> None:
    """Show what it may cost. Raises KennelError where nobody agrees."""
    from kennel.cloud import prices

    if cloud.side == "local":
        return
    asked, kind = cloud.settings.scaling, cloud.settings.endpoint.instance_type
    price = prices.load().hourly(cloud.region, kind)
    several = f"{asked.min}–{asked.max} × {kind}"
    err.print(f"{several}: {prices.between(price, asked.min, asked.max)} an hour, until kennel teardown")
    agree(yes, "Scale?", KennelError("nothing was changed", "Say yes, or change kennel.toml"))


def _print_activities(found: Scaled) -> None:
    if not found.activities:
        out.print("no activity yet")
        return
    table = Table("when", "status", "what", "why", show_edge=False)
    for each in found.activities:
        table.add_row(f"{each.at.astimezone():%m-%d %H:%M:%S}", each.status, each.description, why(each))
    out.print(table)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}".removesuffix(".0")


def _tell_line(value: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
