"""The commands' tree, and the one place where errors end: one line on stderr and an exit code, never a traceback."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, NoReturn

import typer
from rich.text import Text

from kennel import __version__
from kennel.cli import (
    account,
    artifact,
    compare,
    data,
    debug,
    doctor,
    ec2,
    function,
    iam,
    local,
    predict,
    run,
    scale,
    scale_measure,
    scale_simulate,
    serve,
    train,
)
from kennel.cli.console import clean, err
from kennel.errors import KennelError, Stopped, one_line, stop_on_signals

app = typer.Typer(
    name="kennel",
    help="From a folder of labelled photographs to an image classifier that answers requests.",
    epilog="Start with: kennel run; with photographs of your own: kennel data check FOLDER, kennel run --data FOLDER",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", epilog=run.EPILOG)(run.run)
app.command("status", epilog=account.STATUS_EPILOG)(account.status)
app.command("teardown", epilog=account.TEARDOWN_EPILOG)(account.teardown)
app.add_typer(function.app, name="function")
app.add_typer(ec2.app, name="ec2")
scale.app.command("simulate", epilog=scale_simulate.EPILOG)(scale_simulate.simulate)
scale.app.command("measure", epilog=scale_measure.EPILOG)(scale_measure.measure)
app.add_typer(scale.app, name="scale")
app.add_typer(iam.app, name="iam")
app.add_typer(local.app, name="local")
app.add_typer(data.app, name="data")
app.add_typer(artifact.app, name="artifact")
app.command("train", epilog=train.EPILOG)(train.train)
app.command("debug", epilog=debug.EPILOG)(debug.debug)
app.command("compare", epilog=compare.EPILOG)(compare.compare)
app.command("serve", epilog=serve.EPILOG)(serve.serve)
app.command("predict", epilog=predict.EPILOG)(predict.predict)
app.command("doctor", epilog=doctor.EPILOG)(doctor.doctor)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kennel {__version__}")
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell more, on stderr.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logging.getLogger("kennel").setLevel(logging.DEBUG if verbose else logging.INFO)


def main() -> None:
    """The entry point: 0 done, 1 a job failed, 2 the user can mend it, 130 and 143 stopped by SIGINT and SIGTERM."""
    stop_on_signals()
    try:
        app()
    except Stopped as stopped:
        err.print(str(stopped))
        sys.exit(stopped.exit_code)
    except BrokenPipeError:
        sys.exit(0)
    except KennelError as error:
        _tell(error)
    except OSError as error:
        _tell(one_line(error))


def _tell(error: KennelError) -> NoReturn:
    err.print(Text.assemble(("error ", "bold red"), clean(error.message)))
    if error.remedy:
        err.print(f"      {clean(error.remedy)}")
    sys.exit(error.exit_code)
