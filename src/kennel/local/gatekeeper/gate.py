"""The gatekeeper: whose signature a request has, and whether all that the request needs is allowed to its caller."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from xml.sax.saxutils import escape

from kennel.errors import PolicyError
from kennel.iam.evaluation import evaluate
from kennel.iam.record import Call as Recorded
from kennel.iam.values import Access, Caller, Decision, Policies, Written
from kennel.local.call import Call, Environ
from kennel.local.errors import Refused
from kennel.local.gatekeeper import context, limits, words
from kennel.local.gatekeeper.callers import Callers, Known
from kennel.local.gatekeeper.calls import CallLog
from kennel.local.gatekeeper.mapping import Place, Unknown, needs
from kennel.local.gatekeeper.reading import Unreadable, asked_of
from kennel.local.gatekeeper.signatures import Flawed, Signature
from kennel.local.gatekeeper.standing import Standing
from kennel.local.gatekeeper.things import Things
from kennel.local.moto_side import ACCOUNT, Moto
from kennel.local.parts import Reply

STS = "https://sts.amazonaws.com/doc/2011-06-15/"
log = logging.getLogger(__name__)

POLICY_OF_BUCKET = ("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy")
"""What a bucket's own policy cannot take from the administrator, as on AWS from the root: a way back in."""


class Gatekeeper:
    """keys: the home's own; things: what there is beside moto's; now: epoch seconds, by which signatures count."""

    def __init__(
        self,
        moto: Moto,
        keys: tuple[str, str],
        region: str,
        calls: CallLog,
        things: Things,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.calls, self.standing = calls, Standing(moto)
        self._callers, self._region, self._things, self._now = Callers(moto, keys), region, things, now

    def asker(self, environ: Environ, service: str) -> Asker:
        """Who signed a request, for which service. Raises Refused."""
        now = self._now()
        try:
            signature = Signature.of(environ)
            if signature is None:  # S3's version 2, which no bucket takes that was made since 2020
                raise Refused("InvalidRequest", words.OLD)
            if signature.service != service:
                raise Flawed("mismatch")
            known = self._known(signature, service, now)
            signature.check(environ, known.secret, now)
        except Flawed as error:
            raise words.flawed(service, error) from error
        source, agent = str(environ.get("REMOTE_ADDR", "")), str(environ.get("HTTP_USER_AGENT", ""))
        tags = self.role_tags(known.caller.role) if known.caller.role else known.tags
        return Asker(self, known, service, context.of_request(known, tags, signature.region, source, agent, now))

    def _known(self, signature: Signature, service: str, now: float) -> Known:
        known = self._callers.find(signature.access_key)
        if known is None:
            raise words.unknown_key(service)
        if not known.holds(signature.token):
            raise words.wrong_token(service)
        if known.expires <= now:
            raise words.expired_token(service)
        return known

    def now(self) -> float:
        return self._now()

    def version(self) -> tuple[int, int]:
        """Another one as soon as a policy may have changed."""
        return self.standing.version()

    def role_tags(self, role_arn: str) -> Mapping[str, str]:
        found: Mapping[str, str] = self.standing.kept("iam", f"tags {role_arn}", lambda: self._things.tags(role_arn))
        return found

    def place(self, caller: Caller, region: str) -> Place:
        """region: that of the request, which is signed for it."""
        things = self._things
        return Place("aws", region, ACCOUNT, tags=things.tags, caller=caller.arn, found=things.found)

    def decide(self, access: Access, known: Known, operation: str) -> Decision:
        """What comes of an access that somebody asks for, by its signature; it is recorded."""
        own = self.standing.administrator() if known.administrator else self.standing.of(known.caller, known.session)
        if known.administrator and access.action in POLICY_OF_BUCKET:
            return self._record(access, known.caller, Decision(True, "allowed"), operation)
        return self.weigh(access, known.caller, own, operation)

    def weigh(self, access: Access, caller: Caller, own: Policies, operation: str) -> Decision:
        """own: without the policy of the resource, which is added here where it has none."""
        try:
            whole = own if own.resource is not None else replace(own, resource=self._of_resource(access))
            decision = evaluate(access, caller, whole)
        except PolicyError:
            log.exception("a policy that cannot be evaluated refuses")
            decision = Decision(False, "no identity-based policy allows")
        return self._record(access, caller, decision, operation)

    def trusts(self, role_arn: str, principal: str, source_arn: str) -> bool:
        """Whether a role lets a service take it on, for work on what the source names."""
        if (policy := self.standing.trust(role_arn)) is None:
            return False
        keys = {"aws:sourceaccount": (ACCOUNT,), **({"aws:sourcearn": (source_arn,)} if source_arn else {})}
        asked = Access("sts:AssumeRole", role_arn, {**keys, "aws:principalisawsservice": ("true",)})
        return self.weigh(asked, Caller(principal), Policies(resource=policy), source_arn or role_arn).allowed

    def _of_resource(self, access: Access) -> Written | None:
        service = access.action.split(":")[0]
        if service == "s3":
            return self.standing.bucket(access.resource.split(":", 5)[-1].split("/")[0])
        if service == "sts":
            return self.standing.trust(access.resource)
        return self._things.function_policy(access.resource) if service == "lambda" else None

    def _record(self, access: Access, caller: Caller, decision: Decision, operation: str) -> Decision:
        asked = (access.action, access.resource, decision.allowed, decision.reason, decision.sid, operation)
        keys = {key: each for key, each in access.context.items() if key != "aws:useragent"}
        self.calls.add(Recorded(self._now(), caller.arn, caller.role, *asked, keys))
        return decision


REGION = "aws:requestedregion"


class Asker:
    """Who asks in one request. Implements parts.Asker."""

    def __init__(self, gate: Gatekeeper, known: Known, service: str, keys: context.Context) -> None:
        self.known = known
        self._gate, self._service, self._keys = gate, service, keys

    @property
    def arn(self) -> str:
        return self.known.caller.arn

    @property
    def userid(self) -> str:
        return self.known.userid

    @property
    def administrator(self) -> bool:
        return self.known.administrator

    def admit(self, operation: str, request: Mapping[str, Any]) -> None:
        """Raises Refused unless all that the operation needs is allowed."""
        caller = self.known.caller
        try:
            asked = needs(self._service, operation, request, self._gate.place(caller, self._keys[REGION][0]))
        except Unknown as error:
            log.warning("%s:%s is refused: %s", self._service, operation, error)
            raise words.unknown(self._service, caller, operation, str(error)) from error
        for access in asked:
            decision = self._decision(access, operation)
            if not decision.allowed:
                raise words.denied(self._service, caller, access, decision)

    def admit_call(self, call: Call) -> str:
        """The same of a call to one of moto's services; the operation's name. Raises Refused."""
        try:
            operation, request = asked_of(call)
        except (Unreadable, Unknown) as error:
            log.warning("%s %s of %s is refused: %s", call.method, call.path, call.service, error)
            raise words.unknown(self._service, self.known.caller, call.action() or call.method, str(error)) from error
        self.admit(operation, request)
        limits.check(call, operation, request, self._gate.standing)
        return operation

    def answer(self, operation: str) -> Reply | None:
        """GetCallerIdentity's; None of all other operations."""
        if (self._service, operation) != ("sts", "GetCallerIdentity"):
            return None
        told = {"Arn": self.arn, "UserId": self.userid, "Account": ACCOUNT}
        members = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in told.items())
        body = f"<GetCallerIdentityResult>{members}</GetCallerIdentityResult>"
        whole = f'<GetCallerIdentityResponse xmlns="{STS}">{body}</GetCallerIdentityResponse>'
        return Reply(200, {"Content-Type": "text/xml"}, whole.encode())

    def why_not(
        self, action: str, resource: str, operation: str, keys: Mapping[str, tuple[str, ...]] | None = None
    ) -> Refused | None:
        """What AWS would say, if it is not allowed."""
        access = Access(action, resource, keys or {})
        decision = self._decision(access, operation)
        return None if decision.allowed else words.denied(self._service, self.known.caller, access, decision)

    def _decision(self, access: Access, operation: str) -> Decision:
        whole = replace(access, context={**self._keys, **access.context})
        return self._gate.decide(whole, self.known, f"{self._service}:{operation}")
