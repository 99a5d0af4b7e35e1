"""Function URLs: their configurations, and the requests that come to them.

A URL is a path of this server, `/_url/ID/`, as every client finds it there; an event's path begins after it.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import secrets
import uuid
from collections.abc import Mapping

from kennel.local.call import scope_of
from kennel.local.errors import Refused
from kennel.local.functions import web, words
from kennel.local.functions.book import Book, page
from kennel.local.functions.code import CodeStore
from kennel.local.functions.invoke import Invoker
from kennel.local.functions.limits import PAYLOAD
from kennel.local.functions.names import LATEST, Ref, ref_of
from kennel.local.functions.policies import is_public
from kennel.local.parts import Asker, Document, House, Operation, Reply, WebRequest

log = logging.getLogger(__name__)

_URL = re.compile(r"/_url/([a-z0-9]{32})(/.*)?")
URL = "InvokeFunctionUrl"
_CODE = re.compile(r"/_code/([0-9a-f]{64})\.zip")


class Urls:
    """CreateFunctionUrlConfig and its kin."""

    def __init__(self, house: House, book: Book) -> None:
        self._house, self._book = house, book

    def operations(self) -> Mapping[str, Operation]:
        return {
            "CreateFunctionUrlConfig": self._create,
            "GetFunctionUrlConfig": self._get,
            "UpdateFunctionUrlConfig": self._update,
            "DeleteFunctionUrlConfig": self._delete,
            "ListFunctionUrlConfigs": self._list,
        }

    def find(self, identity: str) -> tuple[Ref, Document]:
        """The function and the configuration of a URL. Raises Refused."""
        for document in self._book.all():
            for qualifier, config in document["Urls"].items():
                if config["Id"] == identity:
                    return Ref(document["Name"], qualifier), config
        raise Refused("ResourceNotFoundException", "There is no function with this URL.", 404)

    def _create(self, request: Document) -> Document:
        ref = self._ref(request)
        now = self._book.now()
        config = {
            "Id": base64.b32encode(secrets.token_bytes(20)).decode().lower(),
            "AuthType": request["AuthType"],
            "Cors": request.get("Cors"),
            "InvokeMode": _mode(request),
            "CreationTime": now,
            "LastModifiedTime": now,
        }

        def add(document: Document) -> None:
            if ref.qualifier in document["Urls"]:
                arn = ref.arn(self._house)
                raise words.conflict(f"Failed to create function url config for [functionArn = {arn}]. "
                                     "Error message:  FunctionUrlConfig exists for this Lambda function")  # fmt: skip
            document["Urls"][ref.qualifier] = config

        self._book.change(ref, add)
        shown = self._shown(ref, config)
        del shown["LastModifiedTime"]
        return shown

    def _get(self, request: Document) -> Document:
        ref = self._ref(request)
        return self._shown(ref, self._held(self._book.read(ref), ref))

    def _update(self, request: Document) -> Document:
        ref = self._ref(request)

        def update(document: Document) -> None:
            config = self._held(document, ref)
            config.update({member: request[member] for member in ("AuthType", "Cors") if member in request})
            if "InvokeMode" in request:
                config["InvokeMode"] = _mode(request)
            config["LastModifiedTime"] = self._book.now()

        return self._shown(ref, self._book.change(ref, update)["Urls"][ref.qualifier])

    def _delete(self, request: Document) -> Document:
        ref = self._ref(request)

        def remove(document: Document) -> None:
            self._held(document, ref)
            del document["Urls"][ref.qualifier]

        self._book.change(ref, remove)
        return {}

    def _list(self, request: Document) -> Document:
        ref = self._ref(request)
        found = [self._shown(Ref(ref.name, key), each) for key, each in self._book.read(ref)["Urls"].items()]
        return page(found, request, "FunctionUrlConfigs")

    def _ref(self, request: Document) -> Ref:
        """A function, or an alias of it. Raises Refused."""
        ref = ref_of(self._house, request)
        if ref.qualifier == LATEST or ref.qualifier.isdecimal():
            raise words.invalid("A function URL belongs to a function or to an alias, not to a version.")
        self._book.configuration(ref)
        return ref

    def _held(self, document: Document, ref: Ref) -> Document:
        if ref.qualifier not in document["Urls"]:
            raise words.missing("The resource you requested does not exist.")
        held: Document = document["Urls"][ref.qualifier]
        return held

    def _shown(self, ref: Ref, config: Document) -> Document:
        shown = {key: value for key, value in config.items() if key != "Id" and value is not None}
        url = f"{self._house.url}/_url/{config['Id']}/"
        return {**shown, "FunctionUrl": url, "FunctionArn": ref.arn(self._house)}


class Front:
    """Answers what comes to function URLs, and to the addresses that GetFunction tells for packages."""

    def __init__(self, house: House, book: Book, urls: Urls, invoke: Invoker, code: CodeStore) -> None:
        self._house, self._book, self._urls, self._invoke, self._code = house, book, urls, invoke, code

    def __call__(self, request: WebRequest) -> Reply | None:
        """None where it is no address of Lambda's. Raises Refused."""
        if found := _URL.fullmatch(request.path):
            return self._url(request, found[1], found[2])
        found = _CODE.fullmatch(request.path)
        zipped = self._code.zipped(found[1]) if found and request.method == "GET" else None
        return Reply(200, {"Content-Type": "application/zip"}, zipped.read_bytes()) if zipped else None

    def _url(self, request: WebRequest, identity: str, path: str | None) -> Reply:
        ref, config = self._urls.find(identity)
        if path is None:  # a page's relative addresses need the slash
            query = f"?{request.query}" if request.query else ""
            return Reply(308, {"Location": f"/_url/{identity}/{query}"}, b"")
        cors, origin = config["Cors"], request.headers.get("origin", "")
        if cors and request.method == "OPTIONS":
            return web.preflight(cors, request.headers)
        answer = self._answer(request, identity, path, ref, config)
        return web.with_cors(answer, cors, origin) if cors else answer

    def _answer(self, request: WebRequest, identity: str, path: str, ref: Ref, config: Document) -> Reply:
        request_id = str(uuid.uuid4())
        try:
            caller = self._caller(request, ref, config)
            body = request.read(PAYLOAD)
            where = web.Where(identity, path, self._house.account, request_id, self._house.clock.now(), caller)
            payload = json.dumps(web.event(request, body, where)).encode()
            if len(payload) > PAYLOAD:
                raise words.too_large(PAYLOAD, "InvokeFunction")
            _, outcome = self._invoke(ref, payload, request_id)
        except Refused as refused:
            return _refusal(refused)
        return web.FAILED if outcome.failed else web.reply(outcome.payload)

    def _caller(self, request: WebRequest, ref: Ref, config: Document) -> Mapping[str, str] | None:
        """Who signed, where the URL wants that; None for everybody. Raises Refused."""
        if config["AuthType"] == "NONE":
            statements = self._book.read(ref)["Policies"].get(ref.qualifier, {"Statements": []})["Statements"]
            if not is_public(statements, "NONE"):
                raise Refused("AccessDeniedException", words.FORBIDDEN, 403)
            return None
        environ = {"HTTP_AUTHORIZATION": request.headers.get("authorization", ""), "QUERY_STRING": request.query}
        scope = scope_of(environ, "")
        if scope is None or scope.service != "lambda" or request.asker is None:
            raise Refused("AccessDeniedException", words.FORBIDDEN, 403)
        asker = request.asker()
        self._check(asker, ref, config["AuthType"])
        user = {"userId": asker.userid, "userArn": asker.arn, "callerId": asker.userid}
        return {"accessKey": scope.access_key, "accountId": self._house.account, **user}

    def _check(self, asker: Asker, ref: Ref, auth_type: str) -> None:
        """Since October 2025 AWS wants both permissions. Raises Refused."""
        arn = ref.arn(self._house)
        url = asker.why_not("lambda:InvokeFunctionUrl", arn, URL, {"lambda:functionurlauthtype": (auth_type,)})
        invoke = asker.why_not("lambda:InvokeFunction", arn, URL, {"lambda:invokedviafunctionurl": ("true",)})
        if url or invoke:
            raise Refused("AccessDeniedException", words.FORBIDDEN, 403)


def _refusal(refused: Refused) -> Reply:
    body: Document = {"Message": refused.message, **refused.more}
    status = 502 if refused.status >= 500 else refused.status
    if status == 502:
        return web.FAILED
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": refused.code}
    return Reply(status, headers, json.dumps(body).encode())


def _mode(request: Document) -> str:
    if request.get("InvokeMode", "BUFFERED") != "BUFFERED":
        raise words.invalid("The local AWS answers a function URL at once; InvokeMode has to be BUFFERED.")
    return "BUFFERED"
