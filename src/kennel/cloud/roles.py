"""The roles that SageMaker and Lambda work under, as values, and their making. Each may do what its code needs only."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kennel.aws.arns import Arn, partition_of
from kennel.cloud import names
from kennel.cloud.debugger import RULES, rules_registry
from kennel.cloud.function_requests import GROUP
from kennel.cloud.registry import repository_of
from kennel.cloud.session import Cloud, told

Policy = dict[str, Any]
PROPAGATION_SECONDS = 10
"""IAM tells the rest of AWS of a new role some seconds later; until then SageMaker says it cannot assume it."""
PULL = ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]
LOG = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]


@dataclass(frozen=True, slots=True)
class Role:
    """trust: who may assume it; policy: what it may do."""

    name: str
    trust: Policy
    policy: Policy


def training_role(cloud: Cloud) -> Role:
    """Reads the project's data and earlier jobs, writes jobs and checkpoints, pulls the training image, logs."""
    settings, bucket = cloud.settings, _bucket(cloud)
    reads = [names.prefix(settings, each) for each in (names.DATA, names.WEIGHTS, names.JOBS, names.CHECKPOINTS)]
    writes = [names.prefix(settings, each) for each in (names.JOBS, names.CHECKPOINTS)]
    return Role(
        settings.training_role,
        _trust(cloud),
        _policy(
            _list(bucket, reads),
            _allow("Read", ["s3:GetObject"], [f"{bucket}/{each}/*" for each in reads]),
            _allow("Write", ["s3:PutObject", "s3:AbortMultipartUpload"], [f"{bucket}/{each}/*" for each in writes]),
            *_pull(cloud, settings.images.training),
            _log(cloud, "/aws/sagemaker/TrainingJobs"),
            _metrics("/aws/sagemaker/TrainingJobs"),
            *(_debug(cloud) if settings.debugger.enabled else []),
        ),
    )


def endpoint_role(cloud: Cloud) -> Role:
    """Reads artifacts, pulls the serving image, logs."""
    settings, bucket = cloud.settings, _bucket(cloud)
    jobs = names.prefix(settings, names.JOBS)
    return Role(
        settings.endpoint_role,
        _trust(cloud),
        _policy(
            _list(bucket, [jobs]),
            _allow("Read", ["s3:GetObject"], [f"{bucket}/{jobs}/*"]),
            *_pull(cloud, settings.images.serving),
            _log(cloud, "/aws/sagemaker/Endpoints"),
            _metrics("/aws/sagemaker/Endpoints"),
        ),
    )


def function_role(cloud: Cloud) -> Role:
    """Asks the one endpoint, writes its one log, and reads the bucket of pictures, where a setting names one."""
    asked, statements = cloud.settings.function, []
    endpoint = _arn(cloud, "sagemaker", f"endpoint/{cloud.settings.endpoint_name.lower()}")
    group = _arn(cloud, "logs", f"log-group:{GROUP}{asked.name}")
    if asked.s3_bucket:
        pictures = f"arn:{partition_of(cloud.region)}:s3:::{asked.s3_bucket}/*"
        statements = [_allow("Pictures", ["s3:GetObject"], [pictures])]
    return Role(
        cloud.settings.function_role,
        _policy({"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}),
        _policy(
            _allow("Ask", ["sagemaker:InvokeEndpoint"], [endpoint]),
            _allow("Log", ["logs:CreateLogStream", "logs:PutLogEvents"], [f"{group}:*"]),
            *statements,
        ),
    )


def ensure(cloud: Cloud, role: Role, wait: Callable[[float], None] = time.sleep) -> str:
    """The role's ARN; it is made where it is missing. One that is not tagged as this project's is left as it is."""
    iam = cloud.client("iam")
    with told(f"make the role {role.name}"):
        try:
            found = iam.get_role(RoleName=role.name)["Role"]
        except iam.exceptions.NoSuchEntityException:
            return _make(cloud, role, wait)
        if any(tag in cloud.settings.tags() for tag in found.get("Tags", [])):
            _allow_it(cloud, role)
        return str(found["Arn"])


def _make(cloud: Cloud, role: Role, wait: Callable[[float], None]) -> str:
    iam = cloud.client("iam")
    made = iam.create_role(
        RoleName=role.name,
        AssumeRolePolicyDocument=json.dumps(role.trust),
        Description=f"{cloud.settings.project}'s work is done under this role",
        Tags=cloud.settings.tags(),
    )
    _allow_it(cloud, role)
    iam.get_waiter("role_exists").wait(RoleName=role.name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    if cloud.side == "aws":
        wait(PROPAGATION_SECONDS)
    return str(made["Role"]["Arn"])


def _allow_it(cloud: Cloud, role: Role) -> None:
    iam = cloud.client("iam")
    iam.put_role_policy(
        RoleName=role.name,
        PolicyName=policy_name(cloud),
        PolicyDocument=json.dumps(role.policy),
    )


def policy_name(cloud: Cloud) -> str:
    """Of the inline policy: roles are an account's, what they may use is a region's."""
    return f"{cloud.settings.project}-{cloud.region}"


def _trust(cloud: Cloud) -> Policy:
    """SageMaker, and only for work of this account."""
    return _policy(
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": cloud.account}},
        }
    )


def _policy(*statements: Policy) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(sid: str, actions: list[str], resources: list[str], **condition: Any) -> Policy:
    statement = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
    return {**statement, "Condition": condition} if condition else statement


def _list(bucket: str, prefixes: list[str]) -> Policy:
    return _allow("List", ["s3:ListBucket"], [bucket], StringLike={"s3:prefix": [f"{each}/*" for each in prefixes]})


def _pull(cloud: Cloud, image: str) -> list[Policy]:
    """A login is for the whole registry; the image is one repository's."""
    repository = _arn(cloud, "ecr", f"repository/{repository_of(image)}")
    return [_allow("Login", ["ecr:GetAuthorizationToken"], ["*"]), _allow("Pull", PULL, [repository])]


def _debug(cloud: Cloud) -> list[Policy]:
    """Rules work under the training job's role: in AWS's own image, with a log of their own; one that shall end the job
    has to be allowed to."""
    account, repository = rules_registry(cloud.region), _arn(cloud, "ecr", f"repository/{RULES}")
    found = [
        _allow("PullRules", PULL, [repository.replace(cloud.account, account)]),
        _log(cloud, "/aws/sagemaker/ProcessingJobs", "LogRules"),
    ]
    if cloud.settings.debugger.stop_on:
        jobs = _arn(cloud, "sagemaker", f"training-job/{cloud.settings.project}-*")
        found.append(_allow("StopOnIssue", ["sagemaker:StopTrainingJob"], [jobs]))
    return found


def _log(cloud: Cloud, group: str, sid: str = "Log") -> Policy:
    return _allow(sid, LOG, [_arn(cloud, "logs", f"log-group:{group}"), _arn(cloud, "logs", f"log-group:{group}:*")])


def _metrics(namespace: str) -> Policy:
    """CloudWatch has no resource for it, only the namespace as a condition."""
    return _allow("Metrics", ["cloudwatch:PutMetricData"], ["*"], StringEquals={"cloudwatch:namespace": namespace})


def _bucket(cloud: Cloud) -> str:
    return f"arn:{partition_of(cloud.region)}:s3:::{cloud.bucket}"


def _arn(cloud: Cloud, service: str, resource: str) -> str:
    return str(Arn(service, cloud.region, cloud.account, resource, partition_of(cloud.region)))
