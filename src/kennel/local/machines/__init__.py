"""EC2's instances as machines of this machine: user data really run, metadata, console, and an end whatever happens."""

from kennel.local.machines.book import InstanceBook
from kennel.local.machines.service import Machines

__all__ = ["InstanceBook", "Machines"]
