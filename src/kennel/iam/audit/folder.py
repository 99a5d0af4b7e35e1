"""Policies in files: what the AWS command line writes, or somebody by hand. All of it is a stranger's.

Read are regular files that end in .json, below the folder and nowhere else; bounded in size and number. A file may hold
a policy, what IAM says of a role or a policy version, a list of attached policies, or a whole account's description.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from json.decoder import JSONArray, JSONObject  # type: ignore[attr-defined]
from json.scanner import py_make_scanner  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any

from kennel.errors import KennelError
from kennel.iam.audit.account import LISTS, account_of, decoded, subjects_of
from kennel.iam.audit.values import Document, Of, Subject

LARGEST = 4 << 20
"""Bytes of a file; the description of a whole account is that large."""
MOST = 1000
ATTACHED = ("AttachedPolicies", "AttachedManagedPolicies")
REMEDY = "Give JSON files of policies, as `aws iam get-role-policy` and the like write them"


def read(path: Path) -> list[Subject]:
    """Raises KennelError where there is no policy, or a file that cannot be read as one."""
    files = list(_files(path)) if path.is_dir() else [path]
    if not path.exists():
        raise KennelError(f"{path} is not there", REMEDY)
    found = [subject for file in files for subject in _subjects(file, _name(file, path))]
    if not found:
        raise KennelError(f"no policy in {path}", REMEDY)
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Neither folders nor files that are links: they may lead out."""
    count = 0
    for root, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(root) / name
            if name.endswith(".json") and not path.is_symlink() and path.is_file():
                count += 1
                if count > MOST:
                    raise KennelError(f"more than {MOST} files in {folder}", "Give a part of it")
                yield path


def _subjects(file: Path, name: str) -> Iterator[Subject]:
    content = _content(file)
    document, places = _parse(content, file)
    if not isinstance(document, Mapping):
        return
    if any(each in document for each in LISTS):
        yield from _described(document, name)
        return
    role = document.get("Role")
    if isinstance(role, Mapping):
        trust = Document("trust", "trust", decoded(role.get("AssumeRolePolicyDocument")), file=name)
        arn = str(role.get("Arn", ""))
        yield Subject("role", str(role.get("RoleName", name)), (trust,), arn, account_of(arn))
    for attached in _attached(document):
        arn = str(attached["PolicyArn"])
        yield Subject("policy", name, (Document("identity", name, None, arn, False, name),))
    policy = _policy(document)
    if policy is not None:
        yield Subject("policy", name, (Document(_of(policy), name, policy, file=name, lines=_lines(policy, places)),))


def _described(document: Mapping[str, Any], name: str) -> Iterator[Subject]:
    try:
        yield from subjects_of(document, name)
    except (KeyError, TypeError, AttributeError) as error:
        raise KennelError(f"{name} is no description of an account: {error!r}", REMEDY) from error


def _attached(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for member in ATTACHED:
        found = document.get(member)
        for each in found if isinstance(found, list) else []:
            if isinstance(each, Mapping) and "PolicyArn" in each:
                yield each


def _policy(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The policy itself, or what is wrapped around one by the AWS command line."""
    if "Statement" in document:
        return document
    inner = document.get("PolicyVersion", document)
    for member in ("PolicyDocument", "Document", "AssumeRolePolicyDocument", "Policy"):
        found = decoded(inner.get(member)) if isinstance(inner, Mapping) else None
        if isinstance(found, Mapping) and "Statement" in found:
            return found
    return None


def _of(policy: Mapping[str, Any]) -> Of:
    """A policy that names principals is a resource's; which, its actions say."""
    found = policy["Statement"]
    listed = [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, Mapping)]
    if not any("Principal" in each or "NotPrincipal" in each for each in listed):
        return "identity"
    actions = json.dumps([each.get("Action") for each in listed]).lower()
    kinds: dict[str, Of] = {"sts:assumerole": "trust", '"s3:': "bucket", '"lambda:': "function"}
    return next((kind for text, kind in kinds.items() if text in actions), "resource")


def _content(file: Path) -> str:
    """Of a regular file, and not more of it than is allowed."""
    handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as opened:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise KennelError(f"{file} is no regular file", REMEDY)
        content = opened.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise KennelError(f"{file} has more than {LARGEST >> 20} MiB", REMEDY)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise KennelError(f"{file} is no text in UTF-8", REMEDY) from error


def _parse(content: str, file: Path) -> tuple[Any, dict[int, int]]:
    """The document, and of each object in it (by `id`) the line on which it begins."""
    decoder = Placed()
    try:
        document = decoder.decode(content)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise KennelError(f"{file} is no JSON: {why}", REMEDY) from error
    lines: dict[int, int] = {}
    line, seen = 1, 0
    for each, start in sorted(decoder.starts.items(), key=lambda item: item[1]):
        line, seen = line + content.count("\n", seen, start), start
        lines[each] = line
    return document, lines


class Placed(json.JSONDecoder):
    """Keeps where each object starts. The same key twice is refused, as by IAM: one of the two would be hidden."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=_once)
        self.starts: dict[int, int] = {}
        self.parse_object = self._object
        self.parse_array = JSONArray
        self.scan_once = py_make_scanner(self)

    def _object(self, text_and_start: tuple[str, int], *rest: Any) -> tuple[Any, int]:
        found, end = JSONObject(text_and_start, *rest)
        self.starts[id(found)] = text_and_start[1] - 1
        return found, end


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _lines(policy: Mapping[str, Any], places: Mapping[int, int]) -> tuple[int, ...]:
    found = policy["Statement"]
    return tuple(places.get(id(each), 0) for each in (found if isinstance(found, list) else [found]))


def _name(file: Path, path: Path) -> str:
    return file.relative_to(path).as_posix() if file != path else file.name
