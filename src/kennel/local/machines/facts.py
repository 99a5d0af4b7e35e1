"""What a machine is told of itself: the instance metadata, as paths and texts. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

DOCUMENT = "latest/dynamic/instance-identity/document"
USER_DATA = "latest/user-data"
CREDENTIALS = "latest/meta-data/iam/security-credentials/"


@dataclass(frozen=True, slots=True)
class Facts:
    """An instance as EC2 describes it. tags: only those that the metadata may tell; name: the tag Name, for people.
    role: "" without a profile."""

    identity: str
    account: str
    region: str
    zone: str
    image: str
    instance_type: str
    architecture: str
    spot: bool
    address: str
    hostname: str
    launched: float
    behaviour: str
    user_data: bytes
    tags: Mapping[str, str]
    name: str = ""
    groups: tuple[str, ...] = ()
    profile_arn: str = ""
    profile_id: str = ""
    role: str = ""


def values(facts: Facts) -> dict[str, str]:
    """Path → text, without what changes while it runs: credentials, and a spot instance's notice."""
    below = {
        "ami-id": facts.image,
        "hostname": facts.hostname,
        "instance-id": facts.identity,
        "instance-life-cycle": "spot" if facts.spot else "on-demand",
        "instance-type": facts.instance_type,
        "local-hostname": facts.hostname,
        "local-ipv4": facts.address,
        "placement/availability-zone": facts.zone,
        "placement/region": facts.region,
        "security-groups": "\n".join(facts.groups),
        "services/domain": "amazonaws.com",
        "services/partition": "aws",
        **{f"tags/instance/{name}": text for name, text in facts.tags.items()},
        **({"iam/info": _profile(facts)} if facts.profile_arn else {}),
    }
    return {DOCUMENT: _document(facts), **{f"latest/meta-data/{path}": text for path, text in below.items()}}


def listing(paths: Mapping[str, str], folder: str) -> str:
    """What a folder holds, a line each, as the service lists it; "" where there is no such folder."""
    begin = f"{folder.rstrip('/')}/"
    rest = [path.removeprefix(begin) for path in paths if path.startswith(begin)]
    return "\n".join(sorted({name + slash for name, slash, _ in (each.partition("/") for each in rest)}))


def time_of(epoch: float) -> str:
    """As the service writes times."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _document(facts: Facts) -> str:
    found = {
        "accountId": facts.account,
        "architecture": facts.architecture,
        "availabilityZone": facts.zone,
        "billingProducts": None,
        "devpayProductCodes": None,
        "imageId": facts.image,
        "instanceId": facts.identity,
        "instanceType": facts.instance_type,
        "kernelId": None,
        "marketplaceProductCodes": None,
        "pendingTime": time_of(facts.launched),
        "privateIp": facts.address,
        "ramdiskId": None,
        "region": facts.region,
        "version": "2017-09-30",
    }
    return json.dumps(found, indent=2)


def _profile(facts: Facts) -> str:
    found = {
        "Code": "Success",
        "LastUpdated": time_of(facts.launched),
        "InstanceProfileArn": facts.profile_arn,
        "InstanceProfileId": facts.profile_id,
    }
    return json.dumps(found, indent=2)
