"""A training by hand on EC2: requests and user data as values, launched on moto, told by what a machine has left."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fixtures_moto import moto_server
from kennel.aws.shapes import problems
from kennel.cli.app import app
from kennel.cloud import by_hand, instance, instance_plan, instance_requests, machines, prices, status, teardown
from kennel.cloud.bucket import ensure_bucket
from kennel.cloud.by_hand import ByHand
from kennel.cloud.iam import Place as IamPlace
from kennel.cloud.iam import place_of, role_of
from kennel.cloud.iam.apply import carry_out, differences
from kennel.cloud.instance_plan import Given
from kennel.cloud.instance_requests import InstancePlan, MachineImage, has_gpu
from kennel.cloud.session import Cloud, connect
from kennel.errors import KennelError, SettingError
from kennel.iam.evaluation import evaluate
from kennel.iam.values import Caller, Policies
from kennel.local.gatekeeper.mapping import Place, needs
from kennel.settings import Ec2, Settings, parse

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parents[1]
ACCOUNT = "123456789012"
S3 = f"s3://kennel-us-east-1-{ACCOUNT}/kennel"
RUN = "kennel-ec2-1a2b3c4d"
IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/kennel-training@sha256:{'0a' * 32}"
DATA = {split: f"{S3}/data/5e6f7a8b/{split}/" for split in ("train", "valid", "test")}
AMI, GROUP = "ami-0123456789abcdef0", "sg-0123456789abcdef0"
PLAN = InstancePlan(
    run=RUN,
    region="us-east-1",
    out=f"{S3}/ec2/{RUN}",
    image=IMAGE,
    data=DATA,
    weights=f"{S3}/weights/0a1b2c3d/",
    hyperparameters={"epochs": "20", "learning_rate": "0.003"},
    tags=tuple(Settings().tags()),
)
EVERYTHING = replace(
    PLAN, spot=True, ssh_from="192.0.2.1/32", key_name="mine", subnet="subnet-0123456789abcdef0", volume_gb=30
)
REQUESTS = {
    "ec2-image": ("ssm", "GetParameter", instance_requests.ami_request(Ec2().ami_parameter)),
    "ec2-run": ("ec2", "RunInstances", instance_requests.run_instances(PLAN, AMI, GROUP)),
    "ec2-run-everything": (
        "ec2", "RunInstances",
        instance_requests.run_instances(EVERYTHING, AMI, GROUP, MachineImage("/dev/sda1", 75), "2"),
    ),
    "ec2-group": ("ec2", "CreateSecurityGroup", instance_requests.group_request("kennel-ec2", "vpc-0123", PLAN.tags)),
    "ec2-ssh": ("ec2", "AuthorizeSecurityGroupIngress", instance_requests.ingress_request(GROUP, "192.0.2.1/32")),
    "ec2-ssh-6": ("ec2", "AuthorizeSecurityGroupIngress", instance_requests.ingress_request(GROUP, "2001:db8::1/128")),
}  # fmt: skip
PACKED = re.compile(r"(?<=<<'TRAIN' \| gzip --decompress\n).*?(?=TRAIN\n)", re.DOTALL)
AMAZON = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
"""A public parameter that moto knows, which has no deep-learning one."""


def golden(name: str, found: str) -> None:
    """KENNEL_GOLDEN=write takes over what is there; the difference then shows in review."""
    path = GOLDEN / name
    if os.environ.get("KENNEL_GOLDEN") == "write":
        path.write_text(found)
    assert found == path.read_text()


class TestRequests:
    @pytest.mark.parametrize("name", REQUESTS)
    def test_are_what_aws_takes_and_the_golden_ones(self, name: str) -> None:
        service, operation, request = REQUESTS[name]
        assert problems(service, operation, request) == []
        shown = {**request, "UserData": "tests/golden/user_data.sh"} if "UserData" in request else request
        golden(f"requests/{name}.json", json.dumps(shown, indent=1) + "\n")

    def test_a_disk_is_at_least_the_machine_images(self) -> None:
        (disk,) = instance_requests.run_instances(PLAN, AMI, GROUP, MachineImage("/dev/xvda", 200))[
            "BlockDeviceMappings"
        ]
        assert disk["Ebs"] == {"VolumeSize": 200, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}

    def test_what_aws_would_refuse_is_not_sent(self) -> None:
        with pytest.raises(SettingError, match="AWS would refuse RunInstances"):
            instance_requests.run_instances(replace(PLAN, tags=({"Key": "", "Value": 3},)), AMI, GROUP)  # type: ignore[dict-item]

    def test_pictures_of_several_places_are_refused(self) -> None:
        with pytest.raises(SettingError, match="from one prefix"):
            assert replace(PLAN, data={**DATA, "test": f"{S3}/data/other/test/"}).folder
        with pytest.raises(SettingError, match="from one prefix"):
            assert replace(PLAN, data={"train": f"{S3}/data/5e6f7a8b/train/"}).folder


class TestUserData:
    def test_is_the_golden_one_with_train_sh_packed_inside(self) -> None:
        found = instance_requests.user_data(EVERYTHING)
        (packed,) = PACKED.findall(found)
        shebang, *lines = (ROOT / "ec2/train.sh").read_text().splitlines()
        kept = [shebang, *(line for line in lines if not line.lstrip().startswith("#"))]
        assert gzip.decompress(base64.b64decode(packed)).decode().splitlines() == kept
        golden("user_data.sh", PACKED.sub("# ec2/train.sh, packed\n", found))  # zlib's versions pack differently

    def test_is_small_enough_even_with_long_names(self) -> None:
        long = replace(PLAN, run="r" * 60, image="i" * 255, hyperparameters={f"h{n}": "v" * 64 for n in range(8)})
        assert len(instance_requests.user_data(long).encode()) < 16 << 10
        with pytest.raises(SettingError, match="EC2 takes 16384"):
            instance_requests.user_data(replace(PLAN, image="i" * 8000))

    def test_is_a_shell_script_without_fault(self, tmp_path: Path) -> None:
        path, programs = tmp_path / "user_data.sh", Path(sys.executable).parent
        path.write_text(instance_requests.user_data(EVERYTHING))
        for command in (["shellcheck"], ["shfmt", "-i", "2", "-ci", "-d"]):
            done = subprocess.run([str(programs / command[0]), *command[1:], path], capture_output=True, text=True)
            assert (done.returncode, done.stdout) == (0, "")

    def test_takes_every_value_as_a_plain_word(self, tmp_path: Path) -> None:
        hostile = "$(touch hacked) `id` 'x' \"; exit"
        text = instance_requests.user_data(replace(PLAN, image=hostile, run="safe"))
        head = text[: text.index("main() {")] + 'printf "%s\\n" "${ARGUMENTS[@]}"\n'
        done = subprocess.run(["bash", "-c", head], capture_output=True, text=True, cwd=tmp_path)
        assert hostile in done.stdout.splitlines()
        assert list(tmp_path.iterdir()) == []

    def test_holds_no_secret(self) -> None:
        assert not re.search(r"AKIA|aws_secret|SECRET|password=", instance_requests.user_data(PLAN))


class TestSettings:
    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ({"instance_type": "ml.g4dn.xlarge.x"}, "instance_type"),
            ({"ssh_from": "192.0.2.1/32"}, "go together"),
            ({"key_name": "mine"}, "go together"),
            ({"ssh_from": "0.0.0.0/0", "key_name": "mine"}, "is not one address"),
            ({"ssh_from": "192.0.2.1", "key_name": "mine"}, "is not one address"),
            ({"ssh_from": "everybody", "key_name": "mine"}, "is no address"),
            ({"ami_parameter": "/somebody/else"}, "ami_parameter"),
            ({"max_runtime_s": 0}, "max_runtime_s"),
            ({"subnet": "vpc-1"}, "subnet"),
        ],
    )
    def test_that_are_wrong_are_told(self, given: dict[str, Any], told: str) -> None:
        with pytest.raises(SettingError, match=told):
            parse({"ec2": given})

    def test_the_file_of_the_project_has_the_defaults(self) -> None:
        import tomllib

        assert parse(tomllib.loads((ROOT / "kennel.toml").read_text())).ec2 == Ec2()


def told(**more: Any) -> dict[str, Any]:
    """A status.json."""
    phase = {"name": "check", "attempt": 1, "begun": "2026-11-28T17:00:30.500Z", "seconds": 0.41}
    machine = {"instance_id": "i-1", "instance_type": "g4dn.xlarge", "region": "us-east-1", "zone": "us-east-1a",
               "spot": False, "gpus": "Tesla T4", "cores": 4, "launched": "2026-11-28T17:00:00Z"}  # fmt: skip
    return {
        "version": 1, "run": RUN, "state": "InProgress", "phase": "login", "reason": "", "attempt": 1,
        "phases": [phase], "image": IMAGE, "data": f"{S3}/data", "weights": "auto",
        "hyperparameters": {"epochs": "20"}, "machine": machine, "begun": "2026-11-28T17:00:30.123Z", "ended": "",
        **more,
    }  # fmt: skip


def read(**more: Any) -> ByHand:
    return by_hand.parse(json.dumps(told(**more)).encode())


class TestAStatus:
    def test_is_read_with_its_times(self) -> None:
        found = read()
        assert (found.over, found.ended, found.provision_s, found.seconds("check")) == (False, None, 30.5, 0.41)

    def test_of_several_attempts_adds_up(self) -> None:
        phase = told()["phases"][0]
        found = read(phases=[phase, {**phase, "attempt": 2, "begun": "2026-11-28T18:00:00Z"}], attempt=2)
        assert (found.seconds("check"), found.provision_s) == (0.82, 3600.0)

    @pytest.mark.parametrize(
        "more",
        [
            {"more": 1},
            {"version": 2},
            {"state": "Done"},
            {"phase": "sleep"},
            {"reason": "\x1b[2J"},
            {"reason": "x" * 3000},
            {"attempt": 0},
            {"phases": [{**told()["phases"][0], "seconds": -1}]},
            {"phases": [{**told()["phases"][0], "seconds": float("inf")}]},
            {"phases": [told()["phases"][0]] * 1001},
            {"machine": {"command": "rm"}},
            {"begun": "2026-11-28T17:00:00"},
            {"hyperparameters": {"epochs": 20}},
            {"begun": "9999-12-31T23:59:59Z"},
            {"phases": [{**told()["phases"][0], "begun": "0001-01-01T00:00:00Z"}]},
            {"x" * 5000: 1},
        ],
        ids=lambda more: str(more)[:40],
    )
    def test_that_is_not_as_it_should_be_is_refused_in_one_line(self, more: dict[str, Any]) -> None:
        with pytest.raises(KennelError, match="no status of a run") as caught:
            read(**more)
        assert len(str(caught.value)) < 500

    def test_cannot_speak_for_the_account(self) -> None:
        assert read(instance="running", console=["all is well"]).instance == ""

    @pytest.mark.parametrize(
        ("reason", "by_nobody"),
        [
            ("spot interruption: EC2 takes the machine back. The next launch goes on where it was", True),
            ("the machine is gone without a word; the next launch goes on", True),
            ("time limit: 3600 s are over. The same command goes on where it was", False),
            ("the machine was asked to end. The next launch goes on where it was", False),
        ],
    )
    def test_tells_an_interruption_from_a_wish_and_a_limit(self, reason: str, by_nobody: bool) -> None:
        assert read(state="Stopped", reason=reason).interrupted is by_nobody
        assert not read(state="Failed", reason=reason).interrupted

    def test_that_is_too_large_is_not_parsed(self) -> None:
        with pytest.raises(KennelError, match="bytes"):
            by_hand.parse(b" " * (by_hand.LARGEST + 1))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def cloud(server: str) -> Cloud:
    """As new, with bucket and the machine's role."""
    from moto.moto_api._internal.models import moto_api_backend

    moto_api_backend.reset()
    found = connect("aws", parse({"ec2": {"ami_parameter": AMAZON}}), server, ("AKIAKENNEL", "secret"))
    ensure_bucket(found)
    for each in differences(found, (role_of(place_of(found), "instance"),)):
        carry_out(found, each, lambda seconds: None)
    return found


def leave(cloud: Cloud, **more: Any) -> None:
    """What a machine writes."""
    place = instance.place(cloud, RUN) / by_hand.STATUS
    cloud.client("s3").put_object(Bucket=place.bucket, Key=place.key, Body=json.dumps(told(**more)).encode())


def end_machines(cloud: Cloud) -> None:
    ids = [each["InstanceId"] for each in machines.of_run(cloud, RUN)]
    cloud.client("ec2").terminate_instances(InstanceIds=ids)


class TestLaunching:
    def test_makes_one_machine_however_often_it_is_asked(self, cloud: Cloud) -> None:
        first = instance.launch(cloud, PLAN)
        assert instance.launch(cloud, PLAN) == first
        (found,) = machines.there(cloud)
        assert found["InstanceType"] == "g4dn.xlarge"
        assert {each["Key"]: each["Value"] for each in found["Tags"]} == {"project": "kennel", "Name": RUN, "run": RUN}
        assert found["IamInstanceProfile"]["Arn"].endswith("instance-profile/kennel-instance")

    def test_is_over_when_ec2_shows_the_machine(self, cloud: Cloud) -> None:
        """It describes one some seconds after it is there; who waited would else find the one before, or none."""
        shown, pauses = iter([False] * 4), list[float]()  # launch looks twice before

        def late(parsed: dict[str, Any], **_: Any) -> None:
            if not next(shown, True):
                parsed["Reservations"] = []

        cloud.client("ec2").meta.events.register("after-call.ec2.DescribeInstances", late)
        machine = instance.launch(cloud, PLAN, pauses.append)
        assert len(pauses) == 2
        assert instance.status(cloud, RUN).machine.instance_id == machine

    def test_its_security_group_lets_nobody_in(self, cloud: Cloud) -> None:
        instance.launch(cloud, PLAN)
        (group,) = self.groups(cloud)
        assert (group["IpPermissions"], group["Tags"][0]["Key"]) == ([], "project")
        end_machines(cloud)
        instance.launch(cloud, PLAN)
        assert self.groups(cloud) == [group]

    def test_ssh_is_opened_for_the_one_address(self, cloud: Cloud) -> None:
        plan = replace(PLAN, ssh_from="192.0.2.1/32")
        instance.launch(cloud, plan)
        (rule,) = self.groups(cloud)[0]["IpPermissions"]
        assert (rule["FromPort"], rule["IpRanges"][0]["CidrIp"]) == (22, "192.0.2.1/32")
        end_machines(cloud)
        assert instance.launch(cloud, plan)

    @pytest.mark.parametrize("ssh_from", ["", "192.0.2.1/32"])
    def test_a_group_that_lets_in_others_is_not_used(self, cloud: Cloud, ssh_from: str) -> None:
        instance.launch(cloud, PLAN)
        end_machines(cloud)
        group = self.groups(cloud)[0]["GroupId"]
        rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        cloud.client("ec2").authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
        with pytest.raises(KennelError, match="lets in others than") as caught:
            instance.launch(cloud, replace(PLAN, ssh_from=ssh_from))
        assert group in caught.value.remedy
        assert machines.there(cloud) == []

    def test_without_the_machines_profile_tells_whom_to_ask(self, cloud: Cloud) -> None:
        with pytest.raises(KennelError, match="there is no instance profile nobody") as caught:
            instance.launch(cloud, replace(PLAN, role="nobody"))
        assert caught.value.remedy.endswith("kennel iam apply")

    def test_after_an_interruption_goes_on_on_another_machine(self, cloud: Cloud) -> None:
        first = instance.launch(cloud, PLAN)
        end_machines(cloud)
        leave(cloud, state="Stopped", reason="spot interruption", ended="2026-11-28T17:10:00Z")
        assert instance.next_try(cloud, PLAN).run == RUN
        second = instance.launch(cloud, PLAN)
        assert second != first
        found = instance.status(cloud, RUN)
        assert (found.state, found.phase, found.instance) == ("InProgress", "boot", "running")

    def test_is_asked_for_with_a_token_that_ec2_takes_again_for_the_same_request_only(self) -> None:
        noon = datetime(2026, 11, 28, 12, 1, tzinfo=UTC)
        request = REQUESTS["ec2-run"][2]
        given = (request, ["i-1"], 1, noon)
        assert instance.launch_of(*given) == instance.launch_of(*given)
        later = noon + timedelta(hours=1)  # then EC2 lists a machine no more that has ended
        others = [({**request, "ImageId": "ami-1"}, ["i-1"], 1, noon), (request, [], 1, noon),
                  (request, ["i-1"], 2, noon), (request, ["i-1"], 1, later)]  # fmt: skip
        assert len({instance.launch_of(*each) for each in (given, *others)}) == 5

    def test_of_what_is_done_launches_nothing(self, cloud: Cloud) -> None:
        leave(cloud, state="Completed", ended="2026-11-28T17:10:00Z")
        assert instance.launch(cloud, instance.next_try(cloud, PLAN)) == ""
        assert machines.there(cloud) == []

    def test_of_what_failed_is_another_try_by_another_name(self, cloud: Cloud) -> None:
        leave(cloud, state="Failed", reason="no login", ended="2026-11-28T17:10:00Z")
        found = instance.next_try(cloud, PLAN)
        assert (found.run, found.out) == (f"{RUN}-2", f"{S3}/ec2/{RUN}-2")

    def groups(self, cloud: Cloud) -> list[dict[str, Any]]:
        named = [{"Name": "group-name", "Values": ["kennel-ec2"]}]
        return list(cloud.client("ec2").describe_security_groups(Filters=named)["SecurityGroups"])


class TestLooking:
    def test_before_the_machine_tells_anything_it_boots(self, cloud: Cloud) -> None:
        machine = instance.launch(cloud, PLAN)
        found = instance.status(cloud, RUN)
        assert (found.state, found.phase, found.machine.instance_id) == ("InProgress", "boot", machine)

    def test_a_machine_that_ended_and_told_nothing_has_failed_and_its_console_is_shown(self, cloud: Cloud) -> None:
        instance.launch(cloud, PLAN)
        end_machines(cloud)
        found = instance.status(cloud, RUN)
        assert (found.state, found.phase, found.instance) == ("Failed", "boot", "terminated")
        assert found.reason.startswith("the machine ended and told nothing")

    def test_a_machine_that_went_without_a_word_is_told_as_stopped(self, cloud: Cloud) -> None:
        instance.launch(cloud, PLAN)
        leave(cloud)
        assert instance.status(cloud, RUN).state == "InProgress"
        end_machines(cloud)
        assert instance.status(cloud, RUN).reason.startswith("the machine is gone without a word")

    def test_every_run_is_listed_whether_it_has_told_anything_or_not(self, cloud: Cloud) -> None:
        assert instance.runs(cloud) == ()
        leave(cloud, state="Completed", ended="2026-11-28T17:10:00Z")
        instance.launch(cloud, replace(PLAN, run=f"{RUN}-2"))
        assert instance.runs(cloud) == (RUN, f"{RUN}-2")

    def test_waiting_tells_what_changes_and_ends_with_the_machine(self, cloud: Cloud) -> None:
        instance.launch(cloud, PLAN)
        last = {"state": "Completed", "phase": "upload", "ended": "2099-01-01T00:00:00Z"}
        left = iter([{"phase": "train"}, {"phase": "train"}, last])

        def sleep(seconds: float) -> None:
            more = next(left, None)
            leave(cloud, **more) if more else end_machines(cloud)

        seen: list[tuple[str, str, str]] = []
        found = instance.wait(cloud, RUN, lambda now: seen.append((now.state, now.phase, now.instance)), sleep)
        assert seen == [
            ("InProgress", "boot", "running"),
            ("InProgress", "train", "running"),
            ("Completed", "upload", "running"),
            ("Completed", "upload", "terminated"),
        ]
        assert found.state == "Completed"

    def test_a_run_that_is_not_there_is_told(self, cloud: Cloud) -> None:
        with pytest.raises(KennelError, match="there is no run nothing"):
            instance.status(cloud, "nothing")
        assert instance.log(cloud, "nothing") == ""

    def test_the_end_of_a_log_is_read(self, cloud: Cloud) -> None:
        place = instance.place(cloud, RUN) / by_hand.LOG
        cloud.client("s3").put_object(Bucket=place.bucket, Key=place.key, Body=b"first\nlast\n")
        assert instance.log(cloud, RUN, most=5) == "last\n"

    def test_status_and_teardown_know_the_machine(self, cloud: Cloud) -> None:
        machine = instance.launch(cloud, PLAN)
        rows = list(status._machines(cloud, prices.load()))
        assert [(each.kind, each.name, each.instance_type) for each in rows] == [("machine", RUN, "g4dn.xlarge")]
        (removal,) = teardown._machines(cloud)
        assert str(removal) == f"machine {machine}"
        teardown.carry_out(cloud, (removal,), lambda each, gone: None)
        assert machines.there(cloud) == []

    def test_it_is_ended_by_its_run(self, cloud: Cloud) -> None:
        machine = instance.launch(cloud, PLAN)
        assert instance.end(cloud, RUN) == (machine,)
        assert instance.end(cloud, RUN) == ()


def refused(settings: dict[str, Any], service: str, operation: str, request: dict[str, Any]) -> list[str]:
    """What of all that a request needs the launcher may not do."""
    here = IamPlace(parse({"ec2": settings}), "us-east-1", ACCOUNT)
    role = role_of(here, "launcher")
    tags = lambda arn: {"project": "kennel"} if arn.endswith(GROUP) or "instance/i-" in arn else {}  # noqa: E731
    found = lambda kind, name: here.role("kennel-instance") if kind == "instance-profile-role" else ""  # noqa: E731
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role.name}/me"
    caller, policies = Caller(session, ACCOUNT, here.role(role.name)), Policies(identity=(role.policy,))
    asked = needs(service, operation, request, Place("aws", "us-east-1", ACCOUNT, tags, session, found))
    assert asked
    return [f"{each.action} {each.resource}" for each in asked if not evaluate(each, caller, policies).allowed]


class TestTheLauncher:
    @pytest.mark.parametrize("name", REQUESTS)
    def test_may_send_every_request(self, name: str) -> None:
        service, operation, request = REQUESTS[name]
        everything = {
            "spot": True, "ssh_from": "192.0.2.1/32", "key_name": "mine", "subnet": EVERYTHING.subnet
        }  # fmt: skip
        settings = everything if "everything" in name or "ssh" in name else {}
        assert refused(settings, service, operation, request) == []

    @pytest.mark.parametrize(
        "more",
        [
            {"InstanceType": "p5.48xlarge"},
            {"MetadataOptions": {"HttpTokens": "optional"}},
            {"IamInstanceProfile": {"Name": "admin"}},
            {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": False}}]},
            {"SecurityGroupIds": ["sg-00000000000000000"]},
            {"KeyName": "mine"},
            {"TagSpecifications": []},
            {"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "owner", "Value": "me"}]}]},
        ],
        ids=lambda more: next(iter(more)),
    )
    def test_may_launch_nothing_else(self, more: dict[str, Any]) -> None:
        assert refused({}, "ec2", "RunInstances", {**REQUESTS["ec2-run"][2], **more})

    def test_ends_only_what_carries_the_projects_tag(self) -> None:
        assert refused({}, "ec2", "TerminateInstances", {"InstanceIds": ["i-0123"]}) == []
        assert refused({}, "ec2", "TerminateInstances", {"InstanceIds": ["i-0123", "x-1"]})
        assert refused({}, "ec2", "GetConsoleOutput", {"InstanceId": "i-0123"}) == []
        assert refused({}, "ec2", "GetConsoleOutput", {"InstanceId": "x-1"})


class TestThePlan:
    def test_is_called_after_its_content(self, cloud: Cloud) -> None:
        given = Given(IMAGE, DATA, "auto", {"epochs": "3"})
        plan = instance_plan.plan_of(cloud, given)
        assert re.fullmatch(r"kennel-ec2-[0-9a-f]{8}", plan.run)
        assert plan.out == f"{S3}/ec2/{plan.run}"
        assert instance_plan.plan_of(cloud, replace(given, hyperparameters={"epochs": "4"})).run != plan.run
        assert (plan.gpu, plan.login, plan.instance_type) == (True, False, "g4dn.xlarge")

    @pytest.mark.parametrize(
        ("given", "run", "wrong"),
        [
            (Given(IMAGE, DATA, "auto", {"epoch": "3"}), "", "unknown hyperparameter"),
            (Given(IMAGE, DATA), "../x", "cannot be a run's name"),
        ],
    )
    def test_that_cannot_be_is_told(self, cloud: Cloud, given: Given, run: str, wrong: str) -> None:
        with pytest.raises(SettingError, match=wrong):
            instance_plan.plan_of(cloud, given, run)


class TestTheCommands:
    def test_launch_wants_to_know_what_to_train_on(self) -> None:
        """Before anything is asked of anybody."""
        done = CliRunner().invoke(app, ["ec2", "launch", "--help"])
        assert done.exit_code == 0
        assert "--like" in done.stdout


@pytest.mark.parametrize(
    ("kind", "has"),
    [
        ("g4dn.xlarge", True),
        ("g6e.2xlarge", True),
        ("p4d.24xlarge", True),
        ("p6-b200.48xlarge", True),
        ("g4ad.xlarge", False),
        ("g5g.xlarge", False),
        ("m5.large", False),
    ],
)
def test_a_gpu_is_asked_for_where_there_is_one_of_nvidias(kind: str, has: bool) -> None:
    assert has_gpu(kind) == has
