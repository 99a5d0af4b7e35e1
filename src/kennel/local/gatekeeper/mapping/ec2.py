"""EC2, as far as an instance for a training needs it: instances, their network, keys, volumes, tags, roles.

An instance is started with several resources, each of which has to be allowed; what does not exist yet has an ARN that
ends in `*`. What launch templates hold is not looked up, so requests by them are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kennel.local.gatekeeper.mapping.iam import arn as iam_arn
from kennel.local.gatekeeper.mapping.table import (
    EVERY,
    Given,
    Keys,
    Place,
    Request,
    Resources,
    Rule,
    Table,
    Unknown,
    arns,
    each,
    given,
    members,
    texts,
)

SERVICE = "ec2.amazonaws.com"
IMAGE = "arn:{.partition}:ec2:{.region}::image/{ImageId}"
INSTANCES = "instance/{InstanceIds[]}"
INSTANCE = "instance/{InstanceId}"
_HERE = {"ec2:region": ".region"}
_INSTANCE = _HERE | {
    "ec2:instancetype": "InstanceType",
    "ec2:instanceprofile": "=arn:{.partition}:iam::{.account}:instance-profile/{IamInstanceProfile.Name} | "
    "{IamInstanceProfile.Arn}",
    "ec2:metadatahttptokens": "MetadataOptions.HttpTokens",
    "ec2:metadatahttpendpoint": "MetadataOptions.HttpEndpoint",
    "ec2:metadatahttpputresponsehoplimit": "MetadataOptions.HttpPutResponseHopLimit",
    "ec2:instancemarkettype": "InstanceMarketOptions.MarketType",
    "ec2:availabilityzone": "Placement.AvailabilityZone",
    "ec2:tenancy": "Placement.Tenancy",
    "ec2:ebsoptimized": "EbsOptimized",
}
_VOLUME = _HERE | {
    "ec2:encrypted": "BlockDeviceMappings[].Ebs.Encrypted",
    "ec2:volumetype": "BlockDeviceMappings[].Ebs.VolumeType",
    "ec2:volumesize": "BlockDeviceMappings[].Ebs.VolumeSize",
    "ec2:volumeiops": "BlockDeviceMappings[].Ebs.Iops",
}
_KINDS = {
    "ami": "image",
    "eni": "network-interface",
    "i": "instance",
    "igw": "internet-gateway",
    "key": "key-pair",
    "rtb": "route-table",
    "sg": "security-group",
    "sir": "spot-instances-request",
    "snap": "snapshot",
    "subnet": "subnet",
    "vol": "volume",
    "vpc": "vpc",
}
"""What an id begins with → the kind of resource. Images and snapshots are no account's."""


def _tags(kind: str) -> Given:
    """Those that a request gives to new resources of one kind."""

    def found(request: Request) -> Sequence[Any]:
        listed = members(request, "TagSpecifications[]")
        return [tag for each in listed if members(each, "ResourceType") == [kind] for tag in members(each, "Tags[]")]

    return found


def _made(operation: str, kind: str, resource: str, keys: Keys = _HERE) -> tuple[Rule, Rule]:
    """What makes a tagged thing needs to be allowed to tag it too, in making it."""

    def tagged(request: Request, place: Place) -> Sequence[str]:
        return arns(resource, "ec2", request, place) if _tags(kind)(request) else ()

    making = {"ec2:createaction": operation}
    own = Rule(resource, keys=keys, tags=_tags(kind))
    return own, Rule(tagged, "ec2:CreateTags", keys=_HERE, fixed=making, tags=_tags(kind))


def _by_ids(request: Request, place: Place) -> Sequence[str]:
    return tuple(_arn(each, place) for each in texts(request, "Resources[]"))


def _arn(identity: str, place: Place) -> str:
    kind = _KINDS.get(identity.partition("-")[0])
    if kind is None:
        raise Unknown(f"{identity} is of no kind that is mapped")
    account = "" if kind in ("image", "snapshot") else place.account
    return f"arn:{place.partition}:ec2:{place.region}:{account}:{kind}/{identity}"


def _of_kind(kind: str, ids: str, names: str = "") -> Resources:
    """All that a request names by their ids; any, where it names one otherwise or none."""

    def found(request: Request, place: Place) -> Sequence[str]:
        named = [text for path in ids.split() for text in texts(request, path)]
        if not named or any(given(request, path) for path in names.split()):
            named.append("*")
        return tuple(f"arn:{place.partition}:ec2:{place.region}:{place.account}:{kind}/{each}" for each in named)

    return found


def _profile_role(request: Request, place: Place) -> Sequence[str]:
    """The role in a profile; of one that nobody knows, any."""
    names = [*texts(request, "IamInstanceProfile.Arn"), *texts(request, "IamInstanceProfile.Name")]
    return tuple(place.found("instance-profile-role", name) or iam_arn("role", "*", place) for name in names)


def _images(request: Request, place: Place) -> Sequence[str]:
    if given(request, "LaunchTemplate"):
        raise Unknown("what a launch template holds is not looked up")
    return arns(IMAGE, "ec2", request, place)


_GROUP = _of_kind("security-group", "GroupId", "GroupName")
_GROUPS = _of_kind(
    "security-group",
    "SecurityGroupIds[] NetworkInterfaces[].Groups[]",
    "SecurityGroups NetworkInterfaces[].NetworkInterfaceId",
)
_SUBNETS = _of_kind("subnet", "SubnetId NetworkInterfaces[].SubnetId", "NetworkInterfaces[].NetworkInterfaceId")
_PASS = Rule(_profile_role, "iam:PassRole", fixed={"iam:passedtoservice": SERVICE})

_, _TAG_SPOT_REQUEST = _made("RunInstances", "spot-instances-request", "spot-instances-request/*")
"""That RunInstances needs anything to make one is not published."""

TABLE: Table = {
    "RunInstances": (
        Rule(_images, keys=_HERE | {"ec2:imageid": "ImageId"}),
        *_made("RunInstances", "instance", "instance/*", _INSTANCE),
        *_made("RunInstances", "volume", "volume/*", _VOLUME),
        *_made("RunInstances", "network-interface", "network-interface/*"),
        _TAG_SPOT_REQUEST,
        Rule(_GROUPS, keys=_HERE),
        Rule(_SUBNETS, keys=_HERE),
        Rule("key-pair/{KeyName}", keys=_HERE | {"ec2:keypairname": "KeyName"}, when="KeyName"),
        Rule(
            "network-interface/{NetworkInterfaces[].NetworkInterfaceId}",
            keys=_HERE,
            when="NetworkInterfaces[].NetworkInterfaceId",
        ),
        Rule(
            "arn:{.partition}:ec2:{.region}::snapshot/{BlockDeviceMappings[].Ebs.SnapshotId}",
            keys=_HERE,
            when="BlockDeviceMappings[].Ebs.SnapshotId",
        ),
        _PASS,
    ),
    "AssociateIamInstanceProfile": (Rule(INSTANCE, keys=_HERE), _PASS),
    "ReplaceIamInstanceProfileAssociation": (Rule("instance/*", keys=_HERE), _PASS),
    "DisassociateIamInstanceProfile": (Rule("instance/*", keys=_HERE),),
    "DescribeInstanceAttribute": (Rule(INSTANCE, keys=_HERE),),
    "GetConsoleOutput": (Rule(INSTANCE, keys=_HERE),),
    "CreateSecurityGroup": (
        *_made("CreateSecurityGroup", "security-group", "security-group/*"),
        Rule(_of_kind("vpc", "VpcId"), keys=_HERE),
    ),
    "CreateKeyPair": _made("CreateKeyPair", "key-pair", "key-pair/{KeyName}"),
    "ImportKeyPair": _made("ImportKeyPair", "key-pair", "key-pair/{KeyName}"),
    "DeleteKeyPair": (Rule(_of_kind("key-pair", "KeyName", "KeyPairId"), keys=_HERE),),
    "CreateTags": (Rule(_by_ids, keys=_HERE, tags="Tags"),),
    "DeleteTags": (Rule(_by_ids, keys=_HERE, untags="Tags[].Key"),),
    "DeleteVolume": (Rule("volume/{VolumeId}", keys=_HERE),),
    **each("RebootInstances StartInstances StopInstances TerminateInstances", Rule(INSTANCES, keys=_HERE)),
    **each(
        "AuthorizeSecurityGroupEgress AuthorizeSecurityGroupIngress DeleteSecurityGroup RevokeSecurityGroupEgress "
        "RevokeSecurityGroupIngress",
        Rule(_GROUP, keys=_HERE),
    ),
    **each(
        "DescribeAddresses DescribeAvailabilityZones DescribeIamInstanceProfileAssociations DescribeImages "
        "DescribeInstanceStatus DescribeInstanceTypeOfferings DescribeInstanceTypes DescribeInstances "
        "DescribeInternetGateways DescribeKeyPairs DescribeNetworkAcls DescribeNetworkInterfaces DescribeRegions "
        "DescribeRouteTables DescribeSecurityGroups DescribeSnapshots DescribeSubnets DescribeTags "
        "DescribeVolumes DescribeVpcs",
        Rule(EVERY, keys=_HERE),
    ),
}
