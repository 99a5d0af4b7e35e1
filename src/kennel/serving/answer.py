"""One request's answer, apart from any server: bytes and headers in, a status and a text out."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from kennel.engines import Classifier
from kennel.errors import PictureError
from kennel.pictures.dataset import breed
from kennel.pictures.decode import MAX_PIXELS, crop

log = logging.getLogger(__name__)

PICTURE_TYPES = frozenset(
    [f"image/{name}" for name in ("jpeg", "jpg", "pjpeg", "png", "x-png", "webp", "gif", "bmp", "x-ms-bmp", "tiff")]
    + ["application/octet-stream", "application/x-image", ""]
)
"""What may be sent. The bytes decide what it is; a type only says that it is meant as a picture."""
MAX_BODY = 6 << 20
"""SageMaker's payload limit."""
TOP = 5
STATUS = {"empty": 400, "unknown": 400, "truncated": 400, "too-large": 413}
"""PictureError.kind → status."""
JSON, CSV = "application/json", "text/csv"


@dataclass(frozen=True, slots=True)
class Request:
    """content_type, accept, attributes (X-Amzn-SageMaker-Custom-Attributes): as sent, "" where missing."""

    body: bytes | bytearray
    content_type: str = ""
    accept: str = ""
    attributes: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    content_type: str
    text: str


@dataclass(frozen=True, slots=True)
class Answerer:
    """labels: in the order of the scores."""

    classifier: Classifier
    labels: tuple[str, ...]
    max_pixels: int = MAX_PIXELS
    max_body: int = MAX_BODY

    def answer(self, request: Request) -> Response:
        """Classify the picture in a request; 4xx with one line of JSON when there is none."""
        try:
            accept = _accepted(request.accept)
            top = _top(request.attributes, len(self.labels))
            _check_type(request.content_type)
            _check_size(len(request.body), self.max_body)
            pixels = crop(request.body, self.max_pixels)
        except Refused as refusal:
            return refused(refusal.status, refusal.message, refusal.remedy)
        except PictureError as error:
            return refused(STATUS[error.kind], error.message, error.remedy)
        scores = self.classifier.scores(pixels[None])[0]
        return Response(200, CSV, _csv(scores)) if accept == CSV else Response(200, JSON, self._json(scores, top))

    def _json(self, scores: np.ndarray[Any, np.dtype[np.float32]], top: int) -> str:
        values = [round(float(score), 6) for score in scores]
        best = np.argsort(-scores, kind="stable")[:top]
        predictions = [
            {"breed": breed(self.labels[place]), "label": self.labels[place], "probability": values[place]}
            for place in best
        ]
        return json.dumps({"predictions": predictions, "scores": values})


class Refused(Exception):
    """A request that asks for what there is not."""

    def __init__(self, status: int, message: str, remedy: str) -> None:
        super().__init__(message)
        self.status, self.message, self.remedy = status, message, remedy


def refused(status: int, message: str, remedy: str) -> Response:
    """An error as one line of JSON."""
    return Response(status, JSON, json.dumps({"error": message, "remedy": remedy}))


def _accepted(accept: str) -> str:
    for part in accept.split(",") if accept.strip() else ["*/*"]:
        kind = part.split(";")[0].strip().lower()
        if kind in (JSON, "*/*", "application/*"):
            return JSON
        if kind in (CSV, "text/*"):
            return CSV
    raise Refused(406, f"cannot answer as {accept[:80]!r}", f"Accept {JSON} or {CSV}")


def _check_type(content_type: str) -> None:
    kind = content_type.split(";")[0].strip().lower()
    if kind not in PICTURE_TYPES:
        raise Refused(415, f"content type {kind[:80]!r} is no picture's", "Send image/jpeg or application/octet-stream")


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise Refused(413, f"{size / 1e6:.1f} MB are more than the {limit >> 20} MB allowed", "Send a smaller picture")


def _top(attributes: str, labels: int) -> int:
    """`top_k=3` among the custom attributes (`name=value`, parted by commas or semicolons); others are not ours.

    More than there are labels means all of them.
    """
    for part in attributes.replace(";", ",").split(","):
        name, _, value = part.partition("=")
        if name.strip().lower() != "top_k":
            continue
        if value.strip().isascii() and value.strip().isdigit() and int(value.strip()[:6]) >= 1:
            return min(int(value.strip()[:6]), labels)
        raise Refused(400, f"top_k={value.strip()[:20]!r} is not a whole number from 1 on", "Send top_k=5, say")
    return min(TOP, labels)


def _csv(scores: np.ndarray[Any, np.dtype[np.float32]]) -> str:
    return ",".join(f"{score:.6f}" for score in scores)
