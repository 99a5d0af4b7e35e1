"""The pure parts of Lambda in the local AWS: packages, events, answers, weights, log lines, metrics, REST-JSON."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures_lambda import zipped
from kennel.local.errors import Refused
from kennel.local.functions import code, web
from kennel.local.functions.book import chosen
from kennel.local.functions.code import CodeStore
from kennel.local.functions.policies import is_public
from kennel.local.functions.provision import split
from kennel.local.functions.recorder import embedded
from kennel.local.functions.report import Figures, Report, ended, log_result
from kennel.local.parts import Document, Reply, WebRequest
from kennel.local.rest import Asked, RestApi

# --- packages -------------------------------------------------------------------------------------------------


def member(name: str, content: bytes = b"x", mode: int = stat.S_IFREG | 0o644, **more: Any) -> bytes:
    """A zip with one member."""
    buffer, info = io.BytesIO(), zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    for key, value in more.items():
        setattr(info, key, value)
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, content)
    return buffer.getvalue()


def twice() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.py", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.py", "2")
    return buffer.getvalue()


def lying(claimed: int) -> bytes:
    """A zip whose member says that it unpacks to less than it does."""
    package = bytearray(zipped({"zeros": bytes(4 << 20)}))
    for signature, place in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = package.index(signature) + place
        package[at : at + 4] = struct.pack("<I", claimed)
    return bytes(package)


def damaged() -> bytes:
    package = bytearray(member("app.py", b"def handler(event, context): pass"))
    package[45] ^= 0xFF
    return bytes(package)


def encrypted() -> bytes:
    package = bytearray(member("app.py"))
    for signature, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        package[package.index(signature) + place] |= 1
    return bytes(package)


def both() -> bytes:
    return zipped({"a": "file", "a/b": "below it"})


HOSTILE: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "no zip": lambda: b"PK no",
    "half": lambda: zipped()[:100],
    "up": lambda: member("../up.py"),
    "up in the middle": lambda: member("a/../../up.py"),
    "absolute": lambda: member("/etc/cron.d/kennel"),
    "backslash": lambda: member("a\\..\\b"),
    "dot": lambda: member("./"),
    "a link": lambda: member("link", b"/etc/passwd", stat.S_IFLNK | 0o777),
    "a pipe": lambda: member("pipe", b"", stat.S_IFIFO | 0o644),
    "a device": lambda: member("device", b"", stat.S_IFCHR | 0o644),
    "twice": twice,
    "encrypted": encrypted,
    "another packing": lambda: member("app.py", compress_type=zipfile.ZIP_LZMA),
    "damaged": damaged,
    "smaller than it says": lambda: lying(100),
    "a file that is a folder": both,
}


class TestPackages:
    @pytest.mark.parametrize("kind", HOSTILE)
    def test_a_package_that_cannot_be_trusted_is_refused_and_leaves_nothing(self, kind: str, tmp_path: Path) -> None:
        store = CodeStore(tmp_path / "inside" / "code")
        with pytest.raises(Refused) as refused:
            store.add(HOSTILE[kind]())
        assert refused.value.code == "InvalidParameterValueException"
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    def test_the_digest_is_the_one_that_lambda_tells(self, tmp_path: Path) -> None:
        package = zipped()
        assert CodeStore(tmp_path).add(package) == base64.b64encode(hashlib.sha256(package).digest()).decode()

    def test_files_cannot_be_written_to_and_keep_whether_they_are_programs(self, tmp_path: Path) -> None:
        store, buffer = CodeStore(tmp_path), io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, mode in (("bin/tool", 0o4755), ("app.py", 0o666)):
                info = zipfile.ZipInfo(name)
                info.external_attr = (stat.S_IFREG | mode) << 16
                archive.writestr(info, "x")
        folder = store.unpacked(store.add(buffer.getvalue()))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
        assert modes == {"tool": 0o555, "app.py": 0o444}

    @pytest.mark.parametrize(("name", "value"), [("UNZIPPED", 1000), ("FILES", 2)])
    def test_bytes_and_files_are_bounded(
        self, name: str, value: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(code, name, value)
        with pytest.raises(Refused):
            CodeStore(tmp_path).add(zipped({"a": "x" * 500, "b": "x" * 500, "c": "x"}))
        assert CodeStore(tmp_path).add(zipped({"a": "x" * 900}))

    def test_what_no_version_has_any_more_goes(self, tmp_path: Path) -> None:
        store = CodeStore(tmp_path)
        kept, gone = store.add(zipped({"a.py": "1"})), store.add(zipped({"a.py": "2"}))
        store.keep_only([kept])
        assert store.unpacked(kept).is_dir()
        assert len(list(tmp_path.iterdir())) == 2
        assert store.zipped(store.location(gone)) is None


# --- events and answers -----------------------------------------------------------------------------------------


def request(method: str = "POST", query: str = "", **headers: str) -> WebRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return WebRequest(method, "/_url/x/a%20b", query, {"host": "127.0.0.1:4600", **named}, "127.0.0.1", lambda _: b"")


WHERE = web.Where("x", "/a%20b", "123456789012", "r-1", 1_583_348_638.39)


class TestEvents:
    def test_a_request_becomes_an_event_of_payload_format_2(self) -> None:
        asked = request("POST", "a=1&a=2&b=", cookie="c=1; d=2", content_type="application/json", user_agent="curl")
        found = web.event(asked, b'{"x": 1}', WHERE)
        assert found["version"] == "2.0"
        assert (found["routeKey"], found["rawPath"], found["rawQueryString"]) == ("$default", "/a%20b", "a=1&a=2&b=")
        assert found["queryStringParameters"] == {"a": "1,2", "b": ""}
        assert found["cookies"] == ["c=1", "d=2"]
        assert "cookie" not in found["headers"]
        assert (found["body"], found["isBase64Encoded"]) == ('{"x": 1}', False)
        context = found["requestContext"]
        assert context["http"] == {
            "method": "POST",
            "path": "/a%20b",
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": "curl",
        }
        assert (context["time"], context["timeEpoch"]) == ("04/Mar/2020:19:03:58 +0000", 1583348638390)
        assert (context["accountId"], context["requestId"], context["stage"]) == ("anonymous", "r-1", "$default")

    @pytest.mark.parametrize(
        ("content_type", "body", "encoded"),
        [
            ("text/plain; charset=utf-8", "größe".encode(), False),
            ("application/json", b"{}", False),
            ("application/problem+json", b"{}", False),
            ("image/svg+xml", b"<svg/>", False),
            ("image/jpeg", b"\xff\xd8", True),
            ("multipart/form-data; boundary=x", b"--x--", True),
            ("application/x-www-form-urlencoded", b"a=1", True),
            ("", b"abc", True),
            ("text/plain", b"\xff\xfe", True),
        ],
    )
    def test_a_body_is_text_or_base64_by_its_type(self, content_type: str, body: bytes, encoded: bool) -> None:
        found = web.event(request(content_type=content_type), body, WHERE)
        assert found["isBase64Encoded"] is encoded
        assert (base64.b64decode(found["body"]) if encoded else found["body"].encode()) == body

    def test_a_request_without_a_body_has_none(self) -> None:
        found = web.event(request("GET"), b"", WHERE)
        assert "body" not in found
        assert "queryStringParameters" not in found
        assert "cookies" not in found

    def test_a_function_never_sees_a_signature(self) -> None:
        where = web.Where("x", "/", "123456789012", "r", 0.0, {"accessKey": "AKIA"})
        found = web.event(request(authorization="AWS4-HMAC-SHA256 …", x_amz_security_token="secret"), b"", where)
        assert not {"authorization", "x-amz-security-token"} & found["headers"].keys()
        assert found["requestContext"]["authorizer"] == {"iam": {"accessKey": "AKIA"}}


class TestAnswers:
    @pytest.mark.parametrize("payload", [b'"Hello"', b'{"x": 1}', b"null", b"[1]", b'{"body": "no status"}'])
    def test_what_is_no_answer_of_http_is_json(self, payload: bytes) -> None:
        assert web.reply(payload) == Reply(200, {"Content-Type": "application/json"}, payload)

    def test_an_answer_of_http_is_given_as_it_is(self) -> None:
        made = {
            "statusCode": "201",
            "headers": {"content-type": "image/png", "X-Number": 7, "X-Yes": True, "Connection": "close"}
            | {"Trailers": "a", "Proxy-Authenticate": "Basic", "proxy-authorization": "a"},
            "body": base64.b64encode(b"\x89PNG").decode(),
            "isBase64Encoded": True,
            "cookies": ["a=1; Secure", "b=2"],
        }
        found = web.reply(json.dumps(made).encode())
        assert found.status == 201
        assert found.headers == {"content-type": "image/png", "X-Number": "7", "X-Yes": "true"}
        assert found.body == b"\x89PNG"
        assert found.cookies == ("a=1; Secure", "b=2")

    @pytest.mark.parametrize(
        "answer",
        [
            {"statusCode": "ok"},
            {"statusCode": 99},
            {"statusCode": 100},
            {"statusCode": 101},
            {"statusCode": 600},
            {"statusCode": None},
            {"statusCode": 200, "headers": ["a"]},
            {"statusCode": 200, "headers": {"a": "b\r\nSet-Cookie: c=1"}},
            {"statusCode": 200, "headers": {"a\r\nb": "c"}},
            {"statusCode": 200, "headers": {"": "c"}},
            {"statusCode": 200, "headers": {"a": "☃"}},
            {"statusCode": 200, "cookies": ["a=1\nb=2"]},
            {"statusCode": 200, "body": "%%%", "isBase64Encoded": True},
            {"statusCode": 200, "cookies": 7},
        ],
    )
    def test_a_malformed_answer_is_an_internal_server_error(self, answer: Document) -> None:
        assert web.reply(json.dumps(answer).encode()) == web.FAILED
        assert (web.FAILED.status, web.FAILED.body) == (502, b"Internal Server Error")

    def test_an_answer_that_is_not_json_is_one_too(self) -> None:
        assert web.reply(b"\xff") == web.FAILED


CORS: Document = {"AllowOrigins": ["https://a.example"], "AllowMethods": ["POST"], "MaxAge": 60}


class TestCors:
    def test_a_preflight_names_what_is_allowed(self) -> None:
        found = web.preflight(CORS, {"origin": "https://a.example"})
        assert found.status == 200
        assert found.headers["Access-Control-Allow-Origin"] == "https://a.example"
        assert found.headers["Access-Control-Allow-Methods"] == "POST"
        assert found.headers["Access-Control-Max-Age"] == "60"

    @pytest.mark.parametrize("origin", ["", "https://b.example", "null"])
    def test_another_origin_is_told_nothing(self, origin: str) -> None:
        found = web.preflight(CORS, {"origin": origin})
        assert not [name for name in found.headers if name.startswith("Access-Control")]

    def test_the_configuration_stands_over_what_the_function_says(self) -> None:
        said = Reply(200, {"access-control-allow-origin": "*", "x": "y"}, b"", ("a=1",))
        found = web.with_cors(said, CORS, "https://a.example")
        assert found.headers == {"x": "y", "Access-Control-Allow-Origin": "https://a.example", "Vary": "Origin"}
        assert found.cookies == ("a=1",)
        assert "access-control-allow-origin" not in web.with_cors(said, CORS, "https://b.example").headers

    def test_all_origins_are_a_star(self) -> None:
        assert web.allowed({"AllowOrigins": ["*"]}, "https://x") == {"Access-Control-Allow-Origin": "*"}
        with_credentials = web.allowed({"AllowOrigins": ["*"], "AllowCredentials": True}, "https://x")
        assert with_credentials["Access-Control-Allow-Origin"] == "https://x"


def statement(action: str, principal: object = "*", **conditions: Any) -> Document:
    found: Document = {"Sid": "s", "Effect": "Allow", "Principal": principal, "Action": f"lambda:{action}"}
    return {**found, "Condition": conditions} if conditions else found


URL = statement("InvokeFunctionUrl", StringEquals={"lambda:FunctionUrlAuthType": "NONE"})
FUNCTION_BY_URL = statement("InvokeFunction", Bool={"lambda:InvokedViaFunctionUrl": "true"})


@pytest.mark.parametrize(
    ("statements", "public"),
    [
        ([URL, FUNCTION_BY_URL], True),
        ([statement("InvokeFunctionUrl"), statement("InvokeFunction")], True),
        ([URL], False),
        ([FUNCTION_BY_URL], False),
        ([], False),
        ([statement("InvokeFunctionUrl", {"AWS": "arn:aws:iam::123456789012:root"}), FUNCTION_BY_URL], False),
        (
            [statement("InvokeFunctionUrl", StringEquals={"lambda:FunctionUrlAuthType": "AWS_IAM"}), FUNCTION_BY_URL],
            False,
        ),
        ([URL, statement("InvokeFunction", StringEquals={"AWS:SourceAccount": "123456789012"})], False),
    ],
)
def test_a_url_is_public_by_two_permissions_only(statements: list[Document], public: bool) -> None:
    assert is_public(statements, "NONE") is public


# --- aliases ----------------------------------------------------------------------------------------------------

WEIGHTED: Document = {"FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.1}}}


class TestWeights:
    def test_a_request_follows_the_weight(self) -> None:
        assert [chosen(WEIGHTED, chance) for chance in (0.0, 0.09, 0.1, 0.99)] == ["2", "2", "1", "1"]
        assert chosen({"FunctionVersion": "3"}, 0.0) == "3"

    @pytest.mark.parametrize(
        ("count", "expected"), [(10, {"1": 9, "2": 1}), (3, {"1": 2, "2": 1}), (1, {"1": 1, "2": 0})]
    )
    def test_provisioned_instances_are_split_by_it(self, count: int, expected: dict[str, int]) -> None:
        assert split(WEIGHTED, count) == expected
        assert split({"FunctionVersion": "3"}, count) == {"3": count}


# --- the log ----------------------------------------------------------------------------------------------------

FIGURES = Figures("r-1", 12.341, 250.0, 128, 40)


class TestReports:
    def test_a_report_is_lambdas_line(self) -> None:
        times = "Duration: 12.34 ms\tBilled Duration: 263 ms"
        assert Report(as_json=False).end(FIGURES, 0.0) == [
            "END RequestId: r-1",
            f"REPORT RequestId: r-1\t{times}\tMemory Size: 128 MB\tMax Memory Used: 40 MB\tInit Duration: 250.00 ms",
        ]

    def test_a_warm_one_has_no_start_and_a_failed_one_says_why(self) -> None:
        line = Report(as_json=False).end(Figures("r", 2000.0, None, 128, 40, "Sandbox.Timedout"), 0.0)[1]
        assert "Init Duration" not in line
        assert line.endswith("Status: timeout\tError Type: Sandbox.Timedout")

    def test_in_json_it_is_a_platform_event(self) -> None:
        (line,) = Report(as_json=True).end(FIGURES, 0.0)
        found = json.loads(line)
        assert (found["type"], found["time"]) == ("platform.report", "1970-01-01T00:00:00.000Z")
        assert found["record"]["metrics"]["initDurationMs"] == 250.0
        assert json.loads(Report(as_json=True).start("r", "7", 0.0))["record"] == {"requestId": "r", "version": "7"}

    @pytest.mark.parametrize(
        ("exit_code", "words"),
        [
            (0, "Runtime exited without providing a reason"),
            (3, "Runtime exited with error: exit status 3"),
            (137, "Runtime exited with error: signal: killed"),
            (139, "Runtime exited with error: signal: segmentation fault"),
        ],
    )
    def test_an_end_is_told_in_lambdas_words(self, exit_code: int, words: str) -> None:
        assert ended(exit_code) == words

    def test_a_caller_gets_the_last_four_kilobytes(self) -> None:
        assert base64.b64decode(log_result(["first", "x" * 5000, "last"]))[-6:] == b"\nlast\n"
        assert len(base64.b64decode(log_result(["x" * 5000]))) == 4096


EMBEDDED: Document = {
    "_aws": {
        "CloudWatchMetrics": [
            {
                "Namespace": "N",
                "Dimensions": [["A"], []],
                "Metrics": [{"Name": "M", "Unit": "Count"}, {"Name": "L"}],
            }
        ]
    },
    "A": "a",
    "M": 7,
    "L": [1, 2],
}


class TestEmbeddedMetrics:
    def test_each_value_and_set_of_dimensions_is_a_point(self) -> None:
        found = list(embedded(json.dumps(EMBEDDED)))
        assert found == [
            ("N", "M", 7.0, {"A": "a"}, "Count"),
            ("N", "M", 7.0, {}, "Count"),
            ("N", "L", 1.0, {"A": "a"}, "None"),
            ("N", "L", 1.0, {}, "None"),
            ("N", "L", 2.0, {"A": "a"}, "None"),
            ("N", "L", 2.0, {}, "None"),
        ]

    @pytest.mark.parametrize(
        "line",
        [
            "plain",
            '{"M": 7}',
            '{"_aws": ',
            '{"_aws": []}',
            '{"_aws": {"CloudWatchMetrics": 7}}',
            '{"_aws": {"CloudWatchMetrics": [{"Metrics": [{"Name": "M"}]}]}}',
            '{"_aws": {"CloudWatchMetrics": [{"Namespace": "N", "Metrics": [{"Name": "M"}]}]}, "M": "seven"}',
        ],
    )
    def test_any_other_line_has_none(self, line: str) -> None:
        assert list(embedded(line)) == []


# --- REST-JSON --------------------------------------------------------------------------------------------------


class Api:
    """RestApi with operations that remember what they were asked and answer what they are told."""

    def __init__(self, **answers: Document) -> None:
        self.asked: Document = {}
        self.api = RestApi("lambda", {name: self._answering(answer) for name, answer in answers.items()})

    def __call__(self, method: str, path: str, query: str = "", body: bytes = b"", **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.api.answer(Asked(method, path, query, named, body))

    def _answering(self, answer: Document) -> Callable[[Document], Document]:
        def operation(asked: Document) -> Document:
            self.asked = asked
            return answer

        return operation


class TestRestJson:
    def test_parameters_come_from_path_query_header_and_body(self) -> None:
        api = Api(Invoke={"StatusCode": 200, "ExecutedVersion": "7", "Payload": b"answer"})
        found = api(
            "POST", "/2015-03-31/functions/a%3Ab/invocations", "Qualifier=live", b"event", x_amz_log_type="Tail"
        )
        assert api.asked == {"FunctionName": "a:b", "Qualifier": "live", "LogType": "Tail", "Payload": b"event"}
        assert (found.status, found.body) == (200, b"answer")
        assert found.headers["X-Amz-Executed-Version"] == "7"

    def test_bytes_in_a_body_are_base64(self) -> None:
        api = Api(UpdateFunctionCode={})
        body = json.dumps({"ZipFile": base64.b64encode(b"PK").decode(), "Publish": True}).encode()
        api("PUT", "/2015-03-31/functions/f/code", body=body)
        assert api.asked == {"FunctionName": "f", "ZipFile": b"PK", "Publish": True}

    def test_numbers_and_lists_in_a_query_have_their_types(self) -> None:
        api = Api(ListFunctions={}, UntagResource={})
        api("GET", "/2015-03-31/functions/", "MaxItems=7&FunctionVersion=ALL")
        assert api.asked == {"MaxItems": 7, "FunctionVersion": "ALL"}
        arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af"
        api("DELETE", f"/2017-03-31/tags/{arn}", "tagKeys=a&tagKeys=b")
        assert api.asked["TagKeys"] == ["a", "b"]

    def test_a_word_in_the_query_tells_operations_of_one_path_apart(self) -> None:
        path = "/2019-09-30/functions/f/provisioned-concurrency"
        api = Api(ListProvisionedConcurrencyConfigs={}, GetProvisionedConcurrencyConfig={"Status": "READY"})
        assert api("GET", path, "List=ALL").body == b"{}"
        assert json.loads(api("GET", path, "Qualifier=live").body) == {"Status": "READY"}

    @pytest.mark.parametrize(
        ("body", "code_of_it"),
        [
            (b"{", "SerializationException"),
            (b"[]", "SerializationException"),
            (b'{"Code": {"ZipFile": "%%%"}}', "SerializationException"),
            (b'{"Code": {"ZipFile": 7}}', "SerializationException"),
            (b'{"Code": 7, "FunctionName": "f", "Role": "arn:aws:iam::123456789012:role/r"}', "ValidationException"),
            (b"{}", "ValidationException"),
            (
                b'{"FunctionName": "no spaces", "Role": "arn:aws:iam::123456789012:role/r", "Code": {}}',
                "ValidationException",
            ),
        ],
    )
    def test_what_does_not_fit_the_model_is_refused(self, body: bytes, code_of_it: str) -> None:
        with pytest.raises(Refused) as refused:
            Api(CreateFunction={})("POST", "/2015-03-31/functions", body=body)
        assert refused.value.code == code_of_it

    @pytest.mark.parametrize(("method", "path"), [("GET", "/2015-03-31/nothing"), ("PATCH", "/2015-03-31/functions")])
    def test_a_path_that_lambda_does_not_have_is_refused(self, method: str, path: str) -> None:
        with pytest.raises(Refused, match="does not have"):
            Api()(method, path)

    def test_an_operation_that_is_not_here_names_those_that_are(self) -> None:
        with pytest.raises(Refused, match=r"does not have lambda's operation ListLayers; it has Invoke"):
            Api(Invoke={})("GET", "/2018-10-31/layers")
