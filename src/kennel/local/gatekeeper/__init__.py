"""Who calls the local AWS, and whether they may: signatures, callers, their policies, what services do under roles."""

from kennel.local.gatekeeper.actors import Actors
from kennel.local.gatekeeper.calls import CallLog
from kennel.local.gatekeeper.gate import Gatekeeper
from kennel.local.gatekeeper.things import Things

__all__ = ["Actors", "CallLog", "Gatekeeper", "Things"]
