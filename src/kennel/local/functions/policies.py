"""Who may invoke a function: the statements of its policy, and of each version's and alias's own. And its tags."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from kennel.local.functions import words
from kennel.local.functions.book import Book, check_revision, revision
from kennel.local.functions.names import LATEST, Ref, ref_of
from kennel.local.parts import Document, House, Operation

MOST = 20480
"""Bytes of a policy."""
MOST_TAGS = 50


class Policies:
    """AddPermission, GetPolicy, RemovePermission; TagResource, UntagResource, ListTags."""

    def __init__(self, house: House, book: Book) -> None:
        self._house, self._book = house, book

    def operations(self) -> Mapping[str, Operation]:
        return {
            "AddPermission": self._add,
            "GetPolicy": self._get,
            "RemovePermission": self._remove,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTags": lambda request: {"Tags": self._book.read(self._tagged(request))["Tags"]},
        }

    def _add(self, request: Document) -> Document:
        ref = self._ref(request)
        statement = self._statement(request, ref)

        def add(document: Document) -> None:
            policy = document["Policies"].setdefault(ref.qualifier, {"RevisionId": revision(), "Statements": []})
            check_revision(request, policy)
            if any(each["Sid"] == statement["Sid"] for each in policy["Statements"]):
                raise words.conflict(
                    f"The statement id ({statement['Sid']}) provided already exists. Please provide a new statement "
                    "id, or remove the existing statement."
                )
            policy["Statements"].append(statement)
            policy["RevisionId"] = revision()
            if len(json.dumps(policy["Statements"])) > MOST:
                raise words.invalid(f"The final policy size is bigger than the limit ({MOST}).")

        self._book.change(ref, add)
        return {"Statement": json.dumps(statement)}

    def _get(self, request: Document) -> Document:
        policy = self._held(self._ref(request))
        document = {"Version": "2012-10-17", "Id": "default", "Statement": policy["Statements"]}
        return {"Policy": json.dumps(document), "RevisionId": policy["RevisionId"]}

    def _remove(self, request: Document) -> Document:
        ref, identity = self._ref(request), request["StatementId"]
        held = self._held(ref)
        check_revision(request, held)
        if not any(each["Sid"] == identity for each in held["Statements"]):
            raise words.missing(f"Statement {identity} is not found in resource policy.")

        def remove(document: Document) -> None:
            policy = document["Policies"].get(ref.qualifier, {"Statements": []})
            policy["Statements"] = [each for each in policy["Statements"] if each["Sid"] != identity]
            policy["RevisionId"] = revision()
            if not policy["Statements"]:
                document["Policies"].pop(ref.qualifier, None)

        self._book.change(ref, remove)
        return {}

    def _ref(self, request: Document) -> Ref:
        ref = ref_of(self._house, request)
        if ref.qualifier == LATEST:
            raise words.invalid("We currently do not support adding policies for $LATEST.")
        self._book.configuration(ref)
        return ref

    def _held(self, ref: Ref) -> Document:
        found = self._book.read(ref)["Policies"].get(ref.qualifier)
        if found is None:
            raise words.missing("The resource you requested does not exist.")
        return dict(found)

    def _statement(self, request: Document, ref: Ref) -> Document:
        statement: Document = {
            "Sid": request["StatementId"],
            "Effect": "Allow",
            "Principal": _principal(request["Principal"], self._house.account),
            "Action": request["Action"],
            "Resource": ref.arn(self._house),
        }
        conditions = _conditions(request)
        return {**statement, "Condition": conditions} if conditions else statement

    def _tag(self, request: Document) -> Document:
        def tag(document: Document) -> None:
            document["Tags"].update(request["Tags"])
            if len(document["Tags"]) > MOST_TAGS:
                raise words.invalid(f"A function can have {MOST_TAGS} tags.")

        self._book.change(self._tagged(request), tag)
        return {}

    def _untag(self, request: Document) -> Document:
        def untag(document: Document) -> None:
            document["Tags"] = {key: each for key, each in document["Tags"].items() if key not in request["TagKeys"]}

        self._book.change(self._tagged(request), untag)
        return {}

    def _tagged(self, request: Document) -> Ref:
        ref = ref_of(self._house, {"FunctionName": request["Resource"]})
        if ref.qualifier:
            raise words.invalid(
                "Tags on function aliases and versions are not supported. Please specify a function ARN."
            )
        return ref


def is_public(statements: Sequence[Document], auth_type: str) -> bool:
    """Whether anybody may call a function URL: since October 2025 AWS wants both permissions for that."""
    granted = set[str]()
    for each in statements:
        if each["Principal"] not in ("*", {"AWS": "*"}):
            continue
        if each["Action"] == "lambda:InvokeFunctionUrl" and _asks(each, "lambda:FunctionUrlAuthType", auth_type):
            granted.add("url")
        if each["Action"] == "lambda:InvokeFunction" and _asks(each, "lambda:InvokedViaFunctionUrl", "true"):
            granted.add("function")
    return granted == {"url", "function"}


def _asks(statement: Document, key: str, value: str) -> bool:
    """Whether its conditions hold for what is asked, as far as they are about this key."""
    return all(
        name == key and str(wanted).lower() == value.lower()
        for test in statement.get("Condition", {}).values()
        for name, wanted in test.items()
    )


def _principal(given: str, account: str) -> object:
    if given == "*":
        return "*"
    if given.endswith((".amazonaws.com", ".amazon.com")):
        return {"Service": given}
    return {"AWS": f"arn:aws:iam::{given}:root" if given.isdecimal() else given}


def _conditions(request: Document) -> Document:
    found: Document = {}
    if "FunctionUrlAuthType" in request:
        found["StringEquals"] = {"lambda:FunctionUrlAuthType": request["FunctionUrlAuthType"]}
    if request.get("InvokedViaFunctionUrl"):
        found["Bool"] = {"lambda:InvokedViaFunctionUrl": "true"}
    if "SourceArn" in request:
        found["ArnLike"] = {"AWS:SourceArn": request["SourceArn"]}
    for member, key in (("SourceAccount", "AWS:SourceAccount"), ("PrincipalOrgID", "aws:PrincipalOrgID")):
        if member in request:
            found.setdefault("StringEquals", {})[key] = request[member]
    return found
