"""`kennel iam …`: who may do what, shown, applied and proven."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from kennel import settings as settings_of
from kennel.cli import iam_audit
from kennel.cli.console import agree, err, out, print_json, progress
from kennel.cli.local import On, SettingsFile, there
from kennel.errors import KennelError, SettingError
from kennel.settings import Settings

if TYPE_CHECKING:
    from kennel.cloud.iam import Place, Role
    from kennel.cloud.iam.values import Condition
    from kennel.cloud.session import Cloud
    from kennel.workflow.proof.table import Proof

app = typer.Typer(help="Who may do what: roles shown, applied, audited, proven.", no_args_is_help=True)
app.command("audit", epilog=iam_audit.EPILOG)(iam_audit.audit)

VERDICTS = {"proven": "green", "too wide": "bold red", "would be denied": "cyan"}
LINES = {"+": "green", "-": "red", "@": "cyan"}
Actors = Annotated[
    list[str] | None,
    typer.Argument(
        help="training, endpoint, function, instance, deployer, builder, launcher; without, all.", show_default=False
    ),
]
Account = Annotated[str, typer.Option("--account", help="Of this AWS account, asking nobody.", show_default=False)]


@app.command(
    epilog="Examples: kennel iam show · kennel iam show deployer · kennel iam show training --document > training.json"
)
def show(
    actors: Actors = None,
    on: On = "local",
    account: Account = "",
    settings_file: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, reasons too, for machines.")] = False,
    document: Annotated[bool, typer.Option("--document", help="The policy alone, as IAM takes it.")] = False,
) -> None:
    """Who does the work, who may take the role on, and statement by statement what it may do, and why."""
    from kennel.cloud.iam import role_of

    place = _place(on, settings_of.load(settings_file), account)
    roles = [role_of(place, actor) for actor in _actors(actors)]
    if document:
        found: Any = [each.policy for each in roles]
        print_json(found[0] if len(found) == 1 else {each.name: each.policy for each in roles})
        return
    if as_json:
        print_json([_described(each) for each in roles])
        return
    for each in roles:
        _print(each)


@app.command(epilog="Examples: kennel iam apply · kennel iam apply deployer --on aws · kennel iam apply --on aws --yes")
def apply(
    actors: Actors = None,
    on: On = "local",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    settings_file: SettingsFile = None,
) -> None:
    """Make the roles, and the bucket, what kennel.toml wants: shows what differs, asks, and removes what drifted.

    Takes an administrator's rights. Roles that do not carry this project's tag are never touched.
    """
    from kennel.cloud.bucket import ensure_bucket
    from kennel.cloud.iam import place_of, role_of
    from kennel.cloud.iam.apply import carry_out, differences

    chosen = _actors(actors)
    cloud = there(on, settings_of.load(settings_file))
    found = differences(cloud, tuple(role_of(place_of(cloud), actor) for actor in chosen))
    for each in found:
        if each.found is not None and not each.found.ours:
            err.print(f"the role {each.role.name} is not this project's, and stays as it is")
        for name in each.of_regions():
            err.print(f"{name} of {each.role.name} is another region's: see it by kennel iam apply there")
    todo, bucket = [each for each in found if each], not actors and _show_bucket(cloud)
    for each in todo:
        _print_lines(each.lines())
    if todo or bucket:
        agree(yes, "Apply all of this?", KennelError("nothing was applied", "Say yes"))
        if bucket:
            ensure_bucket(cloud)
        for each in todo:
            carry_out(cloud, each)
            err.print(f"applied: {each.role.name}")
    else:
        err.print("nothing to do: all is as kennel.toml wants it")
    if "deployer" in chosen:
        _tell_profile(cloud)


@app.command(
    epilog="Examples: kennel iam prove · kennel iam prove --quick · kennel iam prove --actor function --statement Ask"
)
def prove(
    actors: Annotated[
        list[str] | None, typer.Option("--actor", help="Only this one's role; may be said again.")
    ] = None,
    statement: Annotated[str, typer.Option(help="Only this statement.")] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="Only replay what was recorded: shows, proves nothing.")
    ] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Forget what an earlier call has proven.")] = False,
    settings_file: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for machines.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As a page of the docs has it.")] = False,
) -> None:
    """Take every action and resource away, and see that what needs it fails; then try what a thief would.

    On a local AWS of its own, which is thrown away. Ended at any moment, the next call goes on. Exit status 1 where a
    statement allows what nothing needs, or a thief gets anywhere.
    """
    from kennel.files import cache_dir
    from kennel.workflow.proof.prove import Wanted
    from kennel.workflow.proof.prove import prove as prove_it
    from kennel.workflow.proof.table import markdown

    chosen, kept = _actors(actors), cache_dir("proof") / "outcomes.json"
    if anew:
        kept.unlink(missing_ok=True)
    started = time.monotonic()
    proof = prove_it(settings_of.load(settings_file), Wanted(chosen, statement, quick, kept), progress())
    command = " ".join(["kennel iam prove", *sys.argv[3:]])
    if as_json:
        print_json(proof.document())
    elif as_markdown:
        day, minutes = time.strftime("%Y-%m-%d"), (time.monotonic() - started) / 60
        sys.stdout.write(markdown(proof, day, command, minutes))
    else:
        _print_proof(proof)
    raise typer.Exit(0 if proof.holds else 1)


def _print_proof(proof: Proof) -> None:
    table = Table("role", "statement", "taken away", "found")
    for each in proof.outcomes:
        found = Text(each.verdict, VERDICTS.get(each.verdict, "")) + Text(f"  {each.step or each.why}", "dim")
        table.add_row(each.item.actor, each.item.sid, Text(each.item.value, overflow="fold"), found)
    out.print(table, soft_wrap=False)
    for hole in [each for each in proof.stolen if not each.denied]:
        out.print(f"a stolen {hole.actor} role can {hole.what}: {hole.said}", style="red")
    for wide in [each for each in proof.outcomes if each.verdict == "too wide"]:
        out.print(f"too wide: {wide.item}: {wide.why}", style="red", highlight=False)
    out.print(proof.summary(), highlight=False)


def _actors(given: list[str] | None) -> tuple[Any, ...]:
    """Raises SettingError."""
    from kennel.cloud.iam import ACTORS

    if wrong := [each for each in given or [] if each not in ACTORS]:
        raise SettingError(f"there is no actor {wrong[0]}", f"Name one of {', '.join(ACTORS)}")
    return tuple(each for each in ACTORS if not given or each in given)


def _place(on: str, settings: Settings, account: str) -> Place:
    """The local AWS has one account, so it need not run. Raises SettingError, KennelError."""
    from kennel.cloud.iam import Place
    from kennel.cloud.session import connect

    if account and (len(account) != 12 or not account.isascii() or not account.isdigit()):
        raise SettingError(f"{account!r} is no AWS account", "Give its 12 digits")
    if not account and on == "aws":
        account = connect("aws", settings).account
    if not account:
        from kennel.local.moto_side import ACCOUNT

        account = ACCOUNT
    return Place(settings, settings.region, account)


def _described(role: Role) -> dict[str, Any]:
    statements = [{**each.document(), "Reason": each.reason} for each in role.statements]
    return {
        "actor": role.actor,
        "name": role.name,
        "purpose": role.purpose,
        "trust": role.trust,
        "longest_session_s": role.longest_s,
        "statements": statements,
    }


def _print(role: Role) -> None:
    out.print(Text.assemble((role.name, "bold"), f"  {role.purpose}"))
    (principal,) = role.trusted.principal.values()
    out.print(f"taken on by {principal}: {role.trusted.reason}", highlight=False)
    for line in _conditions(role.trusted.condition):
        out.print(f"  {line}", style="dim", highlight=False)
    table = Table(show_header=False, box=None, padding=(0, 2, 1, 0))
    for each in role.statements:
        where = "".join(f"\non {resource}" for resource in each.resources)
        when = "".join(f"\nif {line}" for line in _conditions(each.condition))
        said = Text.assemble((f"{each.reason}\n", "dim"), ", ".join(each.actions), where, (when, "cyan"))
        said.overflow = "fold"
        table.add_row(Text(each.sid, "bold"), said)
    out.print(table, soft_wrap=False)


def _conditions(condition: Condition) -> list[str]:
    return [
        f"{key} {operator} {value if isinstance(value, str) else ' or '.join(value)}"
        for operator, keys in condition.items()
        for key, value in keys.items()
    ]


def _show_bucket(cloud: Cloud) -> bool:
    """Whether anything of it has to change."""
    from kennel.cloud.bucket import difference

    found = difference(cloud)
    for aspect, now, meant in found:
        _print_lines([f"--- bucket {cloud.bucket}: {aspect.name}", f"-{json.dumps(now)}", f"+{json.dumps(meant)}"])
    return bool(found)


def _print_lines(lines: list[str]) -> None:
    for line in lines:
        out.print(Text(line, style=LINES.get(line[:1], "")), highlight=False)


def _tell_profile(cloud: Cloud) -> None:
    """How a person becomes the deployer."""
    from kennel.cloud.iam import place_of

    if cloud.side == "local":
        err.print("kennel run on the local AWS works as the deployer by itself")
        return
    name = cloud.settings.deployer_role
    role = place_of(cloud).role(name)
    err.print(f"Whoever shall deploy needs sts:AssumeRole on {role}, and in ~/.aws/config:", highlight=False)
    out.print(
        f"[profile {name}]\nrole_arn = {role}\nsource_profile = default\nregion = {cloud.region}", highlight=False
    )
    err.print(f"then: AWS_PROFILE={name} kennel run --on aws", highlight=False)
