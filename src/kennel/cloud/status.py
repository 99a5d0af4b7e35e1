"""What of this project runs now, what it costs an hour, and which endpoints nobody uses.

A resource is this project's if its name starts with the project's (or is the endpoint's) and it carries its tag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from kennel.cloud.function_requests import ALIAS
from kennel.cloud.machines import run_of, state_of_machine, there
from kennel.cloud.prices import Prices
from kennel.cloud.scaling import activities
from kennel.cloud.scaling_target import pages, resource_of
from kennel.cloud.session import Cloud, told

IDLE = timedelta(hours=1)
LOOKED_BACK = timedelta(days=14)
"""For the last invocation of an idle endpoint; CloudWatch keeps sums of an hour longer than that."""
Now = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of SageMaker's resources. word: for people; noun: in the names of boto3's methods; stem: in members."""

    word: str
    noun: str
    stem: str

    @property
    def listed(self) -> str:
        """The member of a list's answer that holds the resources."""
        return {"Endpoint": "Endpoints", "EndpointConfig": "EndpointConfigs", "Model": "Models"}.get(
            self.stem, f"{self.stem}Summaries"
        )


TRAINING = Kind("training job", "training_job", "TrainingJob")
TUNING = Kind("tuning job", "hyper_parameter_tuning_job", "HyperParameterTuningJob")
ENDPOINT = Kind("endpoint", "endpoint", "Endpoint")
CONFIG = Kind("endpoint configuration", "endpoint_config", "EndpointConfig")
MODEL = Kind("model", "model", "Model")
FUNCTION, MACHINE = "function", "machine"


@dataclass(frozen=True, slots=True)
class Running:
    """hourly: USD, None where the price is not known, 0.0 where nothing is billed; idle_since: of an endpoint that
    nobody has invoked for an hour; scaling: of an endpoint, how many instances are allowed and what was done last."""

    kind: str
    name: str
    status: str
    since: datetime
    instance_type: str = ""
    instances: int = 0
    hourly: float | None = 0.0
    idle_since: datetime | None = None
    scaling: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """as_of: the day of the prices."""

    running: tuple[Running, ...]
    as_of: str

    @property
    def hourly(self) -> float | None:
        """USD an hour for all of it; None where some price is not known."""
        amounts = [each.hourly for each in self.running]
        known = [each for each in amounts if each is not None]
        return sum(known) if len(known) == len(amounts) else None

    @property
    def idle(self) -> tuple[Running, ...]:
        """Endpoints that cost and serve nobody."""
        return tuple(each for each in self.running if each.idle_since)


def status(cloud: Cloud, prices: Prices, now: Now = lambda: datetime.now(UTC)) -> Status:
    """Everything of this project that runs. Raises KennelError."""
    with told(f"see what of {cloud.settings.project} runs"):
        jobs = [*_tuning_jobs(cloud), *_training_jobs(cloud, prices)]
        found = [*jobs, *_machines(cloud, prices), *_endpoints(cloud, prices, now()), *_function(cloud, prices)]
    return Status(tuple(found), prices.as_of)


def owned(cloud: Cloud, kind: Kind, **query: Any) -> Iterator[str]:
    """Names of this project's resources of a kind. query: more of the list's own members (StatusEquals)."""
    sagemaker, tags = cloud.client("sagemaker"), cloud.settings.tags()
    names = {cloud.settings.project, cloud.settings.endpoint_name} if kind is ENDPOINT else {cloud.settings.project}
    seen: set[str] = set()
    for contained in sorted(names):
        for page in sagemaker.get_paginator(f"list_{kind.noun}s").paginate(NameContains=contained, **query):
            for each in page[kind.listed]:
                name = each[f"{kind.stem}Name"]
                if name in seen or not _is_named(cloud, name):
                    continue
                seen.add(name)
                carried = sagemaker.list_tags(ResourceArn=each[f"{kind.stem}Arn"])["Tags"]
                if all(tag in carried for tag in tags):
                    yield name


def function_of(cloud: Cloud) -> dict[str, Any] | None:
    """Lambda's description of this project's function: None where there is none, or it carries another's tag."""
    functions = cloud.client("lambda")
    try:
        found: dict[str, Any] = functions.get_function(FunctionName=cloud.settings.function.name)
    except functions.exceptions.ResourceNotFoundException:
        return None
    carried = found.get("Tags", {})
    return found if all(carried.get(tag["Key"]) == tag["Value"] for tag in cloud.settings.tags()) else None


def provisioned(cloud: Cloud, name: str) -> dict[str, Any] | None:
    """Lambda's description of the alias's provisioned concurrency, None where there is none."""
    functions = cloud.client("lambda")
    try:
        found: dict[str, Any] = functions.get_provisioned_concurrency_config(FunctionName=name, Qualifier=ALIAS)
    except (
        functions.exceptions.ProvisionedConcurrencyConfigNotFoundException,
        functions.exceptions.ResourceNotFoundException,
    ):
        return None
    return found


def idle_since(
    last_hour: Sequence[Mapping[str, Any]], by_the_hour: Sequence[Mapping[str, Any]], created: datetime, now: datetime
) -> datetime | None:
    """Since when an endpoint has had no invocation, None if it has had one within the last hour or is that young.

    last_hour: CloudWatch's sums of a minute; by_the_hour: those of an hour, over the days before.
    """
    if now - created < IDLE or any(each["Sum"] > 0 for each in last_hour):
        return None
    used: list[datetime] = [each["Timestamp"] for each in by_the_hour if each["Sum"] > 0]
    return max([created, *(min(time + timedelta(hours=1), now - IDLE) for time in used)])


def _tuning_jobs(cloud: Cloud) -> Iterator[Running]:
    """Their training jobs are what costs, and are listed as such."""
    for name in owned(cloud, TUNING, StatusEquals="InProgress"):
        found = cloud.client("sagemaker").describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        yield Running(TUNING.word, name, found["HyperParameterTuningJobStatus"], found["CreationTime"])


def _training_jobs(cloud: Cloud, prices: Prices) -> Iterator[Running]:
    for name in owned(cloud, TRAINING, StatusEquals="InProgress"):
        found = cloud.client("sagemaker").describe_training_job(TrainingJobName=name)
        resources = found["ResourceConfig"]
        kind, count = resources.get("InstanceType", ""), resources.get("InstanceCount", 0)
        hourly = _hourly(cloud, prices, kind, count)
        yield Running(TRAINING.word, name, found["SecondaryStatus"], found["CreationTime"], kind, count, hourly)


def _machines(cloud: Cloud, prices: Prices) -> Iterator[Running]:
    """On-demand prices, also of spot's: those change by the hour. Its disk, some cents a day, is not counted."""
    for each in there(cloud):
        kind = str(each["InstanceType"])
        hourly = _hourly(cloud, prices, kind, 1)
        yield Running(MACHINE, run_of(each), state_of_machine(each), each["LaunchTime"], kind, 1, hourly)


def _endpoints(cloud: Cloud, prices: Prices, now: datetime) -> Iterator[Running]:
    """One row a variant: instance types differ."""
    sagemaker = cloud.client("sagemaker")
    for name in owned(cloud, ENDPOINT):
        found = sagemaker.describe_endpoint(EndpointName=name)
        config = sagemaker.describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
        kinds = {each["VariantName"]: each.get("InstanceType", "") for each in config["ProductionVariants"]}
        idle = _idle_since(cloud, name, list(kinds), found["CreationTime"], now)
        for variant in found.get("ProductionVariants") or [{"VariantName": next(iter(kinds))}]:
            kind = kinds.get(variant["VariantName"], "")
            count = max(variant.get("CurrentInstanceCount", 0), variant.get("DesiredInstanceCount", 0))
            hourly = _hourly(cloud, prices, kind, count)
            since, scaled = found["CreationTime"], _scaling(cloud, resource_of(name, variant["VariantName"]))
            yield Running(ENDPOINT.word, name, found["EndpointStatus"], since, kind, count, hourly, idle, scaled)


def _scaling(cloud: Cloud, resource: str) -> str:
    """`1–3, last: Successful …`; "" where it is not scaled."""
    there = next(iter(pages(cloud, "scalable_targets", "ScalableTargets", ResourceIds=[resource])), None)
    if there is None:
        return ""
    bounds = f"{there['MinCapacity']}–{there['MaxCapacity']}"
    last = next(iter(activities(cloud, resource, 1)), None)
    return f"{bounds}, last: {last}" if last else bounds


def _function(cloud: Cloud, prices: Prices) -> Iterator[Running]:
    """Billed while idle: its provisioned concurrency. Without it costs by the request, nothing else."""
    found = function_of(cloud)
    if found is None:
        return
    configuration, name = found["Configuration"], cloud.settings.function.name
    kept = provisioned(cloud, name) or {}
    count = int(kept.get("RequestedProvisionedConcurrentExecutions", 0))
    hourly = 0.0 if cloud.side == "local" else prices.provisioned(cloud.region, configuration["MemorySize"], count)
    since = datetime.fromisoformat(configuration["LastModified"])
    state = f"{ALIAS}: {kept['Status']}" if kept else configuration.get("State", "Active")
    machine = f"{configuration['MemorySize']} MB" if count else ""
    yield Running(FUNCTION, name, state, since, machine, count, hourly)


def _idle_since(cloud: Cloud, name: str, variants: Sequence[str], created: datetime, now: datetime) -> datetime | None:
    minutes = [each for variant in variants for each in _invocations(cloud, name, variant, now - IDLE, now, 60)]
    hours = [each for variant in variants for each in _invocations(cloud, name, variant, now - LOOKED_BACK, now, 3600)]
    return idle_since(minutes, hours, created, now)


def _invocations(
    cloud: Cloud, name: str, variant: str, start: datetime, end: datetime, period: int
) -> list[Mapping[str, Any]]:
    found = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Dimensions=[{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": variant}],
        StartTime=start,
        EndTime=end,
        Period=period,
        Statistics=["Sum"],
    )
    return list(found["Datapoints"])


def _hourly(cloud: Cloud, prices: Prices, instance_type: str, instances: int) -> float | None:
    if cloud.side == "local" or not instances:
        return 0.0
    price = prices.hourly(cloud.region, instance_type)
    return None if price is None else instances * price


def _is_named(cloud: Cloud, name: str) -> bool:
    """As this project names things; NameContains finds the project's name anywhere."""
    return name in (cloud.settings.project, cloud.settings.endpoint_name) or name.startswith(
        f"{cloud.settings.project}-"
    )
