"""Signatures as botocore makes them, held against requests as they come: whole, altered, late, of another key."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from kennel.local.errors import Refused
from kennel.local.gatekeeper import CallLog, Gatekeeper, Things
from kennel.local.gatekeeper.signatures import Flawed, Signature
from kennel.local.moto_side import SESSION_SECONDS, Moto
from kennel.local.parts import Changes
from kennel.local.roles import RoleBook
from kennel.local.tags import TagStore

KEYS = Credentials("AKIAEXAMPLEEXAMPLE12", "secret")
SESSION = Credentials("ASIAEXAMPLEEXAMPLE12", "secret", "token/+=")
HOST = "127.0.0.1:4566"


def environ(request: AWSRequest, body: bytes = b"", **more: str) -> dict[str, Any]:
    """As waitress hands it on."""
    parts = urlsplit(request.url)
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers.items()}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if (value := headers.pop(f"HTTP_{name}", None)) is not None:
            headers[name] = value
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    given_ = {"HTTP_HOST": HOST, "REQUEST_METHOD": request.method, "REQUEST_URI": target, "PATH_INFO": parts.path}
    return {**given_, "QUERY_STRING": parts.query, **headers, "wsgi.input": io.BytesIO(body), **more}


def signed(
    path: str = "/", service: str = "sagemaker", body: bytes = b"{}", keys: Credentials = KEYS, target: str = ""
) -> dict[str, Any]:
    headers = {"X-Amz-Target": target} if target else {}
    request = AWSRequest("POST", f"http://{HOST}{path}", headers=headers, data=body)
    kind = auth.S3SigV4Auth if service == "s3" else auth.SigV4Auth
    kind(keys, service, "us-east-1").add_auth(request)
    return environ(request, body)


def presigned(path: str = "/bucket/key", service: str = "s3", expires: int = 60) -> dict[str, Any]:
    request = AWSRequest("GET", f"http://{HOST}{path}")
    kind = auth.S3SigV4QueryAuth if service == "s3" else auth.SigV4QueryAuth
    kind(SESSION, service, "us-east-1", expires).add_auth(request)
    return environ(request)


def check(given_: dict[str, Any], secret: str = "secret", now: float | None = None) -> Signature:
    found = Signature.of(given_)
    assert found is not None
    found.check(given_, secret, time.time() if now is None else now)
    return found


def flaw(given_: dict[str, Any], secret: str = "secret", now: float | None = None) -> str:
    with pytest.raises(Flawed) as caught:
        check(given_, secret, now)
    return caught.value.flaw


@pytest.mark.parametrize("service", ["sagemaker", "iam", "lambda", "s3", "ec2", "logs"])
def test_what_botocore_signs_holds_and_the_body_stays_to_be_read(service: str) -> None:
    request = signed(f"/a%20b/{quote('ä', safe='')}?z=1&a=%2F&b", service, b"body")
    found = check(request)
    assert (found.access_key, found.service, found.region) == ("AKIAEXAMPLEEXAMPLE12", service, "us-east-1")
    assert request["wsgi.input"].read() == b"body"


def test_a_sessions_token_is_told_as_it_was_sent() -> None:
    assert check(signed(keys=SESSION)).token == "token/+="
    assert check(presigned()).token == "token/+="


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REQUEST_METHOD", "DELETE"),
        ("REQUEST_URI", "/other"),
        ("QUERY_STRING", "a=2"),
        ("HTTP_HOST", "localhost:4566"),
        ("HTTP_X_AMZ_DATE", lambda: time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - 60))),
        ("HTTP_X_AMZ_TARGET", "SageMaker.DeleteEndpoint"),
        ("wsgi.input", io.BytesIO(b'{"EndpointName": "another"}')),
    ],
    ids=["method", "address", "query", "host", "date", "target", "body"],
)
def test_whatever_is_altered_breaks_it(name: str, value: Any) -> None:
    request = signed("/?a=1", target="SageMaker.ListEndpoints")
    check(request)
    assert flaw({**request, name: value() if callable(value) else value}) == "mismatch"


def test_another_secret_or_a_header_that_is_gone_breaks_it() -> None:
    assert flaw(signed(), "another") == "mismatch"
    request = signed(target="SageMaker.ListEndpoints")
    del request["HTTP_X_AMZ_TARGET"]
    assert flaw(request) == "mismatch"


def test_an_object_of_other_bytes_than_were_signed_is_told_from_a_wrong_key() -> None:
    request = signed("/bucket/key", "s3", b"these")
    request["wsgi.input"] = io.BytesIO(b"other")
    assert flaw(request) == "body"


def test_a_body_that_s3s_client_did_not_sign_is_anybodys() -> None:
    request = signed("/bucket/key", "s3", b"these")
    request["HTTP_X_AMZ_CONTENT_SHA256"] = "UNSIGNED-PAYLOAD"
    assert flaw(request) == "mismatch"  # that it is unsigned is signed
    del request["HTTP_X_AMZ_CONTENT_SHA256"]
    assert flaw(request) == "incomplete"


def test_a_quarter_of_an_hour_is_what_clocks_may_differ() -> None:
    request, now = signed(), time.time()
    check(request, now=now + 890)
    check(request, now=now - 890)
    assert flaw(request, now=now + 910) == "skewed"
    assert flaw(request, now=now - 910) == "skewed"


def test_a_presigned_address_holds_until_it_expires_and_for_its_request_only() -> None:
    request, now = presigned(expires=60), time.time()
    check(request, now=now + 59)
    assert flaw(request, now=now + 62) == "expired"
    assert flaw(request, now=now - 1000) == "early"
    assert flaw({**request, "REQUEST_METHOD": "PUT"}) == "mismatch"
    longer = request["QUERY_STRING"].replace("X-Amz-Expires=60", "X-Amz-Expires=600")
    assert flaw({**request, "QUERY_STRING": longer}) == "mismatch"
    check(presigned("/?Action=GetCallerIdentity&Version=2011-06-15", "sts"))


@pytest.mark.parametrize("expires", ["0", "604801", "-1", "x"])
def test_addresses_that_last_for_ever_are_not_taken(expires: str) -> None:
    request = presigned()
    request["QUERY_STRING"] = request["QUERY_STRING"].replace("X-Amz-Expires=60", f"X-Amz-Expires={expires}")
    assert flaw(request) == "incomplete"


@pytest.mark.parametrize(
    "header",
    [
        "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/s3/aws4_request",
        "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=none",
        "AWS4-ECDSA-P256-SHA256 Credential=AKIA/20260101/s3/aws4_request, SignedHeaders=host, Signature=00",
        "AWS4-",
    ],
)
def test_a_header_that_is_no_signature_is_refused(header: str) -> None:
    assert flaw({**signed(), "HTTP_AUTHORIZATION": header}) == "incomplete"


def test_the_host_has_to_be_signed_and_the_day_to_be_the_dates() -> None:
    request = signed()
    header = request["HTTP_AUTHORIZATION"]
    assert flaw({**request, "HTTP_AUTHORIZATION": header.replace("host;", "")}) == "incomplete"
    day = time.strftime("%Y%m%d", time.gmtime())
    assert flaw({**request, "HTTP_AUTHORIZATION": header.replace(day, "20200101")}) == "incomplete"
    assert flaw({**request, "HTTP_X_AMZ_DATE": "yesterday"}) == "incomplete"


def test_a_request_without_one_has_none() -> None:
    assert Signature.of(environ(AWSRequest("GET", f"http://{HOST}/"))) is None
    assert Signature.of({**environ(AWSRequest("GET", f"http://{HOST}/")), "HTTP_AUTHORIZATION": "AWS AKIA:x"}) is None


@given(st.text(min_size=1, max_size=30), st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8)))
def test_any_name_of_an_object_and_any_query_hold(key: str, query: dict[str, str]) -> None:
    text = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in query.items())
    path = f"/bucket/{_quoted(key, '/~')}"
    check(signed(f"{path}?{text}" if text else path, "s3"))
    check(signed(f"{path}?{text}" if text else path, "lambda"))


def test_a_session_that_is_over_opens_nothing(tmp_path: Path) -> None:
    moto, now = Moto(tmp_path), [time.time()]
    moto.start()
    things, calls = Things(moto, "us-east-1", TagStore(tmp_path / "tags", Changes())), CallLog(tmp_path / "calls")
    gate = Gatekeeper(moto, ("AKIAOWN", "secret"), "us-east-1", calls, things, lambda: now[0])
    made = RoleBook(moto, "us-east-1", gate.trusts).keys("arn:aws:iam::123456789012:role/r", "session")
    keys = Credentials(*(made[f"AWS_{each}"] for each in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")))
    assert gate.asker(signed(keys=keys), "sagemaker").arn.endswith("assumed-role/r/session")
    now[0] += SESSION_SECONDS + 600
    for service, code in (("sagemaker", "ExpiredTokenException"), ("s3", "ExpiredToken"), ("iam", "ExpiredToken")):
        with pytest.raises(Refused) as caught:
            gate.asker(signed(service=service, keys=keys), service)
        assert caught.value.code == code
    with pytest.raises(Refused) as elsewhere:
        gate.asker(signed(service="sagemaker"), "s3")
    assert elsewhere.value.code == "SignatureDoesNotMatch"


def _quoted(text: str, safe: str = "-_.~") -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe=safe)
