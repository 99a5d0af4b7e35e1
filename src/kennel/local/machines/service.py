"""The machines as a part of the server: each instance that EC2 has running is one."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from kennel.local.errors import Refused
from kennel.local.machines.folder import Folder, console
from kennel.local.machines.machine import Machine
from kennel.local.machines.words import ALIVE, ENDING, SERVER
from kennel.local.parts import Document, House, Operation
from kennel.local.within import Instances

SHOWN = 100
LINES = 300


class Machines:
    """Implements parts.Service and parts.Machinery."""

    def __init__(self, house: House, instances: Instances) -> None:
        self._house, self._instances = house, instances
        self._lock = threading.Lock()
        self._machines: dict[str, Machine] = {}

    def operations(self) -> Mapping[str, Operation]:
        """Nothing of SageMaker's: EC2's calls are moto's, and what they change is followed."""
        return {}

    def resume(self) -> None:
        """What a killed server left of those that ended with it goes."""
        for identity, document in self._instances.all().items():
            if document["State"] == "terminated":
                Folder(self._root(identity)).remove()
        self._instances.attend(self._follow)

    def close(self) -> None:
        for identity in list(self._machines):
            self._instances.end(identity, SERVER)
        for machine in list(self._machines.values()):
            machine.finish()
        for machine in list(self._machines.values()):
            machine.join()

    def machines(self) -> Sequence[Document]:
        """The newest first."""
        found = sorted(self._instances.all().items(), key=lambda each: float(each[1]["Made"]), reverse=True)
        return [self._shown(identity, document) for identity, document in found[:SHOWN]]

    def console(self, identity: str) -> Sequence[str]:
        if self._instances.get(identity) is None:  # a name that is no instance's is no folder's either
            return []
        return console(self._root(identity)).decode("utf-8", "replace").splitlines()[-LINES:]

    def interrupt_machine(self, identity: str) -> bool:
        document = self._instances.get(identity)
        if document is None:
            return False
        machine = self._machines.get(identity)
        if machine is None or document["State"] not in ALIVE:
            raise Refused("ValidationException", f"{identity} is {document['State']}: only what runs is interrupted")
        machine.announce()
        return True

    def _shown(self, identity: str, document: Document) -> Document:
        facts = self._instances.facts(identity)
        return {
            "name": identity,
            "tagged": facts.name,
            "type": facts.instance_type + (", spot" if facts.spot else ""),
            "status": document["State"],
            "detail": document["Why"][1] if document["Ended"] and document["Why"] else "",
            "created": document["Made"],
        }

    def _follow(self, identity: str) -> None:
        """Its state has changed."""
        document = self._instances.get(identity)
        state = document["State"] if document else ""
        with self._lock:
            machine = self._machines.get(identity)
            if state == "pending" and not self._house.closing.is_set():
                first = not self._instances.booted(identity)
                self._machines[identity] = Machine(self._house, self._instances, identity, self._root(identity), first)
            elif state in ENDING and (machine is None or not machine.finish()):
                threading.Thread(target=self._bury, args=(identity, state), name="machines", daemon=True).start()

    def _bury(self, identity: str, state: str) -> None:
        """What was stopped has nothing that runs, but a disk."""
        if state == "shutting-down":
            Folder(self._root(identity)).remove()
        self._instances.reach(identity, ENDING[state], state)

    def _root(self, identity: str) -> Path:
        return self._house.home / "machines" / identity
