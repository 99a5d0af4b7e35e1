"""What a thief would try with a stolen role: everything has to be denied, to each role that is not meant to do it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kennel.cloud import registry
from kennel.cloud.endpoint import VARIANT
from kennel.cloud.function_requests import ALIAS, function_request, plan_of
from kennel.cloud.iam import ACTORS, Actor, place_of
from kennel.cloud.iam.values import written
from kennel.cloud.package import package
from kennel.cloud.scaling_target import SERVICE, deregister_request, resource_of
from kennel.cloud.session import Cloud, code_of
from kennel.cloud.training import Channel, TrainingPlan, training_request
from kennel.workflow.proof import stolen_machines
from kennel.workflow.proof.ground import Ground

REFUSED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
ANY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
WORKERS: tuple[Actor, ...] = ("training", "endpoint", "function", "instance", "builder")


@dataclass(frozen=True, slots=True)
class Attempt:
    """do: with a session of the role; denied: the actors for whom it is none of their business."""

    what: str
    do: Callable[[Cloud, Ground], Any]
    denied: tuple[Actor, ...] = ACTORS


@dataclass(frozen=True, slots=True)
class Tried:
    """said: AWS's code; anything but a refusal is a hole."""

    actor: Actor
    what: str
    said: str

    @property
    def denied(self) -> bool:
        return self.said in REFUSED


def tried(ground: Ground, actors: tuple[Actor, ...]) -> Iterator[Tried]:
    """Each attempt really made, by boto3 under a session of each role."""
    from botocore.exceptions import ClientError

    _lay_out(ground)
    for actor in actors:
        cloud = _stolen(ground, actor)
        for each in ATTEMPTS:
            if actor not in each.denied:
                continue
            try:
                each.do(cloud, ground)
            except ClientError as error:
                yield Tried(actor, each.what, code_of(error))
            else:
                yield Tried(actor, each.what, "it was done")


def _stolen(ground: Ground, actor: Actor) -> Cloud:
    """A session of a role that trusts a service only: for the moment of its making it trusts the account."""
    iam, role = ground.admin.client("iam"), ground.role(actor)
    account = {"AWS": f"arn:{place_of(ground.admin).partition}:iam::{ground.admin.account}:root"}
    trust = {"Effect": "Allow", "Principal": account, "Action": "sts:AssumeRole"}
    document = written({"Version": "2012-10-17", "Statement": [trust]})
    iam.update_assume_role_policy(RoleName=role.name, PolicyDocument=document)
    try:
        return ground.acting(actor)
    finally:
        iam.update_assume_role_policy(RoleName=role.name, PolicyDocument=written(role.trust))


def _lay_out(ground: Ground) -> None:
    """What others have: a bucket, a prefix of ours that is nobody's, logs, a role of somebody who may do anything."""
    s3, iam, logs = (ground.admin.client(each) for each in ("s3", "iam", "logs"))
    s3.create_bucket(Bucket=_other(ground))
    s3.put_object(Bucket=_other(ground), Key="secret", Body=b"secret")
    s3.put_object(Bucket=ground.admin.bucket, Key="private/secret", Body=b"secret")
    services = {"Service": [f"{each}.amazonaws.com" for each in ("sagemaker", "lambda", "ec2")]}
    trust = {"Effect": "Allow", "Principal": services, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName="powerful", AssumeRolePolicyDocument=json.dumps({**ANY, "Statement": [trust]}))
    iam.put_role_policy(RoleName="powerful", PolicyName="all", PolicyDocument=json.dumps(ANY))
    logs.create_log_group(logGroupName="/aws/lambda/other")
    logs.create_log_stream(logGroupName="/aws/lambda/other", logStreamName="one")
    stolen_machines.lay_out(ground)


def _other(ground: Ground) -> str:
    return f"others-{ground.admin.account}"


def _key(ground: Ground, *parts: str) -> dict[str, str]:
    return {"Bucket": ground.admin.bucket, "Key": "/".join((ground.settings.project, *parts))}


def _job(cloud: Cloud, ground: Ground, role: str, name: str = "", tags: bool = True) -> Any:
    """A training job under a role, by a name, with the project's tag or without."""
    settings, where = ground.settings, f"s3://{ground.admin.bucket}/{ground.settings.project}"
    plan = TrainingPlan(
        name=name or f"{settings.project}-stolen-{ground.fresh()}",
        image=registry.image_uri(ground.admin, settings.images.training),
        role=place_of(ground.admin).role(role),
        channels=(Channel("train", f"{where}/data/"),),
        output=f"{where}/jobs",
        machines=settings.training,
        tags=tuple(settings.tags()) if tags else (),
    )
    return cloud.client("sagemaker").create_training_job(**training_request(plan))


def _function(cloud: Cloud, ground: Ground, role: str, name: str = "") -> Any:
    request = function_request(plan_of(ground.settings, place_of(ground.admin).role(role), package()))
    return cloud.client("lambda").create_function(**request | {"FunctionName": name or f"stolen-{time.time_ns()}"})


def _permit(cloud: Cloud, ground: Ground, **more: str | None) -> Any:
    asked = {"StatementId": "stolen", "Action": "lambda:*", "Qualifier": ALIAS, **more}
    given = {member: each for member, each in asked.items() if each is not None}
    return cloud.client("lambda").add_permission(FunctionName=ground.settings.function.name, **given)


def _own_name(cloud: Cloud) -> str:
    return cloud.caller.split("/")[-2]


ATTEMPTS = (
    Attempt(
        "delete the endpoint",
        lambda cloud, ground: cloud.client("sagemaker").delete_endpoint(EndpointName=ground.settings.endpoint_name),
        WORKERS,
    ),
    Attempt(
        "read another prefix of the bucket",
        lambda cloud, ground: cloud.client("s3").get_object(Bucket=cloud.bucket, Key="private/secret"),
    ),
    Attempt("list the whole bucket", lambda cloud, ground: cloud.client("s3").list_objects_v2(Bucket=cloud.bucket)),
    Attempt(
        "read another bucket",
        lambda cloud, ground: cloud.client("s3").get_object(Bucket=_other(ground), Key="secret"),
    ),
    Attempt(
        "write to the data",
        lambda cloud, ground: cloud.client("s3").put_object(**_key(ground, "data", "poison"), Body=b"poison"),
        WORKERS,
    ),
    Attempt(
        "replace an artifact",
        lambda cloud, ground: cloud.client("s3").put_object(
            **_key(ground, "jobs", "x", "model.tar.gz"), Body=b"poison"
        ),
        ("endpoint", "function", "instance", "deployer", "builder", "launcher"),
    ),
    Attempt(
        "destroy versions of objects",
        lambda cloud, ground: cloud.client("s3").delete_object(**_key(ground, "data", "x"), VersionId="null"),
    ),
    Attempt(
        "open the bucket to the world",
        lambda cloud, ground: cloud.client("s3").delete_public_access_block(Bucket=cloud.bucket),
    ),
    Attempt("delete the bucket", lambda cloud, ground: cloud.client("s3").delete_bucket(Bucket=cloud.bucket)),
    Attempt("start a job under a powerful role", lambda cloud, ground: _job(cloud, ground, "powerful")),
    Attempt(
        "start a job under the function's role",
        lambda cloud, ground: _job(cloud, ground, ground.settings.function_role),
    ),
    Attempt(
        "start a job of another project's name",
        lambda cloud, ground: _job(cloud, ground, ground.settings.training_role, f"other-{ground.fresh()}"),
    ),
    Attempt(
        "start a job without the project's tag",
        lambda cloud, ground: _job(cloud, ground, ground.settings.training_role, tags=False),
    ),
    Attempt("make a function under a powerful role", lambda cloud, ground: _function(cloud, ground, "powerful")),
    Attempt(
        "make another function",
        lambda cloud, ground: _function(cloud, ground, ground.settings.function_role),
    ),
    Attempt(
        "let itself do anything with the function",
        lambda cloud, ground: _permit(cloud, ground, Principal=place_of(ground.admin).role(_own_name(cloud))),
    ),
    Attempt(
        "let another account do anything with the function",
        lambda cloud, ground: _permit(cloud, ground, Principal="111122223333"),
    ),
    Attempt(
        "let everybody do anything with the whole function",
        lambda cloud, ground: _permit(cloud, ground, Principal="*", Qualifier=None),
    ),
    Attempt(
        "tag another endpoint as this project's",
        lambda cloud, ground: cloud.client("sagemaker").add_tags(
            ResourceArn=place_of(ground.admin).arn("sagemaker", "endpoint/other"), Tags=ground.settings.tags()
        ),
    ),
    Attempt(
        "end the scaling of another endpoint",
        lambda cloud, ground: cloud.client(SERVICE).deregister_scalable_target(
            **deregister_request(resource_of("other", VARIANT))
        ),
    ),
    Attempt("invoke another function", lambda cloud, ground: cloud.client("lambda").invoke(FunctionName="other")),
    Attempt(
        "ask another endpoint",
        lambda cloud, ground: cloud.client("sagemaker-runtime").invoke_endpoint(EndpointName="other", Body=b"x"),
    ),
    Attempt(
        "read another log",
        lambda cloud, ground: cloud.client("logs").get_log_events(
            logGroupName="/aws/lambda/other", logStreamName="one"
        ),
    ),
    Attempt(
        "delete a log", lambda cloud, ground: cloud.client("logs").delete_log_group(logGroupName="/aws/lambda/other")
    ),
    Attempt(
        "take on a powerful role",
        lambda cloud, ground: cloud.client("sts").assume_role(
            RoleArn=place_of(ground.admin).role("powerful"), RoleSessionName="stolen"
        ),
    ),
    Attempt(
        "take on the deployer's role",
        lambda cloud, ground: cloud.client("sts").assume_role(
            RoleArn=place_of(ground.admin).role(ground.settings.deployer_role), RoleSessionName="stolen"
        ),
    ),
    Attempt(
        "put a policy on itself",
        lambda cloud, ground: cloud.client("iam").put_role_policy(
            RoleName=_own_name(cloud), PolicyName="more", PolicyDocument=json.dumps(ANY)
        ),
    ),
    Attempt(
        "loosen its own trust",
        lambda cloud, ground: cloud.client("iam").update_assume_role_policy(
            RoleName=_own_name(cloud), PolicyDocument=json.dumps(ANY)
        ),
    ),
    Attempt("create a user", lambda cloud, ground: cloud.client("iam").create_user(UserName="stolen")),
    Attempt(
        "delete a repository of images",
        lambda cloud, ground: cloud.client("ecr").delete_repository(repositoryName="kennel-training", force=True),
    ),
    Attempt(
        "start an instance",
        lambda cloud, ground: cloud.client("ec2").run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1),
    ),
    *(Attempt(what, do) for what, do in stolen_machines.TRIED),
)
