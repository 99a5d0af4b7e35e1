"""Models, endpoint configurations, endpoints and invocations: SageMaker's hosting, on this machine."""

from kennel.local.hosting.plan import Limits
from kennel.local.hosting.service import Hosting

__all__ = ["Hosting", "Limits"]
