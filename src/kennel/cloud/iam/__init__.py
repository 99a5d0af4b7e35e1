"""The roles of everybody who takes part, as values from the settings; compared with an account's, and applied there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kennel.cloud.iam import launching, people, work
from kennel.cloud.iam.place import Place
from kennel.cloud.iam.values import ACTORS, Actor, Role
from kennel.cloud.session import Cloud

__all__ = ["ACTORS", "Actor", "Place", "Role", "place_of", "role_of", "roles_of"]

MADE: Mapping[Actor, Callable[[Place], Role]] = {
    "training": work.training,
    "endpoint": work.endpoint,
    "function": work.function,
    "instance": work.instance,
    "deployer": people.deployer,
    "builder": people.builder,
    "launcher": launching.launcher,
}


def role_of(place: Place, actor: Actor) -> Role:
    """One actor's role. Raises SettingError."""
    return MADE[actor](place)


def roles_of(place: Place) -> tuple[Role, ...]:
    """Those of all actors. Raises SettingError."""
    return tuple(role_of(place, actor) for actor in ACTORS)


def place_of(cloud: Cloud) -> Place:
    return Place(cloud.settings, cloud.region, cloud.account)
