"""A local AWS whose clock runs fast, in a process of its own, with small model servers as instances; and its clients.

As a program (`python fixtures_scaling.py HOME FACTOR BEGAN`) it is that server.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from fixtures_lambda import connected
from kennel.local.background import stop
from kennel.local.clock import FastClock
from kennel.local.home import state
from kennel.local.parts import Document

VARIANT = "all"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
TRUST = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, '
    '"Action": "sts:AssumeRole"}]}'
)


def main(home: str, factor: str, began: str) -> None:
    from fixtures_hosting import Processes
    from kennel.errors import stop_on_signals
    from kennel.local.hosting import Limits
    from kennel.local.parts import House, Service
    from kennel.local.server import assemble, serve

    def services(house: House) -> list[Service]:
        return assemble(replace(house, runners=Processes()), limits=Limits(drain_s=5, stop_s=2, backoff_s=0.05))

    stop_on_signals()
    clock = FastClock(float(factor), float(began))
    serve(Path(home), 0, "us-east-1", "process", lambda url: print(url, flush=True), services, clock)


class Fast:
    """The server and its clients. clock: as the server's."""

    def __init__(self, home: Path, factor: float) -> None:
        self.home, self.factor, self._began = home, factor, time.time()
        self.clock = FastClock(factor, self._began)
        self.start()
        self._role()

    def start(self) -> None:
        arguments = [sys.executable, __file__, str(self.home), str(self.factor), repr(self._began)]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline()
        found = state(self.home)
        assert found is not None
        self.environment = found.environment()
        self.sagemaker, self.runtime, self.scaling, self.cloudwatch, self.s3 = (
            connected(self.environment, service)
            for service in ("sagemaker", "sagemaker-runtime", "application-autoscaling", "cloudwatch", "s3")
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        stop(self.home)
        self.process.wait()

    def endpoint(self, name: str, instances: int = 1, **environment: str) -> str:
        """Its resource, as scaling names it."""
        self.model(name, **environment)
        self.config(name, instances)
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        self.until(lambda: self.described(name)["EndpointStatus"] == "InService")
        return f"endpoint/{name}/variant/{VARIANT}"

    def model(self, name: str, **environment: str) -> None:
        container = {"Image": "image", "ModelDataUrl": "s3://models/model.tar.gz", "Environment": {**environment}}
        role = "arn:aws:iam::123456789012:role/hosting"
        self.sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role)

    def config(self, name: str, instances: int, model: str = "", instance_type: str = "ml.m5.large") -> None:
        variant = {"VariantName": VARIANT, "ModelName": model or name, "InitialInstanceCount": instances}
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[{**variant, "InstanceType": instance_type}]
        )

    def register(self, resource: str, least: int = 1, most: int = 3, **more: Any) -> Document:
        return dict(self.scaling.register_scalable_target(**_of(resource), MinCapacity=least, MaxCapacity=most, **more))

    def track(self, resource: str, name: str = "traffic", **config: Any) -> Document:
        metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
        given = {"TargetValue": 25.0, "ScaleOutCooldown": 180, "ScaleInCooldown": 300, **config}
        if "CustomizedMetricSpecification" not in given:
            given["PredefinedMetricSpecification"] = metric
        return dict(
            self.scaling.put_scaling_policy(
                **_of(resource),
                PolicyName=name,
                PolicyType="TargetTrackingScaling",
                TargetTrackingScalingPolicyConfiguration=given,
            )
        )

    def described(self, name: str) -> Document:
        return dict(self.sagemaker.describe_endpoint(EndpointName=name))

    def count(self, name: str) -> int:
        """Instances that serve."""
        return int(self.described(name)["ProductionVariants"][0]["CurrentInstanceCount"])

    def activities(self, resource: str, held: bool = False) -> list[Document]:
        """The oldest first."""
        given = {"ServiceNamespace": "sagemaker", "ResourceId": resource, "IncludeNotScaledActivities": held}
        return list(reversed(self.scaling.describe_scaling_activities(**given)["ScalingActivities"]))

    def alarms(self, resource: str) -> dict[str, Document]:
        """AlarmHigh and AlarmLow."""
        found = self.cloudwatch.describe_alarms(AlarmNamePrefix=f"TargetTracking-{resource}-")["MetricAlarms"]
        return {each["AlarmName"].removeprefix(f"TargetTracking-{resource}-").split("-")[0]: each for each in found}

    def history(self, name: str) -> list[str]:
        """Of an alarm, the oldest first."""
        found = self.cloudwatch.describe_alarm_history(AlarmName=name, ScanBy="TimestampAscending")
        return [each["HistorySummary"] for each in found["AlarmHistoryItems"]]

    def feed(self, resource: str, value: float, minutes: int = 1) -> None:
        """Put the metric of minutes yet to come, beside the zeros of an endpoint that nobody asks."""
        endpoint, variant = resource.split("/")[1::2]
        dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
        first = self.clock.now() // 60 * 60 + 1
        self.cloudwatch.put_metric_data(
            Namespace="AWS/SageMaker",
            MetricData=[
                {
                    "MetricName": "InvocationsPerInstance",
                    "Dimensions": dimensions,
                    "Timestamp": datetime.fromtimestamp(first + number * 60, UTC),
                    "Value": value,
                }
                for number in range(minutes)
            ],
        )

    def drive(self, endpoint: str, plan: Sequence[int], look: Callable[[], int]) -> tuple[list[int], list[str]]:
        """Invoke it so many times a minute, minute after minute; what `look` saw at each one's end, and what failed."""
        seen: list[int] = []
        failed: list[str] = []
        begin = (self.clock.now() // 60 + 1) * 60

        def ask(at: float) -> None:
            self.clock.wait(threading.Event(), at - self.clock.now())
            try:
                self.runtime.invoke_endpoint(EndpointName=endpoint, Body=b"x")["Body"].read()
            except ClientError as error:
                failed.append(str(error))

        with ThreadPoolExecutor(16) as pool:
            for number, requests in enumerate(plan):
                first = begin + number * 60
                for place in range(requests):
                    pool.submit(ask, first + 50 * place / requests)
                self.clock.wait(threading.Event(), first + 59 - self.clock.now())
                seen.append(look())
        return seen, failed

    def until(self, true: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end
            time.sleep(0.02)

    def _role(self) -> None:
        connected(self.environment, "iam").create_role(RoleName="hosting", AssumeRolePolicyDocument=TRUST)
        self.s3.create_bucket(Bucket="models")
        self.s3.put_object(Bucket="models", Key="model.tar.gz", Body=_archive())


def _of(resource: str) -> Mapping[str, str]:
    return {"ServiceNamespace": "sagemaker", "ResourceId": resource, "ScalableDimension": DIMENSION}


def _archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("model.json")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"{}"))
    return buffer.getvalue()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
