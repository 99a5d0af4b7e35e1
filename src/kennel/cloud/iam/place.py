"""Where this project's things are on AWS, as ARNs: what the roles' statements are about. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from kennel.aws.arns import Arn, partition_of
from kennel.cloud import names
from kennel.cloud.function_requests import GROUP
from kennel.cloud.iam.values import Condition
from kennel.cloud.registry import repository_of
from kennel.settings import Settings

TRAINING_LOGS = "/aws/sagemaker/TrainingJobs"
ENDPOINT_LOGS = "/aws/sagemaker/Endpoints"
RULE_LOGS = "/aws/sagemaker/ProcessingJobs"


@dataclass(frozen=True, slots=True)
class Place:
    """One project in one account and region."""

    settings: Settings
    region: str
    account: str

    @property
    def partition(self) -> str:
        return partition_of(self.region)

    @property
    def bucket(self) -> str:
        """The project's bucket's ARN."""
        return f"arn:{self.partition}:s3:::{self.settings.bucket_name(self.account)}"

    def objects(self, *prefixes: str) -> tuple[str, ...]:
        return tuple(f"{self.bucket}/{names.prefix(self.settings, each)}/*" for each in prefixes)

    def prefixed(self, *prefixes: str) -> Condition:
        """The condition of s3:ListBucket: below these prefixes only."""
        return {"StringLike": {"s3:prefix": tuple(f"{names.prefix(self.settings, each)}/*" for each in prefixes)}}

    def arn(self, service: str, resource: str, region: str | None = None) -> str:
        return str(Arn(service, self.region if region is None else region, self.account, resource, self.partition))

    def named(self, *kinds: str) -> tuple[str, ...]:
        """SageMaker's resources of these kinds, by the beginning of their names; an endpoint by all of it."""
        return tuple(self.arn("sagemaker", self._named(kind)) for kind in kinds)

    def sources(self, *kinds: str) -> tuple[str, ...]:
        """As `named`, in any region: a role is an account's, and its trust policy is one for all regions."""
        return tuple(self.arn("sagemaker", self._named(kind), "*") for kind in kinds)

    def role(self, name: str) -> str:
        return self.arn("iam", f"role/{name}", region="")

    def repository(self, image: str) -> str:
        return self.arn("ecr", f"repository/{repository_of(image)}")

    def group(self, name: str, stream: str = "") -> str:
        """A log group as policies name it (AWS asks for `:*`), or some of its streams."""
        return self.arn("logs", f"log-group:{name}:" + (f"log-stream:{stream}" if stream else "*"))

    @property
    def endpoint_log(self) -> str:
        return f"{ENDPOINT_LOGS}/{self.settings.endpoint_name}"

    @property
    def function_log(self) -> str:
        return f"{GROUP}{self.settings.function.name}"

    @property
    def function(self) -> str:
        return self.arn("lambda", f"function:{self.settings.function.name}")

    def requested(self) -> Condition:
        """Of a request that makes something: it has to carry the project's tag, and no other."""
        return {
            "StringEquals": {f"aws:RequestTag/{key}": value for key, value in self._tags()},
            "ForAllValues:StringEquals": {"aws:TagKeys": tuple(key for key, _ in self._tags())},
        }

    def tagged(self) -> Condition:
        """Of a request about something that is there: it has to carry the project's tag."""
        return {"StringEquals": {f"aws:ResourceTag/{key}": value for key, value in self._tags()}}

    def _named(self, kind: str) -> str:
        return f"{kind}/{self.settings.endpoint_name.lower()}" if kind == "endpoint" else f"{kind}/{self.begin}*"

    @property
    def begin(self) -> str:
        """What the names of jobs, models and endpoint configurations begin with."""
        return f"{self.settings.project}-"

    def _tags(self) -> list[tuple[str, str]]:
        return [(each["Key"], each["Value"]) for each in self.settings.tags()]
