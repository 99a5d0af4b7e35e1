"""`kennel local …`: the AWS that runs on this machine."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote

import typer
from rich.table import Table

from kennel import settings as settings_of
from kennel.cli.console import err, out, print_json
from kennel.errors import ServerError, Stopped
from kennel.settings import Settings

if TYPE_CHECKING:
    from kennel.cloud.session import Cloud
    from kennel.local.home import State

app = typer.Typer(help="The local AWS: one server on loopback that answers the same calls.", no_args_is_help=True)

On = Annotated[Literal["local", "aws"], typer.Option("--on", help="Where: this machine, or AWS.")]
SettingsFile = Annotated[Path | None, typer.Option("--settings", help="Another kennel.toml.")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one; by default kennel.toml's.")]
Runner = Annotated[
    Literal["auto", "docker", "process"] | None,
    typer.Option(help="Containers, or processes of this installation; auto: containers of images that are here."),
]


@app.command(epilog='Examples: kennel local up · kennel local up --foreground --port 0 · eval "$(kennel local env)"')
def up(
    port: Port = None,
    runner: Runner = None,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay here; Ctrl-C ends it.")] = False,
    settings_file: SettingsFile = None,
) -> None:
    """Start it, with everything that it kept: buckets, jobs, endpoints. Where one runs already, tell its address."""
    settings = _with(settings_of.load(settings_file), port, runner)
    if foreground:
        from kennel.local.server import assemble, serve

        services = partial(assemble, concurrency=settings.local.concurrency)
        home, told = _home(settings), lambda url: err.print(f"local AWS on {url}; Ctrl-C ends it", highlight=False)
        raise typer.Exit(serve(home, settings.local.port, settings.region, settings.local.runner, told, services))
    found, _ = running(settings)
    out.print(found.url, highlight=False)
    err.print('use it from any client: eval "$(kennel local env)"; see it in a browser: its address')


@app.command(epilog="Example: kennel local down")
def down(settings_file: SettingsFile = None) -> None:
    """End it and all that it runs. What it kept stays for the next time."""
    from kennel.local.background import stop

    err.print("ended" if stop(_home(settings_of.load(settings_file))) else "no local AWS is running")


@app.command(epilog="Example: kennel local status --json | jq .endpoints")
def status(
    settings_file: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for machines.")] = False,
) -> None:
    """What it has and does: jobs, endpoints, functions and machines, the newest first."""
    found = _call(_found(settings_of.load(settings_file)), "status")
    print_json(found) if as_json else _print(found)


@app.command(epilog='Example: eval "$(kennel local env)" && aws sagemaker list-endpoints')
def env(settings_file: SettingsFile = None) -> None:
    """Lines for a shell, after which boto3 and the AWS command line talk to it."""
    for name, value in _found(settings_of.load(settings_file)).environment().items():
        out.print(f"export {name}={value}", highlight=False)


@app.command(
    epilog="Examples: kennel local interrupt kennel-train-1a2b3c4d · kennel local interrupt i-0123456789abcdef0"
)
def interrupt(
    job: Annotated[str, typer.Argument(help="A spot training job, or the id of a spot machine.")],
    settings_file: SettingsFile = None,
) -> None:
    """Rehearse a spot interruption. Of a job: SIGTERM, the grace, the end, and the start anew from its checkpoints; of
    a machine: the notice in its metadata, and two minutes later the end."""
    _call(_found(settings_of.load(settings_file)), f"interrupt?job={quote(job, safe='')}", "POST")
    err.print(f"{job} is being interrupted; follow it: kennel local status")


def running(settings: Settings) -> tuple[State, bool]:
    """The local AWS of these settings, started where none runs; whether this call started it."""
    from kennel.local.background import start_in_background
    from kennel.local.home import state

    home = _home(settings)
    if found := state(home):
        return found, False
    local = settings.local
    return start_in_background(home, local.port, settings.region, local.runner, local.concurrency), True


def there(side: Literal["local", "aws"], settings: Settings) -> Cloud:
    """AWS, or the local AWS that runs. Raises ServerError where none does: to look at one is no reason to start it."""
    from kennel.cloud.session import connect

    if side == "aws":
        return connect("aws", settings)
    found = _found(settings)
    return connect("local", settings, found.url, (found.access_key_id, found.secret_access_key))


@contextmanager
def connected(side: Literal["local", "aws"], settings: Settings, keep: bool) -> Iterator[Cloud]:
    """AWS, or the local AWS, which is started where it does not run, and ended again unless it shall be kept.

    After a signal it runs on: jobs that were waited for go on, as they would on AWS.
    """
    from kennel.cloud.session import connect

    if side == "aws":
        yield connect("aws", settings)
        return
    found, started = running(settings)
    ends = started and not keep
    try:
        yield connect("local", settings, found.url, (found.access_key_id, found.secret_access_key))
    except Stopped:
        if ends:
            ends = False
            err.print("the local AWS runs on, with its jobs; end it: kennel local down")
        raise
    finally:
        if ends:
            from kennel.local.background import stop

            stop(_home(settings))


def _with(settings: Settings, port: int | None, runner: str | None) -> Settings:
    chosen = {name: value for name, value in (("port", port), ("runner", runner)) if value is not None}
    return settings.model_copy(update={"local": settings.local.model_copy(update=chosen)})


def _home(settings: Settings) -> Path:
    from kennel.local.home import home_folder

    return home_folder(settings.local.home)


def _found(settings: Settings) -> State:
    from kennel.local.home import state

    found = state(_home(settings))
    if found is None:
        raise ServerError("no local AWS is running", "Start it: kennel local up")
    return found


def _call(state: State, path: str, method: str = "GET") -> Any:
    """What the server says beside AWS's own calls."""
    from kennel.local.asking import ask

    try:
        return json.loads(ask(state, path, method))
    except urllib.error.HTTPError as error:
        said = json.loads(error.read() or b"{}")
        raise ServerError(str(said.get("message", error)), "See: kennel local status") from error
    except (OSError, HTTPException) as error:
        raise ServerError(f"the local AWS does not answer ({error})", "Start it: kennel local up") from error


def _more(each: dict[str, Any]) -> str:
    """Of a function: where its aliases lead, and what is provisioned; of a machine: its type, and its tag Name."""
    if "type" in each:
        return " ".join(filter(None, [each["type"], each["tagged"]]))
    aliases = [f"{name} → {version}" for name, version in each.get("aliases", {}).items()]
    return ", ".join(aliases + [f"{one['qualifier']}: {one['ready']} ready" for one in each.get("provisioned", [])])


def _print(found: dict[str, Any]) -> None:
    out.print(
        f"{found['url']}  {found['region']}  account {found['account']}  state in {found['home']}", highlight=False
    )
    for key in ("endpoints", "functions", "machines", "tuning_jobs", "training_jobs"):
        title, table = key.replace("_", " "), Table(show_header=False, box=None)
        for each in found[key]:
            detail = each["detail"] if each["detail"] != each["status"] else ""
            more = _more(each)
            table.add_row(each["name"], each["status"], ", ".join(filter(None, [more, detail])))
        out.print(title, style="bold")
        out.print(table if found[key] else "  none")
        for url in [url for each in found[key] for url in each.get("urls", [])]:
            out.print(f"  {url}", highlight=False, soft_wrap=True)
