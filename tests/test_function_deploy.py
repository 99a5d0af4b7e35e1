"""Deploying the function, on a real local AWS: versions, the alias, instances that wait, the address, and its end."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from kennel.cloud import function, teardown
from kennel.cloud.function_requests import ALIAS, FunctionPlan, plan_of
from kennel.cloud.iam.apply import ensure
from kennel.cloud.package import LONG_AGO, digest, package
from kennel.cloud.prices import load
from kennel.cloud.removal import PROVISIONED
from kennel.cloud.session import Cloud, connect
from kennel.cloud.status import FUNCTION, status
from kennel.errors import KennelError, PictureError, ServerError
from kennel.local.background import start_in_background, stop
from kennel.local.home import state
from kennel.settings import parse
from test_function import JPEG

PROGRAM = Path(sys.executable).parent / "kennel"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("local")
    yield folder
    stop(folder)


@pytest.fixture(scope="module")
def cloud(home: Path) -> Cloud:
    return connected(home)


def connected(home: Path, **asked: Any) -> Cloud:
    """A project on the local AWS of this home."""
    found = state(home) or start_in_background(home, 0, "us-east-1", "process")
    settings = parse({"function": {"provisioned": 1} | asked})
    return connect("local", settings, found.url, (found.access_key_id, found.secret_access_key))


@pytest.fixture
def plan(cloud: Cloud, request: pytest.FixtureRequest) -> FunctionPlan:
    """Of a function that this test has for itself, and a role that trusts Lambda for that function only."""
    name = f"F-{abs(hash(request.node.name)) % 10**9}"
    parts = {"function": {"name": name}, "roles": {"function": name}}
    found = {part: getattr(cloud.settings, part).model_copy(update=update) for part, update in parts.items()}
    own = replace(cloud, settings=cloud.settings.model_copy(update=found))
    return plan_of(own.settings, ensure(own, "function"), package())


def quiet(text: str) -> None:
    pass


def pointed_to(cloud: Cloud, plan: FunctionPlan) -> str:
    return str(cloud.client("lambda").get_alias(FunctionName=plan.name, Name=ALIAS)["FunctionVersion"])


def versions(cloud: Cloud, plan: FunctionPlan) -> list[str]:
    found = cloud.client("lambda").list_versions_by_function(FunctionName=plan.name)["Versions"]
    return [each["Version"] for each in found if each["Version"].isdigit()]


class TestThePackage:
    def test_it_is_the_same_bytes_whenever_and_wherever_it_is_made(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        first = package()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        os.utime(Path(__file__).parents[1] / "lambda/function.py")
        assert package() == first

    def test_it_holds_the_function_and_its_page_and_nothing_else(self) -> None:
        archive = zipfile.ZipFile(io.BytesIO(package()))
        assert archive.namelist() == ["function.py", "page.html"]
        assert {(each.date_time, each.external_attr >> 16) for each in archive.infolist()} == {(LONG_AGO, 0o100644)}
        assert len(package()) < 100_000


class TestDeploying:
    def test_all_of_it_is_there_when_it_is_done(self, cloud: Cloud, plan: FunctionPlan) -> None:
        told: list[str] = []
        done = function.deploy(cloud, replace(plan, reserved=3), told.append)
        functions = cloud.client("lambda")
        assert (done.action, done.version, done.ready) == ("created", "1", 1)
        assert told[-1] == "1 of 1 instances are ready"
        assert pointed_to(cloud, plan) == "1"
        named = {"FunctionName": plan.name, "Qualifier": ALIAS}
        assert functions.get_provisioned_concurrency_config(**named)["Status"] == "READY"
        assert functions.get_function_concurrency(FunctionName=plan.name)["ReservedConcurrentExecutions"] == 3
        statements = json.loads(functions.get_policy(**named)["Policy"])["Statement"]
        assert {each["Action"] for each in statements} == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
        found = functions.get_function_configuration(FunctionName=plan.name)
        assert (found["CodeSha256"], found["MemorySize"], found["Timeout"]) == (digest(plan.code), 512, 29)
        assert found["Environment"]["Variables"] == plan.environment
        groups = cloud.client("logs").describe_log_groups(logGroupNamePrefix=plan.group)["logGroups"]
        assert [each["retentionInDays"] for each in groups] == [30]
        assert "<title>Which dog is this?</title>" in httpx.get(done.url, trust_env=False).text
        assert function.url_of(cloud, plan.name) == done.url

    def test_again_it_changes_nothing(self, cloud: Cloud, plan: FunctionPlan) -> None:
        first = function.deploy(cloud, plan, quiet)
        second = function.deploy(cloud, plan, quiet)
        assert second == replace(first, action="unchanged")
        assert versions(cloud, plan) == ["1"]

    def test_an_update_moves_the_alias_and_can_go_back_and_forth(self, cloud: Cloud, plan: FunctionPlan) -> None:
        first = function.deploy(cloud, plan, quiet)
        changed = replace(plan, memory_mb=1024, environment={**plan.environment, "TOP_K": "3"})
        done = function.deploy(cloud, changed, quiet)
        assert (done.action, done.version, done.url, done.ready) == ("updated", "2", first.url, 1)
        assert pointed_to(cloud, plan) == "2"
        back = function.rollback(cloud, changed, quiet)
        assert (back.action, back.version, back.url, back.ready) == ("rolled back", "1", first.url, 1)
        assert pointed_to(cloud, plan) == "1"
        with pytest.raises(KennelError, match="no version before 1"):
            function.rollback(cloud, changed, quiet)
        again = function.deploy(cloud, changed, quiet)
        assert (again.action, again.version) == ("updated", "2")
        assert versions(cloud, plan) == ["1", "2"]

    def test_other_code_is_another_version(self, cloud: Cloud, plan: FunctionPlan) -> None:
        function.deploy(cloud, replace(plan, provisioned=0), quiet)
        content = io.BytesIO(plan.code)
        with zipfile.ZipFile(content, "a") as archive:
            archive.writestr("more.txt", "more")
        done = function.deploy(cloud, replace(plan, provisioned=0, code=content.getvalue()), quiet)
        assert (done.action, done.version) == ("updated", "2")

    def test_both_kinds_of_concurrency_can_be_lowered_at_once(self, cloud: Cloud, plan: FunctionPlan) -> None:
        function.deploy(cloud, replace(plan, reserved=2, provisioned=2), quiet)
        done = function.deploy(cloud, replace(plan, reserved=1, provisioned=1), quiet)
        functions = cloud.client("lambda")
        found = functions.get_function_concurrency(FunctionName=plan.name)
        functions.delete_function(FunctionName=plan.name)
        assert (done.ready, found["ReservedConcurrentExecutions"]) == (1, 1)

    def test_what_is_not_wanted_any_more_goes(self, cloud: Cloud, plan: FunctionPlan) -> None:
        function.deploy(cloud, replace(plan, reserved=2), quiet)
        done = function.deploy(cloud, replace(plan, provisioned=0), quiet)
        assert done.ready == 0
        functions = cloud.client("lambda")
        assert "ReservedConcurrentExecutions" not in functions.get_function_concurrency(FunctionName=plan.name)
        assert (
            functions.list_provisioned_concurrency_configs(FunctionName=plan.name)["ProvisionedConcurrencyConfigs"]
            == []
        )

    def test_instances_that_do_not_start_are_told_as_such(self, cloud: Cloud, plan: FunctionPlan) -> None:
        broken = replace(plan, environment={"ALLOWED_ORIGINS": "*"})
        with pytest.raises(KennelError, match=f"provisioned concurrency of {plan.name} failed"):
            function.deploy(cloud, broken, quiet)

    def test_a_function_of_somebody_else_is_left_alone(self, cloud: Cloud, plan: FunctionPlan) -> None:
        function.deploy(cloud, replace(plan, provisioned=0, tags={"project": "other"}), quiet)
        with pytest.raises(KennelError, match="is not this project's"):
            function.deploy(cloud, plan, quiet)

    def test_a_role_that_lambda_does_not_know_yet_is_waited_for(self, cloud: Cloud, plan: FunctionPlan) -> None:
        iam = cloud.client("iam")
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            if not slept:
                trust = iam.get_role(RoleName=plan.name)["Role"]["AssumeRolePolicyDocument"]
                iam.create_role(RoleName="late", AssumeRolePolicyDocument=json.dumps(trust))
            slept.append(seconds)

        late = replace(plan, role=plan.role.replace(plan.name, "late"), provisioned=0)
        assert function.deploy(cloud, late, quiet, sleep).action == "created"
        assert slept[0] == 5


class TestAsking:
    def test_refusals_are_the_pictures_and_failures_the_functions(self, cloud: Cloud, plan: FunctionPlan) -> None:
        function.deploy(cloud, plan, quiet)
        with pytest.raises(PictureError, match="that is not a picture"):
            function.invoke(cloud, plan.name, b"no picture")
        with pytest.raises(PictureError, match="addresses that are not public are not fetched"):
            function.invoke(cloud, plan.name, "https://169.254.169.254/")
        with pytest.raises(PictureError, match="more than Lambda takes"):
            function.invoke(cloud, plan.name, bytes(5_000_000))
        with pytest.raises(ServerError, match="the classifier cannot be asked just now"):
            function.invoke(cloud, plan.name, JPEG)

    def test_what_is_not_there_is_told_with_its_remedy(self, cloud: Cloud, plan: FunctionPlan) -> None:
        for ask in (
            lambda: function.url_of(cloud, "None"),
            lambda: function.rollback(cloud, replace(plan, name="None"), quiet),
        ):
            with pytest.raises(KennelError, match="there is no function None"):
                ask()
        with pytest.raises(KennelError, match="cannot ask the function None"):
            function.invoke(cloud, "None", JPEG)

    def test_the_public_form_is_answered_at_the_address(self, cloud: Cloud, plan: FunctionPlan) -> None:
        url = function.deploy(cloud, plan, quiet).url
        answer = httpx.post(url, content=b"no picture", headers={"Content-Type": "image/jpeg"}, trust_env=False)
        assert (answer.status_code, answer.json()["error"]) == (422, "that is not a picture")
        assert answer.headers.get_list("Access-Control-Allow-Origin") == ["*"]
        preflight = httpx.options(url, headers={"Origin": "https://a.example"}, trust_env=False)
        assert preflight.status_code == 204
        assert preflight.headers.get_list("Access-Control-Allow-Origin") == ["*"]


def test_status_knows_it_and_teardown_ends_it(home: Path) -> None:
    cloud = connected(home, name="Ends")
    role = ensure(cloud, "function")
    function.deploy(cloud, plan_of(cloud.settings, role, package()), quiet)
    found = [each for each in status(cloud, load()).running if each.kind == FUNCTION]
    assert [(each.name, each.status, each.instances) for each in found] == [("Ends", "live: READY", 1)]
    assert any(each.startswith(PROVISIONED) for each in teardown.verify(cloud))

    planned = [each for each in teardown.plan(cloud, everything=True) if each.name in ("Ends", "/aws/lambda/Ends")]
    assert [each.kind for each in planned] == [PROVISIONED, "function URL", "alias", "function", "log group"]
    teardown.carry_out(cloud, tuple(planned), lambda removal, gone: None)
    teardown.carry_out(cloud, tuple(planned), lambda removal, gone: None)  # gone already: no error

    assert teardown.verify(cloud) == ()
    assert [each for each in teardown.plan(cloud, everything=True) if "Ends" in each.name] == []


def test_from_the_command_line(home: Path, cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "kennel.toml").write_text('[function]\nname = "Typed"\nprovisioned = 1\n')
    (tmp_path / "dog.jpg").write_bytes(JPEG)
    given = os.environ | {"KENNEL_LOCAL_HOME": str(home), "COLUMNS": "160", "NO_COLOR": "1"}

    def kennel(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(PROGRAM), "function", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, text=True, check=False)

    deployed = json.loads(kennel("deploy", "--json").stdout)
    assert (deployed["name"], deployed["action"], deployed["ready"]) == ("Typed", "created", 1)
    url = kennel("url").stdout.strip()
    assert url == deployed["url"]
    asked = kennel("invoke", "dog.jpg")
    assert (asked.returncode, "the classifier cannot be asked just now" in asked.stderr) == (2, True)
    assert "no picture at none.jpg" in kennel("invoke", "none.jpg").stderr
    assert '"source": "image"' in kennel("logs").stdout
    assert "no version before 1" in kennel("deploy", "--rollback").stderr
    (tmp_path / "kennel.toml").write_text('[function]\nname = "Typed"\nprovisioned = 1\nmemory_mb = 256\n')
    assert "updated: version 2" in kennel("deploy").stderr
    assert "rolled back: version 1" in kennel("deploy", "--rollback").stderr
