"""SageMaker's hosting as a service of the local AWS: models, configurations, endpoints, invocations, metrics."""

from __future__ import annotations

from collections.abc import Mapping

from kennel.local.hosting.configs import EndpointConfigs
from kennel.local.hosting.endpoints import Endpoints, Watcher
from kennel.local.hosting.fleet import Counts
from kennel.local.hosting.models import Models
from kennel.local.hosting.plan import Limits, Variant
from kennel.local.parts import House, Operation, Reply


class Hosting:
    """Implements parts.Service and parts.Invocations."""

    def __init__(self, house: House, limits: Limits | None = None) -> None:
        self._models = Models(house)
        self._configs = EndpointConfigs(house, self._models)
        self._endpoints = Endpoints(house, self._configs, limits or Limits())

    def operations(self) -> Mapping[str, Operation]:
        return {**self._models.operations(), **self._configs.operations(), **self._endpoints.operations()}

    def invoke(self, name: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """InvokeEndpoint; every error is a reply too. headers: names in lower case."""
        return self._endpoints.invoke(name, headers, body)

    def watched_by(self, watcher: Watcher) -> None:
        """Call it before resume."""
        self._endpoints.watched_by(watcher)

    def instances(self, endpoint: str, variant: str) -> Counts:
        """Zeros for what is not there."""
        return self._endpoints.instances(endpoint, variant)

    def variant(self, endpoint: str, name: str) -> Variant | None:
        """As it is deployed, or about to be. Raises Refused where there is no such endpoint."""
        return self._endpoints.variant(endpoint, name)

    def resume(self) -> None:
        self._endpoints.resume()

    def close(self) -> None:
        self._endpoints.close()
