"""Taking down what this project made on AWS, in the order that AWS wants, and the proof that nothing billable is left.

First a plan, which is data; then carrying it out, which may be done again at any time. Only what carries this
project's tag goes, or what belongs to it by its name alone (an endpoint's logs and scaling, a prefix of a bucket).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from kennel.cloud import machines, names
from kennel.cloud.function_requests import ALIAS
from kennel.cloud.function_requests import GROUP as FUNCTION_LOGS
from kennel.cloud.iam import place_of, roles_of
from kennel.cloud.registry import repository_of
from kennel.cloud.removal import (
    ALIASES,
    BUCKET,
    FIREWALL,
    GROUP,
    IMAGES,
    OBJECTS,
    ORDER,
    PROVISIONED,
    ROLE,
    STREAMS,
    TARGET,
    URL,
    Removal,
    begin,
    is_over,
    pages,
    state_of,
    stored,
    uploads,
)
from kennel.cloud.session import Cloud, code_of, told
from kennel.cloud.status import (
    CONFIG,
    ENDPOINT,
    FUNCTION,
    MACHINE,
    MODEL,
    TRAINING,
    TUNING,
    function_of,
    owned,
    provisioned,
)
from kennel.errors import KennelError

TRAINING_LOGS = "/aws/sagemaker/TrainingJobs"
ENDPOINT_LOGS = "/aws/sagemaker/Endpoints/"
UNDER_WAY = ("InProgress", "Stopping")
LONGEST_S = 3600.0
POLL_S = {"local": 0.5, "aws": 5.0}
Tell = Callable[[Removal, bool], None]
"""Told each removal twice: (it, False) when it begins, (it, True) when it is gone."""
Sleep = Callable[[float], None]


def plan(cloud: Cloud, everything: bool = False, images: bool = False) -> tuple[Removal, ...]:
    """What there is to remove, in order. everything: logs, data, bucket and roles too; images: ECR's repositories."""
    with told(f"see what there is of {cloud.settings.project}"):
        found = [*_running(cloud)]
        if everything:
            found += [*_logs(cloud), *_firewalls(cloud), *_storage(cloud), *_roles(cloud)]
        if images:
            found += _repositories(cloud)
    return in_order(found)


def in_order(removals: list[Removal]) -> tuple[Removal, ...]:
    """Sorted as AWS wants them gone."""
    return tuple(sorted(removals, key=lambda each: (ORDER.index(each.kind), each.name, each.below)))


def carry_out(cloud: Cloud, removals: tuple[Removal, ...], tell: Tell, sleep: Sleep = time.sleep) -> None:
    """Remove it all, kind by kind: all of a kind are begun, then waited for. What is gone already is passed over.

    Raises KennelError; what was not reached by then is found by the next plan.
    """
    for _, group in groupby(removals, key=lambda each: each.kind):
        several = tuple(group)
        for each in several:
            tell(each, False)
            with told(f"remove the {each}"):
                _patiently(cloud, begin, each, sleep)
        for each in several:
            with told(f"see the {each} go"):
                _patiently(cloud, is_over, each, sleep)
            tell(each, True)


def verify(cloud: Cloud) -> tuple[str, ...]:
    """What of this project is still billed, in words; empty where nothing is. Raises KennelError."""
    billed = {TUNING.word, TRAINING.word, ENDPOINT.word, PROVISIONED, MACHINE}
    with told(f"see what of {cloud.settings.project} is billed"):
        found = [str(each) for each in _running(cloud) if each.kind in billed]
        found += [str(each) for each in _storage(cloud) if each.kind == OBJECTS and _holds_anything(cloud, each)]
        return (*found, *(str(each) for each in _repositories(cloud) if _holds_images(cloud, each)))


def _running(cloud: Cloud) -> Iterator[Removal]:
    yield from _function(cloud)
    endpoints = list(owned(cloud, ENDPOINT))
    yield from _targets(cloud, _with_leftovers(cloud, endpoints))
    for kind in (TUNING, TRAINING):
        for state in UNDER_WAY:
            yield from (Removal(kind.word, name) for name in owned(cloud, kind, StatusEquals=state))
    yield from (Removal(ENDPOINT.word, name) for name in endpoints)
    for kind in (CONFIG, MODEL):
        yield from (Removal(kind.word, name) for name in owned(cloud, kind))
    yield from _machines(cloud)


def _machines(cloud: Cloud) -> Iterator[Removal]:
    return (Removal(MACHINE, str(each["InstanceId"])) for each in machines.there(cloud))


def _function(cloud: Cloud) -> Iterator[Removal]:
    """The function, and what hangs on its alias."""
    if function_of(cloud) is None:
        return
    functions, name = cloud.client("lambda"), cloud.settings.function.name
    if provisioned(cloud, name):
        yield Removal(PROVISIONED, name)
    urls = pages(functions, "list_function_url_configs", "FunctionUrlConfigs", FunctionName=name)
    yield from (Removal(URL, name) for each in urls if each["FunctionArn"].endswith(f":{ALIAS}"))
    aliases = pages(functions, "list_aliases", "Aliases", FunctionName=name)
    yield from (Removal(ALIASES, name) for each in aliases if each["Name"] == ALIAS)
    yield Removal(FUNCTION, name)


def _with_leftovers(cloud: Cloud, endpoints: Iterable[str]) -> set[str]:
    """This project's endpoints, and the name of its own where nobody has one of that name (any more)."""
    name, known = cloud.settings.endpoint_name, set(endpoints)
    return known if name in known or state_of(cloud, ENDPOINT, name) else {*known, name}


def _targets(cloud: Cloud, endpoints: set[str]) -> Iterator[Removal]:
    """An endpoint's scaling, also one that an endpoint deleted by hand has left behind."""
    scaling = cloud.client("application-autoscaling")
    for each in pages(scaling, "describe_scalable_targets", "ScalableTargets", ServiceNamespace="sagemaker"):
        if each["ResourceId"].split("/")[1] in endpoints:
            yield Removal(TARGET, each["ResourceId"])


def _logs(cloud: Cloud) -> Iterator[Removal]:
    """The group of training jobs is shared by all projects of the account: only our jobs' streams go."""
    logs = cloud.client("logs")
    streams = pages(logs, "describe_log_streams", "logStreams", logGroupName=TRAINING_LOGS)
    jobs = {each["logStreamName"].split("/")[0] for each in streams}
    ours = set(owned(cloud, TRAINING)) if jobs else set()
    yield from (Removal(STREAMS, TRAINING_LOGS, f"{job}/") for job in sorted(jobs & ours))
    for name in sorted(_with_leftovers(cloud, owned(cloud, ENDPOINT))):
        groups = pages(logs, "describe_log_groups", "logGroups", logGroupNamePrefix=ENDPOINT_LOGS + name)
        if any(each["logGroupName"] == ENDPOINT_LOGS + name for each in groups):
            yield Removal(GROUP, ENDPOINT_LOGS + name)
    yield from _function_log(cloud)


def _function_log(cloud: Cloud) -> Iterator[Removal]:
    """By its tag: the function may be gone already, and its name may have been another project's."""
    logs, name = cloud.client("logs"), FUNCTION_LOGS + cloud.settings.function.name
    for each in pages(logs, "describe_log_groups", "logGroups", logGroupNamePrefix=name):
        if each["logGroupName"] == name:
            carried = logs.list_tags_for_resource(resourceArn=each["arn"].removesuffix(":*"))["tags"]
            if all(carried.get(tag["Key"]) == tag["Value"] for tag in cloud.settings.tags()):
                yield Removal(GROUP, name)


def _firewalls(cloud: Cloud) -> Iterator[Removal]:
    """The security group of machines that train by hand, in each VPC where there is one."""
    named = [{"Name": "group-name", "Values": [machines.group_name(cloud)]}]
    for each in cloud.client("ec2").describe_security_groups(Filters=named)["SecurityGroups"]:
        if _tagged(cloud, each.get("Tags", [])):
            yield Removal(FIREWALL, str(each["GroupId"]))


def _storage(cloud: Cloud) -> Iterator[Removal]:
    """A bucket that the user named stays, and loses only what lies below this project's prefix."""
    from botocore.exceptions import ClientError

    try:
        found = cloud.client("s3").get_bucket_tagging(Bucket=cloud.bucket, ExpectedBucketOwner=cloud.account)
        carried = found["TagSet"]
    except ClientError as error:
        if code_of(error) == "NoSuchBucket":
            return
        if code_of(error) != "NoSuchTagSet":
            raise
        carried = []
    if cloud.settings.bucket:
        yield Removal(OBJECTS, cloud.bucket, f"{names.prefix(cloud.settings)}/")
    elif _tagged(cloud, carried):
        yield Removal(OBJECTS, cloud.bucket)
        yield Removal(BUCKET, cloud.bucket)


def _roles(cloud: Cloud) -> Iterator[Removal]:
    iam = cloud.client("iam")
    for name in sorted(role.name for role in roles_of(place_of(cloud))):
        try:
            carried = iam.get_role(RoleName=name)["Role"].get("Tags", [])
        except iam.exceptions.NoSuchEntityException:
            continue
        if _tagged(cloud, carried):
            yield Removal(ROLE, name)


def _repositories(cloud: Cloud) -> list[Removal]:
    """By name: ECR's repositories are made by scripts/build_push.sh, for this alone."""
    ecr, found = cloud.client("ecr"), []
    images = cloud.settings.images
    for name in sorted({repository_of(images.training), repository_of(images.serving)}):
        try:
            ecr.describe_repositories(repositoryNames=[name])
        except ecr.exceptions.RepositoryNotFoundException:
            continue
        found.append(Removal(IMAGES, name))
    return found


def _patiently(cloud: Cloud, step: Callable[[Cloud, Removal], bool], removal: Removal, sleep: Sleep) -> None:
    """Until the step is done."""
    waited = 0.0
    while not step(cloud, removal):
        if waited >= LONGEST_S:
            raise KennelError(f"the {removal} is still there after an hour", "See its state in the console")
        sleep(POLL_S[cloud.side])
        waited += POLL_S[cloud.side]


def _tagged(cloud: Cloud, carried: list[dict[str, str]]) -> bool:
    return all(tag in carried for tag in cloud.settings.tags())


def _holds_anything(cloud: Cloud, objects: Removal) -> bool:
    return any(True for _ in uploads(cloud, objects)) or any(True for _ in stored(cloud, objects))


def _holds_images(cloud: Cloud, repository: Removal) -> bool:
    return bool(cloud.client("ecr").list_images(repositoryName=repository.name, maxResults=1)["imageIds"])
