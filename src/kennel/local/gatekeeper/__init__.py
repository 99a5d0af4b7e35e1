"""Who calls the local AWS, and whether they may: signatures, callers, their policies, and what services do under roles."""

from kennel.local.gatekeeper.gate import Gatekeeper

__all__ = ["Gatekeeper"]
