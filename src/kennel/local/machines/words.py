"""What EC2 says of an instance's state, and why it came to be so."""

from __future__ import annotations

from dataclasses import dataclass

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
ALIVE = ("pending", "running")
ENDING = {"shutting-down": "terminated", "stopping": "stopped"}
"""State → the one that it leads to."""


@dataclass(frozen=True, slots=True)
class Why:
    """A StateReason: EC2's code, and its words."""

    code: str
    words: str

    @property
    def message(self) -> str:
        return f"{self.code}: {self.words}"


USER = Why("Client.UserInitiatedShutdown", "User initiated shutdown")
ITSELF = Why("Client.InstanceInitiatedShutdown", "Instance initiated shutdown")
SPOT = Why("Server.SpotInstanceTermination", "Spot instance termination")
NOT_STARTED = Why("Server.InternalError", "Internal error on launch")
SERVER = Why("Server.InternalError", "The local AWS ended, and the machine with it")
"""AWS has no such end; its code for what is nobody's wish comes nearest."""
