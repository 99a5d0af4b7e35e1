"""The function: every event's form, every payload, every answer and every error, by its own boto3 client."""

from __future__ import annotations

import base64
import io
import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import function
from fixtures_function import FORMS, PREDICTED, PREDICTIONS, Endpoint, context, event
from function import Function
from kennel.pictures.drawings import BREEDS, draw
from kennel.serving import answer as serving

LIMIT = 6 << 20


def encoded(kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    draw(BREEDS[0], 1, (160, 120)).save(file, kind)
    return file.getvalue()


JPEG = encoded()
BASE64 = base64.b64encode(JPEG).decode()


@pytest.fixture
def answering(endpoint: Endpoint, client: Any) -> Function:
    """As Lambda makes it, but that all of these share one client."""
    settings, page = function.settings_of(os.environ), function.PAGE.read_bytes()
    return Function(settings, client, function.Web(), page, lambda: function.client("s3"))


def said(answer: dict[str, Any]) -> Any:
    return json.loads(answer["body"])


def form_data(*parts: tuple[str, bytes]) -> tuple[bytes, str]:
    """A body as browsers send it: (head, value) each; and its content type."""
    body = b"".join(
        b"--XyZ\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (head.encode(), value) for head, value in parts
    )
    return body + b"--XyZ--\r\n", "multipart/form-data; boundary=XyZ"


class TestEvents:
    def test_a_direct_invocation_is_answered_as_the_mission_shows(self, answering: Function) -> None:
        answer = answering({"image": BASE64}, context())
        assert answer["statusCode"] == 200
        assert answer["headers"]["Content-Type"] == "text/plain"
        assert answer["headers"]["Access-Control-Allow-Origin"] == "*"
        assert answer["isBase64Encoded"] is False
        assert said(answer)["predictions"] == PREDICTIONS

    @pytest.mark.parametrize("form", FORMS)
    def test_a_picture_as_the_body_is_asked_about_as_it_is(
        self, form: str, answering: Function, endpoint: Endpoint
    ) -> None:
        answer = answering(event(form, JPEG, content_type="image/jpeg"), context())
        assert (answer["statusCode"], answer["body"]) == (200, PREDICTED)
        path, headers, body = endpoint.asked[0]
        assert path == "/endpoints/secret-name/invocations"
        assert headers["Content-Type"] == "image/jpeg"
        assert headers["X-Amzn-SageMaker-Custom-Attributes"] == "top_k=5"
        assert body == JPEG

    @pytest.mark.parametrize("form", FORMS)
    def test_json_holds_base64_or_a_data_url(self, form: str, answering: Function, endpoint: Endpoint) -> None:
        folded = "\n".join(BASE64[place : place + 76] for place in range(0, len(BASE64), 76))
        for image in (BASE64, folded, f"data:image/jpeg;base64,{BASE64}"):
            for body in (json.dumps({"image": image}), json.dumps({"image": image, "url": None}).encode()):
                assert answering(event(form, body), context())["statusCode"] == 200
        assert {body for _, _, body in endpoint.asked} == {JPEG}

    @pytest.mark.parametrize("form", FORMS)
    def test_a_plain_form_holds_a_file_of_any_name(self, form: str, answering: Function, endpoint: Endpoint) -> None:
        empty_url = ('name="url"', b"")
        body, kind = form_data(empty_url, ('name="it"; filename="dog.jpg"\r\nContent-Type: image/jpeg', JPEG))
        assert answering(event(form, body, content_type=kind), context())["statusCode"] == 200
        quoted = kind.replace("XyZ", '"XyZ"')
        assert answering(event(form, body, content_type=quoted), context())["statusCode"] == 200
        assert [body for _, _, body in endpoint.asked] == [JPEG, JPEG]

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
    def test_every_kind_that_the_endpoint_decodes_is_known_by_how_it_begins(
        self, kind: str, answering: Function, endpoint: Endpoint
    ) -> None:
        answer = answering(event("url", encoded(kind), content_type="application/x-www-form-urlencoded"), context())
        assert answer["statusCode"] == 200
        sent = endpoint.asked[0][1]["Content-Type"]
        assert sent == f"image/{kind.lower()}"
        assert sent in serving.PICTURE_TYPES

    @pytest.mark.parametrize("text", [JPEG.decode("latin-1"), BASE64, f"data:image/jpeg;base64,{BASE64}"])
    def test_a_body_that_a_gateway_left_as_text_is_read_too(
        self, text: str, answering: Function, endpoint: Endpoint
    ) -> None:
        for kind in ("image/jpeg", "text/plain"):
            assert answering(event("rest", text, content_type=kind), context())["statusCode"] == 200
        assert {body for _, _, body in endpoint.asked} == {JPEG}

    @pytest.mark.parametrize("form", FORMS)
    def test_the_page_is_got_from_any_path(self, form: str, answering: Function) -> None:
        for path in ("/", "/prod/", "/which/dog"):
            answer = answering(event(form, method="GET", path=path), context())
            assert answer["statusCode"] == 200
            assert answer["headers"]["Content-Type"] == "text/html; charset=utf-8"
            assert answer["body"].startswith("<!doctype html>")
        head = answering(event(form, method="HEAD"), context())
        assert (head["statusCode"], head["body"]) == (200, "")

    @pytest.mark.parametrize("form", FORMS)
    def test_a_preflight_request_is_answered(self, form: str, answering: Function, endpoint: Endpoint) -> None:
        answer = answering(event(form, method="OPTIONS", origin="https://a.example"), context())
        assert (answer["statusCode"], answer["body"]) == (204, "")
        assert "POST" in answer["headers"]["Access-Control-Allow-Methods"]
        assert "Content-Type" in answer["headers"]["Access-Control-Allow-Headers"]
        assert answer["headers"]["Access-Control-Allow-Origin"] == "*"
        assert endpoint.asked == []


class TestAnswers:
    @pytest.mark.parametrize(
        ("accept", "kind"),
        [
            ("", "text/plain"),
            ("*/*", "text/plain"),
            ("text/html", "text/plain"),
            ("application/json", "application/json"),
            ("text/html, Application/JSON;q=0.9", "application/json"),
        ],
    )
    def test_json_is_called_json_for_who_asks_for_it(self, accept: str, kind: str, answering: Function) -> None:
        for body, status in ((JPEG, 200), (b"hello", 422)):
            answer = answering(event("url", body, content_type="image/jpeg", accept=accept), context())
            assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (status, kind)

    def test_only_pages_of_allowed_origins_may_read_the_answer(
        self, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ALLOWED_ORIGINS", "https://a.example, https://b.example")
        answering = function.make(os.environ)
        for origin, told in (("https://b.example", "https://b.example"), ("https://b.example.evil", None), ("", None)):
            headers = answering(event("url", JPEG, origin=origin), context())["headers"]
            assert headers.get("Access-Control-Allow-Origin") == told
            assert headers["Vary"] == "Origin"

    def test_the_time_is_told_and_the_request_is_named(self, answering: Function) -> None:
        headers = answering(event("url", JPEG), context())["headers"]
        assert "endpoint;dur=" in headers["Server-Timing"]
        assert headers["X-Request-Id"] == context().aws_request_id
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"

    def test_the_page_may_do_nothing_but_what_it_does(self, answering: Function) -> None:
        headers = answering(event("url", method="GET"), context())["headers"]
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "connect-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert policy.count("'sha256-") == 2
        assert "unsafe" not in policy
        assert headers["Referrer-Policy"] == "no-referrer"

    def test_the_page_asks_nobody_else(self) -> None:
        page = function.PAGE.read_text()
        assert "http://www.w3.org/2000/svg" in page
        rest = page.replace("http://www.w3.org/2000/svg", "")
        assert not any(each in rest for each in ("http://", "//cdn", "@import", '<link rel="stylesheet', 'src="http'))
        assert len(page) < 30_000


BROKEN = {
    "no event": (None, 400, "the event is no JSON object"),
    "an event of something else": ({"Records": []}, 400, "the request names no picture"),
    "two at once": ({"url": "https://a.example/", "image": BASE64}, 400, "both url and image are given"),
    "a url that is none": ({"url": 7}, 400, "url is not text"),
    "an image that is none": ({"image": ["x"]}, 400, "image is not text"),
    "no base64": ({"image": "hello, world"}, 400, "the picture is not base64"),
    "a data URL without base64": ({"image": "data:image/png,x"}, 400, "a data URL has to be base64"),
    "an empty picture": ({"image": ""}, 400, "the picture is empty"),
    "another scheme": ({"url": "gopher://a.example/"}, 400, "only https addresses are fetched"),
    "a bucket": ({"url": "s3://bucket/dog.jpg"}, 400, "s3:// addresses are not taken here"),
    "no body": (event("url"), 400, "the request has no body"),
    "a body of another type": (event("rest") | {"body": 7}, 400, "the event's body is not text"),
    "a body said to be base64": (
        event("http", "%%%") | {"isBase64Encoded": True}, 400, "the body is not the base64 that it is said to be",
    ),
    "broken JSON": (event("http", '{"url": '), 400, "the body is not JSON"),
    "deep JSON": (event("http", "[" * 200_000), 400, "the body is not JSON"),
    "JSON that is no object": (event("http", "[1]"), 400, "the JSON is no object"),
    "a form without a boundary": (
        event("url", b"x", content_type="multipart/form-data"), 400, "the form has no boundary",
    ),
    "an empty form": (
        event("url", *form_data(('name="url"', b""))[:1], content_type="multipart/form-data; boundary=XyZ"),
        400, "the form holds neither a file nor a url",
    ),
    "an encoded form without a url": (
        event("url", b"a=b", content_type="application/x-www-form-urlencoded"),
        400, "the form holds neither a file nor a url",
    ),
    "a form of too many fields": (
        event("url", form_data(*[('name="a"', b"x")] * 20, ('name="url"', b"https://a.example/"))[0],
              content_type="multipart/form-data; boundary=XyZ"), 400, "the form has too many fields",
    ),
    "a form whose boundary is half a character": (
        event("url", b"x", content_type="multipart/form-data; boundary=\ud800"),
        400, "the form holds neither a file nor a url",
    ),
    "an encoded form of too many fields": (
        event("url", b"a=b&" * 20 + b"url=x", content_type="application/x-www-form-urlencoded"),
        400, "the form has too many fields",
    ),
    "a file's name": (event("url", method="GET", path="/favicon.ico"), 404, "there is only one page here"),
    "another method": (event("url", JPEG, method="PUT"), 405, "PUT is not for this address"),
    "too large": ({"image": base64.b64encode(JPEG + bytes(LIMIT)).decode()}, 413, "the picture has more than the 6.3"),
    "too large a body": (event("url", JPEG + bytes(LIMIT)), 413, "the picture has more than the 6.3 MB"),
    "a web page": (event("url", "<html>", content_type="text/html"), 415, "content of type text/html is not taken"),
    "a PDF": (event("url", b"%PDF-1.7", content_type="application/pdf"), 415, "content of type application/pdf"),
    "a text called a picture": (event("url", b"hello", content_type="image/jpeg"), 422, "that is not a picture"),
    "a text without a type": (event("url", b"hello", content_type=""), 422, "that is not a picture"),
    "a phone's HEIC": (event("url", b"\0\0\0\x18ftypheic", content_type="image/heic"), 422, "HEIC and AVIF"),
    "damaged by a gateway": (
        event("rest", JPEG.decode("utf-8", "replace"), content_type="image/jpeg"), 422, "the picture was damaged",
    ),
}  # fmt: skip


class TestRefusals:
    @pytest.mark.parametrize("name", BROKEN)
    def test_what_is_wrong_is_told_in_a_line_with_a_remedy(
        self, name: str, answering: Function, endpoint: Endpoint
    ) -> None:
        given, status, message = BROKEN[name]
        answer = answering(given, context())
        assert (answer["statusCode"], said(answer)["error"][: len(message)]) == (status, message)
        assert said(answer)["remedy"]
        assert said(answer)["request_id"] == context().aws_request_id
        assert endpoint.asked == []

    def test_the_methods_there_are_are_named(self, answering: Function) -> None:
        answer = answering(event("url", method="DELETE"), context())
        assert answer["headers"]["Allow"] == "GET, HEAD, POST, OPTIONS"

    def test_a_defect_shows_nothing_of_itself_but_in_the_log(
        self, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Broken:
            def invoke_endpoint(self, **request: Any) -> Any:
                raise RuntimeError("secret-name")

        settings = function.settings_of(os.environ)
        answering = Function(settings, Broken(), function.Web(), b"", lambda: None)
        answer = answering({"image": BASE64}, context())
        assert answer["statusCode"] == 500
        assert "secret" not in json.dumps(answer)
        assert "RuntimeError: secret-name" in json.loads(capsys.readouterr().out)["traceback"]


def one_line(error: str, remedy: str = "Send it again") -> str:
    return json.dumps({"error": error, "remedy": remedy})


Set = Callable[[Endpoint], None]
UNLIKED, BUSY = "the classifier does not take this picture", "the classifier has too much to do"
AWAY, LATE = "the classifier cannot be asked just now", "the classifier did not answer in time"
TIMED_OUT = "Your invocation timed out while waiting for a response from container secret-name"
DAMAGED, HUGE = "the picture is damaged or ends too early", "the picture has more than 64 megapixels"
FAILING: dict[str, tuple[Set, int, str]] = {
    "a picture that it cannot decode": (lambda it: it.model_error(400, one_line(DAMAGED)), 422, DAMAGED),
    "too many pixels": (lambda it: it.model_error(413, one_line(HUGE)), 413, HUGE),
    "a refusal in other words": (lambda it: it.model_error(400, "<html>secret-name</html>"), 422, UNLIKED),
    "a refusal that is JSON of another form": (lambda it: it.model_error(400, "[1]"), 422, UNLIKED),
    "a crash of the container": (
        lambda it: it.model_error(500, "Traceback secret-name"), 424, "the classifier failed at this picture",
    ),
    "a container that has too much to do": (lambda it: it.model_error(503, "secret-name"), 503, BUSY),
    "a container that does not answer": (lambda it: it.model_error(0, "", TIMED_OUT), 504, LATE),
    "throttling": (lambda it: it.error(429, "ThrottlingException"), 503, BUSY),
    "no instance": (lambda it: it.error(503, "ServiceUnavailable"), 503, BUSY),
    "a model that is not ready": (lambda it: it.error(429, "ModelNotReadyException"), 503, BUSY),
    "no such endpoint": (lambda it: it.error(400, "ValidationError"), 502, AWAY),
    "no permission": (lambda it: it.error(403, "AccessDeniedException"), 502, AWAY),
    "a failure of AWS's": (lambda it: it.error(500, "InternalFailure"), 502, AWAY),
    "an answer that is no JSON": (lambda it: it.says(b"<secret-name>"), 502, AWAY),
    "a prediction of another form": (lambda it: it.says(b'{"predictions": ["secret-name"]}'), 502, AWAY),
    "an answer without predictions": (lambda it: it.says(b'{"predictions": []}'), 502, AWAY),
}  # fmt: skip


class TestTheEndpointsFailures:
    @pytest.mark.parametrize("name", FAILING)
    def test_each_has_its_status_and_keeps_the_endpoints_name(
        self, name: str, answering: Function, endpoint: Endpoint
    ) -> None:
        set_so, status, message = FAILING[name]
        set_so(endpoint)
        answer = answering(event("url", JPEG, content_type="image/jpeg"), context())
        assert (answer["statusCode"], said(answer)["error"]) == (status, message)
        assert ("Retry-After" in answer["headers"]) == (status in (503, 504))
        assert "secret-name" not in json.dumps(answer)
        assert "Traceback" not in json.dumps(answer)

    def test_an_endpoint_that_is_away_is_502(self, answering: Function, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", "http://127.0.0.1:9")
        answer = function.make(os.environ)({"image": BASE64}, context())
        assert (answer["statusCode"], said(answer)["error"]) == (502, "the classifier cannot be asked just now")

    def test_the_time_left_to_the_function_is_the_time_the_endpoint_gets(
        self, answering: Function, endpoint: Endpoint
    ) -> None:
        over = threading.Event()

        def slowly(body: bytes) -> tuple[int, dict[str, str], bytes]:
            over.wait(10)
            return 200, {}, PREDICTED.encode()

        endpoint.answer = slowly
        began = time.monotonic()
        answer = answering({"image": BASE64}, context(0.8))
        took = time.monotonic() - began
        over.set()
        assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (504, "5")
        assert took < 0.8

    def test_without_any_time_left_nothing_is_begun(self, answering: Function, endpoint: Endpoint) -> None:
        assert answering({"image": BASE64}, context(0.1))["statusCode"] == 504
        assert endpoint.asked == []


class TestTheLog:
    def log(self, capsys: pytest.CaptureFixture[str]) -> Any:
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 1
        return json.loads(lines[0])

    def test_a_prediction_is_one_line_of_metrics(self, answering: Function, capsys: pytest.CaptureFixture[str]) -> None:
        answering(event("url", JPEG), context())
        line = self.log(capsys)
        told = line["_aws"]["CloudWatchMetrics"][0]
        assert told["Namespace"] == "Kennel"
        assert told["Dimensions"] == [["function"]]
        assert {each["Name"] for each in told["Metrics"]} == {
            "Latency", "EndpointLatency", "ColdStart", "Refused", "Failed"
        }  # fmt: skip
        assert all(isinstance(line[each["Name"]], float) for each in told["Metrics"])
        assert abs(line["_aws"]["Timestamp"] / 1000 - time.time()) < 60
        assert line["function"] == "DogBreedClassifierInference"
        assert (line["label"], line["probability"]) == ("016.Beagle", 0.9)
        assert (line["status"], line["bytes"], line["type"], line["source"]) == (200, len(JPEG), "image/jpeg", "body")

    def test_the_first_request_of_an_environment_is_cold(
        self, answering: Function, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for cold in (1.0, 0.0):
            answering(event("url", JPEG), context())
            assert self.log(capsys)["ColdStart"] == cold
        monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "provisioned-concurrency")
        function.make(os.environ)(event("url", JPEG), context())
        line = self.log(capsys)
        assert (line["first"], line["ColdStart"], line["start"]) == (True, 0.0, "provisioned-concurrency")

    def test_neither_pictures_nor_paths_nor_queries_are_in_it(
        self, answering: Function, capsys: pytest.CaptureFixture[str]
    ) -> None:
        answering({"url": "https://127.0.0.1/private-path?token=private-query"}, context())
        answering(event("url", b"private-content" + JPEG, path="/private-path", content_type="image/jpeg"), context())
        answering({"image": BASE64}, context())
        text = capsys.readouterr().out
        assert "private" not in text
        assert BASE64[:40] not in text

    def test_refusals_and_failures_are_counted_apart(
        self, answering: Function, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
    ) -> None:
        endpoint.error(400, "ValidationError")
        for given, refused, failed, why in (({}, 1.0, 0.0, None), ({"image": BASE64}, 0.0, 1.0, "ValidationError")):
            answering(given, context())
            line = self.log(capsys)
            assert (line["Refused"], line["Failed"], line.get("reason")) == (refused, failed, why)


class TestSettings:
    def test_without_an_endpoints_name_it_does_not_start(self) -> None:
        with pytest.raises(ValueError, match="ENDPOINT_NAME is not set"):
            function.settings_of({})

    def test_numbers_are_numbers(self) -> None:
        with pytest.raises(ValueError, match="TOP_K, MAX_BYTES and FETCH_SECONDS are numbers"):
            function.settings_of({"ENDPOINT_NAME": "x", "TOP_K": "many"})

    def test_the_limit_is_the_containers(self) -> None:
        assert function.settings_of({"ENDPOINT_NAME": "x"}).most_bytes == serving.MAX_BODY
        assert function.settings_of({"ENDPOINT_NAME": "x"}).top_k == serving.TOP

    def test_each_has_an_effect(self, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOP_K", "3")
        monkeypatch.setenv("MAX_BYTES", str(len(JPEG)))
        answering = function.make(os.environ)
        assert answering({"image": BASE64}, context())["statusCode"] == 200
        assert endpoint.asked[0][1]["X-Amzn-SageMaker-Custom-Attributes"] == "top_k=3"
        assert answering(event("url", JPEG + b"x"), context())["statusCode"] == 413
