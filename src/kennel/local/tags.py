"""Tags of SageMaker's resources: kept by ARN, and the operations on them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from kennel.local.documents import Documents
from kennel.local.errors import invalid, limit_exceeded
from kennel.local.parts import Changes, Document, House, Operation

MOST = 50
"""Tags that a resource can have."""


class TagStore:
    """Implements within.Tags."""

    def __init__(self, folder: Path, changes: Changes) -> None:
        self._documents = Documents(folder, changes)

    def add(self, arn: str, tags: Sequence[Mapping[str, str]]) -> None:
        """A key that is there already gets the new value."""
        if not tags:
            return
        self._documents.add(_name(arn), {"Arn": arn, "Tags": []})
        self._documents.change(_name(arn), lambda document: document.update(Tags=_merged(document["Tags"], tags)))

    def of(self, arn: str) -> list[dict[str, str]]:
        found = self._documents.get(_name(arn))
        return list(found["Tags"]) if found else []

    def remove(self, arn: str) -> None:
        """All of a resource's, which goes."""
        self._documents.remove(_name(arn))

    def take(self, arn: str, keys: Sequence[str]) -> None:
        """These of a resource's."""

        def without(document: Document) -> None:
            document["Tags"] = [each for each in document["Tags"] if each["Key"] not in keys]

        self._documents.change(_name(arn), without)


class Tagging:
    """AddTags, ListTags, DeleteTags."""

    def __init__(self, house: House, store: TagStore) -> None:
        self._house, self._store = house, store

    def operations(self) -> Mapping[str, Operation]:
        return {"AddTags": self._add, "ListTags": self._list, "DeleteTags": self._delete}

    def resume(self) -> None:
        """Nothing of it was under way."""

    def close(self) -> None:
        """Nothing of it runs."""

    def _add(self, request: Document) -> Document:
        arn = self._checked(request)
        merged = _merged(self._store.of(arn), request["Tags"])
        if len(merged) > MOST:
            raise limit_exceeded(f"The resource would have {len(merged)} tags; it can have {MOST}")
        self._store.add(arn, request["Tags"])
        return {"Tags": merged}

    def _list(self, request: Document) -> Document:
        return {"Tags": self._store.of(self._checked(request))}

    def _delete(self, request: Document) -> Document:
        self._store.take(self._checked(request), request["TagKeys"])
        return {}

    def _checked(self, request: Document) -> str:
        arn = str(request["ResourceArn"]).lower()
        if not arn.startswith(self._house.arn("")):
            raise invalid(f"{arn} is not the ARN of a resource of SageMaker in {self._house.region}")
        return arn


def _merged(held: Sequence[Mapping[str, str]], given: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    values = {each["Key"]: each["Value"] for each in (*held, *given)}
    return [{"Key": key, "Value": value} for key, value in values.items()]


def _name(arn: str) -> str:
    """A file's name. In policies SageMaker's ARNs are in small letters, whatever a name was given as."""
    return hashlib.sha256(arn.lower().encode()).hexdigest()[:32]
