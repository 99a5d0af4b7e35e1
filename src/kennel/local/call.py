"""An HTTP request to one of AWS's services, as a value: which service, whose, and whether it changes anything."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any
from urllib.parse import parse_qs, parse_qsl, unquote

from kennel.local.parts import Document
from kennel.local.wire import PRESERVED

Environ = dict[str, Any]
"""WSGI's."""

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d{8}/([^/,\s]+)/([^/,\s]+)/aws4_request")
_READS = (
    "Get",
    "List",
    "Describe",
    "Head",
    "BatchGet",
    "BatchCheck",
    "Lookup",
    "Simulate",
    "Filter",
    "Validate",
    "Test",
)
_SECRETS = re.compile(
    r"(?<![^?&])(X-Amz-Security-Token|X-Amz-Signature|Password|NewPassword|OldPassword|PrivateKey)=[^&]*"
)
_SIGNATURE = re.compile(r"(Signature=|AWS [^:]+:)\S+")
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_UNREAD = ("HTTP_AUTHORIZATION", "HTTP_USER_AGENT")
"""Headers that moto would take a caller or a region from."""
_KEPT_HEADERS = ("HTTP_HOST", "HTTP_AUTHORIZATION", "HTTP_X_", "HTTP_CONTENT_", "HTTP_SMITHY_PROTOCOL", "HTTP_ACCEPT")


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose request it says to be and for what: the credential scope of its signature."""

    access_key: str
    region: str
    service: str


def scope_of(environ: Mapping[str, Any], region: str) -> Scope | None:
    """None of a request that is not signed. region: where S3's old signatures, which name none, belong."""
    header = str(environ.get("HTTP_AUTHORIZATION", ""))
    query = dict(parse_qsl(str(environ.get("QUERY_STRING", ""))))
    signed = header if header.startswith("AWS4-") else f"Credential={query.get('X-Amz-Credential', '')}"
    if found := _CREDENTIAL.search(signed):
        return Scope(*found.groups())
    old = header.removeprefix("AWS ").split(":")[0] if header.startswith("AWS ") else query.get("AWSAccessKeyId")
    return Scope(old, region, "s3") if old else None


@dataclass(frozen=True, slots=True)
class Call:
    """service: as requests are signed for it. path: as it was sent, quoted. headers: as in WSGI (HTTP_…, CONTENT_TYPE).

    body: the bytes, or where they can be read once.
    """

    service: str
    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | IO[bytes] = b""

    @classmethod
    def of(cls, service: str, environ: Environ, body: bytes | IO[bytes]) -> Call:
        path = str(environ.get("REQUEST_URI") or environ["PATH_INFO"]).split("?", 1)[0]
        headers = {key: str(value) for key, value in environ.items() if key.startswith(("HTTP_", "CONTENT_"))}
        return cls(service, environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""), headers, body)

    @classmethod
    def parse(cls, document: Document) -> Call:
        """From `document()`."""
        given = {key: document[key] for key in ("service", "method", "path", "query", "headers")}
        return cls(**given, body=base64.b64decode(document["body"]))

    def document(self) -> Document:
        """As JSON, to be done again; only of a call whose body is bytes.

        What proves who asked (signature, session token), passwords and private keys are left out: nobody asks for them
        the second time, and whoever reads the file shall not have them.
        """
        assert isinstance(self.body, bytes)
        kept = {key: value for key, value in self.headers.items() if key.startswith(_KEPT_HEADERS) or key[:4] == "CONT"}
        kept.pop("HTTP_X_AMZ_SECURITY_TOKEN", None)
        if signed := kept.get("HTTP_AUTHORIZATION"):
            kept["HTTP_AUTHORIZATION"] = _SIGNATURE.sub(r"\1-", signed)
        body = self.body
        if self.service == "iam":
            body = _SECRETS.sub(r"\1=-", body.decode("latin-1")).encode("latin-1")
        return {
            "service": self.service,
            "method": self.method,
            "path": self.path,
            "query": _SECRETS.sub(r"\1=-", self.query),
            "headers": kept,
            "body": base64.b64encode(body).decode(),
        }

    def environ(self) -> Environ:
        """As a WSGI server would hand it to moto: of what was verified, so moto reads no more than the gate did."""
        given = b"" if self.service == "s3" and self.method in ("GET", "HEAD", "DELETE") else self.body
        body = io.BytesIO(given) if isinstance(given, bytes) else given
        length = {"CONTENT_LENGTH": str(len(given))} if isinstance(given, bytes) else {}
        return {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(self.path, "latin-1"),
            "RAW_URI": self.path,
            "QUERY_STRING": self.query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": body,
            "wsgi.input_terminated": True,
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "moto.preserved_header_names": json.loads(self.headers.get(PRESERVED, "{}")),
            **{name: value for name, value in self.headers.items() if name not in _UNREAD},
            **self._authorization(),
            **length,
            **self._opaque(),
        }

    def _authorization(self) -> dict[str, str]:
        """moto looks for caller and region all over the header, and in the query where there is none."""
        scope = scope_of({**self.headers, "QUERY_STRING": self.query}, "us-east-1")
        if scope is None:
            return {}
        credential = f"{scope.access_key}/20000101/{scope.region}/{scope.service}/aws4_request"
        return {"HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=-"}

    def _opaque(self) -> dict[str, str]:
        """Without a query moto reads any body as one; in a form that comes to S3 it looks for versions and the like."""
        if self.service == "s3":
            kind = self.headers.get("CONTENT_TYPE", "").lower()
            return {"CONTENT_TYPE": "application/octet-stream"} if kind.startswith(_FORMS) else {}
        return {"QUERY_STRING": "x-id="} if "HTTP_X_AMZ_TARGET" in self.headers and not self.query else {}

    def action(self) -> str:
        """The operation's name; "" where the protocol has none (S3)."""
        if target := self.headers.get("HTTP_X_AMZ_TARGET"):
            return target.rsplit(".", 1)[-1]
        if "/operation/" in self.path:
            return self.path.rsplit("/", 1)[-1]
        form = self.body.decode("latin-1") if isinstance(self.body, bytes) else ""
        return (parse_qs(form).get("Action") or parse_qs(self.query).get("Action") or [""])[0]

    def parameters(self) -> Document:
        """The body of a service that speaks JSON."""
        return dict(json.loads(self.body)) if isinstance(self.body, bytes) else {}

    def options(self) -> set[str]:
        """The names in its query."""
        return {name for name, _ in parse_qsl(self.query, keep_blank_values=True)}

    def place(self) -> tuple[str, str]:
        """Of a call to S3: bucket and key, "" where it names none."""
        bucket, _, key = unquote(self.path).removeprefix("/").partition("/")
        return bucket, key

    def changes(self) -> bool:
        """Whether it may change anything."""
        if self.service == "s3":
            return self.method not in ("GET", "HEAD", "OPTIONS") and "select" not in self.options()
        return not self.action().startswith(_READS)
