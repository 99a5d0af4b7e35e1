"""EC2 on this machine: user data really runs, under its role only, and whatever ends a machine leaves nothing of it.

The server's clock runs sixty times as fast: a minute of `shutdown +1` is a second.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

import pytest
from botocore.exceptions import ClientError

from fixtures_containers import Engine
from fixtures_machines import ACCOUNT, TRUST, Server, make_profile, wait
from kennel.local.home import State, credentials
from kennel.local.parameters import IMAGE

PARAMETER = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("machines"))
    try:
        made.client("s3").create_bucket(Bucket="bucket")
        make_profile(made, "machine")
        yield made
    finally:
        made.end()


class TestUserData:
    def test_runs_and_the_command_line_finds_its_credentials_by_itself(self, server: Server) -> None:
        script = """#!/bin/bash
            set -euo pipefail
            aws sts get-caller-identity --query Arn --output text
            echo hello >"$KENNEL_WORK/hello"
            aws s3 cp --no-progress "$KENNEL_WORK/hello" s3://bucket/mine/hello
            aws s3 cp --no-progress "$KENNEL_WORK/hello" s3://bucket/theirs/hello || echo refused
            shutdown -P now
            sleep 600
        """
        identity = server.run(script)
        found = server.until(identity, "terminated")
        assert found["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
        console = server.console(identity)
        assert f"arn:aws:sts::{ACCOUNT}:assumed-role/machine/{identity}" in console
        assert "AccessDenied" in console
        assert "refused" in console
        assert server.client("s3").get_object(Bucket="bucket", Key="mine/hello")["Body"].read() == b"hello\n"
        assert not (server.home / "machines" / identity / "disk").exists()

    def test_boto3_finds_its_credentials_by_itself_too(self, server: Server) -> None:
        script = f"""#!{sys.executable}
import boto3
print(boto3.client("sts").get_caller_identity()["Arn"], "done")
"""
        identity = server.run(script)
        assert f"assumed-role/machine/{identity} done" in server.says(identity, "done")
        server.terminate(identity)

    def test_sees_nothing_of_the_server_and_no_secret_is_in_any_log(self, server: Server) -> None:
        script = """#!/bin/bash
            env | sort
            name=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
                "$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/api/token")
            curl -sf -H "X-aws-ec2-metadata-token: $name" -o "$KENNEL_WORK/keys" \
                "$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/meta-data/iam/security-credentials/machine"
            echo done
        """
        identity = server.run(script)
        console = server.says(identity, "done")
        folder = server.home / "machines" / identity
        keys = json.loads((folder / "disk/work/keys").read_text())
        names = {line.split("=")[0] for line in console.splitlines() if "=" in line}
        assert names <= {
            "PATH", "HOME", "TMPDIR", "LANG", "TZ", "PWD", "SHLVL", "_", "DOCKER_HOST", "KENNEL_WORK", "KENNEL_MACHINE",
            "KENNEL_LOCAL_HOME_ID", "KENNEL_LOCAL_SERVER", "KENNEL_LOCAL_WORK", "AWS_ENDPOINT_URL",
            "AWS_DEFAULT_REGION", "AWS_METADATA_SERVICE_TIMEOUT", "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        }  # fmt: skip
        server.terminate(identity)
        written = [each for each in server.home.rglob("*") if each.is_file() and each.stat().st_size < 2**22]
        assert folder / "console.log" in written
        for secret in (keys["SecretAccessKey"], keys["Token"]):
            assert not [each for each in written if secret.encode() in each.read_bytes()]

    def test_a_role_that_does_not_trust_ec2_gives_no_keys(self, server: Server) -> None:
        trust = json.loads(json.dumps(TRUST).replace("ec2.amazonaws.com", "lambda.amazonaws.com"))
        make_profile(server, "distrust", trust)
        identity = server.run(
            "#!/bin/bash\naws s3 ls s3://bucket/ || echo none", IamInstanceProfile={"Name": "distrust"}
        )
        assert "Unable to locate credentials" in server.says(identity, "none")
        server.terminate(identity)

    def test_other_than_a_script_is_not_run_and_the_console_says_so(self, server: Server) -> None:
        identity = server.run("#cloud-config\nruncmd: [touch /tmp/x]\n")
        assert "is not run" in server.says(identity, "#!")
        assert server.until(identity, "running")
        server.terminate(identity)

    def test_a_script_of_no_interpreter_here_ends_the_machine_with_a_reason(self, server: Server) -> None:
        identity = server.run("#!/nowhere/bash\n")
        assert server.until(identity, "terminated")["StateReason"]["Code"] == "Server.InternalError"
        assert "/nowhere/bash" in server.console(identity) or "could not start" in server.console(identity)

    def test_too_much_of_it_and_an_unknown_image_are_refused(self, server: Server) -> None:
        for given, code in (
            ({"UserData": "#!" + "x" * 16384}, "InvalidParameterValue"),
            ({"ImageId": "ami-0000000000000000f"}, "InvalidAMIID.NotFound"),
        ):
            with pytest.raises(ClientError, match=code):
                server.run(**{"script": "", **given})


class TestEnds:
    def test_without_a_shutdown_a_machine_stays_until_it_is_terminated(self, server: Server) -> None:
        identity = server.run("#!/bin/bash\nsleep 1000 &\necho through")
        server.says(identity, "through")
        assert server.until(identity, "running")
        assert "sleep" in [each.name() for each in server.left()]
        answer = server.client("ec2").terminate_instances(InstanceIds=[identity])["TerminatingInstances"][0]
        assert answer["CurrentState"]["Name"] == "shutting-down"
        assert answer["PreviousState"]["Name"] == "running"
        found = server.until(identity, "terminated")
        assert found["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
        assert found["StateTransitionReason"].startswith("User initiated (")
        assert "sleep" not in [each.name() for each in server.left()]
        server.terminate(identity)  # once more is nothing new

    def test_its_script_is_told_to_end_first_and_then_the_rest(self, server: Server) -> None:
        identity = server.run("""#!/bin/bash
            trap 'echo goodbye >"$KENNEL_WORK/said"; aws s3 cp "$KENNEL_WORK/said" s3://bucket/mine/said; exit' TERM
            (trap 'echo and I; exit' TERM; echo ready; sleep 1000 & wait) &
            sleep 1000 & wait
        """)
        server.says(identity, "ready")
        server.terminate(identity)
        assert server.client("s3").get_object(Bucket="bucket", Key="mine/said")["Body"].read() == b"goodbye\n"
        console = server.console(identity)
        assert console.index("upload: ") < console.index("and I")

    def test_a_shutdown_in_some_minutes_can_be_put_off_and_comes(self, server: Server) -> None:
        identity = server.run("""#!/bin/bash
            shutdown -P +1; shutdown -c; shutdown -h +600
            sleep 3; echo there
            shutdown +2 "the time is over"
            sleep 1000
        """)
        server.says(identity, "there")
        assert server.state(identity) == "running"
        began = time.monotonic()
        server.until(identity, "terminated")
        assert time.monotonic() - began > 1

    @pytest.mark.parametrize("given", ["-r now", "at noon", "+x", "--halt 12:30"])
    def test_a_shutdown_that_is_none_is_refused(self, server: Server, given: str) -> None:
        identity = server.run(f"#!/bin/bash\nshutdown {given} || echo refused\necho done\n")
        assert "refused" in server.says(identity, "done")
        server.terminate(identity)

    def test_sudo_poweroff_is_a_shutdown_too(self, server: Server) -> None:
        server.until(server.run("#!/bin/bash\nsudo -n poweroff\nsleep 1000"), "terminated")

    def test_stopped_it_keeps_its_disk_and_user_data_runs_only_once(self, server: Server) -> None:
        script = '#!/bin/bash\necho once\ntouch "$KENNEL_WORK/kept"\nshutdown now\nsleep 1000'
        identity = server.run(script, InstanceInitiatedShutdownBehavior="stop")
        found = server.until(identity, "stopped")
        assert found["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
        client = server.client("ec2")
        assert client.start_instances(InstanceIds=[identity])["StartingInstances"][0]["CurrentState"]["Code"] == 0
        server.until(identity, "running")
        console = server.says(identity, "started again")
        assert console.count("once\n") == 1
        assert (server.home / "machines" / identity / "disk/work/kept").exists()
        with pytest.raises(ClientError, match="reboots no machine"):
            client.reboot_instances(InstanceIds=[identity])
        client.stop_instances(InstanceIds=[identity])
        assert server.until(identity, "stopped")["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
        server.terminate(identity)
        assert not (server.home / "machines" / identity / "disk").exists()
        with pytest.raises(ClientError, match="IncorrectInstanceState"):
            client.start_instances(InstanceIds=[identity])


class TestSpot:
    def test_has_two_minutes_from_the_notice_to_the_end(self, server: Server) -> None:
        script = """#!/bin/bash
            endpoint=$AWS_EC2_METADATA_SERVICE_ENDPOINT
            token=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 600' "$endpoint/latest/api/token")
            get() { curl -sf -H "X-aws-ec2-metadata-token: $token" "$endpoint/latest/meta-data/$1"; }
            get instance-life-cycle; echo
            until get spot/instance-action; do sleep 0.1; done
            echo announced
            sleep 1000
        """
        identity = server.run(script, InstanceMarketOptions={"MarketType": "spot"})
        server.says(identity, "spot")
        assert interrupt(server, identity) == 200
        assert '"action": "terminate"' in server.says(identity, "announced")
        found = server.until(identity, "terminated")
        assert found["StateReason"]["Code"] == "Server.SpotInstanceTermination"
        assert found["InstanceLifecycle"] == "spot"

    def test_only_spot_machines_that_run_are_interrupted(self, server: Server) -> None:
        identity = server.run("")
        server.until(identity, "running")
        assert interrupt(server, identity) == 400
        server.terminate(identity)
        assert interrupt(server, identity) == 400
        assert interrupt(server, "i-0123456789abcdef0") == 400

    def test_one_time_spot_machines_are_not_stopped(self, server: Server) -> None:
        identity = server.run("", InstanceMarketOptions={"MarketType": "spot"})
        with pytest.raises(ClientError, match="can't stop the Spot Instance"):
            server.client("ec2").stop_instances(InstanceIds=[identity])
        server.terminate(identity)


def interrupt(server: Server, identity: str) -> int:
    from kennel.local.asking import ask

    state = State(server.process.pid, server.url, "us-east-1", ACCOUNT, *credentials(server.home))
    try:
        ask(state, f"interrupt?job={identity}", "POST")
    except urllib.error.HTTPError as error:
        return error.code
    return 200


class TestLaunching:
    def test_a_dry_run_starts_nothing(self, server: Server) -> None:
        before = len(server.client("ec2").describe_instances()["Reservations"])
        with pytest.raises(ClientError, match="DryRunOperation"):
            server.run("", DryRun=True)
        assert len(server.client("ec2").describe_instances()["Reservations"]) == before

    def test_there_are_only_so_many(self, server: Server) -> None:
        with pytest.raises(ClientError, match=r"InstanceLimitExceeded.*at most 20 machines at a time"):
            server.run("#!/bin/sh\n", MinCount=21, MaxCount=21)

    def test_pipes_that_nobody_reads_or_writes_keep_none_from_its_end(self, server: Server) -> None:
        script = """#!/bin/bash
            cd "$KENNEL_WORK/../.." && rm -f console.log power && mkfifo console.log power && sleep 600
        """
        identity = server.run(script)
        wait((server.home / "machines" / identity / "power").is_fifo, lambda: server.state(identity))
        assert server.client("ec2").get_console_output(InstanceId=identity).get("Output", "") == ""
        server.terminate(identity)

    def test_a_token_makes_one_machine_only(self, server: Server) -> None:
        token = token_hex(8)
        first = server.run("", ClientToken=token)
        server.until(first, "running")
        again = server.client("ec2").run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, ClientToken=token)
        assert [each["InstanceId"] for each in again["Instances"]] == [first]
        server.terminate(first)

    def test_the_image_is_found_by_its_public_parameter(self, server: Server) -> None:
        client = server.client("ssm")
        assert client.get_parameter(Name=PARAMETER)["Parameter"]["Value"] == IMAGE
        found = client.get_parameters(Names=[PARAMETER, "/mine"])
        assert (found["Parameters"][0]["Value"], found["InvalidParameters"]) == (IMAGE, ["/mine"])
        with pytest.raises(ClientError, match="ParameterNotFound"):
            client.get_parameter(Name="/aws/service/other")
        image = server.client("ec2").describe_images(ImageIds=[IMAGE])["Images"][0]
        assert image["RootDeviceName"] == "/dev/xvda"


class TestThePage:
    def test_shows_machines_and_what_they_say(self, server: Server) -> None:
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "by-hand"}]}]
        identity = server.run("#!/bin/bash\nfor each in {1..40000}; do echo line $each; done", TagSpecifications=tags)
        server.says(identity, "line 40000")
        server.terminate(identity)
        shown = json.loads(asked(f"{server.url}/_kennel/status")[1])["machines"]
        mine = next(each for each in shown if each["name"] == identity)
        assert (mine["tagged"], mine["type"], mine["status"]) == ("by-hand", "g4dn.xlarge", "terminated")
        assert "User initiated" in str(mine["detail"])
        lines = json.loads(asked(f"{server.url}/_kennel/log?kind=machine&name={identity}")[1])["lines"]
        assert (lines[-1], len(lines)) == ("line 40000", 300)
        assert len(server.console(identity)) == 64 * 1024
        for name in ("i-0123456789abcdef0", "../machines", f"../machines/{identity}"):
            assert json.loads(asked(f"{server.url}/_kennel/log?kind=machine&name={name}")[1])["lines"] == []


class TestMetadata:
    @pytest.fixture
    def machine(self, server: Server) -> Iterator[tuple[str, str]]:
        """Its id, and where its metadata is."""
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "project", "Value": "kennel"}]}]
        identity = server.run(
            "#!/bin/bash\necho at $AWS_EC2_METADATA_SERVICE_ENDPOINT .",
            TagSpecifications=tags,
            MetadataOptions={"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
        )
        console = server.says(identity, " .")
        yield identity, next(line.split()[1] for line in console.splitlines() if line.startswith("at "))
        server.terminate(identity)

    def test_asks_for_a_session(self, machine: tuple[str, str]) -> None:
        _, url = machine
        assert asked(f"{url}/latest/meta-data/instance-id")[0] == 401
        assert asked(f"{url}/latest/meta-data/instance-id", {"X-aws-ec2-metadata-token": "guessed"})[0] == 401
        for ttl in ({}, {TTL: "0"}, {TTL: "21601"}, {TTL: "x"}):
            assert asked(f"{url}/latest/api/token", ttl, "PUT")[0] == 400
        assert asked(f"{url}/latest/api/token", {TTL: "60", "X-Forwarded-For": "1.2.3.4"}, "PUT")[0] == 403

    def test_tells_a_machine_what_it_is(self, machine: tuple[str, str], server: Server) -> None:
        identity, url = machine
        get = session(url)
        assert get("latest/meta-data/instance-id") == identity
        assert get("latest/meta-data/instance-type") == "g4dn.xlarge"
        assert get("latest/meta-data/instance-life-cycle") == "on-demand"
        assert get("latest/meta-data/placement/region") == "us-east-1"
        assert get("latest/meta-data/tags/instance/project") == "kennel"
        assert "iam/\n" in get("latest/meta-data/")
        assert get("latest/meta-data/iam/security-credentials/") == "machine"
        assert get("latest/user-data").startswith("#!/bin/bash")
        assert json.loads(get("latest/meta-data/iam/info"))["InstanceProfileArn"].endswith("instance-profile/machine")
        document = json.loads(get("latest/dynamic/instance-identity/document"))
        assert (document["instanceId"], document["accountId"], document["imageId"]) == (identity, ACCOUNT, IMAGE)
        found = server.describe(identity)
        assert get("latest/meta-data/local-ipv4") == found["PrivateIpAddress"]
        for missing in ("latest/meta-data/spot/instance-action", "latest/nothing", "latest/meta-data/tags/instance/x"):
            assert asked(f"{url}/{missing}", token_of(url))[0] == 404

    def test_is_for_no_web_page_and_no_other_name(self, machine: tuple[str, str]) -> None:
        _, url = machine
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            assert asked(f"{url}/latest/api/token", {TTL: "60", **headers}, "PUT")[0] == 403
            assert asked(f"{url}/latest/meta-data/", {**token_of(url), **headers})[0] == 403

    @pytest.mark.skipif(os.getuid() != 0, reason="takes another user's process, which only root can start")
    def test_is_for_this_user_only(self, machine: tuple[str, str]) -> None:
        _, url = machine
        command = ["curl", "-s", "-X", "PUT", "-H", f"{TTL}: 60", f"{url}/latest/api/token"]
        assert subprocess.run(command, capture_output=True, user=65534).stdout == b""
        assert subprocess.run(command, capture_output=True).stdout

    def test_ends_with_its_machine(self, server: Server) -> None:
        identity = server.run("#!/bin/bash\necho at $AWS_EC2_METADATA_SERVICE_ENDPOINT .")
        url = server.says(identity, " .").split()[1]
        assert session(url)("latest/meta-data/instance-id") == identity
        server.terminate(identity)
        with pytest.raises(urllib.error.URLError):
            asked(f"{url}/latest/meta-data/")


TTL = "X-aws-ec2-metadata-token-ttl-seconds"


def asked(url: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(url, headers=dict(headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def token_of(url: str) -> dict[str, str]:
    return {"X-aws-ec2-metadata-token": asked(f"{url}/latest/api/token", {TTL: "60"}, "PUT")[1]}


def session(url: str) -> Callable[[str], str]:
    token = token_of(url)
    return lambda path: asked(f"{url}/{path}", token)[1]


class TestContainers:
    """What a script starts by `docker run` on the real engine."""

    SCRIPT = """#!/bin/bash
        set -euo pipefail
        docker --log-level error run --rm {base} echo ran
        docker run --detach --label {label} {base} sleep 1000
        docker container create --label {label} {base} true
        docker info --format works{{{{.ID}}}} | cut -c 1-5
        echo done
        sleep 1000
    """

    @pytest.fixture
    def script(self, engine: Engine, prepared: dict[str, str]) -> str:
        return self.SCRIPT.format(base=prepared["KENNEL_BASE_IMAGE"], label=engine.label)

    def listed(self, engine: Engine, identity: str) -> list[str]:
        found = engine.docker("ps", "--all", "--quiet", "--filter", f"label=kennel.machine={identity}")
        return found.stdout.split()

    def test_end_with_their_machine(self, server: Server, engine: Engine, script: str) -> None:
        identity = server.run(script)
        console = server.says(identity, "done")
        assert "ran\n" in console
        assert "works\n" in console
        assert len(self.listed(engine, identity)) == 2
        server.terminate(identity)
        assert self.listed(engine, identity) == []

    def test_end_with_a_server_that_is_killed(self, engine: Engine, script: str, tmp_path: Path) -> None:
        own = Server(tmp_path)
        make_profile(own, "machine")
        identity = own.run(script)
        own.says(identity, "done")
        own.end(signal.SIGKILL)
        wait(lambda: self.listed(engine, identity) == [], lambda: str(self.listed(engine, identity)))
        wait(lambda: not own.left(), lambda: str(own.left()))


class TestTheServersEnd:
    """Each with a server of its own."""

    @pytest.fixture
    def own(self, tmp_path: Path) -> Iterator[Server]:
        made = Server(tmp_path)
        make_profile(made, "machine")
        yield made
        with suppress(ProcessLookupError):
            made.end()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_ends_its_machines_and_the_next_one_says_so(self, own: Server, number: signal.Signals) -> None:
        group = own.client("ec2").create_security_group(GroupName="own", Description="own")["GroupId"]
        running = own.run("#!/bin/bash\necho ready\nsleep 1000", SecurityGroupIds=[group])
        stopped = own.run("#!/bin/bash\nshutdown now\nsleep 1000", InstanceInitiatedShutdownBehavior="stop")
        gone = own.run("#!/bin/bash\nshutdown now\nsleep 1000")
        own.says(running, "ready")
        own.until(stopped, "stopped")
        own.until(gone, "terminated")
        own.end(number)
        wait(lambda: not own.left(), lambda: str(own.left()))
        own.start()
        found = own.describe(running)
        assert (found["State"]["Name"], found["StateReason"]["Code"]) == ("terminated", "Server.InternalError")
        assert own.state(stopped) == "stopped"
        assert own.describe(gone)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
        assert "ready" in own.console(running)
        assert not (own.home / "machines" / running / "disk").exists()
        own.client("ec2").delete_security_group(GroupId=group)
        own.end(number)
        own.start()
        assert not [each for each in own.client("ec2").describe_security_groups()["SecurityGroups"]
                    if each["GroupId"] == group]  # fmt: skip
        assert {own.state(each) for each in (running, gone)} == {"terminated"}
        assert own.state(stopped) == "stopped"
        own.terminate(stopped)
