"""Application Auto Scaling of endpoints, on this machine: its API, and the loop that starts and ends instances."""

from kennel.local.scaling.service import Scaling

__all__ = ["Scaling"]
