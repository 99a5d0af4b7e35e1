"""InvokeEndpoint: a request to an instance and its answer, or the error that SageMaker makes of it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from kennel.local.hosting import words
from kennel.local.hosting.instance import Answer, Instance, Late, Unreachable
from kennel.local.hosting.meter import Meter
from kennel.local.hosting.plan import Limits
from kennel.local.hosting.router import Closed, NoInstance, NoVariant, Router
from kennel.local.parts import House, Reply

ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
TARGET = "x-amzn-sagemaker-target-variant"
FORWARDED = ("content-type", "accept", ATTRIBUTES, "x-amzn-sagemaker-inference-id")
NOT_HERE = {
    "x-amzn-sagemaker-target-model": "TargetModel",
    "x-amzn-sagemaker-target-container-hostname": "TargetContainerHostname",
    "x-amzn-sagemaker-inference-component": "InferenceComponentName",
    "x-amzn-sagemaker-session-id": "SessionId",
    "x-amzn-sagemaker-enable-explanations": "EnableExplanations",
}
ATTRIBUTES_MOST = 1024
BREAKS = 4
"""Connections that one request may see break before it is taken for the reason."""
MESSAGE_MOST = 2048
BROKEN = "The container closed the connection without an answer."


@dataclass(frozen=True, slots=True)
class Invocation:
    """headers: names in lower case."""

    endpoint: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Asked:
    """variant: that was asked; model_s: of the attempt that counts. answer: None where there was none (see why)."""

    variant: str
    model_s: float
    answer: Answer | None
    why: str = ""


class Invoker:
    """Of one endpoint."""

    def __init__(self, house: House, limits: Limits, router: Router, meter: Meter) -> None:
        self._house, self._limits, self._router, self._meter = house, limits, router, meter

    def __call__(self, invocation: Invocation) -> Reply:
        if refusal := refused(invocation, self._limits.payload):
            return refusal
        began = time.monotonic()
        try:
            asked = self._ask(invocation, began + self._limits.answer_s)
        except Closed:
            return not_found(invocation.endpoint, self._house.account)
        except NoVariant:
            variant = invocation.headers.get(TARGET, "")
            return error(400, "ValidationError", f"Variant {variant} not found for Request")
        except NoInstance:
            return error(503, "ServiceUnavailable", "No instance of the endpoint was able to take the request in time.")
        status = asked.answer.status if asked.answer else 0
        self._meter.answer(asked.variant, status, asked.model_s, time.monotonic() - began - asked.model_s)
        if asked.answer is None:
            return self._model_error(invocation.endpoint, 0, asked.why)
        if not 200 <= status < 300:
            return self._model_error(invocation.endpoint, status, asked.answer.body.decode("utf-8", "replace"))
        return _reply(asked.answer, asked.variant)

    def _ask(self, invocation: Invocation, until: float) -> _Asked:
        """Another instance is asked where one dies: predictions may be repeated, and nobody has seen an answer yet."""
        headers = {name: invocation.headers[name] for name in FORWARDED if name in invocation.headers}
        asked, breaks = False, 0
        while True:
            variant, instance = self._router.acquire(invocation.headers.get(TARGET), until)
            if not asked:
                self._meter.request(variant, self._router.size(variant))
            asked, began = True, time.monotonic()
            try:
                answer = instance.ask(headers, invocation.body, until - began)
                return _Asked(variant, time.monotonic() - began, answer)
            except Late:
                return _Asked(variant, time.monotonic() - began, None, words.TIMED_OUT)
            except Unreachable as unreachable:
                self._doubt(instance)
                breaks += unreachable.sent
                if breaks >= BREAKS:
                    return _Asked(variant, time.monotonic() - began, None, BROKEN)
            finally:
                self._router.release(instance)

    def _doubt(self, instance: Instance) -> None:
        """It gets no more before it has answered a ping, which it is asked at once."""
        self._router.withdraw(instance)
        instance.look.set()

    def _model_error(self, endpoint: str, status: int, message: str) -> Reply:
        house = self._house
        told = words.model_error(status, message, endpoint, house.account, house.region)
        group = house.arn(f"log-group:{words.log_group(endpoint)}", "logs")
        more = {"OriginalStatusCode": status, "OriginalMessage": message[:MESSAGE_MOST], "LogStreamArn": group}
        return error(424, "ModelError", told, more)


def refused(invocation: Invocation, payload: int) -> Reply | None:
    """What is wrong with a request, whatever the endpoint."""
    if len(invocation.body) > payload:
        return error(413, "", f"HTTP content length exceeded {payload} bytes.")
    attributes = invocation.headers.get(ATTRIBUTES, "")
    if len(attributes) > ATTRIBUTES_MOST or not attributes.isascii():
        return error(
            400,
            "ValidationError",
            f"CustomAttributes must have at most {ATTRIBUTES_MOST} characters, of US-ASCII only.",
        )
    for header, name in NOT_HERE.items():
        if header in invocation.headers:
            return error(400, "ValidationError", f"The local AWS does not have {name}; leave it away here.")
    return None


def not_found(endpoint: str, account: str) -> Reply:
    return error(400, "ValidationError", f"Endpoint {endpoint} of account {account} not found.")


def error(status: int, code: str, message: str, more: Mapping[str, object] | None = None) -> Reply:
    """An error as clients of this service parse it; without a code they take the status for it."""
    headers = {"Content-Type": "application/json"}
    if code:
        headers["x-amzn-ErrorType"] = code
    return Reply(status, headers, json.dumps({"Message": message[:MESSAGE_MOST], **(more or {})}).encode())


def _reply(answer: Answer, variant: str) -> Reply:
    headers = {"x-Amzn-Invoked-Production-Variant": variant}
    headers["Content-Type"] = answer.headers.get("content-type", "application/octet-stream")
    if ATTRIBUTES in answer.headers:
        headers["X-Amzn-SageMaker-Custom-Attributes"] = answer.headers[ATTRIBUTES]
    return Reply(200, headers, answer.body)
