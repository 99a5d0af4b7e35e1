"""Condition keys that are the same for every access of a request: who asks, from where, when."""

from __future__ import annotations

from collections.abc import Mapping

from kennel.iam.record import times
from kennel.local.gatekeeper.callers import Known
from kennel.local.moto_side import ACCOUNT

Context = Mapping[str, tuple[str, ...]]


def of_request(known: Known, tags: Mapping[str, str], region: str, source: str, agent: str, now: float) -> Context:
    """source: the address it came from. What comes by loopback never leaves the machine, so it counts as secure."""
    return {
        **of_caller(known.caller.arn, known.caller.role, known.userid, known.name, tags),
        "aws:securetransport": ("true",),
        "aws:sourceip": (source,),
        "aws:useragent": (agent,),
        "aws:requestedregion": (region,),
        **times(now),
    }


def of_service(role_arn: str, session: str, tags: Mapping[str, str], region: str, now: float) -> Context:
    """What a service does under a role: it comes from no address that a policy could know."""
    return {
        **of_caller(session, role_arn, f"AROA:{session.rsplit('/', 1)[-1]}", "", tags),
        "aws:securetransport": ("true",),
        "aws:requestedregion": (region,),
        **times(now),
    }


def of_caller(arn: str, role: str, userid: str, name: str, tags: Mapping[str, str]) -> Context:
    return {
        "aws:principalarn": (role or arn,),
        "aws:principalaccount": (ACCOUNT,),
        "aws:principaltype": ("AssumedRole" if role else "User",),
        "aws:principalisawsservice": ("false",),
        "aws:viaawsservice": ("false",),
        "aws:userid": (userid,),
        **({"aws:username": (name,)} if name else {}),
        "aws:resourceaccount": (ACCOUNT,),
        **{f"aws:principaltag/{key.lower()}": (value,) for key, value in tags.items()},
    }
