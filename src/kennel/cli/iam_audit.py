"""`kennel iam audit`: what is wider than it should be, in an account or in a folder of policies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from kennel import __version__
from kennel import settings as settings_of
from kennel.cli.console import err, out, print_json
from kennel.cli.local import SettingsFile, there
from kennel.errors import KennelError

if TYPE_CHECKING:
    from kennel.iam.audit import Finding, Severity, Subject
    from kennel.iam.record import Call
    from kennel.settings import Settings

EPILOG = """Examples: kennel iam audit policies/ · kennel iam audit --on local · kennel iam audit --on aws --role
kennel-training · kennel iam audit role.json --calls calls.jsonl · kennel iam audit policies/ --sarif audit.sarif"""
COLOURS: dict[Severity, str] = {"high": "bold red", "medium": "yellow", "low": "cyan", "note": "dim"}
On = Annotated[Literal["local", "aws"] | None, typer.Option("--on", help="An account: this machine's, or AWS's.")]
FailOn = Annotated[
    Literal["high", "medium", "low", "never"], typer.Option("--fail-on", help="Exit 1 from which severity on.")
]


def audit(
    path: Annotated[Path | None, typer.Argument(help="A policy as JSON, or a folder of them; else an account.")] = None,
    on: On = None,
    role: Annotated[list[str] | None, typer.Option("--role", help="Only this role of the account; repeatable.")] = None,
    calls: Annotated[
        Path | None, typer.Option("--calls", help="Recorded calls (calls.jsonl): what of it all was really used.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The findings, for machines.")] = False,
    sarif: Annotated[Path | None, typer.Option("--sarif", help="Write them as SARIF 2.1.0 too.")] = None,
    fail_on: FailOn = "medium",
    settings_file: SettingsFile = None,
) -> None:
    """Find what is wider than it should be: full access, wildcards, roles that may be passed to anybody, open trust.

    Each finding has its risk, the evidence, and the narrower statement to use instead. Nothing is changed.
    """
    from kennel.iam.audit import at_least
    from kennel.iam.audit import audit as find

    if path and (on or role):
        raise KennelError("either a path is audited or an account", "Leave --on and --role away, or the path")
    settings = settings_of.load(settings_file)
    subjects = _in_files(path) if path else _in_account(on or "local", role or [], settings)
    found = find(subjects, _calls(calls, on or "local", path, settings), settings.project)
    if sarif:
        _write(sarif, found)
    print_json([_plain(each) for each in found]) if as_json else _show(found)
    err.print(_summary(found, len(subjects)), highlight=False)
    raise typer.Exit(1 if fail_on != "never" and at_least(found, fail_on) else 0)


def _in_files(path: Path) -> list[Subject]:
    from kennel.iam.audit.folder import read

    return read(path)


def _in_account(on: Literal["local", "aws"], roles: list[str], settings: Settings) -> list[Subject]:
    from kennel.cloud.audit import subjects

    return subjects(there(on, settings), roles)


def _calls(file: Path | None, on: str, path: Path | None, settings: Settings) -> Sequence[Call] | None:
    """Those of the file, or of the local AWS, where it is that which is audited and it has recorded some."""
    from kennel.iam.record import Call, read

    if file is None:
        from kennel.local.home import home_folder

        return (
            (list(read(home_folder(settings.local.home) / "gatekeeper")) or None)
            if not path and on == "local"
            else None
        )
    try:
        with file.open("rb") as lines:
            return [Call.parse(line) for line in lines if line.strip()]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise KennelError(f"{file} has no recorded calls: {error}", "Take calls.jsonl of a local AWS") from error


def _write(file: Path, found: Sequence[Finding]) -> None:
    from kennel.files import write_atomically
    from kennel.iam.audit.sarif import sarif

    write_atomically(file, json.dumps(sarif(found, __version__), indent=1).encode())


def _show(found: Sequence[Finding]) -> None:
    """Grouped by whom they are of; the worst first."""
    ordered = sorted(found, key=lambda each: str(each.subject))
    for subject, group in groupby(ordered, key=lambda each: str(each.subject)):
        out.print(Text(subject, style="bold"))
        for each in group:
            for line in _lines(each):
                out.print(line, highlight=False)
        out.print()


def _lines(finding: Finding) -> Iterator[Text]:
    head = Text("  ").append(f"{finding.severity:<7}", COLOURS[finding.severity]).append(f"{finding.rule:<20}")
    yield head.append(finding.where, "dim") if finding.where else head
    yield Text(f"         {finding.risk}.")
    yield Text("         found    ", "dim").append(_short(finding.evidence), "dim")
    yield Text(f"         → {finding.remedy}{':' if finding.instead else '.'}")
    for each in finding.instead:
        yield Text(f"           {json.dumps(each)}", "green")


def _plain(finding: Finding) -> dict[str, Any]:
    subject = finding.subject
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "subject": {"kind": subject.kind, "name": subject.name, "arn": subject.arn},
        "document": finding.document,
        "statement": finding.sid,
        "evidence": finding.evidence,
        "risk": finding.risk,
        "remedy": finding.remedy,
        "instead": [dict(each) for each in finding.instead],
        "file": finding.file,
        "line": finding.line,
    }


def _summary(found: Sequence[Finding], looked: int) -> str:
    from kennel.iam.audit import SEVERITIES

    counts = [(each, sum(one.severity == each for one in found)) for each in SEVERITIES]
    told = ", ".join(f"{count} {each}" for each, count in counts if count)
    return f"{looked} looked at: {told or 'nothing found'}"


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:199]}…"
