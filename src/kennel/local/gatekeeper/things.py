"""What there is that policies speak of: tags, ARNs of what a request names by less, functions' policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from kennel.errors import PolicyError
from kennel.iam.documents import parse
from kennel.iam.values import Written
from kennel.local.errors import Refused
from kennel.local.moto_side import ACCOUNT, Moto
from kennel.local.parts import Document, Operation
from kennel.local.within import Tags

SCALING = "application-autoscaling"
Listed = list[dict[str, str]]


class Things:
    """tags: of SageMaker's resources."""

    def __init__(self, moto: Moto, region: str, tags: Tags) -> None:
        from moto.iam.models import iam_backends
        from moto.s3.models import s3_backends

        self._operations: Mapping[str, Mapping[str, Operation]] = {}
        self._moto, self._region, self._tags = moto, region, tags
        self._iam, self._s3 = iam_backends[ACCOUNT]["aws"], s3_backends[ACCOUNT]["aws"]
        self._by_service: dict[str, Callable[[str], Mapping[str, str]]] = {
            "sagemaker": lambda arn: _plain(self._tags.of(arn)),
            "lambda": self._of_function,
            SCALING: self._of_target,
            "iam": self._of_iam,
            "s3": self._of_object,
            "logs": lambda arn: self._of_tagger("logs", arn.removesuffix(":*")),
            "ecr": lambda arn: self._of_tagger("ecr", arn),
            "cloudwatch": lambda arn: self._of_tagger("cloudwatch", arn),
            "ec2": self._of_ec2,
        }

    def know(self, operations: Mapping[str, Mapping[str, Operation]]) -> None:
        """Of the services that are the local AWS's own, by service, when they are there."""
        self._operations = operations

    def tags(self, arn: str) -> Mapping[str, str]:
        """Of the resource with this ARN; none where there is no such resource."""
        read = self._by_service.get(arn.split(":")[2] if arn.startswith("arn:") else "")
        return read(arn) if read else {}

    def found(self, kind: str, name: str) -> str:
        """See mapping.Place."""
        if kind == "endpoint-config":
            return self._endpoint_config(name)
        if kind == "scalable-target":
            return self._scalable_target(name)
        with self._moto.lock:
            return self._in_iam(kind, name)

    def function_policy(self, arn: str) -> Written | None:
        """Of a function, or of one of its versions or aliases."""
        name, _, qualifier = arn.split(":", 6)[-1].partition(":")
        asked = {"FunctionName": name, **({"Qualifier": qualifier} if qualifier else {})}
        with suppress(Refused, KeyError, PolicyError):
            return parse(str(self._operations["lambda"]["GetPolicy"](asked)["Policy"]), "resource")
        return None

    def _in_iam(self, kind: str, name: str) -> str:
        iam = self._iam
        if kind == "instance-profile-role":
            profiles = [each for each in iam.instance_profiles.values() if name in (each.name, each.arn)]
            return next((str(role.arn) for each in profiles for role in each.roles), "")
        if kind == "access-key":
            return next((each.arn for each in iam.users.values() if _has_key(each, name)), "")
        if kind == "role-boundary":
            return next(
                (str(each.permissions_boundary_arn or "") for each in iam.roles.values() if each.name == name), ""
            )
        held: Mapping[str, Any] = {
            "role": {each.name: each for each in iam.roles.values()},
            "user": iam.users,
            "group": iam.groups,
            "instance-profile": {each.name: each for each in iam.instance_profiles.values()},
            "server-certificate": {each.cert_name: each for each in iam.certificates.values()},
        }.get(kind, {})
        return str(held[name].arn) if name in held else ""

    def _endpoint_config(self, endpoint: str) -> str:
        with suppress(Refused, KeyError):
            ask = self._operations["sagemaker"]
            name = ask["DescribeEndpoint"]({"EndpointName": endpoint})["EndpointConfigName"]
            return str(ask["DescribeEndpointConfig"]({"EndpointConfigName": name})["EndpointConfigArn"])
        return ""

    def _scalable_target(self, name: str) -> str:
        namespace, dimension, resource = name.split("/", 2)
        asked = {"ServiceNamespace": namespace, "ScalableDimension": dimension, "ResourceIds": [resource]}
        with suppress(Refused, KeyError):
            found = self._operations[SCALING]["DescribeScalableTargets"](asked)["ScalableTargets"]
            return next((str(each["ScalableTargetARN"]) for each in found), "")
        return ""

    def _of_target(self, arn: str) -> Mapping[str, str]:
        with suppress(Refused, KeyError):
            return dict(self._operations[SCALING]["ListTagsForResource"]({"ResourceARN": arn})["Tags"])
        return {}

    def _of_function(self, arn: str) -> Mapping[str, str]:
        plain = ":".join(arn.split(":")[:7])  # versions and aliases have none of their own
        with suppress(Refused, KeyError):
            return dict(self._operations["lambda"]["ListTags"]({"Resource": plain})["Tags"])
        return {}

    def _of_iam(self, arn: str) -> Mapping[str, str]:
        with self._moto.lock:
            for held in (self._iam.roles, self._iam.users, self._iam.managed_policies):
                for each in held.values():
                    if each.arn == arn:
                        return _plain(each.tags or [])
        return {}

    def _of_object(self, arn: str) -> Mapping[str, str]:
        bucket, _, key = arn.split(":", 5)[-1].partition("/")
        with self._moto.lock:
            held = self._s3.buckets.get(bucket)
            found: Any = held.keys.get(key) if held is not None and key else None
            return dict(self._s3.tagger.get_tag_dict_for_resource(found.arn)) if hasattr(found, "held") else {}

    def _of_tagger(self, service: str, arn: str) -> Mapping[str, str]:
        with self._moto.lock:
            return dict(_backend(service, arn.split(":")[3] or self._region).tagger.get_tag_dict_for_resource(arn))

    def _of_ec2(self, arn: str) -> Mapping[str, str]:
        self._moto.prepare("ec2")
        with self._moto.lock:
            return dict(_backend("ec2", arn.split(":")[3] or self._region).tags.get(arn.rsplit("/", 1)[-1], {}))


def _backend(service: str, region: str) -> Any:
    from moto.backends import get_backend

    return get_backend(service)[ACCOUNT][region]


def _has_key(user: Any, access_key: str) -> bool:
    return any(each.access_key_id == access_key for each in user.access_keys)


def _plain(tags: Listed | Document) -> dict[str, str]:
    """moto keeps them in two forms."""
    listed = tags.values() if isinstance(tags, dict) else tags
    return {each["Key"]: each["Value"] for each in listed}
