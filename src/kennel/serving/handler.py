"""The handler service that multi-model-server's workers load (`default_service_handler=kennel.serving.handler`).

It keeps sagemaker-inference's form of a handler service (`initialize`, `handle`) and not its transformer, which
decodes bodies by their type before we see them and answers errors with a traceback.
"""

from __future__ import annotations

import logging
import os
from http import HTTPStatus
from pathlib import Path
from typing import Any

from sagemaker_inference.default_handler_service import DefaultHandlerService
from sagemaker_inference.utils import retrieve_content_type_header

from kennel import artifact
from kennel.pictures.decode import MAX_PIXELS
from kennel.serving.answer import MAX_BODY, Answerer, Request, Response, refused
from kennel.serving.choice import proven

log = logging.getLogger(__name__)

ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"


class PictureHandlerService(DefaultHandlerService):  # type: ignore[misc]
    """One worker's service. `serve` tells it the artifact and the engine by environment variables."""

    def __init__(self) -> None:  # the toolkit's own would make a transformer
        self._answerer: Answerer | None = None

    def initialize(self, context: Any) -> None:
        """Load and prove the artifact. The server's own model folder (`context`) is empty on purpose."""
        found = artifact.load(Path(os.environ["KENNEL_ARTIFACT"]))
        classifier = proven(found, os.environ.get("KENNEL_ENGINE", "auto"), int(os.environ.get("KENNEL_THREADS", "1")))
        limits = (
            int(os.environ.get("KENNEL_MAX_PIXELS", MAX_PIXELS)),
            int(os.environ.get("KENNEL_MAX_BODY", MAX_BODY)),
        )
        self._answerer = Answerer(classifier, tuple(found.card.labels), *limits)

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[str]:
        """Answer each request of a batch."""
        return [self._handle(each, context, place) for place, each in enumerate(data)]

    def _handle(self, data: dict[str, Any], context: Any, place: int) -> str:
        response = self._answer(data, context.request_processor[place].get_request_properties())
        context.set_response_status(response.status, HTTPStatus(response.status).phrase, place)
        context.set_response_content_type(place, response.content_type)
        return response.text

    def _answer(self, data: dict[str, Any], properties: dict[str, Any]) -> Response:
        if self._answerer is None:
            return refused(503, "the artifact is not loaded", "See the server's log")
        headers = {name.lower(): value for name, value in properties.items() if isinstance(value, str)}
        request = Request(
            body=data.get("body") or b"",
            content_type=retrieve_content_type_header(properties) or "",
            accept=headers.get("accept", ""),
            attributes=headers.get(ATTRIBUTES, ""),
        )
        try:
            return self._answerer.answer(request)
        except Exception:  # a defect of ours: the worker lives on, the caller learns no internals
            log.exception("a request failed")
            return refused(500, "the picture could not be classified", "See the server's log")
