"""`kennel compare`: the same training by SageMaker and by hand, held against each other."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from kennel import settings as settings_of
from kennel.cli.console import err, out, print_json, progress
from kennel.cli.local import On, SettingsFile, there
from kennel.errors import SettingError

if TYPE_CHECKING:
    from kennel.cloud.session import Cloud
    from kennel.comparison.compared import Comparison

EPILOG = """Examples: kennel compare kennel-train-1a2b3c4d kennel-ec2-5e6f7a8b --on aws --out compared ·
kennel compare show compared/comparison.json --open"""
SHOW = "show"


def compare(
    what: Annotated[list[str], typer.Argument(help="A training job and a run by hand; or: show comparison.json.")],
    on: On = "local",
    out_folder: Annotated[Path, typer.Option("--out", help="Where page, comparison and records go.")] = Path("compare"),
    more: Annotated[
        list[str] | None, typer.Option("--run", help="Another run, or a record's file: what-if takes its seconds.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, max=750, help="Trainings of the tuning job reckoned with.")] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Also where they were not given the same.")] = False,
    settings_file: SettingsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="The comparison, for machines.")] = False,
    show: Annotated[bool, typer.Option("--open", help="Show the page in a browser.")] = False,
) -> None:
    """Hold a training job against a run by hand: phases, money, utilisation, artifacts, and what each way gives.

    The page, comparison.json and both records are kept: a comparison that was made on AWS can be shown later, anywhere.
    Exit 1 where the two were not given the same.
    """
    from kennel.workflow.comparing import write

    found = _shown(what) if what[0] == SHOW else _made(what, on, settings_file, more or [], jobs)
    same, page = _same_inputs(found), write(found, out_folder)
    print_json(_as_json(found)) if as_json else _print(found, page)
    if show:
        typer.launch(page.resolve().as_uri())
    if not same and not anyway:
        err.print("The two were not given the same, so nothing follows from them. Give both the same, or say --anyway")
        raise typer.Exit(1)


def _shown(what: list[str]) -> Comparison:
    """A recorded one; no side is asked. Raises KennelError."""
    from kennel.comparison import compared, recorded

    if len(what) != 2:
        raise SettingError("show takes one file", "Name a comparison.json")
    return compared.parse(recorded.read(Path(what[1])))


def _made(what: list[str], on: On, settings_file: Path | None, more: list[str], jobs: int | None) -> Comparison:
    """Raises KennelError."""
    if len(what) != 2:
        raise SettingError("a comparison needs two", "Name a training job and a run by hand, or: show comparison.json")
    from kennel.workflow import comparing

    cloud: Cloud = there(on, settings_of.load(settings_file))
    shows = progress()
    others = [comparing.recorded_run(cloud, each, shows) for each in more]
    with tempfile.TemporaryDirectory(prefix="kennel-") as folder:
        return comparing.compare(cloud, what[0], what[1], Path(folder), shows, others, jobs or 0)


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
    _table("test", [(row.what, row.one, row.other) for row in report.artifact_rows(found)])
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
