"""How many of a function's executions may be at work: reserved and provisioned concurrency, and the account's."""

from __future__ import annotations

from collections.abc import Mapping

from kennel.local.errors import Refused
from kennel.local.functions import words
from kennel.local.functions.book import Book, page
from kennel.local.functions.fleet import Fleet, provisioned_of
from kennel.local.functions.limits import UNZIPPED, ZIPPED, Limits
from kennel.local.functions.names import LATEST, Ref, plain, ref_of
from kennel.local.parts import Document, House, Operation

TOTAL_CODE = 80_530_636_800
"""Bytes of all packages; AWS's number, which is not held here."""


class Concurrency:
    """PutFunctionConcurrency, PutProvisionedConcurrencyConfig and their kin, GetAccountSettings."""

    def __init__(self, house: House, book: Book, fleet: Fleet, limits: Limits) -> None:
        self._house, self._book, self._fleet, self._limits = house, book, fleet, limits

    def operations(self) -> Mapping[str, Operation]:
        return {
            "PutFunctionConcurrency": self._reserve,
            "GetFunctionConcurrency": self._reserved,
            "DeleteFunctionConcurrency": self._unreserve,
            "PutProvisionedConcurrencyConfig": self._provision,
            "GetProvisionedConcurrencyConfig": self._provisioned,
            "DeleteProvisionedConcurrencyConfig": self._unprovision,
            "ListProvisionedConcurrencyConfigs": self._list,
            "GetAccountSettings": self._account,
        }

    def _reserve(self, request: Document) -> Document:
        ref, wanted = Ref(plain(self._house, request), ""), int(request["ReservedConcurrentExecutions"])

        def reserve(document: Document) -> None:
            self._check_left(ref.name, {**document, "Concurrency": wanted})
            if wanted < provisioned_of(document):
                raise words.invalid("ReservedConcurrentExecutions cannot be less than the function's provisioned ones.")
            document["Concurrency"] = wanted

        self._book.change(ref, reserve)
        return {"ReservedConcurrentExecutions": wanted}

    def _reserved(self, request: Document) -> Document:
        found = self._book.read(Ref(plain(self._house, request), ""))["Concurrency"]
        return {} if found is None else {"ReservedConcurrentExecutions": found}

    def _unreserve(self, request: Document) -> Document:
        self._book.change(Ref(plain(self._house, request), ""), lambda document: document.update(Concurrency=None))
        return {}

    def _provision(self, request: Document) -> Document:
        ref, wanted = self._published(request), int(request["ProvisionedConcurrentExecutions"])

        def provision(document: Document) -> None:
            alias = document["Aliases"].get(ref.qualifier)
            self._check_not_twice(document, ref.qualifier)
            if alias and alias["FunctionVersion"] == LATEST:
                raise words.invalid(words.UNPUBLISHED)
            asked = {"Requested": wanted, "LastModified": self._book.now()}
            document["Provisioned"][ref.qualifier] = asked
            reserved = document["Concurrency"]
            if reserved is not None and provisioned_of(document) > reserved:
                raise words.invalid(
                    "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution "
                    "for function"
                )
            self._check_left(ref.name, document)

        altered = self._book.change(ref, provision)
        self._fleet.changed(ref.name, again=ref.qualifier)
        return self._shown(altered, ref.qualifier)

    def _provisioned(self, request: Document) -> Document:
        ref = self._published(request)
        document = self._book.read(ref)
        if ref.qualifier not in document["Provisioned"]:
            raise _none()
        return self._shown(document, ref.qualifier)

    def _unprovision(self, request: Document) -> Document:
        ref = self._published(request)

        def remove(document: Document) -> None:
            if document["Provisioned"].pop(ref.qualifier, None) is None:
                raise _none()

        self._book.change(ref, remove)
        self._fleet.changed(ref.name)
        return {}

    def _list(self, request: Document) -> Document:
        name = plain(self._house, request)
        document = self._book.read(Ref(name, ""))
        found = [
            {**self._shown(document, qualifier), "FunctionArn": Ref(name, qualifier).arn(self._house)}
            for qualifier in sorted(document["Provisioned"])
        ]
        return page(found, request, "ProvisionedConcurrencyConfigs")

    def _account(self, request: Document) -> Document:
        documents = self._book.all()
        versions = [each for one in documents for each in (one["Configuration"], *one["Versions"].values())]
        reserved = sum(each["Concurrency"] or 0 for each in documents)
        return {
            "AccountLimit": {
                "TotalCodeSize": TOTAL_CODE,
                "CodeSizeUnzipped": UNZIPPED,
                "CodeSizeZipped": ZIPPED,
                "ConcurrentExecutions": self._limits.concurrency,
                "UnreservedConcurrentExecutions": self._limits.concurrency - reserved,
            },
            "AccountUsage": {
                "TotalCodeSize": sum(each["CodeSize"] for each in versions),
                "FunctionCount": len(documents),
            },
        }

    def _published(self, request: Document) -> Ref:
        """A version or an alias that is there. Raises Refused."""
        ref = ref_of(self._house, request)
        if ref.qualifier in ("", LATEST):
            raise words.invalid(words.UNPUBLISHED)
        self._book.configuration(ref)
        return ref

    def _check_not_twice(self, document: Document, qualifier: str) -> None:
        """Not for an alias and for the version that it leads to."""
        for name, alias in document["Aliases"].items():
            pair = {name, alias["FunctionVersion"]}
            if qualifier in pair and (pair - {qualifier}) & document["Provisioned"].keys():
                raise words.conflict(
                    f"Provisioned concurrency is configured already for alias {name} or for the version it points to."
                )

    def _check_left(self, name: str, document: Document) -> None:
        """Enough of the account's has to stay for functions that reserve nothing. document: as it would be."""
        documents = [*(each for each in self._book.all() if each["Name"] != name), document]
        taken = sum(provisioned_of(each) if each["Concurrency"] is None else each["Concurrency"] for each in documents)
        if taken > self._limits.concurrency - self._limits.unreserved:
            raise words.invalid(
                "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below "
                f"its minimum value of [{self._limits.unreserved}]; there are {self._limits.concurrency} in all."
            )

    def _shown(self, document: Document, qualifier: str) -> Document:
        held, standing = document["Provisioned"][qualifier], self._fleet.standing(document["Name"], qualifier)
        shown = {
            "RequestedProvisionedConcurrentExecutions": held["Requested"],
            "AllocatedProvisionedConcurrentExecutions": standing.allocated,
            "AvailableProvisionedConcurrentExecutions": standing.allocated,
            "Status": standing.status,
            "LastModified": held["LastModified"],
        }
        return {**shown, "StatusReason": standing.failure} if standing.failure else shown


def _none() -> Refused:
    told = "No Provisioned Concurrency Config found for this function"
    return Refused("ProvisionedConcurrencyConfigNotFoundException", told, 404, words.USER)
