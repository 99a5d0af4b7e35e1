"""Systems Manager's public parameters by which images for instances are found. Nothing else of SSM is here."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kennel.local.errors import Refused
from kennel.local.parts import Document, House, Operation

IMAGE = "ami-999844e0"
"""A Deep Learning AMI that moto's EC2 knows, whichever one is asked for: what it holds is not imitated."""
_IMAGES = re.compile(r"/aws/service/deeplearning/ami/(x86_64|arm64)/[a-z0-9._-]{1,200}/latest/ami-id")


class Parameters:
    """Implements parts.Service and parts.JsonService."""

    service = "ssm"

    def __init__(self, house: House) -> None:
        self._house = house

    def operations(self) -> Mapping[str, Operation]:
        """Nothing of SageMaker's."""
        return {}

    def json_operations(self) -> Mapping[str, Operation]:
        return {"GetParameter": self._get, "GetParameters": self._get_several}

    def resume(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing runs."""

    def _get(self, request: Document) -> Document:
        name = str(request["Name"])
        if not _IMAGES.fullmatch(name):
            raise Refused("ParameterNotFound", f"Parameter {name} not found.")
        return {"Parameter": self._parameter(name)}

    def _get_several(self, request: Document) -> Document:
        names = [str(each) for each in request["Names"]]
        found = [each for each in names if _IMAGES.fullmatch(each)]
        return {
            "Parameters": [self._parameter(each) for each in found],
            "InvalidParameters": [each for each in names if each not in found],
        }

    def _parameter(self, name: str) -> Document:
        return {
            "Name": name,
            "Type": "String",
            "Value": IMAGE,
            "Version": 1,
            "ARN": f"arn:aws:ssm:{self._house.region}::parameter{name}",
            "DataType": "aws:ec2:image",
        }
