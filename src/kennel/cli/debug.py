"""`kennel debug`: what Debugger's and the profiler's rules find of a training, while it runs or afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from kennel import settings as settings_of
from kennel.cli.console import err, out, print_json, progress
from kennel.cli.local import On, SettingsFile, there
from kennel.errors import DataError, SettingError
from kennel.settings import Settings

if TYPE_CHECKING:
    from kennel.cloud.session import Cloud
    from kennel.debugger.evaluation import Judged
    from kennel.debugger.verdict import Verdict

EPILOG = """Examples: kennel debug kennel-train-1a2b3c4d · kennel debug kennel-train-1a2b3c4d --follow --on aws
· kennel debug out/output · kennel debug downloaded/debug-output --set Overfit.ratio_threshold=0.5 --json"""
COLOURS = {"IssuesFound": "bold red", "Error": "bold yellow", "NoIssuesFound": "green"}
LOOK_EVERY_S = 1.0


def debug(
    what: Annotated[str, typer.Argument(help="A training job, or a folder of tensors and metrics.")],
    on: On = "local",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Tell verdicts as they come, until it ends.")] = False,
    page: Annotated[Path, typer.Option("--page", help="Where the report goes, one HTML file.")] = Path("debugger.html"),
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="A rule's parameter, RULE.name=value; for folders.")
    ] = None,
    settings_file: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="The verdicts, for machines.")] = False,
) -> None:
    """Judge a training by the rules that SageMaker has, and write the report: verdicts, curves, heat maps, utilisation.

    Works on a job of either side and on any folder of tensors, also one that was downloaded from AWS. Exit 1 where a
    rule could not judge; an issue that was found is no error.
    """
    settings = _with(settings_of.load(settings_file), assignments or [])
    if Path(what).is_dir():
        judged = _folder(Path(what), settings, follow)
    else:
        _refuse(what, assignments)
        judged = _job(what, there(on, settings), follow)
    from kennel.workflow.debugging import title_of, write_page

    write_page(title_of(what), judged, page)
    if as_json:
        print_json({name: asdict(verdict) for name, verdict in judged.verdicts.items()})
    else:
        for verdict in judged.verdicts.values():
            out.print(_line(verdict))
        out.print(f"report  {page}")
    if any(verdict.status == "Error" for verdict in judged.verdicts.values()):
        raise typer.Exit(1)


def _refuse(job: str, assignments: list[str] | None) -> None:
    """Raises KennelError for what can be no job, or what a job cannot be told any more."""
    if "/" in job or job.startswith("."):
        raise DataError(f"there is no folder {job}", "Name one, or a training job")
    if assignments:
        raise SettingError(
            "--set is for folders: a job's rules have the parameters that it was created with",
            "See kennel.toml for the next job, or fetch its tensors and name the folder",
        )


def _folder(folder: Path, settings: Settings, follow: bool) -> Judged:
    from kennel.workflow.debugging import of_folder

    evaluation = of_folder(folder, settings.debugger, follow)
    judged = evaluation.judge(over=not follow)
    told: dict[str, Verdict] = {}
    while follow and not judged.recorded.over:
        _tell(told, judged.verdicts)
        time.sleep(LOOK_EVERY_S)
        judged = evaluation.judge()
    return judged


def _job(name: str, cloud: Cloud, follow: bool) -> Judged:
    from kennel.cloud import watch
    from kennel.cloud.events import Event, RuleTold
    from kennel.workflow.debugging import described, of_job

    def tell(event: Event) -> None:
        if isinstance(event, RuleTold):
            err.print(
                Text.assemble(f"{event.rule}: ", (event.status, COLOURS.get(event.status, "")), f" {event.details}")
            )

    described(cloud, name)
    if follow:
        watch.rules(cloud, name, tell)
    from kennel.files import cache_dir

    return of_job(cloud, name, cache_dir("debugger") / cloud.side / cloud.account / cloud.region, progress())


def _tell(told: dict[str, Verdict], verdicts: Mapping[str, Verdict]) -> None:
    for name, verdict in verdicts.items():
        if told.get(name) != verdict:
            told[name] = verdict
            err.print(_line(verdict))


def _line(verdict: Verdict) -> Text:
    remedy = f"\n{'':<26}{verdict.remedy}" if verdict.remedy else ""
    status = (f"{verdict.status:<15}", COLOURS.get(verdict.status, "dim"))
    return Text.assemble(f"{verdict.rule:<25} ", status, verdict.words, (remedy, "dim"))


def _with(settings: Settings, assignments: list[str]) -> Settings:
    """Raises SettingError."""
    rules: dict[str, dict[str, str | int | float]] = {}
    rules |= {rule: dict(given) for rule, given in settings.debugger.rules.items()}
    for text in assignments:
        name, equals, value = text.partition("=")
        rule, dot, parameter = name.partition(".")
        if not (equals and dot):
            raise SettingError(f"{text!r} is not RULE.name=value", "Write --set Overfit.ratio_threshold=0.5, say")
        rules.setdefault(rule, {})[parameter] = value
    return settings_of.parse(settings.model_dump() | {"debugger": settings.debugger.model_dump() | {"rules": rules}})
