"""A local AWS for machines; its clock is sixty times as fast.

`python fixtures_machines.py HOME` is its server: a process of its own, which can be killed and started again.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import psutil
from botocore.config import Config

from kennel.errors import stop_on_signals
from kennel.local.clock import FastClock
from kennel.local.home import credentials
from kennel.local.parameters import IMAGE
from kennel.local.warden import HOME, Mark

ACCOUNT, FACTOR = "123456789012", 60
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
ALLOWED = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["s3:PutObject", "s3:GetObject"], "Resource": "arn:aws:s3:::bucket/mine/*"}
    ],
}
WAIT_S = 60


def main() -> int:
    """The server process of these tests: HOME."""
    from kennel.local.server import assemble, serve

    stop_on_signals()
    ready = lambda url: print(url, flush=True)  # noqa: E731
    return serve(Path(sys.argv[1]), 0, "us-east-1", "process", ready, assemble, FastClock(FACTOR))


class Server:
    def __init__(self, home: Path) -> None:
        self.home, self.mark = home, Mark.of(home)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, __file__, str(self.home)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(60)

    def client(self, service: str) -> Any:
        key, secret = credentials(self.home)
        given = Config(retries={"total_max_attempts": 1})
        return boto3.client(service, "us-east-1", endpoint_url=self.url, aws_access_key_id=key,
                            aws_secret_access_key=secret, config=given)  # fmt: skip

    def left(self) -> list[psutil.Process]:
        """Its work's processes."""
        found = list[psutil.Process]()
        for each in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if each.environ().get(HOME) == self.mark.home:
                    found.append(each)
        return found

    def run(self, script: str, **more: Any) -> str:
        """The id of a machine that runs it."""
        given: dict[str, Any] = {
            "ImageId": IMAGE,
            "InstanceType": "g4dn.xlarge",
            "MinCount": 1,
            "MaxCount": 1,
            "IamInstanceProfile": {"Name": "machine"},
            "UserData": script,
            "InstanceInitiatedShutdownBehavior": "terminate",
        }
        found = self.client("ec2").run_instances(**given | more)["Instances"][0]
        assert found["State"]["Name"] == "pending"
        return str(found["InstanceId"])

    def describe(self, identity: str) -> dict[str, Any]:
        found = self.client("ec2").describe_instances(InstanceIds=[identity])
        instance: dict[str, Any] = found["Reservations"][0]["Instances"][0]
        return instance

    def state(self, identity: str) -> str:
        return str(self.describe(identity)["State"]["Name"])

    def console(self, identity: str) -> str:
        found = self.client("ec2").get_console_output(InstanceId=identity)
        return str(found["Output"])  # boto3 has taken the base64 off already

    def until(self, identity: str, state: str) -> dict[str, Any]:
        wait(lambda: self.state(identity) == state, lambda: f"{self.state(identity)}\n{self.console(identity)}")
        return self.describe(identity)

    def says(self, identity: str, text: str) -> str:
        wait(lambda: text in self.console(identity), lambda: self.console(identity))
        return self.console(identity)

    def terminate(self, identity: str) -> None:
        self.client("ec2").terminate_instances(InstanceIds=[identity])
        self.until(identity, "terminated")


def wait(done: Callable[[], bool], told: Callable[[], str]) -> None:
    until = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < until, told()
        time.sleep(0.05)


def make_profile(
    server: Server, name: str, trust: Mapping[str, Any] = TRUST, allowed: Mapping[str, Any] = ALLOWED
) -> None:
    iam = server.client("iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    iam.put_role_policy(RoleName=name, PolicyName="mine", PolicyDocument=json.dumps(allowed))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


if __name__ == "__main__":
    sys.exit(main())
