"""The instance profile: what EC2 gives to a machine, so that it may take on the role of the same name."""

from __future__ import annotations

from kennel.cloud.session import Cloud


def roles_of_profile(cloud: Cloud, name: str) -> tuple[str, ...] | None:
    """Names of the roles in it, of which AWS allows one; None where there is no such profile."""
    iam = cloud.client("iam")
    try:
        found = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]
    except iam.exceptions.NoSuchEntityException:
        return None
    return tuple(str(each["RoleName"]) for each in found)


def make_profile(cloud: Cloud, name: str) -> None:
    """With the role of its name in it, and no other."""
    iam, held = cloud.client("iam"), roles_of_profile(cloud, name)
    if held is None:
        iam.create_instance_profile(InstanceProfileName=name, Tags=cloud.settings.tags())
    for other in set(held or ()) - {name}:
        iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=other)
    if name not in (held or ()):
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def remove_profile(cloud: Cloud, name: str) -> None:
    """IAM lets no role go that is in a profile."""
    iam = cloud.client("iam")
    for role in roles_of_profile(cloud, name) or ():
        iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=role)
    iam.delete_instance_profile(InstanceProfileName=name)
