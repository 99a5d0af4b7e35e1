"""`kennel compare`: the same training by SageMaker and by hand, held against each other."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from kennel import settings as settings_of
from kennel.cli.console import agree, err, out, print_json, progress
from kennel.cli.local import On, SettingsFile, connected, there
from kennel.cli.run import Yes, acting, ask_to_stop
from kennel.errors import KennelError, SettingError

if TYPE_CHECKING:
    from kennel.cloud.session import Cloud
    from kennel.comparison.compared import Comparison
    from kennel.comparison.recorded import Recorded

    Ways = tuple[Cloud, Cloud]
    """Who looks at jobs, and who at runs by hand."""

EPILOG = """Examples: kennel compare --data ~/dogImages · kennel compare --data ~/dogImages --on aws --spot ·
kennel compare kennel-train-1a2b3c4d kennel-ec2-5e6f7a8b --on aws ·
kennel compare show compare/comparison.json --open"""
SHOW = "show"


def compare(
    what: Annotated[
        list[str] | None, typer.Argument(help="A training job and a run by hand; or: show comparison.json.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Both ways from nothing, on this data set.")] = None,
    on: On = "local",
    out_folder: Annotated[Path, typer.Option("--out", help="Where page, comparison and records go.")] = Path("compare"),
    more: Annotated[
        list[str] | None, typer.Option("--run", help="Another run, or a record's file: what-if takes its seconds.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, max=750, help="Trainings of the tuning job reckoned with.")] = None,
    spot: Annotated[bool, typer.Option("--spot", help="With --data: both on spot.")] = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Also where they were not given the same.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="With --data: leave the local AWS running.")] = False,
    yes: Yes = False,
    settings_file: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="The comparison, for machines.")] = False,
    show: Annotated[bool, typer.Option("--open", help="Show the page in a browser.")] = False,
) -> None:
    """Hold a training job against a run by hand: phases, money, utilisation, artifacts, and what each way gives.

    The page, comparison.json and both records are kept: a comparison that was made on AWS can be shown later, anywhere.
    Exit 1 where the two were not given the same.
    """
    from kennel.workflow import record
    from kennel.workflow.comparing import write

    asked = _Asked(on, out_folder, tuple(more or ()), jobs or 0, spot, keep, yes, settings_file)
    found = _found(what or [], data, asked)
    same, page = _same_inputs(found), write(found, out_folder)
    if data is not None:
        record.end_both(out_folder)
    print_json(_as_json(found)) if as_json else _print(found, page)
    if show:
        typer.launch(page.resolve().as_uri())
    if not same and not anyway:
        err.print("The two were not given the same, so nothing follows from them. Give both the same, or say --anyway")
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The options."""

    on: On
    out: Path
    more: tuple[str, ...]
    jobs: int
    spot: bool
    keep: bool
    yes: bool
    settings_file: Path | None


def _found(what: list[str], data: Path | None, asked: _Asked) -> Comparison:
    """Raises KennelError."""
    if data is not None:
        if what:
            raise SettingError("--data makes both itself", "Leave the names away, or --data")
        return _from_nothing(data, asked)
    if asked.spot or asked.keep:
        raise SettingError("--spot and --keep are for what is trained now", "Leave them away, or say --data")
    if len(what) != 2:
        raise SettingError(
            "a comparison needs two", "Name a training job and a run by hand, or: show comparison.json; or say --data"
        )
    return _shown(what[1]) if what[0] == SHOW else _made(what[0], what[1], asked)


def _shown(path: str) -> Comparison:
    """A recorded one; no side is asked. Raises KennelError."""
    from kennel.comparison import compared, recorded

    return compared.parse(recorded.read(Path(path)))


def _made(job: str, run: str, asked: _Asked) -> Comparison:
    """Of two that have ended. Raises KennelError."""
    cloud = there(asked.on, settings_of.load(asked.settings_file))
    return _compared((cloud, cloud), job, run, _others(cloud, asked), asked)


def _others(cloud: Cloud, asked: _Asked) -> list[Recorded]:
    """Of --run. Raises KennelError."""
    from kennel.workflow import comparing

    return [comparing.recorded_run(cloud, each, progress()) for each in asked.more]


def _compared(ways: Ways, job: str, run: str, others: list[Recorded], asked: _Asked) -> Comparison:
    from kennel.workflow import comparing

    cloud, hand = ways
    with tempfile.TemporaryDirectory(prefix="kennel-") as folder:
        work = comparing.Work(Path(folder), progress(), others, asked.jobs)
        return comparing.compare(cloud, job, run, work, hand)


def _from_nothing(data: Path, asked: _Asked) -> Comparison:
    """Both trained, then compared. Raises KennelError; Stopped passes through."""
    from kennel.workflow import both_ways, record
    from kennel.workflow.stage import Stage

    settings = settings_of.load(asked.settings_file)
    settings = both_ways.with_spot(settings) if asked.spot else settings
    with connected(asked.on, settings, asked.keep) as own:
        cloud, launcher = acting(own), _launching(own)
        begun = record.both(asked.out, asked.on, data, both_ways.market_of(settings))
        others = _others(launcher, asked)
        _agree(cloud, asked.yes)
        stage = Stage(cloud, begun, asked.out, progress(), _ask_to_stop)
        names = both_ways.BothWays(stage, launcher).train_both()
        return _compared((cloud, launcher), names.job, names.run, others, asked)


def _ask_to_stop(kind: str, name: str) -> bool:
    return ask_to_stop(kind, name, "the same command")


def _launching(own: Cloud) -> Cloud:
    """On the local AWS whoever launches is the launcher; so, too, where a setting says."""
    from kennel.cloud.iam.acting import as_launcher

    return as_launcher(own) if own.side == "local" or own.settings.iam.assume else own


def _agree(cloud: Cloud, yes: bool) -> None:
    """Show what it costs before anything is started. Raises KennelError where nobody agrees."""
    from kennel.cloud import prices
    from kennel.workflow import both_ways

    found = both_ways.estimate(cloud.settings, cloud.side, prices.load())
    for line in found.lines if cloud.side == "aws" else ():
        err.print(f"{line.what:<14} {line.detail}: {prices.usd(line.most)} at most", highlight=False)
    for note in found.notes:
        err.print(note)
    if cloud.side == "aws":
        agree(yes, "Start?", KennelError("nothing was started", "Say yes, or change kennel.toml"))


def _same_inputs(found: Comparison) -> bool:
    """Whether both were given the same; what differs is said."""
    from kennel.comparison import inputs

    differing = inputs.differing(found.sagemaker, found.ec2)
    for each in differing:
        unknown = "" if each.same is False else ", which no digest tells"
        err.print(f"NOT THE SAME {each.name}{unknown}: {each.one} · {each.other}", style="bold red", highlight=False)
    return not differing


def _print(found: Comparison, page: Path) -> None:
    from kennel.reports import comparison as report

    for _, text in report.answer(found):
        out.print(text, highlight=False)
    _table("seconds", [(row.what, row.one, row.other) for row in report.phases(found)])
    _table("artifact", [(row.what, row.one, row.other) for row in report.artifact_rows(found)])
    money = Table("way", "market", "price", "against SageMaker", title="one artifact", title_justify="left")
    for bill in report.bills(found):
        money.add_row(bill.way, bill.market, bill.amount + (" (estimate)" if bill.estimate else ""), bill.saves)
    out.print(money)
    for note in report.notes(found):
        err.print(note, highlight=False)
    out.print(f"page  {page}", highlight=False)


def _table(title: str, rows: list[tuple[str, str, str]]) -> None:
    if not rows:
        return
    table = Table(title, "SageMaker", "by hand")
    for row in rows:
        table.add_row(*row)
    out.print(table)


def _as_json(found: Comparison) -> object:
    from kennel.comparison.recorded import written

    return json.loads(written(found))
