"""`kennel iam …`: who may do what."""

from __future__ import annotations

import typer

from kennel.cli import iam_audit

app = typer.Typer(help="Who may do what: roles and policies, and what is too wide in them.", no_args_is_help=True)
app.command("audit", epilog=iam_audit.EPILOG)(iam_audit.audit)
