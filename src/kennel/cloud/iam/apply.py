"""The roles as an account has them, what differs from how they are meant, and its mending.

Roles that do not carry this project's tag are somebody else's: they are used as they are, and never touched.
"""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kennel.aws.arns import partition_of
from kennel.cloud.iam import Place, place_of, role_of
from kennel.cloud.iam.profile import make_profile, roles_of_profile
from kennel.cloud.iam.values import Actor, Policy, Role, written
from kennel.cloud.session import Cloud, told
from kennel.errors import KennelError, SettingError
from kennel.iam.sizes import LIMITS, size

PROPAGATION_SECONDS = 10
"""IAM tells the rest of AWS of a new role some seconds later; until then SageMaker says it cannot assume it."""
Wait = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Found:
    """A role as it is. policies: inline, by name; attached: ARNs of managed ones; ours: whether it is tagged so."""

    arn: str
    trust: Policy
    policies: Mapping[str, Policy] = field(default_factory=dict)
    attached: tuple[str, ...] = ()
    boundary: str = ""
    longest_s: int = 3600
    ours: bool = True


@dataclass(frozen=True, slots=True)
class Difference:
    """What a role is, and what it should be; None as `found` where it is not there. policy: the inline one's name.
    elsewhere: names of the inline policies that are what the project wants in other regions. profiled: names of the
    roles in the instance profile, of a role that needs one."""

    role: Role
    project: str
    region: str
    found: Found | None
    elsewhere: frozenset[str] = frozenset()
    profiled: tuple[str, ...] = ()

    @property
    def policy(self) -> str:
        return f"{self.project}-{self.region}"

    def __bool__(self) -> bool:
        """Whether anything has to be done about it."""
        return (self.found is None or self.found.ours) and self._before() != self._after()

    def lines(self) -> list[str]:
        """A unified difference, for people."""
        before, after = (json.dumps(each, indent=2).splitlines() for each in (self._before(), self._after()))
        source = "/dev/null" if self.found is None else self.role.name
        return list(difflib.unified_diff([] if self.found is None else before, after, source, self.role.name, "", "",
                                         lineterm=""))  # fmt: skip

    def superfluous(self) -> tuple[str, ...]:
        """Inline policies that are not ours, neither here nor in another region."""
        there = self.found.policies if self.found else {}
        return tuple(each for each in sorted(there) if each != self.policy and not self.of_a_region(each))

    def of_regions(self) -> tuple[str, ...]:
        """Inline policies of other regions, which stay."""
        return tuple(each for each in sorted(self.found.policies if self.found else {}) if self.of_a_region(each))

    def of_a_region(self, policy: str) -> bool:
        """Whether it is ours in another region: by its name, and by what it allows."""
        return policy in self.elsewhere

    def _before(self) -> Policy:
        found = self.found
        if found is None:
            return {}
        policies = {name: found.policies[name] for name in sorted(found.policies) if not self.of_a_region(name)}
        return _state(found.trust, found.longest_s, policies, found.attached, found.boundary, self.profiled)

    def _after(self) -> Policy:
        profiled = (self.role.name,) if self.role.profiled else ()
        return _state(self.role.trust, self.role.longest_s, {self.policy: self.role.policy}, (), "", profiled)


def differences(cloud: Cloud, roles: tuple[Role, ...]) -> tuple[Difference, ...]:
    """Everything about each role that is not as it should be; those that are in order too. Raises KennelError."""
    return tuple(_difference(cloud, role, look(cloud, role.name)) for role in roles)


def carry_out(cloud: Cloud, difference: Difference, wait: Wait = time.sleep) -> None:
    """Make the role what it should be. Raises KennelError."""
    role, found, iam = difference.role, difference.found, cloud.client("iam")
    with told(f"make the role {role.name}" if found is None else f"change the role {role.name}"):
        if found is None:
            _make(cloud, role)
        else:
            _change(cloud, role, found)
        _check_sum(difference)
        if found is None or dict(found.policies).get(difference.policy) != role.policy:
            iam.put_role_policy(
                RoleName=role.name, PolicyName=difference.policy, PolicyDocument=written(role.policy)
            )  # before anything goes: at no time may a role do less than it should
        if role.profiled and difference.profiled != (role.name,):
            make_profile(cloud, role.name)
        for name in difference.superfluous():
            iam.delete_role_policy(RoleName=role.name, PolicyName=name)
        for arn in found.attached if found else ():
            iam.detach_role_policy(RoleName=role.name, PolicyArn=arn)
        if found is None and cloud.side == "aws":
            wait(PROPAGATION_SECONDS)


def ensure(cloud: Cloud, actor: Actor, wait: Wait = time.sleep) -> str:
    """The ARN of an actor's role; it is made or mended where that is needed and allowed. Raises KennelError."""
    role = role_of(place_of(cloud), actor)
    with told(f"look at the role {role.name}"):
        found = _looked(cloud, role.name, (policy_name(cloud),))
    if _difference(cloud, role, found):
        if cloud.is_session_of(cloud.settings.deployer_role):
            raise _administrators(role.name, found)
        carry_out(cloud, _difference(cloud, role, look(cloud, role.name)), wait)
    return found.arn if found else _arn(cloud, role.name)


def look(cloud: Cloud, name: str) -> Found | None:
    """All of a role that is there, None where it is not. Raises KennelError."""
    iam = cloud.client("iam")
    with told(f"look at the role {name}"):
        found = _looked(cloud, name, ())
        if found is None:
            return None
        names = [each for page in _pages(iam, "list_role_policies", name) for each in page["PolicyNames"]]
        managed = [
            each for page in _pages(iam, "list_attached_role_policies", name) for each in page["AttachedPolicies"]
        ]
        policies = {each: _policy(iam, name, each) or {} for each in names}
        attached = tuple(sorted(each["PolicyArn"] for each in managed))
        return Found(found.arn, found.trust, policies, attached, found.boundary, found.longest_s, found.ours)


def policy_name(cloud: Cloud) -> str:
    """Of the inline policy: roles are an account's, what they may use is a region's."""
    return f"{cloud.settings.project}-{cloud.region}"


def check(role: Role) -> Role:
    """The role, if IAM would take it. Raises SettingError."""
    for document, longest, what in (
        (role.policy, LIMITS["role"], "policy"),
        (role.trust, LIMITS["trust"], "trust policy"),
    ):
        if (found := size(document)) > longest:
            told = f"the {what} of {role.name} has {found} characters, and IAM takes {longest}"
            raise SettingError(told, "Use shorter names in kennel.toml")
    return role


def _difference(cloud: Cloud, role: Role, found: Found | None) -> Difference:
    profiled = (roles_of_profile(cloud, role.name) or ()) if role.profiled else ()
    return Difference(
        check(role), cloud.settings.project, cloud.region, found, _elsewhere(cloud, role, found), profiled
    )


def _elsewhere(cloud: Cloud, role: Role, found: Found | None) -> frozenset[str]:
    """A name alone proves nothing: anybody who may write to the role can give it to a policy that allows all."""
    there, begin = dict(found.policies) if found else {}, f"{cloud.settings.project}-"
    regions = {each.removeprefix(begin): each for each in there if each.startswith(begin)}
    regions.pop(cloud.region, None)
    known = _regions(cloud) if regions else frozenset()
    return frozenset(
        name
        for region, name in regions.items()
        if region in known and role_of(_place(cloud, region), role.actor).policy == there[name]
    )


def _regions(cloud: Cloud) -> frozenset[str]:
    """Where there is SageMaker, as far as botocore knows, in the account's partition."""
    from boto3 import Session

    return frozenset(Session().get_available_regions("sagemaker", partition_of(cloud.region)))


def _place(cloud: Cloud, region: str) -> Place:
    """Of the same kennel.toml in another region."""
    return Place(cloud.settings.model_copy(update={"region": region}), region, cloud.account)


def _check_sum(difference: Difference) -> None:
    """What is allowed in other regions counts, too."""
    others = {name: document for name, document in (difference.found.policies if difference.found else {}).items()
              if difference.of_a_region(name)}  # fmt: skip
    together = sum(map(size, (difference.role.policy, *others.values())))
    if together > LIMITS["role"]:
        what = f"{difference.role.name} has no room for {difference.policy} beside {', '.join(sorted(others))}"
        remedy = f"Give this region a role of its own: [roles] {difference.role.actor} in its kennel.toml"
        raise SettingError(f"{what}: {together} characters, and IAM takes {LIMITS['role']}", remedy)


def _looked(cloud: Cloud, name: str, policies: tuple[str, ...]) -> Found | None:
    iam = cloud.client("iam")
    try:
        found = iam.get_role(RoleName=name)["Role"]
    except iam.exceptions.NoSuchEntityException:
        return None
    there = {each: document for each in policies if (document := _policy(iam, name, each)) is not None}
    return Found(
        str(found["Arn"]),
        found["AssumeRolePolicyDocument"],
        there,
        (),
        found.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""),
        int(found.get("MaxSessionDuration", 3600)),
        all(tag in found.get("Tags", []) for tag in cloud.settings.tags()),
    )


def _policy(iam: Any, role: str, name: str) -> Policy | None:
    try:
        return dict(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
    except iam.exceptions.NoSuchEntityException:
        return None


def _make(cloud: Cloud, role: Role) -> None:
    iam = cloud.client("iam")
    iam.create_role(
        RoleName=role.name,
        AssumeRolePolicyDocument=written(role.trust),
        Description=_described(cloud, role),
        MaxSessionDuration=role.longest_s,
        Tags=cloud.settings.tags(),
    )
    iam.get_waiter("role_exists").wait(RoleName=role.name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})


def _change(cloud: Cloud, role: Role, found: Found) -> None:
    iam = cloud.client("iam")
    if found.trust != role.trust:
        iam.update_assume_role_policy(RoleName=role.name, PolicyDocument=written(role.trust))
    if found.longest_s != role.longest_s:
        iam.update_role(RoleName=role.name, Description=_described(cloud, role), MaxSessionDuration=role.longest_s)
    if found.boundary:
        iam.delete_role_permissions_boundary(RoleName=role.name)


def _described(cloud: Cloud, role: Role) -> str:
    return f"{cloud.settings.project}: {role.purpose}"


def _state(
    trust: Policy,
    longest_s: int,
    policies: Mapping[str, Policy],
    attached: tuple[str, ...],
    boundary: str,
    profiled: tuple[str, ...],
) -> Policy:
    """For comparison and for people: what is not there is left away."""
    found: Policy = {"trust": trust, "longest session": longest_s, "policies": dict(policies)}
    found |= {"instance profile": list(profiled)} if profiled else {}
    found |= {"managed policies": list(attached)} if attached else {}
    return found | ({"permissions boundary": boundary} if boundary else {})


def _pages(iam: Any, operation: str, name: str) -> Iterator[Any]:
    yield from iam.get_paginator(operation).paginate(RoleName=name)


def _administrators(name: str, found: Found | None) -> KennelError:
    what = f"there is no role {name}" if found is None else f"the role {name} is not as kennel.toml wants it"
    return KennelError(what, "Ask whoever administers the account: kennel iam apply")


def _arn(cloud: Cloud, name: str) -> str:
    return str(cloud.client("iam").get_role(RoleName=name)["Role"]["Arn"])
