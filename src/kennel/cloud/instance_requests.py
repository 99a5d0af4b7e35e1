"""Requests about an instance that trains by hand, as values, and what it is told to do: its user data. Pure."""

from __future__ import annotations

import base64
import gzip
import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from kennel.aws.shapes import check
from kennel.errors import KennelError, SettingError
from kennel.pictures.dataset import SPLITS

Request = dict[str, Any]
LARGEST_USER_DATA = 16 << 10
"""Bytes, before they are base64: what EC2 takes."""
LAST_MINUTES = 10
"""After its time limit a machine has these to say so; then it is switched off."""
LONGEST_TOKEN = 64
NVIDIA = re.compile(r"(g4dn|g5|g6e?|gr6|p\d[a-z0-9-]*)\.")
PLAN, TRAIN = "# @plan\n", "# @train\n"
"""Lines of ec2/machine.sh that are replaced."""
COMMENT = re.compile(r"^ *#(?!!).*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class InstancePlan:
    """A training by hand on an instance. run: its name; out: S3 prefix of the run; data: split → S3 prefix; weights: S3
    prefix or object, or auto. gpu: whether the machine has one. role: name of the instance profile. tags: of
    everything that the launch makes."""

    run: str
    region: str
    out: str
    image: str
    data: Mapping[str, str]
    weights: str = "auto"
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    instance_type: str = "g4dn.xlarge"
    volume_gb: int = 100
    max_runtime_s: int = 3600
    spot: bool = False
    gpu: bool = True
    profile: bool = True
    login: bool = False
    ssh_from: str = ""
    key_name: str = ""
    subnet: str = ""
    role: str = "kennel-instance"
    tags: tuple[Mapping[str, str], ...] = ()

    @property
    def folder(self) -> str:
        """What the splits lie in, without a slash. Raises SettingError where they lie apart."""
        found = {uri.rstrip("/").removesuffix(f"/{split}") for split, uri in self.data.items()}
        apart = len(found) > 1 or any(uri.rstrip("/") in found for uri in self.data.values())
        if apart or set(self.data) != set(SPLITS):
            remedy = "Name data whose train/, valid/ and test/ lie in one place"
            raise SettingError("a training by hand takes its pictures from one prefix", remedy)
        return found.pop()

    @property
    def marks(self) -> list[dict[str, str]]:
        """The tags, with the run's name twice: for people and for finding it again."""
        more = [{"Key": "Name", "Value": self.run}, {"Key": "run", "Value": self.run}]
        return [*(dict(tag) for tag in self.tags), *more]


@dataclass(frozen=True, slots=True)
class MachineImage:
    """What an AMI says of its root disk."""

    root: str = "/dev/xvda"
    least_gb: int = 0


def ami_request(parameter: str) -> Request:
    """GetParameter's request, of Systems Manager: which machine image is the newest."""
    return _checked("ssm", "GetParameter", {"Name": parameter})


def run_instances(
    plan: InstancePlan, image_id: str, security_group: str, machine: MachineImage | None = None, attempt: str = "1"
) -> Request:
    """RunInstances's request, of one machine. attempt: with the run's name it is the token by which a launch that is
    repeated makes no second machine. Raises SettingError where AWS would refuse it, as all here do."""
    machine = machine or MachineImage()
    kinds = ("instance", "volume", "network-interface", *(("spot-instances-request",) if plan.spot else ()))
    request: Request = {
        "ImageId": image_id,
        "InstanceType": plan.instance_type,
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": f"{plan.run}-{attempt}"[-LONGEST_TOKEN:],
        "UserData": user_data(plan),
        "IamInstanceProfile": {"Name": plan.role},
        "SecurityGroupIds": [security_group],
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "BlockDeviceMappings": [{"DeviceName": machine.root, "Ebs": _disk(max(plan.volume_gb, machine.least_gb))}],
        "TagSpecifications": [{"ResourceType": each, "Tags": plan.marks} for each in kinds],
    }
    request |= {"KeyName": plan.key_name} if plan.key_name else {}
    request |= {"SubnetId": plan.subnet} if plan.subnet else {}
    request |= {"InstanceMarketOptions": _spot()} if plan.spot else {}
    return _checked("ec2", "RunInstances", request)


def group_request(name: str, vpc: str, tags: tuple[Mapping[str, str], ...]) -> Request:
    """CreateSecurityGroup's request: nobody comes in; out goes everything, to S3, ECR and Systems Manager."""
    about = f"{name}: machines that train by hand; nobody comes in"
    marks = [*(dict(tag) for tag in tags), {"Key": "Name", "Value": name}]
    specified = [{"ResourceType": "security-group", "Tags": marks}]
    request: Request = {"GroupName": name, "Description": about, "VpcId": vpc, "TagSpecifications": specified}
    return _checked("ec2", "CreateSecurityGroup", request)


def ingress_request(group: str, address: str) -> Request:
    """AuthorizeSecurityGroupIngress's request: SSH for one address."""
    return _checked("ec2", "AuthorizeSecurityGroupIngress", {"GroupId": group, "IpPermissions": [ssh(address)]})


def ssh(address: str) -> Request:
    """The one rule that there may be."""
    rule: Request = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    if ":" in address:
        return rule | {"Ipv6Ranges": [{"CidrIpv6": address}]}
    return rule | {"IpRanges": [{"CidrIp": address}]}


def user_data(plan: InstancePlan) -> str:
    """What the machine does: ec2/machine.sh with the plan, and with ec2/train.sh inside, whose comments would take room
    that names may need. Raises SettingError."""
    bare = COMMENT.sub("", script("train.sh"))
    train = base64.encodebytes(gzip.compress(bare.encode(), 9, mtime=0)).decode()
    text = script("machine.sh").replace(PLAN, _plan(plan)).replace(TRAIN, train)
    if (found := len(text.encode())) > LARGEST_USER_DATA:
        raise SettingError(f"the user data has {found} bytes, EC2 takes {LARGEST_USER_DATA}", "Use shorter names")
    return text


def script(name: str) -> str:
    """One of ec2/'s: of a checkout, else its copy in an installed wheel. Raises KennelError."""
    places: tuple[Traversable, ...] = (Path(__file__).parents[3] / "ec2", files("kennel").joinpath("ec2"))
    for folder in places:
        if folder.joinpath(name).is_file():
            return folder.joinpath(name).read_text()
    raise KennelError(f"ec2/{name} is missing from this installation", "Install kennel again")


def has_gpu(instance_type: str) -> bool:
    """Whether it has one of NVIDIA's, by its family (g4ad is AMD's, g5g not x86)."""
    return bool(NVIDIA.match(instance_type))


def _plan(plan: InstancePlan) -> str:
    """Shell: the values as plain words, whatever is in them."""
    arguments = ["--run", plan.run, "--image", plan.image, "--data", plan.folder, "--out", plan.out]
    arguments += ["--weights", plan.weights, "--max-seconds", str(plan.max_runtime_s)]
    arguments += [word for name, value in plan.hyperparameters.items() for word in ("--set", f"{name}={value}")]
    flags = {"--no-gpu": not plan.gpu, "--profile": plan.profile, "--login": plan.login}
    arguments += [flag for flag, wanted in flags.items() if wanted]
    minutes = math.ceil(plan.max_runtime_s / 60) + LAST_MINUTES
    values = {"RUN": plan.run, "OUT": plan.out, "REGION": plan.region, "MINUTES": str(minutes)}
    lines = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    return "\n".join([*lines, f"ARGUMENTS=({' '.join(map(shlex.quote, arguments))})", ""])


def _disk(size_gb: int) -> Request:
    return {"VolumeSize": size_gb, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}


def _spot() -> Request:
    options = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
    return {"MarketType": "spot", "SpotOptions": options}


def _checked(service: str, operation: str, request: Request) -> Request:
    check(service, operation, request)
    return request
