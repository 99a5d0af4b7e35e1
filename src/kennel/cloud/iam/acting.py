"""Working as the deployer or the launcher: on the local AWS always, so that every run there proves the policies."""

from __future__ import annotations

import getpass
import re

from kennel.cloud.bucket import ensure_bucket
from kennel.cloud.iam import place_of, roles_of
from kennel.cloud.iam.apply import carry_out, differences
from kennel.cloud.session import Cloud


def prepared(cloud: Cloud) -> None:
    """Bucket and all roles as kennel.toml wants them, unasked. Takes an administrator's rights. Raises KennelError."""
    ensure_bucket(cloud)
    for each in differences(cloud, roles_of(place_of(cloud))):
        if each:
            carry_out(cloud, each)


def as_deployer(cloud: Cloud) -> Cloud:
    """The same as a session of the deployer's role, named after the user. Raises KennelError."""
    return _as(cloud, cloud.settings.deployer_role)


def as_launcher(cloud: Cloud) -> Cloud:
    """The same of the launcher's. Raises KennelError."""
    return _as(cloud, cloud.settings.launcher_role)


def _as(cloud: Cloud, name: str) -> Cloud:
    session = re.sub(r"[^\w+=,.@-]", "-", getpass.getuser(), flags=re.ASCII)[:64] or "kennel"
    return cloud.acting_as(place_of(cloud).role(name), session)
