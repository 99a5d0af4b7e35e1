"""The instances: moto describes them, a document each says how they really are, and the two always agree.

moto's calls come through the journal. What happens by itself (a machine powers off, the server ended) is done by a
call of the same kind, so that the journal, played again, comes to the same: networks and groups that are free again
are so then too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kennel.local.call import Call
from kennel.local.documents import Documents
from kennel.local.machines import moto_ec2
from kennel.local.machines.facts import Facts
from kennel.local.machines.folder import console
from kennel.local.machines.words import ALIVE, ENDING, SERVER, USER, Why
from kennel.local.moto_side import Moto
from kennel.local.parts import Changes, Document

IDENTITY = re.compile(r"i-[0-9a-f]{8,17}")
BECOMES = {"terminated": "shutting-down", "stopped": "stopping", "running": "pending"}
"""moto's states, in which there is no time between a call and its end → the first one on the way there."""
AGREES = {
    "pending": ALIVE,
    "running": ALIVE,
    "stopped": ("stopping", "stopped"),
    "terminated": ("shutting-down", "terminated"),
}
"""What moto says when its journal was played → what a document may say then."""


class InstanceBook:
    """Implements within.Instances and moto_side.Keeper. folder: of the machines."""

    def __init__(self, folder: Path, moto: Moto, region: str, changes: Changes) -> None:
        self._moto, self._region, self._folder = moto, region, folder
        self._documents = Documents(folder, changes)
        self._told: Callable[[str], None] = lambda identity: None
        moto.kept_by("ec2", self)
        moto.taught("ec2", lambda: moto_ec2.teach(region, lambda identity: console(folder / identity)))

    def keeps(self, call: Call) -> bool:
        """Nothing: EC2 is the journal's."""
        return False

    def keep(self, call: Call) -> None:
        """Follow what a call has changed, on disk before it is answered."""
        for instance in moto_ec2.backend(self._region).all_instances():
            self._follow(instance)

    def load(self) -> None:
        """What ran when the last server ended runs no more."""
        if not self._moto.knows("ec2"):
            return
        for instance in moto_ec2.backend(self._region).all_instances():
            found = self._documents.get(instance.id)
            if found is not None and found["State"] in AGREES[instance._state.name]:
                self._show(instance, found)
            else:  # killed between the journal and the document
                self._follow(instance)
        for identity in self._documents.names():
            self.end(identity, SERVER)
            self._settle(identity)

    def _settle(self, identity: str) -> None:
        """What was ending has ended."""
        found = self._documents.get(identity)
        if found is not None and found["State"] in ENDING:
            self.reach(identity, ENDING[found["State"]], found["State"])

    def attend(self, told: Callable[[str], None]) -> None:
        """told: of an instance whose state has changed, under moto's lock."""
        self._told = told

    def all(self) -> dict[str, Document]:
        found = {name: self._documents.get(name) for name in self._documents.names()}
        return {name: each for name, each in found.items() if each is not None}

    def get(self, identity: str) -> Document | None:
        return self._documents.get(identity)

    def facts(self, identity: str) -> Facts:
        with self._moto.lock:
            return moto_ec2.facts(self._instance(identity), self._region)

    def reach(self, identity: str, state: str, before: str) -> bool:
        """It is in that state now; False, and nothing done, where it was not in the one before."""

        def change(document: Document) -> None:
            document["State"] = state

        with self._moto.lock:
            found = self._documents.get(identity)
            if found is None or found["State"] != before:
                return False
            self._documents.change(identity, change)
            self._show(self._instance(identity), {**found, "State": state})
            return True

    def booted(self, identity: str) -> bool:
        """Whether it has been started before; it has been from now on."""
        before: list[bool] = []

        def change(document: Document) -> None:
            before.append(document["Booted"])
            document["Booted"] = True

        self._documents.change(identity, change)
        return any(before)

    def end(self, identity: str, why: Why) -> None:
        """It ends by itself, or by the server's doing: terminated, or stopped where its own shutdown does that."""

        def change(document: Document) -> None:
            document["Why"] = [why.code, why.message]

        with self._moto.lock:
            if (self._documents.get(identity) or {}).get("State") not in ALIVE:
                return
            instance = self._instance(identity)
            stops = why.code.startswith("Client") and instance.instance_initiated_shutdown_behavior == "stop"
            self._documents.change(identity, change)
            verb = "StopInstances" if stops else "TerminateInstances"
            if self._moto.answer(self._call(verb, identity)).status >= 400:  # protected against calls, not against this
                (instance.stop if stops else instance.terminate)()
                self._follow(instance)

    def _follow(self, instance: Any) -> None:
        """Where moto says something else than the document, a call has changed it just now."""
        found = self._documents.get(instance.id)
        state = instance._state.name
        if found is None:
            self._documents.add(instance.id, _new())
        elif state == found["State"]:
            return
        else:
            self._turn(instance.id, state)
        now = self._documents.get(instance.id)
        assert now is not None
        self._show(instance, now)
        self._told(instance.id)

    def _turn(self, identity: str, state: str) -> None:
        becomes = BECOMES.get(state, state)
        ends = becomes != "pending"

        def change(document: Document) -> None:
            document["State"] = becomes
            by_call = document["Why"] is None or document["Ended"]
            why = [USER.code, USER.message] if by_call else document["Why"]
            document.update(Why=why if ends else None, Ended=time.time() if ends else 0.0, ByCall=by_call and ends)

        self._documents.change(identity, change)

    def _show(self, instance: Any, document: Document) -> None:
        code, message = document["Why"] if document["Ended"] else ("", "")
        at = datetime.fromtimestamp(document["Ended"], UTC)
        transition = f"User initiated ({at:%Y-%m-%d %H:%M:%S} GMT)" if document["ByCall"] else ""
        moto_ec2.show(instance, document["State"], code, message, transition)

    def _instance(self, identity: str) -> Any:
        return moto_ec2.backend(self._region).get_instance(identity)

    def _call(self, verb: str, identity: str) -> Call:
        """As a client would ask; the server's own calls are nobody's to allow."""
        body = urlencode({"Action": verb, "Version": "2016-11-15", "InstanceId.1": identity}).encode()
        signed = f"AWS4-HMAC-SHA256 Credential=server/20000101/{self._region}/ec2/aws4_request, Signature=-"
        headers = {
            "HTTP_HOST": "127.0.0.1",
            "HTTP_AUTHORIZATION": signed,
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "CONTENT_LENGTH": str(len(body)),
        }
        return Call("ec2", "POST", "/", "", headers, body)


def _new() -> Document:
    return {"State": "pending", "Why": None, "Ended": 0.0, "ByCall": False, "Booted": False, "Made": time.time()}
