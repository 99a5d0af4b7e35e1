"""What a training can be told, typed and bounded. Unknown names and values out of range are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kennel.errors import SettingError


class Hyperparameters(BaseModel):
    """SageMaker passes all of these as strings; they are parsed here once and frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: Annotated[
        float, Field(gt=0, le=10, description="step size at the start; it falls to 0 along a cosine")
    ] = 0.001
    batch_size: Annotated[int, Field(ge=1, le=4096, description="pictures a step, over all processes")] = 64
    epochs: Annotated[int, Field(ge=1, le=1000, description="times through the training pictures")] = 20
    optimizer: Annotated[Literal["adamw", "adam", "sgd"], Field(description="sgd has momentum 0.9")] = "adamw"
    weight_decay: Annotated[float, Field(ge=0, le=1, description="pull of the weights towards 0")] = 0.01
    views: Annotated[
        int,
        Field(
            ge=1,
            le=10,
            description="views of a picture that the head learns from: 1 centre, 2 its mirror image too, up to 10",
        ),
    ] = 2
    trainable: Annotated[
        Literal["head", "layer4", "all"],
        Field(description="what learns: the head alone (features computed once), the last stage too, or everything"),
    ] = "head"
    seed: Annotated[int, Field(ge=0, lt=2**31, description="same seed, same machine: same head, bit for bit")] = 0

    def steps_per_epoch(self, pictures: int) -> int:
        """Batches of a pass over so many training pictures: the head learns from each view as a row of its own."""
        rows = pictures * (self.views if self.trainable == "head" else 1)
        return -(-rows // self.batch_size)


def parse(given: Mapping[str, Any]) -> Hyperparameters:
    """Hyperparameters from names and values (strings will do). Raises SettingError in one line."""
    try:
        return Hyperparameters.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(Hyperparameters.model_fields)
            raise SettingError(f"unknown hyperparameter {name!r}", f"Known are {known}") from error
        reason = first["msg"][0].lower() + first["msg"][1:]
        raise SettingError(f"hyperparameter {name} = {first['input']!r}: {reason}", "Change its value") from error


def from_assignments(texts: Sequence[str]) -> dict[str, str]:
    """`["epochs=30", …]` → names and values. Raises SettingError."""
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise SettingError(f"{text!r} is not name=value", "Write --set epochs=30, say")
        values[name.strip()] = value.strip()
    return values
