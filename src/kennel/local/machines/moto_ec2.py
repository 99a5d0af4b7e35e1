"""What moto's EC2 has to learn, as instances here are real: they begin pending, and not every call fits every state."""

from __future__ import annotations

import base64
import copy
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from kennel.local.machines.facts import Facts
from kennel.local.machines.words import CODES
from kennel.local.moto_side import ACCOUNT

MOST_USER_DATA = 16384
"""Bytes, before base64; AWS's own bound."""
MOST_MACHINES = 20
"""That are there at a time: each is processes of this machine."""
GONE = ("shutting-down", "terminated")
ReadConsole = Callable[[str], bytes]


def teach(region: str, console: ReadConsole) -> None:
    """region: the only one in which there are machines. Called once, before anything of EC2 is made."""
    backend(region)  # its network of the account's own is made now
    _begin_pending()
    _check_launches(region)
    _check_states()
    _answer_console(console)


def backend(region: str) -> Any:
    from moto.ec2.models import ec2_backends

    return ec2_backends[ACCOUNT][region]


def show(instance: Any, state: str, code: str, message: str, transition: str) -> None:
    """Have moto describe the instance in this state."""
    from moto.ec2.models.instances import InstanceState, StateReason

    instance._state = InstanceState(state, CODES[state])
    instance._reason, instance.state_reason = transition, StateReason(message, code)


def facts(instance: Any, region: str) -> Facts:
    """Of an instance as moto holds it."""
    own = backend(region)
    association = own.iam_instance_profile_associations.get(instance.id)
    profile = association.iam_instance_profile if association else None
    tags = dict(own.tags.get(instance.id, {}))
    shown = instance.metadata_options.instance_metadata_tags == "enabled"
    return Facts(
        identity=instance.id,
        account=ACCOUNT,
        region=region,
        zone=str(instance.availability_zone or f"{region}a"),
        image=str(instance.image_id),
        instance_type=str(instance.instance_type),
        architecture=str(instance.architecture),
        spot=instance.lifecycle == "spot",
        address=str(instance.private_ip_address),
        hostname=str(instance.private_dns_name),
        launched=instance.launch_time.replace(tzinfo=UTC).timestamp(),
        behaviour=str(instance.instance_initiated_shutdown_behavior),
        user_data=_user_data(instance),
        tags=tags if shown else {},
        name=str(tags.get("Name", "")),
        groups=tuple(str(each.name) for each in instance.security_groups),
        profile_arn=str(profile.arn) if profile else "",
        profile_id=str(profile.id) if profile else "",
        role=next((str(each.arn) for each in profile.roles), "") if profile else "",
    )


def _user_data(instance: Any) -> bytes:
    return base64.b64decode(instance.user_data.as_bytes()) if instance.user_data else b""


def _begin_pending() -> None:
    from moto.ec2.models.instances import Instance, InstanceState

    made = Instance.__init__

    def begin(self: Any, *given: Any, **named: Any) -> None:
        made(self, *given, **named)
        self._state = InstanceState("pending", CODES["pending"])

    Instance.__init__ = begin


def _check_launches(region: str) -> None:
    """A token that was used gives the instances that it made; AWS refuses what moto would take."""
    from moto.core.responses import ActionResult
    from moto.ec2.exceptions import EC2ClientError
    from moto.ec2.responses.instances import InstanceResponse

    run = InstanceResponse.run_instances

    def checked(response: Any) -> Any:
        token, image = response._get_param("ClientToken"), response._get_param("ImageId")
        if response.region != region:
            raise EC2ClientError("Unsupported", f"This local AWS has machines in {region} only")
        _check_user_data(response._get_param("UserData") or "")
        if image not in response.ec2_backend.amis:
            raise EC2ClientError("InvalidAMIID.NotFound", f"The image id '[{image}]' does not exist")
        if token and (before := _reservation(response.ec2_backend, token)):
            return ActionResult(before)
        _check_room(response.ec2_backend, int(response._get_param("MaxCount") or 1))
        return run(response)

    InstanceResponse.run_instances = checked


def _check_user_data(given: str) -> None:
    from moto.ec2.exceptions import EC2ClientError

    try:
        size = len(base64.b64decode(given, validate=True))
    except ValueError as error:
        raise EC2ClientError("InvalidParameterValue", "Invalid BASE64 encoding of user data") from error
    if size > MOST_USER_DATA:
        raise EC2ClientError("InvalidParameterValue", f"User data is limited to {MOST_USER_DATA} bytes")


def _check_room(own: Any, more: int) -> None:
    from moto.ec2.exceptions import EC2ClientError

    there = sum(each._state.name not in (*GONE, "stopped") for each in own.all_instances())
    if there + more > MOST_MACHINES:
        told = f"The local AWS has at most {MOST_MACHINES} machines at a time, {there} are there: terminate some"
        raise EC2ClientError("InstanceLimitExceeded", told)


def _reservation(own: Any, token: str) -> Any:
    found = own.reservations.values()
    return next((each for each in found if any(one.client_token == token for one in each.instances)), None)


def _check_states() -> None:
    from moto.ec2.exceptions import EC2ClientError
    from moto.ec2.models.instances import Instance, InstanceBackend

    def fits(instance: Any, verb: str) -> None:
        state, spot = instance._state.name, instance.lifecycle == "spot"
        if verb == "reboot":
            raise EC2ClientError("UnsupportedOperation", "The local AWS reboots no machine: terminate it, run another")
        if state in GONE or (verb == "start" and state == "stopping"):
            told = f"The instance '{instance.id}' is not in a state from which it can be {PAST[verb]}."
            raise EC2ClientError("IncorrectInstanceState", told)
        if verb == "start" and state == "stopped":
            _check_room(instance.ec2_backend, 1)
        if spot and verb in ("stop", "start"):
            told = f"You can't {verb} the Spot Instance '{instance.id}': its request is a one-time one."
            raise EC2ClientError("UnsupportedOperation", told)

    for verb in PAST:
        _before_all(InstanceBackend, f"{verb}_instances", partial(fits, verb=verb))
    for verb, states in (
        ("start", ("pending", "running")),
        ("stop", ("stopping", "stopped")),
        ("terminate", GONE),
    ):
        _nothing_in(Instance, verb, states)


PAST = {"start": "started", "stop": "stopped", "reboot": "rebooted"}


def _before_all(where: Any, name: str, check: Callable[[Any], None]) -> None:
    """All are looked at before the first one is changed: what is refused has changed nothing."""
    does = getattr(where, name)

    def checked(self: Any, instance_ids: Sequence[str]) -> Any:
        for each in self.get_multi_instances_by_id(instance_ids):
            check(each)
        return does(self, instance_ids)

    setattr(where, name, checked)


def _nothing_in(where: Any, verb: str, states: Sequence[str]) -> None:
    """An instance that is there already stays as it is."""
    does = getattr(where, verb)

    def changed(self: Any) -> Any:
        return copy.copy(self._state) if self._state.name in states else does(self)

    setattr(where, verb, changed)


def _answer_console(console: ReadConsole) -> None:
    from moto.core.responses import ActionResult
    from moto.core.types import Base64EncodedString
    from moto.ec2.responses.general import General

    def get_console_output(response: Any) -> Any:
        response.error_on_dryrun()
        instance = response.ec2_backend.get_instance(response._get_param("InstanceId"))
        output = Base64EncodedString.from_encoded_bytes(base64.b64encode(console(instance.id)))
        at = datetime.fromtimestamp(time.time(), UTC).replace(tzinfo=None)
        return ActionResult({"InstanceId": instance.id, "Timestamp": at, "Output": output})

    General.get_console_output = get_console_output
