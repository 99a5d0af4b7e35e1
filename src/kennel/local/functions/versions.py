"""Published versions, which never change, and aliases, which lead to one of them, or to two by weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kennel.local.functions import words
from kennel.local.functions.book import Book, check_revision, page, revision
from kennel.local.functions.names import LATEST, Ref, plain, ref_of
from kennel.local.parts import Document, House, Operation

COMPARED = (
    "Runtime", "Role", "Handler", "CodeSha256", "Timeout", "MemorySize", "Environment", "EphemeralStorage",
    "TracingConfig", "LoggingConfig", "Architectures",
)  # fmt: skip
"""A version differs from the one before it in one of these."""


class Versions:
    """changed: told a function's name when one of its aliases leads elsewhere, or goes."""

    def __init__(self, house: House, book: Book, changed: Callable[[str], None]) -> None:
        self._house, self._book, self._changed = house, book, changed

    def operations(self) -> Mapping[str, Operation]:
        return {
            "PublishVersion": self._publish,
            "ListVersionsByFunction": self._list,
            "CreateAlias": self._create_alias,
            "UpdateAlias": self._update_alias,
            "GetAlias": self._get_alias,
            "DeleteAlias": self._delete_alias,
            "ListAliases": self._list_aliases,
        }

    def _publish(self, request: Document) -> Document:
        ref, shown = Ref(plain(self._house, request), ""), Document()

        def add(document: Document) -> None:
            newest = document["Configuration"]
            check_revision(request, newest)
            if newest["State"] != "Active":
                raise words.conflict(words.IN_STATE.format(state=newest["State"]))
            if newest["LastUpdateStatus"] == "InProgress":
                raise words.conflict(words.UPDATING.format(arn=newest["FunctionArn"]))
            if request.get("CodeSha256") not in (None, newest["CodeSha256"]):
                raise words.invalid(
                    f"CodeSHA256 ({request['CodeSha256']}) is different from current CodeSHA256 in $LATEST "
                    f"({newest['CodeSha256']}). Please try again with the CodeSHA256 in $LATEST."
                )
            shown.update(publish(document, ref.arn(self._house), request.get("Description", "")))

        self._book.change(ref, add)
        return shown

    def _list(self, request: Document) -> Document:
        document = self._book.read(ref_of(self._house, request))
        newest = {**document["Configuration"], "FunctionArn": f"{document['Configuration']['FunctionArn']}:{LATEST}"}
        return page([newest, *document["Versions"].values()], request, "Versions")

    def _create_alias(self, request: Document) -> Document:
        ref, alias = Ref(plain(self._house, request), ""), request["Name"]

        def add(document: Document) -> None:
            if alias in document["Aliases"]:
                arn = Ref(ref.name, alias).arn(self._house)
                raise words.conflict(f"Alias already exists: {arn}")
            document["Aliases"][alias] = self._made(ref.name, document, request, {"Description": ""})

        return self._shown(self._book.change(ref, add)["Aliases"][alias])

    def _update_alias(self, request: Document) -> Document:
        ref, alias = Ref(plain(self._house, request), ""), request["Name"]

        def update(document: Document) -> None:
            held = self._held(document, ref.name, alias)
            check_revision(request, held)
            document["Aliases"][alias] = self._made(ref.name, document, request, held)

        altered = self._book.change(ref, update)
        self._changed(ref.name)
        return self._shown(altered["Aliases"][alias])

    def _get_alias(self, request: Document) -> Document:
        name = plain(self._house, request)
        return self._shown(self._held(self._book.read(Ref(name, "")), name, request["Name"]))

    def _delete_alias(self, request: Document) -> Document:
        """Also one that is not there, as on AWS; what hangs on it goes with it."""
        ref, alias = Ref(plain(self._house, request), ""), request["Name"]

        def remove(document: Document) -> None:
            for each in ("Aliases", "Provisioned", "Urls", "Policies"):
                document[each].pop(alias, None)

        self._book.change(ref, remove)
        self._changed(ref.name)
        return {}

    def _list_aliases(self, request: Document) -> Document:
        aliases = self._book.read(Ref(plain(self._house, request), ""))["Aliases"]
        version = request.get("FunctionVersion")
        found = [each for _, each in sorted(aliases.items()) if version in (None, each["FunctionVersion"])]
        return page([self._shown(each) for each in found], request, "Aliases")

    def _made(self, name: str, document: Document, request: Document, held: Document) -> Document:
        """The alias as the request wants it, over what is held. Raises Refused."""
        given: Document = {key: request[key] for key in ("FunctionVersion", "Description") if key in request}
        arn = Ref(name, request["Name"]).arn(self._house)
        made: Document = {**held, **given, "Name": request["Name"], "AliasArn": arn, "RevisionId": revision()}
        if "RoutingConfig" in request:
            made["RoutingConfig"] = request["RoutingConfig"]
        routed = made.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        if not routed:
            made.pop("RoutingConfig", None)
        for version in (made["FunctionVersion"], *routed):
            if version != LATEST and version not in document["Versions"]:
                raise words.not_found(Ref(name, version).arn(self._house))
        _check_weights(made["FunctionVersion"], routed)
        if request["Name"] in document["Provisioned"] and LATEST in (made["FunctionVersion"], *routed):
            raise words.invalid(words.UNPUBLISHED)
        return made

    def _held(self, document: Document, name: str, alias: str) -> Document:
        if alias not in document["Aliases"]:
            raise words.missing(f"Cannot find alias arn: {Ref(name, alias).arn(self._house)}")
        return dict(document["Aliases"][alias])

    def _shown(self, alias: Document) -> Document:
        return dict(alias)


def publish(document: Document, arn: str, description: str) -> Document:
    """Add a version to a function's document, where its newest code or configuration is new; the version."""
    newest: Document = document["Configuration"]
    versions: dict[str, Document] = document["Versions"]
    last: Document = versions[max(versions, key=int)] if versions else {}
    if last and all(last.get(member) == newest.get(member) for member in COMPARED):
        return dict(last)
    number = str(document["NextVersion"])
    made = {**newest, "Version": number, "FunctionArn": f"{arn}:{number}", "RevisionId": revision()}
    made["Description"] = description or newest["Description"]
    versions[number] = made
    document["NextVersion"] += 1
    return dict(made)


def _check_weights(version: str, routed: Mapping[str, float]) -> None:
    if not routed:
        return
    if len(routed) > 1:
        raise words.invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
    if version == LATEST or LATEST in routed:
        raise words.invalid("$LATEST is not supported for an alias pointing to more than 1 version")
    if version in routed:
        raise words.invalid(f"Invalid function version {version}. Function version {version} is already included.")
