"""The stock way of serving, as the usual notebooks have it: torch eager in float32, Pillow, torchvision's transforms.

For `bench_serving.py`; loaded by multi-model-server in place of `kennel.serving.handler`.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from kennel import artifact
from kennel.network import build
from kennel.weights.torch import torchvision


class StockHandlerService:
    """initialize, handle: multi-model-server's form."""

    def initialize(self, context: Any) -> None:
        found = artifact.load(Path(os.environ["KENNEL_ARTIFACT"]))
        head = torch.nn.Linear(2048, len(found.card.labels))
        head.weight.data = torch.from_numpy(found.head.weight)
        head.bias.data = torch.from_numpy(found.head.bias)
        self._network = build(found.weights(), head)
        transforms = torchvision().transforms
        self._transform = transforms.Compose(
            [
                transforms.Resize(256),
                transforms.CenterCrop(224),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[str]:
        picture = Image.open(io.BytesIO(data[0]["body"])).convert("RGB")
        with torch.no_grad():
            scores = self._network(self._transform(picture)[None]).softmax(1)[0]
        context.set_response_content_type(0, "application/json")
        return [json.dumps(scores.tolist())]
