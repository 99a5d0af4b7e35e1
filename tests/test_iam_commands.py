"""`kennel iam show` and `apply` as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kennel.cli.app import app
from kennel.cloud.iam import ACTORS, Place, role_of
from kennel.errors import SettingError
from kennel.local.background import start_in_background, stop
from kennel.settings import Settings

PROGRAM = Path(sys.executable).parent / "kennel"
ACCOUNT = "123456789012"


def show(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["iam", "show", *arguments], env={"COLUMNS": "100"})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_role_is_shown_with_who_what_and_why() -> None:
    shown = show("function")
    assert "kennel-function" in shown
    assert "taken on by lambda.amazonaws.com" in shown
    for each in role_of(Place(Settings(), "us-east-1", ACCOUNT), "function").statements:
        assert each.sid in shown
        assert each.reason in shown
        assert all(action in shown for action in each.actions)


def test_machines_get_everything_and_iam_the_document_alone() -> None:
    found = json.loads(show("--json"))
    assert [each["actor"] for each in found] == list(ACTORS)
    assert all(statement["Reason"] for each in found for statement in each["statements"])
    (role,) = [each for each in found if each["actor"] == "training"]
    document = json.loads(show("training", "--document", "--account", ACCOUNT))
    assert [each["Sid"] for each in document["Statement"]] == [each["Sid"] for each in role["statements"]]
    assert "Reason" not in json.dumps(document)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["nobody"], "there is no actor nobody"), (["--account", "12"], "'12' is no AWS account")],
)
def test_what_is_not_there_is_told_in_one_line(arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(app, ["iam", "show", *arguments])
    assert isinstance(done.exception, SettingError)
    assert told in str(done.exception)


class TestApplying:
    @pytest.fixture(scope="class")
    @staticmethod
    def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
        home = tmp_path_factory.mktemp("iam")
        found = start_in_background(home, 0, "us-east-1", "process")
        yield os.environ | found.environment() | {"KENNEL_LOCAL_HOME": str(home), "NO_COLOR": "1"}
        stop(home)

    @staticmethod
    def apply(place: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(PROGRAM), "iam", "apply", *arguments]
        return subprocess.run(command, env=place, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def test_it_shows_asks_applies_and_then_has_nothing_to_do(self, place: dict[str, str]) -> None:
        asked = self.apply(place)
        assert asked.returncode == 2
        assert "nobody to ask" in asked.stderr
        assert "+++ kennel-deployer" in asked.stdout
        assert "--- bucket" in asked.stdout
        done = self.apply(place, "--yes")
        assert done.returncode == 0, done.stderr
        assert [f"applied: kennel-{each}" in done.stderr for each in ACTORS] == [True] * len(ACTORS)
        again = self.apply(place)
        assert again.returncode == 0, again.stderr
        assert "nothing to do" in again.stderr
        assert again.stdout == ""

    def test_what_drifted_is_shown_line_by_line(self, place: dict[str, str]) -> None:
        import boto3

        self.apply(place, "--yes")
        iam = boto3.client(
            "iam", endpoint_url=place["AWS_ENDPOINT_URL"], region_name="us-east-1",
            aws_access_key_id=place["AWS_ACCESS_KEY_ID"], aws_secret_access_key=place["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip
        iam.attach_role_policy(RoleName="kennel-function", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
        done = self.apply(place, "function", "--yes")
        assert '-    "arn:aws:iam::aws:policy/AdministratorAccess"' in done.stdout
        assert iam.list_attached_role_policies(RoleName="kennel-function")["AttachedPolicies"] == []
