"""SageMaker's models: what to run with which archive, kept by name."""

from __future__ import annotations

from collections.abc import Mapping

from kennel.local.documents import Documents
from kennel.local.errors import Refused, invalid
from kennel.local.hosting import words
from kennel.local.listed import listed
from kennel.local.parts import Document, House, Operation

PRINCIPAL = "sagemaker.amazonaws.com"
KEPT = ("ModelName", "PrimaryContainer", "Containers", "ExecutionRoleArn", "VpcConfig", "EnableNetworkIsolation")


class Models:
    """CreateModel, DescribeModel, ListModels, DeleteModel."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._kept = Documents(house.home / "models", house.changes)

    def operations(self) -> Mapping[str, Operation]:
        return {
            "CreateModel": self._create,
            "DescribeModel": lambda request: self.get(request["ModelName"]),
            "ListModels": self._list,
            "DeleteModel": self._delete,
        }

    def get(self, name: str) -> Document:
        """Raises Refused."""
        found = self._kept.get(name)
        if found is None:
            raise invalid(f'Could not find model "{self._arn(name)}".')
        return found

    def _create(self, request: Document) -> Document:
        name = request["ModelName"]
        arn = self._arn(name)
        if self._kept.get(name) is not None:
            raise invalid(f'Cannot create already existing model "{arn}".')
        container = container_of(request)
        role = request.get("ExecutionRoleArn", "")
        if role:
            self._house.roles.check_assumable(role, PRINCIPAL, arn)
        self._check_data(container, self._house.acting_as(role, arn) if role else self._house, role)
        document = {key: request[key] for key in KEPT if key in request}
        document |= {"ModelArn": arn, "CreationTime": self._house.clock.now()}
        document.setdefault("EnableNetworkIsolation", False)
        if not self._kept.add(name, document):
            raise invalid(f'Cannot create already existing model "{arn}".')
        self._house.tags.add(arn, request.get("Tags", []))
        return {"ModelArn": arn}

    def _check_data(self, container: Document, house: House, role: str) -> None:
        url = data_of(container)
        if url is None:
            return
        try:
            house.objects.get(*object_of(url))
        except Refused as error:
            if error.code == "AccessDenied":
                raise invalid(words.no_access(url, role, house.region)) from error
            raise invalid(f"Could not find model data at {url}.") from error

    def _list(self, request: Document) -> Document:
        return listed(self._kept.all(), request, "Models", "Model", ())

    def _delete(self, request: Document) -> Document:
        arn = self.get(request["ModelName"])["ModelArn"]
        self._kept.remove(request["ModelName"])
        self._house.tags.remove(arn)
        return {}

    def _arn(self, name: str) -> str:
        return self._house.arn(f"model/{name}")


def container_of(model: Document) -> Document:
    """The one container of a model. Raises Refused for what the local AWS does not run."""
    given = [model["PrimaryContainer"]] if "PrimaryContainer" in model else []
    given += model.get("Containers", [])
    if not given:
        raise invalid("Model must have a PrimaryContainer or Containers.")
    container: Document = given[0]
    missing = [name for name in ("ModelPackageName", "AdditionalModelDataSources") if container.get(name)]
    if len(given) > 1 or container.get("Mode") == "MultiModel" or missing:
        raise invalid("The local AWS runs models of one container and one archive; name an Image and a ModelDataUrl.")
    if "Image" not in container:
        raise invalid("Model container definition must have an Image.")
    return container


def data_of(container: Document) -> str | None:
    """The archive's s3:// address, if the model has one. Raises Refused."""
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if source is None:
        return container.get("ModelDataUrl")
    if "ModelDataUrl" in container:
        raise invalid("Either ModelDataUrl or ModelDataSource can be given, not both.")
    if (source["S3DataType"], source["CompressionType"]) != ("S3Object", "Gzip"):
        raise invalid("The local AWS takes a model's data as one tar.gz: S3DataType S3Object, CompressionType Gzip.")
    return str(source["S3Uri"])


def object_of(url: str) -> tuple[str, str]:
    """Bucket and key of an s3:// address. Raises Refused."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not bucket or not key:
        raise invalid(f"Could not find model data at {url}.")
    return bucket, key
