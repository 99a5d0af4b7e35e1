"""The role of whoever launches machines that train by hand: what may be launched is bounded by what it is. Pure."""

from __future__ import annotations

from kennel.aws.arns import Arn
from kennel.cloud import names
from kennel.cloud.iam.place import Place
from kennel.cloud.iam.values import Condition, Role, Statement, Trust, both

EC2_SERVICE = "ec2.amazonaws.com"
TAGS = ("Name", "project", "run")
MAKES = ("RunInstances", "CreateSecurityGroup")
LONGEST_SESSION_S = 12 * 3600


def launcher(place: Place) -> Role:
    """Of a person: kennel ec2 launch, status, logs, stop."""
    return Role(
        "launcher",
        place.settings.launcher_role,
        "whoever trains by hand: launches a machine, looks at it, ends it",
        Trust(
            {"AWS": f"arn:{place.partition}:iam::{place.account}:root"},
            "Whom of this account the administrator allows sts:AssumeRole on it",
        ),
        (*_launch(place), *_network(place), *_looking(place)),
        LONGEST_SESSION_S,
    )


def _launch(place: Place) -> tuple[Statement, ...]:
    settings, role, run = place.settings.ec2, place.settings.instance_role, ("ec2:RunInstances",)
    machine: Condition = {
        "StringEquals": {"ec2:InstanceType": settings.instance_type, "ec2:MetadataHttpTokens": "required"},
        "ArnEquals": {"ec2:InstanceProfile": place.arn("iam", f"instance-profile/{role}", region="")},
    }
    disk: Condition = {"Bool": {"ec2:Encrypted": "true"}}
    tagged = {"StringEquals": {"ec2:CreateAction": MAKES}}
    bid = "spot-instances-request" if settings.spot else ""
    made = [*_any(place, "instance", "volume", "network-interface", "security-group"), *_any(place, bid)]
    key = (place.arn("ec2", f"key-pair/{settings.key_name}"),) if settings.key_name else ()
    given = (
        str(Arn("ec2", place.region, "", "image/*", place.partition)),
        place.arn("ec2", f"subnet/{settings.subnet or '*'}"),
        *key,
    )
    spot = Statement("Bid", "A machine of spot capacity is a request first", run, _any(place, bid), _marked(place))
    return (
        Statement(
            "Launch", "One type, which asks its metadata for tokens, under the narrow role, tagged",
            run, _any(place, "instance"), both(machine, _marked(place)),
        ),
        Statement("Disk", "An encrypted one, tagged", run, _any(place, "volume"), both(disk, _marked(place))),
        Statement("Interface", "Comes with it, tagged", run, _any(place, "network-interface"), _marked(place)),
        *((spot,) if bid else ()),
        Statement(
            "Behind", "Behind the project's own security group", run, _any(place, "security-group"), place.tagged()
        ),
        Statement("From", "From a machine image, in a subnet; with a key pair where SSH is set", run, given),
        Statement(
            "Tag", "Only what is being made", ("ec2:CreateTags",), tuple(made), both(tagged, _marked(place))
        ),
        Statement(
            "PassToEc2", "The machine works under this role", ("iam:PassRole",), (place.role(role),),
            {"StringEquals": {"iam:PassedToService": EC2_SERVICE}},
        ),
        Statement(
            "End", "Only what carries the project's tag; and what such a machine said last",
            ("ec2:TerminateInstances", "ec2:GetConsoleOutput"), _any(place, "instance"), place.tagged(),
        ),
    )  # fmt: skip


def _network(place: Place) -> tuple[Statement, ...]:
    groups, make = _any(place, "security-group"), ("ec2:CreateSecurityGroup",)
    reason = "SSH for one address, where kennel.toml says so; AWS has no condition for which"
    opened = Statement("Open", reason, ("ec2:AuthorizeSecurityGroupIngress",), groups, place.tagged())
    return (
        Statement("Group", "The security group, made where it is missing, tagged", make, groups, _marked(place)),
        Statement("GroupIn", "It is made in a VPC", make, _any(place, "vpc")),
        *((opened,) if place.settings.ec2.ssh_from else ()),
    )


def _looking(place: Place) -> tuple[Statement, ...]:
    settings, looked = place.settings, "Subnets" if place.settings.ec2.subnet else "Vpcs"
    parameter = str(Arn("ssm", place.region, "", f"parameter{settings.ec2.ami_parameter}", place.partition))
    profile = place.arn("iam", f"instance-profile/{settings.instance_role}", region="")
    return (
        Statement(
            "FindImage", "Which machine image is the newest: a parameter of AWS's", ("ssm:GetParameter",), (parameter,)
        ),
        Statement("FindProfile", "Is the machine's role there?", ("iam:GetInstanceProfile",), (profile,)),
        Statement(
            "Look", "What there is: these lists know no resource",
            tuple(f"ec2:Describe{each}" for each in ("Instances", "Images", "SecurityGroups", looked)), ("*",),
        ),
        Statement("List", "What a run has left", ("s3:ListBucket",), (place.bucket,), place.prefixed(names.EC2)),
        Statement("Read", "Its status, its log", ("s3:GetObject",), place.objects(names.EC2)),
        Statement(
            "Like", "What a training job was made of, to do the same by hand",
            ("sagemaker:DescribeTrainingJob",), place.named("training-job"),
        ),
        Statement(
            "FindTraining", "The training image by its digest", ("ecr:DescribeImages",),
            (place.repository(settings.images.training),),
        ),
    )  # fmt: skip


def _any(place: Place, *kinds: str) -> tuple[str, ...]:
    """AWS makes up the ids; "" for none."""
    return tuple(place.arn("ec2", f"{kind}/*") for kind in kinds if kind)


def _marked(place: Place) -> Condition:
    """Of a request that makes something: the project's tag, and no others than a run's."""
    return {
        "StringEquals": place.requested()["StringEquals"],
        "ForAllValues:StringEquals": {"aws:TagKeys": TAGS},
    }
