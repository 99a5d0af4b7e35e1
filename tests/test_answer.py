"""One request's answer, without a server: types, accepts, custom attributes, refusals."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from kennel.engines import Classifier, Features, Head, Pictures
from kennel.serving.answer import PICTURE_TYPES, Answerer, Request, Response

LABELS = ("001.Affenpinscher", "016.Beagle", "071.German_shepherd_dog", "124.Poodle")


class Flat:
    """An engine whose first feature is the picture's mean red; enough to have an opinion."""

    name = "float32"

    def features(self, pictures: Pictures) -> Features:
        found = np.zeros((len(pictures), 2048), np.float32)
        found[:, 0] = pictures[..., 0].mean((1, 2)) / 255
        return found


@pytest.fixture
def answerer() -> Answerer:
    weight = np.zeros((4, 2048), np.float32)
    weight[:, 0] = [0, 4, 2, 1]
    return Answerer(
        Classifier(Flat(), Head(weight, np.zeros(4, np.float32))), LABELS, max_pixels=1_000_000, max_body=1 << 20
    )


def picture(form: str = "JPEG", colour: str = "red", size: tuple[int, int] = (300, 260)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, form)
    return file.getvalue()


def values(response: Response) -> dict[str, object]:
    result: dict[str, object] = json.loads(response.text)
    return result


def test_the_answer_has_the_best_first_and_a_score_for_every_label_in_label_order(answerer: Answerer) -> None:
    response = answerer.answer(Request(picture(), "image/jpeg"))
    assert (response.status, response.content_type) == (200, "application/json")
    answer = json.loads(response.text)
    assert [each["label"] for each in answer["predictions"]] == [LABELS[place] for place in (1, 2, 3, 0)]
    assert answer["predictions"][1]["breed"] == "German shepherd dog"
    assert sum(answer["scores"]) == pytest.approx(1, abs=1e-5)
    assert answer["predictions"][0]["probability"] == answer["scores"][1]


@pytest.mark.parametrize("kind", sorted(PICTURE_TYPES))
@pytest.mark.parametrize("parameters", ["", "; charset=binary"])
def test_a_picture_is_taken_by_any_picture_type_with_or_without_parameters(
    answerer: Answerer, kind: str, parameters: str
) -> None:
    assert answerer.answer(Request(picture("PNG"), kind.upper() + parameters)).status == 200


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_bytes_decide_what_a_picture_is(answerer: Answerer, form: str) -> None:
    assert answerer.answer(Request(picture(form), "application/x-image")).status == 200


def test_csv_has_the_scores_alone(answerer: Answerer) -> None:
    asked = answerer.answer(Request(picture(), "image/jpeg", "text/csv"))
    scores = json.loads(answerer.answer(Request(picture(), "image/jpeg")).text)["scores"]
    assert asked.content_type == "text/csv"
    assert [float(each) for each in asked.text.split(",")] == scores


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json; charset=utf-8", "application/json"),
        ("text/html, text/csv;q=0.9, */*;q=0.1", "text/csv"),
        ("image/webp, */*", "application/json"),
    ],
)
def test_the_first_type_that_there_is_is_answered(answerer: Answerer, accept: str, kind: str) -> None:
    assert answerer.answer(Request(picture(), "image/jpeg", accept)).content_type == kind


@pytest.mark.parametrize(
    ("attributes", "count"),
    [("", 4), ("top_k=2", 2), ("trace=7, top_k=1", 1), ("TOP_K = 3;a=b", 3), ("top_k=" + "9" * 500, 4)],
)
def test_custom_attributes_may_ask_for_another_number(answerer: Answerer, attributes: str, count: int) -> None:
    answer = json.loads(answerer.answer(Request(picture(), "image/jpeg", "", attributes)).text)
    assert len(answer["predictions"]) == count


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (400, Request(b"", "image/jpeg")),
        (400, Request(b"hello", "image/jpeg")),
        (400, Request(picture()[:200], "image/jpeg")),
        (400, Request(picture(), "image/jpeg", "", "top_k=0")),
        (400, Request(picture(), "image/jpeg", "", "top_k=-1")),
        (400, Request(picture(), "image/jpeg", "", "top_k=two")),
        (406, Request(picture(), "image/jpeg", "text/html")),
        (413, Request(picture("GIF", size=(1001, 1000)), "image/gif")),
        (413, Request(b"\xff" * ((1 << 20) + 1), "image/jpeg")),
        (415, Request(picture(), "text/plain")),
        (415, Request(picture(), "image/svg+xml")),
        (415, Request(picture(), "application/x-npy")),
    ],
)
def test_bad_input_is_refused_with_one_line_of_json_that_says_what_to_do(
    answerer: Answerer, status: int, request_: Request
) -> None:
    response = answerer.answer(request_)
    assert response.status == status
    assert "\n" not in response.text
    assert set(values(response)) == {"error", "remedy"}
    assert values(response)["remedy"]
