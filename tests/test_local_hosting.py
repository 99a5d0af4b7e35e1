"""Models, endpoints and invocations in the local AWS, with a small model server as a process in the images' place."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import botocore.parsers
import botocore.session
import httpx
import pytest
from botocore.awsrequest import HeadersDict

from fixtures_hosting import Processes
from fixtures_house import Book, house_in
from kennel.aws import shapes
from kennel.errors import ArtifactError
from kennel.local.clock import FastClock
from kennel.local.errors import Refused
from kennel.local.hosting import Hosting, Limits
from kennel.local.hosting.archive import unpack
from kennel.local.hosting.meter import Meter
from kennel.local.hosting.place import pause
from kennel.local.parts import Clock, Document, House, Reply

LIMITS = Limits(
    payload=1000, answer_s=20, ping_every_s=0.3, ping_s=5, look_every_s=0.1, drain_s=10, stop_s=5, backoff_s=0.1
)
ROLE = "arn:aws:iam::123456789012:role/endpoint"


@dataclass
class World:
    """A house with its hosting, and a client of it."""

    house: House
    hosting: Hosting
    runner: Processes
    book: Book

    def __call__(self, operation: str, **request: Any) -> Document:
        answer = self.hosting.operations()[operation](request)
        assert shapes.answer_problems("sagemaker", operation, answer) == []
        json.dumps(answer)
        return answer

    def refusal(self, operation: str, **request: Any) -> str:
        with pytest.raises(Refused) as refused:
            self(operation, **request)
        assert refused.value.code == "ValidationException"
        return refused.value.message

    def model(self, name: str, image: str = "image", **environment: str) -> str:
        container = {"Image": image, "ModelDataUrl": "s3://bucket/model.tar.gz"}
        container["Environment"] = {"ANSWER": name, **environment}  # type: ignore[assignment]
        self("CreateModel", ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
        return name

    def config(self, name: str, *variants: Document) -> str:
        self("CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=list(variants))
        return name

    def endpoint(self, name: str, *variants: Document, wait: bool = True) -> str:
        self("CreateEndpoint", EndpointName=name, EndpointConfigName=self.config(f"{name}-config", *variants))
        if wait:
            assert self.settled(name)["EndpointStatus"] == "InService"
        return name

    def simple(self, name: str = "dogs", instances: int = 1, **environment: str) -> str:
        return self.endpoint(name, variant(self.model(f"{name}-model", **environment), instances))

    def settled(self, name: str) -> Document:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            found = self("DescribeEndpoint", EndpointName=name)
            if found["EndpointStatus"] not in ("Creating", "Updating"):
                return found
            time.sleep(0.02)
        raise AssertionError("the endpoint does not settle")

    def invoke(self, name: str, body: bytes = b"x", headers: Mapping[str, str] | None = None) -> Document:
        return parsed(self.hosting.invoke(name, headers or {}, body))

    def answer(self, name: str, body: bytes = b"x", headers: Mapping[str, str] | None = None) -> Document:
        found = self.invoke(name, body, headers)
        assert "Error" not in found, found
        return dict(json.loads(found["Body"]))


def variant(model: str, instances: int = 1, name: str = "all", **more: Any) -> Document:
    common = {"VariantName": name, "ModelName": model, "InitialInstanceCount": instances}
    return {**common, "InstanceType": "ml.m5.large", **more}


@cache
def runtime() -> Any:
    return botocore.session.get_session().get_service_model("sagemaker-runtime")


def parsed(reply: Reply) -> Document:
    """As boto3 does."""
    operation = runtime().operation_model("InvokeEndpoint")
    parser = botocore.parsers.create_parser("rest-json")
    raw = {"status_code": reply.status, "headers": HeadersDict(reply.headers), "body": reply.body}
    if reply.status < 300:
        return dict(parser.parse(raw, operation.output_shape))
    found = dict(parser.parse(raw, operation.output_shape))
    shape = runtime().shape_for_error_code(found["Error"]["Code"])
    return {**found, **(parser.parse(raw, shape) if shape else {})}


def eventually(true: Callable[[], bool], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def archive_of(path: Path, *members: tuple[str, bytes] | tarfile.TarInfo) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            tar.addfile(info, io.BytesIO(member[1]))
    return path


@contextmanager
def world_in(home: Path, limits: Limits = LIMITS, clock: Clock | None = None) -> Iterator[World]:
    runner, book = Processes(), Book()
    house = house_in(home, runner, book, clock)
    hosting = Hosting(house, limits)
    hosting.resume()
    try:
        yield World(house, hosting, runner, book)
        hosting.close()
        assert runner.alive() == []
    finally:
        runner.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    archive_of(tmp_path / "s3/bucket/model.tar.gz", ("model.json", b"{}"), ("code/network.bin", b"0" * 100))
    return tmp_path


@pytest.fixture
def world(home: Path) -> Iterator[World]:
    with world_in(home) as world:
        yield world


@dataclass
class Load:
    """Steady requests from several clients; what came back that was no answer."""

    failed: list[Document] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)


@contextmanager
def steady_load(world: World, name: str, clients: int = 6) -> Iterator[Load]:
    load, stop = Load(), threading.Event()

    def client() -> None:
        while not stop.is_set():
            found = world.invoke(name)
            if "Error" in found:
                load.failed.append(found)
            else:
                load.answers[json.loads(found["Body"])["answer"]] += 1
            time.sleep(0.005)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_an_endpoint_answers_and_says_what_it_is(world: World) -> None:
    world.model("dogs")
    world.endpoint("dogs", variant("dogs", 2), wait=False)
    creating = world("DescribeEndpoint", EndpointName="dogs")
    assert creating["EndpointStatus"] == "Creating"
    assert world.invoke("dogs")["Error"]["Message"] == "Endpoint dogs of account 123456789012 not found."
    found = world.settled("dogs")
    assert found["EndpointStatus"] == "InService"
    assert found["EndpointConfigName"] == "dogs-config"
    (shown,) = found["ProductionVariants"]
    assert shown["CurrentInstanceCount"] == shown["DesiredInstanceCount"] == 2
    assert shown["CurrentWeight"] == shown["DesiredWeight"] == 1.0
    assert shown["DeployedImages"][0]["SpecifiedImage"] == "image"
    reply = world.invoke(
        "dogs", headers={"content-type": "image/jpeg", "x-amzn-sagemaker-custom-attributes": "top_k=2"}
    )
    assert reply["InvokedProductionVariant"] == "all"
    assert reply["ContentType"] == "application/json"
    assert reply["CustomAttributes"] == "seen"
    answer = json.loads(reply["Body"])
    assert answer["answer"] == "dogs"
    assert answer["model"] == ["code", "code/network.bin", "model.json"]
    sent = {name.lower(): value for name, value in answer["headers"].items()}
    assert sent["content-type"] == "image/jpeg"
    assert sent["x-amzn-sagemaker-custom-attributes"] == "top_k=2"
    counts = world.hosting.instances("dogs", "all")
    assert (counts.current, counts.serving) == (2, 2)


def test_what_an_instance_prints_is_in_its_log_stream(world: World) -> None:
    world.simple()
    eventually(lambda: bool(world.book.lines))
    group, stream, text = world.book.lines[0]
    assert group == "/aws/sagemaker/Endpoints/dogs"
    assert stream.startswith("all/i-")
    assert text == "serving dogs-model"


def test_models_configurations_and_endpoints_are_listed_described_and_deleted(world: World) -> None:
    world.simple()
    assert world("DescribeModel", ModelName="dogs-model")["PrimaryContainer"]["Image"] == "image"
    config = world("DescribeEndpointConfig", EndpointConfigName="dogs-config")
    assert config["ProductionVariants"][0]["InitialVariantWeight"] == 1.0
    assert [each["ModelName"] for each in world("ListModels")["Models"]] == ["dogs-model"]
    assert [each["EndpointConfigName"] for each in world("ListEndpointConfigs")["EndpointConfigs"]] == ["dogs-config"]
    assert world("ListEndpoints", StatusEquals="Failed")["Endpoints"] == []
    assert world("ListEndpoints", StatusEquals="InService")["Endpoints"][0]["EndpointName"] == "dogs"
    world("DeleteModel", ModelName="dogs-model")
    world("DeleteEndpointConfig", EndpointConfigName="dogs-config")
    assert world.answer("dogs")["answer"] == "dogs-model"  # it needs neither any more
    world("DeleteEndpoint", EndpointName="dogs")
    eventually(lambda: world("ListEndpoints")["Endpoints"] == [])
    assert "Could not find endpoint" in world.refusal("DescribeEndpoint", EndpointName="dogs")
    assert "not found" in world.invoke("dogs")["Error"]["Message"]
    assert world.runner.alive() == []
    assert not list((world.house.home / "endpoints").iterdir())


def test_lists_come_in_pages_that_hold_when_something_is_added(world: World) -> None:
    for number in range(12):
        world.model(f"model-{number:02}")
    first = world("ListModels", SortBy="Name", SortOrder="Ascending", MaxResults=5, NameContains="model")
    world.model("model-000")
    rest = world("ListModels", SortBy="Name", SortOrder="Ascending", MaxResults=100, NextToken=first["NextToken"])
    names = [each["ModelName"] for each in first["Models"] + rest["Models"]]
    assert names == [f"model-{number:02}" for number in range(12)]
    assert "NextToken" not in rest
    assert "NextToken" in world.refusal("ListModels", NextToken="nonsense")


def test_taken_and_unknown_names_are_refused_as_aws_words_it(world: World) -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:"
    world.simple()
    container = {"Image": "image"}
    assert world.refusal("CreateModel", ModelName="dogs-model", PrimaryContainer=container) == (
        f'Cannot create already existing model "{arn}model/dogs-model".'
    )
    again = {"EndpointConfigName": "dogs-config", "ProductionVariants": [variant("dogs-model")]}
    assert world.refusal("CreateEndpointConfig", **again) == (
        f'Cannot create already existing endpoint configuration "{arn}endpoint-config/dogs-config".'
    )
    assert world.refusal("CreateEndpoint", EndpointName="dogs", EndpointConfigName="dogs-config") == (
        f'Cannot create already existing endpoint "{arn}endpoint/dogs".'
    )
    unknown = f'Could not find endpoint configuration "{arn}endpoint-config/none".'
    assert world.refusal("CreateEndpoint", EndpointName="cats", EndpointConfigName="none") == unknown
    assert world.refusal("UpdateEndpoint", EndpointName="dogs", EndpointConfigName="none") == unknown
    assert world.refusal("DescribeModel", ModelName="none") == f'Could not find model "{arn}model/none".'
    assert world.refusal("DeleteModel", ModelName="none") == f'Could not find model "{arn}model/none".'
    assert world.refusal("DeleteEndpoint", EndpointName="none") == f'Could not find endpoint "{arn}endpoint/none".'


@pytest.mark.parametrize(
    ("operation", "request_", "said"),
    [
        (
            "CreateModel",
            {"PrimaryContainer": {"Image": "i", "ModelDataUrl": "s3://bucket/none"}},
            "Could not find model",
        ),
        ("CreateModel", {"PrimaryContainer": {"Image": "i"}, "ExecutionRoleArn": f"{ROLE}-nobody"}, "assume role"),
        ("CreateModel", {}, "PrimaryContainer"),
        ("CreateModel", {"Containers": [{"Image": "a"}, {"Image": "b"}]}, "one container"),
        ("CreateEndpointConfig", {"ProductionVariants": [variant("none")]}, "not find model"),
        ("CreateEndpointConfig", {"ProductionVariants": [variant("m"), variant("m")]}, "unique"),
        ("CreateEndpointConfig", {"ProductionVariants": [{"VariantName": "v", "ModelName": "m"}]}, "InstanceType"),
        ("CreateEndpointConfig", {"ProductionVariants": [variant("m", ServerlessConfig={})]}, "ServerlessConfig"),
        ("CreateEndpointConfig", {"ProductionVariants": [variant("m")], "DataCaptureConfig": {}}, "DataCaptureConfig"),
    ],
)
def test_what_cannot_work_is_refused_at_once(world: World, operation: str, request_: Document, said: str) -> None:
    world.model("m")
    name = {"CreateModel": "ModelName", "CreateEndpointConfig": "EndpointConfigName"}[operation]
    assert said in world.refusal(operation, **{name: "new"}, **request_)


def test_an_endpoint_that_is_changing_cannot_be_changed_or_deleted(world: World) -> None:
    world.model("slow", START_S="1")
    world.endpoint("dogs", variant("slow"), wait=False)
    for operation, more in (("UpdateEndpoint", {"EndpointConfigName": "dogs-config"}), ("DeleteEndpoint", {})):
        assert "Cannot update in-progress endpoint" in world.refusal(operation, EndpointName="dogs", **more)
    assert world.settled("dogs")["EndpointStatus"] == "InService"


@pytest.mark.parametrize("mode", ["exit", "sick"])
def test_an_endpoint_whose_container_is_not_healthy_fails(world: World, mode: str) -> None:
    world.model("bad", MODE=mode)
    config = world.config("bad", variant("bad", ContainerStartupHealthCheckTimeoutInSeconds=1))
    world("CreateEndpoint", EndpointName="dogs", EndpointConfigName=config)
    found = world.settled("dogs")
    assert found["EndpointStatus"] == "Failed"
    assert found["FailureReason"] == (
        "The primary container for production variant all did not pass the ping health check. "
        "Please check CloudWatch logs for this endpoint."
    )
    assert world.runner.alive() == []
    assert "only be deleted" in world.refusal("UpdateEndpoint", EndpointName="dogs", EndpointConfigName=config)
    world("DeleteEndpoint", EndpointName="dogs")
    eventually(lambda: world("ListEndpoints")["Endpoints"] == [])


def test_an_archive_or_an_image_that_is_gone_fails_the_endpoint_with_the_reason(world: World) -> None:
    world.model("dogs")
    world.model("cats", image="missing")
    world.endpoint("cats", variant("cats"), wait=False)
    assert world.settled("cats")["FailureReason"] == "there is no image missing. Build it"
    world.house.objects.delete("bucket", "model.tar.gz")
    world.endpoint("dogs", variant("dogs"), wait=False)
    assert "Failed to download model data" in world.settled("dogs")["FailureReason"]


def test_an_update_during_steady_load_loses_no_request(world: World) -> None:
    world.simple(instances=2, SLEEP_S="0.02")
    config = world.config("new", variant(world.model("new", START_S="0.3", SLEEP_S="0.02"), 1))
    with steady_load(world, "dogs") as load:
        eventually(lambda: load.answers["dogs-model"] > 50)
        world("UpdateEndpoint", EndpointName="dogs", EndpointConfigName=config, RetainAllVariantProperties=True)
        updating = world("DescribeEndpoint", EndpointName="dogs")
        assert updating["PendingDeploymentSummary"]["EndpointConfigName"] == "new"
        assert updating["EndpointConfigName"] == "dogs-config"
        found = world.settled("dogs")
        before = load.answers["new"]
        eventually(lambda: load.answers["new"] > before + 50)
    assert load.failed == []
    assert found["EndpointConfigName"] == "new"
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == 2  # retained
    eventually(lambda: len(world.runner.alive()) == 2)
    assert len(list((world.house.home / "endpoints/dogs").glob("deployment-*"))) == 1


def test_an_update_takes_the_configurations_count_unless_it_is_retained(world: World) -> None:
    world.simple(instances=2)
    config = world.config("new", variant("dogs-model", 1, InitialVariantWeight=0.5))
    excluded = [{"VariantPropertyType": "DesiredInstanceCount"}]
    world(
        "UpdateEndpoint",
        EndpointName="dogs",
        EndpointConfigName=config,
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=excluded,
    )
    (shown,) = world.settled("dogs")["ProductionVariants"]
    assert (shown["CurrentInstanceCount"], shown["CurrentWeight"]) == (1, 1.0)
    world("UpdateEndpoint", EndpointName="dogs", EndpointConfigName=config)
    assert world.settled("dogs")["ProductionVariants"][0]["CurrentWeight"] == 0.5


def test_an_update_needs_the_configuration_that_it_leaves(world: World) -> None:
    world.simple()
    config = world.config("new", variant("dogs-model"))
    world("DeleteEndpointConfig", EndpointConfigName="dogs-config")
    said = world.refusal("UpdateEndpoint", EndpointName="dogs", EndpointConfigName=config)
    assert "endpoint-config/dogs-config" in said
    assert world("DescribeEndpoint", EndpointName="dogs")["EndpointStatus"] == "InService"


def test_a_failed_update_leaves_the_old_instances_serving(world: World) -> None:
    world.simple()
    pid = world.answer("dogs")["pid"]
    config = world.config("bad", variant(world.model("bad", MODE="exit")))
    with steady_load(world, "dogs", clients=2) as load:
        world("UpdateEndpoint", EndpointName="dogs", EndpointConfigName=config)
        found = world.settled("dogs")
    assert load.failed == []
    assert found["EndpointStatus"] == "InService"
    assert found["EndpointConfigName"] == "dogs-config"
    assert "ping health check" in found["FailureReason"]
    assert "PendingDeploymentSummary" not in found
    assert world.answer("dogs")["pid"] == pid
    assert len(world.runner.alive()) == 1


def test_scaling_out_and_in_keeps_what_runs_and_loses_no_request(world: World) -> None:
    world.simple(SLEEP_S="0.02")
    pid = world.answer("dogs")["pid"]

    def scale(count: int) -> None:
        change = [{"VariantName": "all", "DesiredInstanceCount": count}]
        world("UpdateEndpointWeightsAndCapacities", EndpointName="dogs", DesiredWeightsAndCapacities=change)

    with steady_load(world, "dogs") as load:
        scale(3)
        (shown,) = world("DescribeEndpoint", EndpointName="dogs")["ProductionVariants"]
        assert (shown["CurrentInstanceCount"], shown["DesiredInstanceCount"]) == (1, 3)
        assert world.settled("dogs")["ProductionVariants"][0]["CurrentInstanceCount"] == 3
        assert {each.process.pid for each in world.runner.alive()} > {pid}
        pids = {world.answer("dogs")["pid"] for _ in range(60)}
        assert len(pids) > 1
        scale(1)
        world.settled("dogs")
        eventually(lambda: [each.process.pid for each in world.runner.alive()] == [pid])
    assert load.failed == []


def test_scaling_to_none_or_a_variant_that_is_not_there_is_refused(world: World) -> None:
    world.simple()
    for change in ({"VariantName": "all", "DesiredInstanceCount": 0}, {"VariantName": "none", "DesiredWeight": 1}):
        world.refusal("UpdateEndpointWeightsAndCapacities", EndpointName="dogs", DesiredWeightsAndCapacities=[change])
    assert world("DescribeEndpoint", EndpointName="dogs")["EndpointStatus"] == "InService"


def test_instances_killed_under_load_are_replaced_and_no_request_fails(world: World) -> None:
    world.simple(instances=2, SLEEP_S="0.01")
    with steady_load(world, "dogs") as load:
        for _ in range(4):
            before = sum(load.answers.values())
            victim = random.choice(world.runner.alive())
            os.kill(victim.process.pid, signal.SIGKILL)
            eventually(lambda count=before: sum(load.answers.values()) > count + 20)  # type: ignore[misc]
            eventually(lambda: world.hosting.instances("dogs", "all").serving == 2)
    assert load.failed == []
    assert world("DescribeEndpoint", EndpointName="dogs")["EndpointStatus"] == "InService"


def test_the_only_instance_may_die_and_requests_wait_for_the_next(world: World) -> None:
    world.simple(START_S="0.3")
    with steady_load(world, "dogs", clients=3) as load:
        pid = world.answer("dogs")["pid"]
        os.kill(pid, signal.SIGKILL)
        assert world.answer("dogs")["pid"] != pid
    assert load.failed == []


def test_a_request_that_kills_every_instance_is_a_model_error(world: World) -> None:
    world.simple()
    found = world.invoke("dogs", b"die")
    assert found["Error"]["Code"] == "ModelError"
    assert "closed the connection" in found["OriginalMessage"]
    assert world.answer("dogs")["answer"] == "dogs-model"


def test_an_instance_that_falls_silent_is_replaced(world: World) -> None:
    world.simple()
    pid = world.answer("dogs", b"silence")["pid"]
    eventually(lambda: world.answer("dogs")["pid"] != pid)


def test_one_that_always_dies_is_started_ever_more_slowly(world: World) -> None:
    world.model("once", MODE="once")
    world.endpoint("dogs", variant("once"))
    os.kill(world.answer("dogs")["pid"], signal.SIGKILL)
    time.sleep(1)
    assert 2 <= len(world.runner.started) <= 6
    assert [pause(deaths, Limits()) for deaths in (1, 2, 3, 20)] == [0, 1, 2, 60]


def test_requests_go_to_variants_by_weight_or_to_the_one_named(world: World) -> None:
    a = variant(world.model("a"), name="a", InitialVariantWeight=3)
    b = variant(world.model("b"), name="b", InitialVariantWeight=1)
    world.endpoint("dogs", a, b)
    asked = Counter(world.answer("dogs")["answer"] for _ in range(200))
    assert 110 < asked["a"] < 190
    target = {"x-amzn-sagemaker-target-variant": "b"}
    assert {world.answer("dogs", headers=target)["answer"] for _ in range(10)} == {"b"}
    found = world.invoke("dogs", headers={"x-amzn-sagemaker-target-variant": "c"})
    assert found["Error"] == {"Code": "ValidationError", "Message": "Variant c not found for Request"}
    change = [{"VariantName": "a", "DesiredWeight": 0}]
    world("UpdateEndpointWeightsAndCapacities", EndpointName="dogs", DesiredWeightsAndCapacities=change)
    shown = {each["VariantName"]: each["CurrentWeight"] for each in world.settled("dogs")["ProductionVariants"]}
    assert shown == {"a": 0, "b": 1}
    assert {world.answer("dogs")["answer"] for _ in range(20)} == {"b"}
    assert len(world.runner.started) == 2


def test_two_hundred_at_once_are_answered(world: World) -> None:
    world.simple(instances=2, SLEEP_S="0.05")
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda _: world.invoke("dogs"), range(200)))
    assert [each for each in answers if "Error" in each] == []


def test_what_the_container_refuses_is_a_model_error(world: World) -> None:
    world.simple()
    found = world.invoke("dogs", b"status 415")
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert found["Error"]["Code"] == "ModelError"
    assert found["OriginalStatusCode"] == 415
    assert found["OriginalMessage"] == '{"error": "no picture"}'
    assert found["LogStreamArn"] == "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/Endpoints/dogs"
    assert found["Error"]["Message"] == (
        'Received client error (415) from primary with message "{"error": "no picture"}". See '
        "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1"
        "#logEventViewer:group=/aws/sagemaker/Endpoints/dogs in account 123456789012 for more information."
    )
    assert "server error (503)" in world.invoke("dogs", b"status 503")["Error"]["Message"]


def test_payloads_and_headers_have_limits(world: World) -> None:
    world.simple()
    found = world.invoke("dogs", b"x" * 1001)
    assert found["Error"] == {"Code": "413", "Message": "HTTP content length exceeded 1000 bytes."}
    assert world.answer("dogs", b"x" * 1000)
    for value in ("x" * 1025, "ö"):
        found = world.invoke("dogs", headers={"x-amzn-sagemaker-custom-attributes": value})
        assert found["Error"]["Code"] == "ValidationError"
    assert "TargetModel" in world.invoke("dogs", headers={"x-amzn-sagemaker-target-model": "a"})["Error"]["Message"]


def test_what_takes_too_long_is_a_model_error_and_without_an_instance_the_service_is_unavailable(home: Path) -> None:
    with world_in(home, replace(LIMITS, answer_s=0.6, outstanding=1)) as world:
        world.simple(MODE="once")
        late = world.invoke("dogs", b"sleep 1.5")
        assert late["Error"]["Code"] == "ModelError"
        assert late["OriginalStatusCode"] == 0
        assert "Your invocation timed out while waiting for a response" in late["OriginalMessage"]
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(world.answer, "dogs", b"sleep 0.3")
            time.sleep(0.05)
            assert world.answer("dogs")["pid"] == first.result()["pid"]  # it waited its turn
        os.kill(world.runner.alive()[0].process.pid, signal.SIGKILL)
        found = world.invoke("dogs")
        assert found["Error"]["Code"] == "ServiceUnavailable"
        assert found["ResponseMetadata"]["HTTPStatusCode"] == 503


def test_an_instance_has_answered_a_picture_before_the_public_asks_it(world: World) -> None:
    world.simple()
    assert world.answer("dogs")["seen"] == 2


def test_a_container_that_wants_no_picture_serves_by_its_ping_alone(home: Path) -> None:
    with world_in(home, replace(LIMITS, warm_s=0.3)) as world:
        world.simple(MODE="strange")
        assert world.answer("dogs")["answer"] == "dogs-model"


def test_each_request_counts_by_the_instances_of_its_moment_and_in_its_minute() -> None:
    class Hand:
        at = 120.0

        def now(self) -> float:
            return self.at

        def wait(self, event: threading.Event, seconds: float) -> bool:
            raise NotImplementedError

    hand = Hand()
    counted = Meter(hand)
    counted.request("all", instances=1)
    counted.request("all", instances=2)
    hand.at = 181.0
    counted.request("all", instances=4)
    counted.answer("all", 200, 70.0, 0.0)
    first, second = counted.take("all", 120), counted.take("all", 180)
    assert (first.invocations, first.shares, first.answers) == (2, 1.5, 0)
    assert (second.invocations, second.shares, second.answers) == (1, 0.25, 1)
    assert counted.take("all", 120).invocations == 0


def test_metrics_come_every_minute_also_zeros(home: Path) -> None:
    with world_in(home, clock=FastClock(60)) as world:  # a minute a second
        world.simple(instances=2)
        for _ in range(5):
            world.answer("dogs")
        world.invoke("dogs", b"status 400")
        eventually(lambda: sum(value for _, name, value, *_ in world.book.data if name == "Invocations") == 6)
        eventually(lambda: [value for _, name, value, *_ in world.book.data if name == "Invocations"][-1] == 0)
    sums: Counter[str] = Counter()
    for namespace, name, value, dimensions, unit, at in world.book.data:
        assert namespace == "AWS/SageMaker"
        assert dimensions == {"EndpointName": "dogs", "VariantName": "all"}
        assert at % 60 == 0
        assert unit == ("Microseconds" if "Latency" in name else "None")
        sums[name] += value  # type: ignore[assignment]
    assert (sums["InvocationsPerInstance"], sums["Invocation4XXErrors"], sums["Invocation5XXErrors"]) == (3, 1, 0)
    assert 0 < sums["ModelLatency"] < 60e6
    assert sums["OverheadLatency"] > 0


def test_endpoints_come_back_after_a_restart_and_requests_wait_for_them(home: Path) -> None:
    with world_in(home) as world:
        world.simple(instances=2, START_S="0.2")
        world.model("slow", START_S="60")
        world.endpoint("creating", variant("slow"), wait=False)
    (home / "s3/bucket/model.tar.gz").unlink()  # what runs does not need it any more
    with world_in(home) as world:
        assert world("DescribeEndpoint", EndpointName="dogs")["EndpointStatus"] == "Updating"
        assert world("DescribeEndpoint", EndpointName="creating")["EndpointStatus"] == "Creating"
        assert world.answer("dogs")["answer"] == "dogs-model"
        assert world.settled("dogs")["ProductionVariants"][0]["CurrentInstanceCount"] == 2


def test_an_update_or_a_deletion_that_a_restart_cuts_off_is_finished(home: Path) -> None:
    with world_in(home) as world:
        world.simple("gone")
        world.simple("dogs")
        config = world.config("new", variant(world.model("new", START_S="1")))
        world("UpdateEndpoint", EndpointName="dogs", EndpointConfigName=config)
    document = home / "endpoints/gone.json"
    document.write_text(document.read_text().replace("InService", "Deleting"))  # as a server killed there leaves it
    with world_in(home) as world:
        found = world.settled("dogs")
        assert found["EndpointStatus"] == "InService"
        assert found["EndpointConfigName"] == "new"
        assert world.answer("dogs")["answer"] == "new"
        eventually(lambda: [each["EndpointName"] for each in world("ListEndpoints")["Endpoints"]] == ["dogs"])


def test_requests_under_way_end_before_their_instance_does(world: World) -> None:
    world.simple()
    config = world.config("new", variant(world.model("new")))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(world.answer, "dogs", b"sleep 1.5")
        time.sleep(0.1)
        world("UpdateEndpoint", EndpointName="dogs", EndpointConfigName=config)
        assert world.settled("dogs")["EndpointConfigName"] == "new"
        assert asked.result()["answer"] == "dogs-model"


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "members",
    [
        [("../outside", b"x")],
        [("a/../../outside", b"x")],
        [link("out", "/etc/passwd")],
        [link("out", ".."), ("out/outside", b"x")],
        [link("hard", "../outside", tarfile.LNKTYPE)],
        [link("pipe", "", tarfile.FIFOTYPE)],
        [("a", b"x"), ("a/b", b"x")],
        [("large", b"0" * 2001)],
        [(f"file-{number}", b"") for number in range(12)],
    ],
)
def test_a_hostile_archive_is_refused_and_leaves_nothing(tmp_path: Path, members: Any) -> None:
    archive = archive_of(tmp_path / "in/model.tar.gz", *members)
    (tmp_path / "outside").write_text("as it was")
    with pytest.raises(ArtifactError):
        unpack(archive, tmp_path / "trees/tree", replace(LIMITS, archive_bytes=2000, archive_files=10))
    assert list((tmp_path / "trees").iterdir()) == []
    assert (tmp_path / "outside").read_text() == "as it was"


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\x00garbage garbage garbage"])
def test_what_is_no_archive_fails_the_endpoint(world: World, content: bytes) -> None:
    world.model("dogs")
    (world.house.home / "s3/bucket/model.tar.gz").write_bytes(content)
    world.endpoint("dogs", variant("dogs"), wait=False)
    assert "valid tar.gz archive" in world.settled("dogs")["FailureReason"]


def test_the_instances_share_the_archives_files_and_may_not_change_them(world: World) -> None:
    world.simple(instances=2)
    first, second = [each.work.root / "model/model.json" for each in world.runner.alive()]
    assert first.samefile(second)
    assert first.stat().st_mode & 0o777 == 0o444
    assert world.runner.started[0].work.read_only == (world.runner.started[0].work.root / "model",)


def test_the_small_server_speaks_the_protocol(world: World) -> None:
    world.simple()
    assert httpx.get(f"{world.runner.alive()[0].address}/ping").status_code == 200
