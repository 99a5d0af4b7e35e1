"""The sections of kennel.toml: what each value may be, and what has to fit together within a section."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Literal, Self
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kennel import hyperparameters, metrics

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,15}$")]
InstanceType = Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")]
DebuggerRule = Literal[
    "VanishingGradient", "Overfit", "Overtraining", "PoorWeightInitialization", "LowGPUUtilization", "CPUBottleneck"
]
Ec2Type = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$", max_length=32)]
RoleName = Annotated[str, Field(pattern=r"^[\w+=,.@-]{0,64}$")]
Origin = Annotated[str, Field(pattern=r"^(\*|https?://[a-zA-Z0-9.-]+(:\d+)?)$")]
Seconds = Annotated[int, Field(ge=1, le=2_419_200)]
Cooldown = Annotated[int, Field(ge=0, le=86_400)]
Count = Annotated[int, Field(ge=1, le=1000)]
CountOrNone = Annotated[int, Field(ge=0, le=1000)]
Percent = Annotated[float, Field(ge=0, le=19_200)]
AT = r"at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\)"
RATE = r"rate\([1-9]\d{0,5} (minute|hour|day)s?\)"
CRON = r"cron\([^()\s]+( [^()\s]+){5}\)"
Schedule = Annotated[str, Field(pattern=f"^({AT}|{RATE}|{CRON})$")]

BURSTABLE = "ml.t"
"""Instances that AWS refuses to scale: SageMaker's guide, Configure model auto scaling."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Images(Section):
    """repository[:tag] in ECR, or on the engine of this machine; without a tag, the newest there."""

    training: str = "kennel-training"
    serving: str = "kennel-serving"


class Roles(Section):
    """Names of IAM roles; "" derives PROJECT-training, PROJECT-endpoint and so on. `kennel iam` shows, makes them."""

    training: RoleName = ""
    endpoint: RoleName = ""
    function: RoleName = ""
    instance: RoleName = ""
    deployer: RoleName = ""
    builder: RoleName = ""
    launcher: RoleName = ""


class Training(Section):
    """hyperparameters: what the tuning job does not search. max_wait_s: of a spot job, waiting included."""

    instance_type: InstanceType = "ml.g4dn.xlarge"
    instances: Annotated[int, Field(ge=1, le=20)] = 1
    volume_gb: Annotated[int, Field(ge=1, le=16384)] = 50
    max_runtime_s: Seconds = 3600
    spot: bool = False
    max_wait_s: Seconds = 7200
    hyperparameters: dict[str, str | int | float] = {}

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        hyperparameters.parse(self.hyperparameters)
        if self.spot and self.max_wait_s < self.max_runtime_s:
            raise ValueError("max_wait_s is less than max_runtime_s; AWS refuses that for a spot job")
        return self


class Tuning(Section):
    """learning_rate: (least, most), searched on a logarithmic scale, which is right for two decades.

    features_once: a first job computes the frozen backbone's features, so a trial trains a head in seconds; false for
    fine-tuning. warm_start: earlier tuning jobs to learn from.
    """

    objective: str = metrics.VALID_ACCURACY.name
    strategy: Literal["Bayesian", "Random", "Grid", "Hyperband"] = "Bayesian"
    jobs: Annotated[int, Field(ge=1, le=750)] = 8
    parallel_jobs: Annotated[int, Field(ge=1, le=100)] = 2
    early_stopping: bool = True
    learning_rate: tuple[float, float] = (0.001, 0.1)
    batch_size: Annotated[tuple[int, ...], Field(min_length=1, max_length=30)] = (32, 64, 128, 256)
    features_once: bool = True
    warm_start: Annotated[tuple[str, ...], Field(max_length=5)] = ()

    @property
    def metric(self) -> metrics.Metric:
        return next(each for each in metrics.ALL if each.name == self.objective)

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.objective not in {each.name for each in metrics.ALL}:
            raise ValueError(f"objective is none of {', '.join(each.name for each in metrics.ALL)}")
        low, high = self.learning_rate
        if not 0 < low < high:
            raise ValueError("learning_rate needs two numbers above 0, the smaller one first")
        return self


class Debugger(Section):
    """Debugger and profiler on the training job that repeats the best trial.

    rules: by name, parameters that differ from the published defaults; stop_on: rules whose issue ends the job.
    profiler_interval_ms: 100, 200, 500, 1000, 5000 or 60000, which is all that SageMaker takes.
    """

    enabled: bool = True
    stop_on: tuple[DebuggerRule, ...] = ()
    profiler_interval_ms: Literal[100, 200, 500, 1000, 5000, 60000] = 500
    rules: dict[DebuggerRule, dict[str, str | int | float]] = {}


class Endpoint(Section):
    """name: "" derives it from the project's. startup_s: for an instance's first healthy answer."""

    name: str = ""
    instance_type: InstanceType = "ml.m5.large"
    instances: Annotated[int, Field(ge=1, le=100)] = 1
    startup_s: Annotated[int, Field(ge=60, le=3600)] = 480


class ScheduledAction(Section):
    """New bounds at certain times. schedule: at(…), rate(…) or cron(…) in AWS's form; min, max: 0 for none."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9-]{1,64}$")]
    schedule: Schedule
    min: CountOrNone = 0
    max: CountOrNone = 0
    timezone: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{1,40}$")] = "UTC"

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if not self.min and not self.max:
            raise ValueError("it sets neither min nor max")
        if 0 < self.max < self.min:
            raise ValueError("max is less than min")
        known = available_timezones()
        if known and self.timezone not in known:
            raise ValueError(f"there is no time zone {self.timezone}")
        return self


class Scaling(Section):
    """Instances follow the load. min, max: bounds; target: invocations per instance and minute; cpu_target: a second
    policy, percent of one CPU on average, 0 for none: the larger number of instances wins."""

    enabled: bool = True
    min: Count = 1
    max: Count = 3
    target: Annotated[float, Field(gt=0, le=1e9)] = 25
    scale_out_cooldown_s: Cooldown = 180
    scale_in_cooldown_s: Cooldown = 300
    disable_scale_in: bool = False
    cpu_target: Percent = 0
    actions: Annotated[tuple[ScheduledAction, ...], Field(max_length=50)] = ()

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.max < self.min:
            raise ValueError("max is less than min")
        if len({each.name for each in self.actions}) < len(self.actions):
            raise ValueError("two of its actions have the same name")
        if wrong := [each.name for each in self.actions if (each.max or self.max) < (each.min or self.min)]:
            raise ValueError(f"after its action {wrong[0]}, max is less than min")
        return self


class Function(Section):
    """In front of the endpoint. provisioned: instances that are always there, billed while idle; reserved: how many
    there may be at all, 0 for the account's limit; s3_bucket: "" refuses s3:// addresses."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9-_]{1,64}$")] = "DogBreedClassifierInference"
    runtime: Literal["python3.10", "python3.11", "python3.12", "python3.13", "python3.14"] = "python3.13"
    memory_mb: Annotated[int, Field(ge=128, le=10240)] = 512
    timeout_s: Annotated[int, Field(ge=3, le=900)] = 29
    provisioned: Annotated[int, Field(ge=0, le=1000)] = 3
    reserved: Annotated[int, Field(ge=0, le=1000)] = 0
    allowed_origins: Annotated[tuple[Origin, ...], Field(min_length=1)] = ("*",)
    allow_http: bool = False
    s3_bucket: str = ""
    log_retention_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731] = 30

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if 0 < self.reserved < self.provisioned:
            raise ValueError("reserved is less than provisioned; AWS refuses that")
        return self


class Ec2(Section):
    """A training by hand, on an instance of EC2 that ends by itself. max_runtime_s: then it is stopped, and goes on at
    the next launch. ssh_from, key_name: for one address, a.b.c.d/32; without, Session Manager. subnet: "" takes the
    default VPC's."""

    instance_type: Ec2Type = "g4dn.xlarge"
    volume_gb: Annotated[int, Field(ge=8, le=16384)] = 100
    max_runtime_s: Annotated[int, Field(ge=60, le=604_800)] = 3600
    spot: bool = False
    ssh_from: str = ""
    key_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+=,.@ -]*$", max_length=255)] = ""
    ami_parameter: Annotated[str, Field(pattern=r"^/aws/service/[a-zA-Z0-9_./-]+$", max_length=256)] = (
        "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
    )
    subnet: Annotated[str, Field(pattern=r"^(subnet-[0-9a-f]{8,17})?$")] = ""

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if bool(self.ssh_from) != bool(self.key_name):
            raise ValueError("ssh_from and key_name go together: an address without a key lets nobody in")
        if self.ssh_from:
            _one_address(self.ssh_from)
        return self


def _one_address(text: str) -> None:
    """Raises ValueError."""
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ValueError(f"ssh_from {text!r} is no address; write a.b.c.d/32") from error
    if network.num_addresses != 1 or "/" not in text:
        raise ValueError(f"ssh_from {text!r} is not one address; write a.b.c.d/32")


class Iam(Section):
    """assume: on AWS, what `kennel run` does is done as this role: `deployer`, or "" for the caller's own credentials.
    On the local AWS it is always done as the deployer."""

    assume: Literal["", "deployer"] = ""


class Local(Section):
    """The local AWS. home: "" is the user's own state folder; port: 0 takes a free one. concurrency: executions of
    functions at a time; AWS gives an account 1000 at first. Each that asks an endpoint holds two of the server's 240
    threads, so 100 leave enough for everything else. registry: 127.0.0.1:PORT of one that holds the project's images in
    ECR's place; "" leaves them to the Docker engine."""

    home: str = ""
    port: Annotated[int, Field(ge=0, le=65535)] = 4600
    runner: Literal["auto", "docker", "process"] = "auto"
    concurrency: Annotated[int, Field(ge=2, le=100)] = 10
    registry: Annotated[str, Field(pattern=r"^(127\.0\.0\.1:\d{1,5})?$")] = ""
