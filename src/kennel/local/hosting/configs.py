"""SageMaker's endpoint configurations, kept by name; the deployment that follows from one."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping

from kennel.local.documents import Documents
from kennel.local.errors import invalid
from kennel.local.hosting.models import Models, container_of, data_of
from kennel.local.hosting.plan import STARTUP_S, Deployment, Variant
from kennel.local.listed import listed
from kennel.local.parts import Document, House, Operation

NOT_HERE = (
    "DataCaptureConfig",
    "AsyncInferenceConfig",
    "ExplainerConfig",
    "ShadowProductionVariants",
    "CrossRegionTrafficConfig",
)
NOT_HERE_IN_VARIANT = ("ServerlessConfig", "ManagedInstanceScaling", "InstancePools", "CapacityReservationConfig")


class EndpointConfigs:
    """CreateEndpointConfig, DescribeEndpointConfig, ListEndpointConfigs, DeleteEndpointConfig."""

    def __init__(self, house: House, models: Models) -> None:
        self._house, self._models = house, models
        self._kept = Documents(house.home / "endpoint-configs", house.changes)

    def operations(self) -> Mapping[str, Operation]:
        return {
            "CreateEndpointConfig": self._create,
            "DescribeEndpointConfig": lambda request: self.get(request["EndpointConfigName"]),
            "ListEndpointConfigs": self._list,
            "DeleteEndpointConfig": self._delete,
        }

    def get(self, name: str) -> Document:
        """Raises Refused."""
        found = self._kept.get(name)
        if found is None:
            raise invalid(f'Could not find endpoint configuration "{self._arn(name)}".')
        return found

    def deployment(self, name: str) -> Deployment:
        """All that it needs to run, as its models are now. Raises Refused."""
        config = self.get(name)
        isolated = bool(config.get("EnableNetworkIsolation"))
        variants = tuple(self._variant(each, isolated) for each in config["ProductionVariants"])
        return Deployment(uuid.uuid4().hex[:12], name, variants, self._house.clock.now())

    def _variant(self, given: Document, isolated: bool) -> Variant:
        model = self._models.get(given["ModelName"])
        container = container_of(model)
        return Variant(
            name=given["VariantName"],
            model=given["ModelName"],
            image=container["Image"],
            data=data_of(container),
            environment=container.get("Environment", {}),
            isolated=isolated or model["EnableNetworkIsolation"],
            instance_type=given["InstanceType"],
            instances=given["InitialInstanceCount"],
            weight=given["InitialVariantWeight"],
            startup_s=given.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_S),
            role=model.get("ExecutionRoleArn", ""),
        )

    def _create(self, request: Document) -> Document:
        name = request["EndpointConfigName"]
        arn = self._arn(name)
        _check_supported(request)
        for variant in request["ProductionVariants"]:
            self._check_variant(variant)
        _check_names(request["ProductionVariants"])
        document = {key: value for key, value in request.items() if key != "Tags"}
        document["ProductionVariants"] = [
            {"InitialVariantWeight": 1.0, **each} for each in document["ProductionVariants"]
        ]
        document |= {"EndpointConfigArn": arn, "CreationTime": self._house.clock.now()}
        if not self._kept.add(name, document):
            raise invalid(f'Cannot create already existing endpoint configuration "{arn}".')
        self._house.tags.add(arn, request.get("Tags", []))
        return {"EndpointConfigArn": arn}

    def _check_variant(self, variant: Document) -> None:
        name = variant["VariantName"]
        for each in NOT_HERE_IN_VARIANT:
            if each in variant:
                raise invalid(f"The local AWS does not have {each} (production variant {name}); name an InstanceType.")
        for each in ("ModelName", "InstanceType", "InitialInstanceCount"):
            if each not in variant:
                raise invalid(f"{each} is required for production variant {name}.")
        self._models.get(variant["ModelName"])

    def _list(self, request: Document) -> Document:
        return listed(self._kept.all(), request, "EndpointConfigs", "EndpointConfig", ())

    def _delete(self, request: Document) -> Document:
        """Also one that is in use, as on AWS; such an endpoint goes on, and can no more be updated."""
        arn = self.get(request["EndpointConfigName"])["EndpointConfigArn"]
        self._kept.remove(request["EndpointConfigName"])
        self._house.tags.remove(arn)
        return {}

    def _arn(self, name: str) -> str:
        return self._house.arn(f"endpoint-config/{name}")


def _check_supported(request: Document) -> None:
    for each in NOT_HERE:
        if each in request:
            raise invalid(f"The local AWS does not have {each}; leave it away here.")


def _check_names(variants: list[Document]) -> None:
    name, count = Counter(each["VariantName"] for each in variants).most_common(1)[0]
    if count > 1:
        raise invalid(f"Production variant names must be unique within an endpoint configuration: {name}.")
