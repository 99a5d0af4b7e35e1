"""Machines on EC2: which there are, and what a launch needs besides its plan: image, profile, security group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kennel.cloud import names
from kennel.cloud.iam.profile import roles_of_profile
from kennel.cloud.instance_requests import (
    InstancePlan,
    MachineImage,
    ami_request,
    group_request,
    ingress_request,
    ssh,
)
from kennel.cloud.session import Cloud
from kennel.errors import KennelError

Machine = dict[str, Any]
"""As EC2 describes it."""
LIVE = frozenset({"pending", "running"})
ENDING = frozenset({"shutting-down", "stopping"})


def of_run(cloud: Cloud, run: str) -> list[Machine]:
    """Those of a run, for about an hour also such as have ended."""
    return described(cloud, [{"Name": "tag:run", "Values": [run]}])


def there(cloud: Cloud) -> list[Machine]:
    """Those of this project that are not gone."""
    return described(cloud, [{"Name": "instance-state-name", "Values": sorted({*LIVE, *ENDING, "stopped"})}])


def run_of(machine: Mapping[str, Any]) -> str:
    """The run that it is for, else its id."""
    tags = {each["Key"]: each["Value"] for each in machine.get("Tags", [])}
    return str(tags.get("run") or machine["InstanceId"])


def state_of_machine(machine: Mapping[str, Any]) -> Any:
    """`pending`, `running`, `shutting-down`, `terminated` …"""
    return machine["State"]["Name"]


def described(cloud: Cloud, filters: Sequence[Mapping[str, Any]]) -> list[Machine]:
    """Only what carries the project's tag."""
    mine = [{"Name": f"tag:{tag['Key']}", "Values": [tag["Value"]]} for tag in cloud.settings.tags()]
    pages = cloud.client("ec2").get_paginator("describe_instances").paginate(Filters=[*mine, *filters])
    return [each for page in pages for group in page["Reservations"] for each in group["Instances"]]


def image_id(cloud: Cloud) -> str:
    """The newest machine image, by AWS's public parameter."""
    found = cloud.client("ssm").get_parameter(**ami_request(cloud.settings.ec2.ami_parameter))
    return str(found["Parameter"]["Value"])


def machine_image(cloud: Cloud, image: str) -> MachineImage:
    """Raises KennelError."""
    found = cloud.client("ec2").describe_images(ImageIds=[image])["Images"]
    if not found:
        raise KennelError(f"the machine image {image} is not in {cloud.region}", "See ami_parameter in kennel.toml")
    root = found[0].get("RootDeviceName") or MachineImage().root
    disks = {each.get("DeviceName"): each.get("Ebs", {}) for each in found[0].get("BlockDeviceMappings", [])}
    return MachineImage(root, int(disks.get(root, {}).get("VolumeSize", 0)))


def expect_profile(cloud: Cloud, name: str) -> None:
    """Raises KennelError where EC2 could not give a machine its role."""
    if roles_of_profile(cloud, name) != (name,):
        what = f"there is no instance profile {name} with the role of that name"
        raise KennelError(what, "Ask whoever administers the account: kennel iam apply")


def group_name(cloud: Cloud) -> str:
    """Of the security group."""
    return f"{cloud.settings.project}-{names.EC2}"


def security_group(cloud: Cloud, plan: InstancePlan) -> str:
    """The security group's id; made where it is missing. Raises KennelError where it lets in what it should not."""
    ec2, name = cloud.client("ec2"), group_name(cloud)
    vpc = _vpc(cloud, plan.subnet)
    filters = [{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [vpc]}]
    found = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
    group = str(
        found[0]["GroupId"] if found else ec2.create_security_group(**group_request(name, vpc, plan.tags))["GroupId"]
    )
    there = [_plain(rule) for rule in found[0]["IpPermissions"]] if found else []
    wanted = [ssh(plan.ssh_from)] if plan.ssh_from else []
    if there and there != wanted:
        remedy = (
            f"Remove its rules, or set ssh_from to what they say: aws ec2 describe-security-groups --group-ids {group}"
        )
        raise KennelError(f"the security group {name} lets in others than kennel.toml's ssh_from", remedy)
    if wanted and not there:
        ec2.authorize_security_group_ingress(**ingress_request(group, plan.ssh_from))
    return group


def _vpc(cloud: Cloud, subnet: str) -> str:
    """Raises KennelError."""
    ec2 = cloud.client("ec2")
    if subnet:
        return str(ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"])
    found = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not found:
        raise KennelError(f"there is no default VPC in {cloud.region}", "Name a subnet: [ec2] subnet in kennel.toml")
    return str(found[0]["VpcId"])


def _plain(rule: Mapping[str, Any]) -> dict[str, Any]:
    """As `ssh` words it: nothing empty, no descriptions."""
    kept = {name: rule[name] for name in ("IpProtocol", "FromPort", "ToPort") if name in rule}
    for name, member in (("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6")):
        if rule.get(name):
            kept[name] = [{member: each[member]} for each in rule[name]]
    others = {name: rule[name] for name in ("UserIdGroupPairs", "PrefixListIds") if rule.get(name)}
    return {**kept, **others}
