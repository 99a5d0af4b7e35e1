"""`kennel.toml`, the one file a user edits: typed, bounded, frozen. Without the file, its defaults."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from kennel import hyperparameters
from kennel.errors import SettingError
from kennel.settings.sections import (
    BURSTABLE,
    Debugger,
    DebuggerRule,
    Ec2,
    Endpoint,
    Function,
    Iam,
    Images,
    Local,
    Name,
    Roles,
    Scaling,
    ScheduledAction,
    Section,
    Training,
    Tuning,
)

__all__ = [
    "Debugger",
    "DebuggerRule",
    "Ec2",
    "Scaling",
    "ScheduledAction",
    "Settings",
    "Training",
    "Tuning",
    "load",
    "parse",
]

FILE = Path("kennel.toml")


class Settings(Section):
    """project: the prefix of every name and the tag on everything. bucket: "" derives kennel-REGION-ACCOUNT."""

    project: Name = "kennel"
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] = "us-east-1"
    bucket: str = ""
    images: Images = Images()
    roles: Roles = Roles()
    training: Training = Training()
    tuning: Tuning = Tuning()
    debugger: Debugger = Debugger()
    endpoint: Endpoint = Endpoint()
    scaling: Scaling = Scaling()
    function: Function = Function()
    ec2: Ec2 = Ec2()
    iam: Iam = Iam()
    local: Local = Local()

    @model_validator(mode="after")
    def _can_scale(self) -> Self:
        endpoint, scaling = self.endpoint, self.scaling
        if not scaling.enabled:
            return self
        if endpoint.instance_type.startswith(BURSTABLE):
            raise ValueError(
                f"endpoint.instance_type {endpoint.instance_type} bursts, AWS scales no such one: scaling.enabled"
            )
        if not scaling.min <= endpoint.instances <= scaling.max:
            raise ValueError(f"endpoint.instances is not within scaling.min {scaling.min} and max {scaling.max}")
        return self

    @property
    def endpoint_name(self) -> str:
        return self.endpoint.name or self.project

    @property
    def training_role(self) -> str:
        return self.roles.training or f"{self.project}-training"

    @property
    def endpoint_role(self) -> str:
        return self.roles.endpoint or f"{self.project}-endpoint"

    @property
    def function_role(self) -> str:
        return self.roles.function or f"{self.project}-function"

    @property
    def instance_role(self) -> str:
        return self.roles.instance or f"{self.project}-instance"

    @property
    def deployer_role(self) -> str:
        return self.roles.deployer or f"{self.project}-deployer"

    @property
    def builder_role(self) -> str:
        return self.roles.builder or f"{self.project}-builder"

    @property
    def launcher_role(self) -> str:
        return self.roles.launcher or f"{self.project}-launcher"

    @property
    def features_once(self) -> bool:
        """Whether a first job computes the features: only a frozen backbone has any that last."""
        return self.tuning.features_once and hyperparameters.parse(self.training.hyperparameters).trainable == "head"

    def bucket_name(self, account: str) -> str:
        """Bucket names are unique over all of AWS, hence region and account."""
        return self.bucket or f"{self.project}-{self.region}-{account}"

    def tags(self) -> list[dict[str, str]]:
        """What everything is tagged with, as most of AWS's APIs take it."""
        return [{"Key": "project", "Value": self.project}]


def load(path: Path | None = None) -> Settings:
    """The settings in `path`; in ./kennel.toml where None, defaults where that is missing. Raises SettingError."""
    found = path or FILE
    if path is None and not found.is_file():
        return Settings()
    try:
        return parse(tomllib.loads(found.read_text()))
    except OSError as error:
        raise SettingError(
            f"{found} cannot be read ({error.strerror})", "Name a file, or leave --settings away"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(
            f"{found} is not TOML ({error})", "Compare it with the kennel.toml of the project"
        ) from error


def parse(values: dict[str, Any]) -> Settings:
    """Settings from plain values. Raises SettingError in one line."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "kennel.toml"
        if first["type"] == "extra_forbidden":
            raise SettingError(
                f"unknown setting {name}", "See kennel.toml of the project for those there are"
            ) from error
        raise SettingError(
            f"setting {name}: {first['msg'].removeprefix('Value error, ')}", "Change its value"
        ) from error
