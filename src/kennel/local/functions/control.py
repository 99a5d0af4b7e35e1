"""Functions themselves: created, described, listed, updated, deleted; their code and their configuration."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from kennel.local.errors import Refused
from kennel.local.functions import words
from kennel.local.functions.book import Book, check_revision, page, revision
from kennel.local.functions.code import CodeStore
from kennel.local.functions.limits import UNZIPPED, ZIPPED
from kennel.local.functions.names import LATEST, Ref, plain, ref_of
from kennel.local.functions.requests import SET, check_supported, check_values, logging_of, new_document, stateless
from kennel.local.functions.versions import publish
from kennel.local.parts import Document, House, Operation

log = logging.getLogger(__name__)

PRINCIPAL = "lambda.amazonaws.com"
Changed = Callable[[str], None]
"""(function's name): what runs of it may have to change."""


class Control:
    """changed: told after every change to a function, also when it goes."""

    def __init__(self, house: House, book: Book, code: CodeStore, changed: Changed) -> None:
        self._house, self._book, self._code, self._changed = house, book, code, changed
        self._packages = threading.Lock()
        """Between a package's arrival and the document that names it, none is forgotten."""

    def operations(self) -> Mapping[str, Operation]:
        return {
            "CreateFunction": self._create,
            "GetFunction": self._get,
            "GetFunctionConfiguration": lambda request: self._book.configuration(ref_of(self._house, request)),
            "ListFunctions": self._list,
            "UpdateFunctionCode": self._update_code,
            "UpdateFunctionConfiguration": self._update_configuration,
            "DeleteFunction": self._delete,
        }

    def settle(self, name: str) -> None:
        """What was asked for is so from now on: the new code and configuration run."""

        def end(document: Document) -> None:
            for each in (document["Configuration"], *document["Versions"].values()):
                for member in ("StateReason", "StateReasonCode"):
                    each.pop(member, None)
                each.update(State="Active", LastUpdateStatus="Successful")
            document["Runs"] = dict(document["Configuration"])

        try:
            self._code.unpacked(self._book.read(Ref(name, ""))["Configuration"]["CodeSha256"])
            self._book.change(Ref(name, ""), end)
            self._changed(name)
        except Refused as refused:
            log.warning("function %s: %s", name, refused)  # it was deleted meanwhile

    def forget_code(self) -> None:
        """Packages that no version has any more."""
        with self._packages:
            self._code.keep_only(
                each["CodeSha256"]
                for document in self._book.all()
                for each in (document["Configuration"], document["Runs"], *document["Versions"].values())
            )

    def _create(self, request: Document) -> Document:
        name = plain(self._house, request)
        arn = Ref(name, "").arn(self._house)
        for member in ("Runtime", "Handler"):
            if member not in request:
                raise words.invalid(f"{member} is mandatory for functions created with deployment packages.")
        self._check(request, arn)
        if any(each["Name"] == name for each in self._book.all()):
            raise words.conflict(f"Function already exist: {name}")
        package = self._package(request["Code"], "CreateFunction")
        with self._packages:
            configuration = self._configuration(name, arn, request, self._code.add(package), len(package))
            document = new_document(name, configuration, dict(request.get("Tags", {})))
            shown = publish(document, arn, "") if request.get("Publish") else configuration
            if not self._book.add(document):
                raise words.conflict(f"Function already exist: {name}")
        self._begin(name)
        return dict(shown)

    def _configuration(self, name: str, arn: str, request: Document, code: str, size: int) -> Document:
        given: Document = {member: request[member] for member in SET if member in request}
        return {
            "FunctionName": name,
            "FunctionArn": arn,
            "Description": "",
            "Timeout": 3,
            "MemorySize": 128,
            "EphemeralStorage": {"Size": 512},
            **given,
            "CodeSize": size,
            "CodeSha256": code,
            "Version": LATEST,
            "LastModified": self._book.now(),
            "RevisionId": revision(),
            "State": "Pending",
            "StateReason": "The function is being created.",
            "StateReasonCode": "Creating",
            "LastUpdateStatus": "Successful",
            "PackageType": "Zip",
            "Architectures": request.get("Architectures", ["x86_64"]),
            "TracingConfig": request.get("TracingConfig", {"Mode": "PassThrough"}),
            "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
            "LoggingConfig": logging_of(name, request.get("LoggingConfig", {})),
        }

    def _get(self, request: Document) -> Document:
        ref = ref_of(self._house, request)
        document, configuration = self._book.read(ref), self._book.configuration(ref)
        place = f"{self._house.url}/_code/{self._code.location(configuration['CodeSha256'])}.zip"
        answer: Document = {"Configuration": configuration, "Code": {"RepositoryType": "S3", "Location": place}}
        if document["Tags"]:
            answer["Tags"] = document["Tags"]
        if document["Concurrency"] is not None:
            answer["Concurrency"] = {"ReservedConcurrentExecutions": document["Concurrency"]}
        return answer

    def _list(self, request: Document) -> Document:
        found = []
        for document in self._book.all():
            found.append(document["Configuration"])
            if request.get("FunctionVersion") == "ALL":
                found += document["Versions"].values()
        return page([stateless(each) for each in found], request, "Functions")

    def _update_code(self, request: Document) -> Document:
        ref = Ref(plain(self._house, request), "")
        self._book.read(ref)
        check_supported(request)
        package, shown, code = self._package(request, "UpdateFunctionCode"), Document(), ""

        def update(document: Document) -> None:
            configuration = document["Configuration"]
            self._check_settled(configuration, request)
            configuration.update(CodeSha256=code, CodeSize=len(package))
            if "Architectures" in request:
                configuration["Architectures"] = request["Architectures"]
            self._mark(configuration)
            published = request.get("Publish") and not request.get("DryRun")
            shown.update(publish(document, ref.arn(self._house), "") if published else configuration)
            if request.get("DryRun"):
                raise _DryRun

        try:
            with self._packages:
                code = self._code.add(package)  # before the book is held: it takes a while
                self._book.change(ref, update)
        except _DryRun:
            return {**shown, "LastUpdateStatus": "Successful"}
        self._begin(ref.name)
        return shown

    def _update_configuration(self, request: Document) -> Document:
        ref = Ref(plain(self._house, request), "")
        self._check(request, ref.arn(self._house))

        def update(document: Document) -> None:
            configuration = document["Configuration"]
            self._check_settled(configuration, request)
            configuration.update({member: request[member] for member in (*SET, "TracingConfig") if member in request})
            if not configuration.get("Environment", {}).get("Variables", True):
                del configuration["Environment"]
            if "LoggingConfig" in request:
                configuration["LoggingConfig"] = logging_of(ref.name, request["LoggingConfig"])
            self._mark(configuration)

        altered = self._book.change(ref, update)
        self._begin(ref.name)
        return dict(altered["Configuration"])

    def _delete(self, request: Document) -> Document:
        ref = ref_of(self._house, request)
        if not ref.qualifier:
            self._book.read(ref)
            self._book.remove(ref.name)
        else:
            self._book.change(ref, lambda document: self._remove_version(document, ref))
        self._changed(ref.name)
        self.forget_code()
        return {"StatusCode": 204}

    def _remove_version(self, document: Document, ref: Ref) -> None:
        if ref.qualifier == LATEST:
            raise words.invalid("$LATEST version cannot be deleted without deleting the function.")
        if ref.qualifier in document["Aliases"]:
            raise words.invalid(f"{ref.qualifier} is an alias; delete it with DeleteAlias.")
        for alias in document["Aliases"].values():
            routed = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
            if ref.qualifier in (alias["FunctionVersion"], *routed):
                raise words.conflict(f"Version {ref.qualifier} is referenced by alias {alias['Name']}.")
        if document["Versions"].pop(ref.qualifier, None) is not None:  # AWS answers 204 also where there is none
            document["Provisioned"].pop(ref.qualifier, None)

    def _package(self, code: Document, operation: str) -> bytes:
        """The zip's bytes, from the request or from S3. Raises Refused."""
        if code.get("ImageUri"):
            raise words.invalid("The local AWS runs functions from zip packages; give ZipFile, or S3Bucket and S3Key.")
        if "ZipFile" in code:
            if len(code["ZipFile"]) > ZIPPED:
                raise words.too_large(ZIPPED, operation)
            return bytes(code["ZipFile"])
        if not (code.get("S3Bucket") and code.get("S3Key")):
            raise words.invalid("Please provide a source for function code.")
        if code.get("S3ObjectVersion"):
            raise words.invalid("The local AWS takes an object's newest version; leave S3ObjectVersion away.")
        try:
            found = self._house.objects.get(code["S3Bucket"], code["S3Key"])
        except Refused as refused:
            told = f"Error occurred while GetObject. S3 Error Code: {refused.code}. S3 Error Message: {refused.message}"
            raise words.invalid(told) from refused
        if found.size > UNZIPPED:
            raise words.invalid(words.TOO_LARGE_UNZIPPED.format(most=UNZIPPED))
        return found.path.read_bytes()

    def _check(self, request: Document, arn: str) -> None:
        """Raises Refused."""
        check_supported(request)
        check_values(request)
        if role := request.get("Role"):
            try:
                self._house.roles.check_assumable(role, PRINCIPAL, arn)
            except Refused as refused:
                raise words.invalid(words.NO_ROLE) from refused

    def _check_settled(self, configuration: Document, request: Document) -> None:
        check_revision(request, configuration)
        if configuration["State"] != "Active":
            raise words.conflict(words.IN_STATE.format(state=configuration["State"]))
        if configuration["LastUpdateStatus"] == "InProgress":
            raise words.conflict(words.UPDATING.format(arn=configuration["FunctionArn"]))

    def _mark(self, configuration: Document) -> None:
        configuration.update(LastModified=self._book.now(), RevisionId=revision(), LastUpdateStatus="InProgress")

    def _begin(self, name: str) -> None:
        threading.Thread(target=self.settle, args=(name,), name=f"function-{name}", daemon=True).start()


class _DryRun(Exception):
    """Nothing of it is kept."""
