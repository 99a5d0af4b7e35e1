"""Lambda on this machine: functions, versions, aliases, concurrency, function URLs, and the instances that run them."""

from kennel.local.functions.limits import Limits
from kennel.local.functions.service import Functions

__all__ = ["Functions", "Limits"]
