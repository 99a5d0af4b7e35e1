"""`kennel ec2 …`: a training by hand, on a machine that ends by itself."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kennel import hyperparameters
from kennel import settings as settings_of
from kennel.cli.console import agree, clean, err, out, print_json
from kennel.cli.local import On, SettingsFile, there
from kennel.errors import KennelError, SettingError, Stopped, TrainingFailed

if TYPE_CHECKING:
    from kennel.cloud.by_hand import ByHand
    from kennel.cloud.instance_requests import InstancePlan
    from kennel.cloud.session import Cloud

app = typer.Typer(help="A training by hand, on an EC2 machine that ends by itself.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="The same, for machines.")]
Run = Annotated[str, typer.Argument(help="A run by hand, kennel-ec2-1a2b3c4d say.")]
EPILOG = """Examples: kennel ec2 launch --like kennel-train-1a2b3c4d --on aws · kennel ec2 launch --data
s3://dogs/kennel/data/5e6f7a8b --set epochs=20 --on aws --spot · kennel ec2 launch --like JOB --dry-run"""


@app.command(epilog=EPILOG)
def launch(
    data: Annotated[str, typer.Option(help="s3://…, with train/, valid/ and test/ below it.")] = "",
    like: Annotated[str, typer.Option(help="A training job: its image, data, weights and hyperparameters.")] = "",
    weights: Annotated[str, typer.Option(help="s3://… of pretrained weights; auto: the image finds some.")] = "auto",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="A hyperparameter, name=value; repeat for more.")
    ] = None,
    image: Annotated[str, typer.Option(help="Another training image, repository[:tag] or HOST/…@sha256:….")] = "",
    run: Annotated[str, typer.Option("--run", help="Its name; without, it follows from the content.")] = "",
    on: On = "local",
    spot: Annotated[bool | None, typer.Option("--spot/--on-demand", help="Instead of kennel.toml's.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the request and the user data.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before what costs money.")] = False,
    settings_file: SettingsFile = None,
    as_json: Json = False,
) -> None:
    """Launch a machine that trains, tells how it went, and ends, whatever happens; wait for it.

    The same once more finds what is there: a machine that does it already, checkpoints after an interruption, or that
    all is done.
    """
    from kennel.cloud import instance

    settings = settings_of.load(settings_file)
    if spot is not None:
        settings = settings.model_copy(update={"ec2": settings.ec2.model_copy(update={"spot": spot})})
    cloud = _acting(there(on, settings))
    given = hyperparameters.from_assignments(assignments or [])
    plan = _plan(cloud, data, like, weights, given, image, run)
    plan = plan if dry_run else instance.next_try(cloud, plan)
    if dry_run:
        _show(plan)
        return
    _agree(cloud, plan, yes)
    machine = instance.launch(cloud, plan)
    err.print(f"{plan.run}: machine {machine}" if machine else f"{plan.run} is done already", highlight=False)
    if detach:
        print_json({"run": plan.run, "machine": machine}) if as_json else out.print(plan.run, highlight=False)
        err.print(f"how it goes: kennel ec2 status {plan.run} --on {on}", highlight=False)
        return
    _finish(_waited(cloud, plan.run), on, as_json)


@app.command(
    epilog="Examples: kennel ec2 status · kennel ec2 status kennel-ec2-1a2b3c4d --on aws · "
    "kennel ec2 status kennel-ec2-1a2b3c4d --json | jq .phases"
)
def status(
    run: Annotated[str, typer.Argument(help="A run by hand; without, a line for each that there is.")] = "",
    on: On = "local",
    settings_file: SettingsFile = None,
    as_json: Json = False,
) -> None:
    """How far it is, phase by phase, and why it failed. Exit 1 where it did."""
    from kennel.cloud import instance

    cloud = _acting(there(on, settings_of.load(settings_file)))
    if run:
        _finish(instance.status(cloud, run), on, as_json)
        return
    _list([found for each in instance.runs(cloud) if (found := instance.find(cloud, each))], as_json)


@app.command(epilog="Example: kennel ec2 logs kennel-ec2-1a2b3c4d --on aws")
def logs(run: Run, on: On = "local", settings_file: SettingsFile = None) -> None:
    """What its machine has sent of its log: once a minute, and at the end. Before that, its console."""
    from kennel.cloud import instance

    cloud = _acting(there(on, settings_of.load(settings_file)))
    text = instance.log(cloud, run) or "".join(f"{line}\n" for line in instance.status(cloud, run).console)
    sys.stdout.write(clean(text))
    if not text:
        err.print("nothing yet; it is sent once a minute")


@app.command(epilog="Example: kennel ec2 stop kennel-ec2-1a2b3c4d --on aws")
def stop(run: Run, on: On = "local", settings_file: SettingsFile = None) -> None:
    """End its machine. The training stops first, as far as EC2 gives it time; the next launch goes on where it was."""
    from kennel.cloud import instance

    cloud = _acting(there(on, settings_of.load(settings_file)))
    ended = instance.end(cloud, run)
    if not ended:
        instance.status(cloud, run)  # a name that nobody has is an error
    err.print(f"ending: {', '.join(ended)}" if ended else f"no machine of {run} runs", highlight=False)


def _acting(cloud: Cloud) -> Cloud:
    """On the local AWS its owner administers it, and whoever launches is the launcher; so where a setting says."""
    from kennel.cloud.iam.acting import as_launcher, prepared

    if cloud.side == "local":
        prepared(cloud)
    return as_launcher(cloud) if cloud.side == "local" or cloud.settings.iam.assume else cloud


def _plan(
    cloud: Cloud, data: str, like: str, weights: str, given: dict[str, str], image: str, run: str
) -> InstancePlan:
    """Raises KennelError."""
    from kennel.cloud import instance_plan

    if bool(data) == bool(like):
        raise SettingError(
            "either --data or --like says what to train on", "Name one: --like kennel-train-1a2b3c4d, say"
        )
    if like and (given or image or weights != "auto"):
        raise SettingError("--like takes image, weights and hyperparameters of the job", "Leave the others away")
    made = instance_plan.like(cloud, like) if like else instance_plan.named(cloud, data, weights, given, image)
    return instance_plan.plan_of(cloud, made, run)


def _show(plan: InstancePlan) -> None:
    """What would be sent. The ids that a launch looks up are placeholders."""
    from kennel.cloud.instance_requests import run_instances

    request = run_instances(plan, "ami-00000000000000000", "sg-00000000000000000")
    user_data = request.pop("UserData")
    sys.stdout.write(json.dumps(request, indent=1) + "\n" + user_data)
    err.print(
        f"user data: {len(user_data.encode())} bytes; ids of machine image and security group are looked up at launch"
    )


def _agree(cloud: Cloud, plan: InstancePlan, yes: bool) -> None:
    """Show what it costs. Raises KennelError where nobody agrees."""
    from kennel.cloud import prices
    from kennel.cloud.instance_requests import LAST_MINUTES

    if cloud.side == "local":
        return
    known = prices.load()
    price = known.machine(cloud.region, plan.instance_type, plan.volume_gb)
    longest = plan.max_runtime_s / 3600 + LAST_MINUTES / 60
    most = prices.usd(None if price is None else price * longest)
    kind = f"{plan.instance_type}, spot for less" if plan.spot else plan.instance_type
    err.print(f"{kind}: {prices.usd(price)} an hour, {most} at most, by the prices of {known.as_of}", highlight=False)
    err.print("its disk and public address are in it; not counted: taxes, S3 (cents)", highlight=False)
    agree(yes, "Launch?", KennelError("nothing was launched", "Say yes, or change [ec2] in kennel.toml"))


def _waited(cloud: Cloud, run: str) -> ByHand:
    """Ctrl-C ends the wait, and the machine where that is wanted."""
    from kennel.cloud import instance

    try:
        return instance.wait(cloud, run, _tell)
    except Stopped:
        err.print(f"{run} goes on without this command; the same command comes back to it", highlight=False)
        if sys.stdin.isatty() and typer.confirm(f"End the machine of {run} as well?", default=False, err=True):
            instance.end(cloud, run)
        raise


def _tell(found: ByHand) -> None:
    more = "" if found.attempt == 1 else f", attempt {found.attempt}"
    err.print(f"{found.state}: {found.phase}{more}{f' (machine {found.instance})' if found.instance else ''}")


def _list(found: list[ByHand], as_json: bool) -> None:
    if as_json:
        print_json([_described(each) for each in found])
        return
    for each in found:
        _head(each)
    if not found:
        err.print("there are no runs by hand; the first: kennel ec2 launch")


def _finish(found: ByHand, on: On, as_json: bool) -> None:
    """Raises TrainingFailed where it is over and not Completed."""
    print_json(_described(found)) if as_json else _print(found)
    if found.over and found.state != "Completed":
        reason = found.reason.rstrip(".")
        raise TrainingFailed(
            f"{found.run} {found.state.lower()} in {found.phase}: {reason}",
            f"See: kennel ec2 logs {found.run} --on {on}",
        )


def _head(found: ByHand) -> None:
    machine = found.machine
    where = " ".join(
        each
        for each in (
            machine.instance_type,
            "spot" if machine.spot else "",
            machine.zone,
            machine.instance_id,
            found.instance,
        )
        if each
    )
    out.print(f"{found.run}: {found.state}, {found.phase}{f'; {where}' if where else ''}", highlight=False)


def _print(found: ByHand) -> None:
    _head(found)
    if found.provision_s is not None:
        out.print(f"  provision {found.provision_s:9.1f} s", highlight=False)
    for each in found.phases:
        more = f"  attempt {each.attempt}" if found.attempt > 1 else ""
        out.print(f"  {each.name:<9} {each.seconds:9.1f} s{more}", highlight=False)
    for line in found.console:
        out.print(f"  console: {line}", highlight=False)


def _described(found: ByHand) -> dict[str, Any]:
    """For machines: times as text."""
    return json.loads(json.dumps(asdict(found), default=str))  # type: ignore[no-any-return]
