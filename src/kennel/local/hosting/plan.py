"""What an endpoint is to run, as values: variants of a deployment, and the limits that hold for all. No behaviour."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Self

from kennel.local.parts import Document

STARTUP_S = 480
"""SageMaker's own limit for the first healthy /ping where the configuration names none."""


@dataclass(frozen=True, slots=True)
class Limits:
    """payload: bytes of a request (InvokeEndpoint's Body); answer_s: from request to answer, waiting included.

    outstanding: requests that an instance gets at a time. ping_s: for an answer; SageMaker gives 2, here instances
    share one machine with everything else. warm_s: for an instance's first invocation. misses: pings in a row without
    an answer that end an instance. stop_s: from SIGTERM to SIGKILL. archive_bytes, archive_files: of a model's archive,
    unpacked.
    """

    payload: int = 6 * 2**20
    answer_s: float = 60
    outstanding: int = 32
    ping_every_s: float = 5
    ping_s: float = 10
    warm_s: float = 30
    misses: int = 3
    look_every_s: float = 0.5
    drain_s: float = 60
    stop_s: float = 30
    backoff_s: float = 1
    backoff_most_s: float = 60
    archive_bytes: int = 30 * 2**30
    archive_files: int = 100_000


@dataclass(frozen=True, slots=True)
class Variant:
    """A production variant and all that its instances need, so that an endpoint outlives its model.

    role: the model's, under which its artifact is read and its image pulled; "" where it names none.
    """

    name: str
    model: str
    image: str
    data: str | None
    environment: dict[str, str]
    isolated: bool
    instance_type: str
    instances: int
    weight: float
    startup_s: float
    role: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """identity: one for each roll-out of a configuration; a change of counts or weights keeps it."""

    identity: str
    config: str
    variants: tuple[Variant, ...]
    began: float

    @classmethod
    def load(cls, document: Document) -> Self:
        variants = tuple(Variant(**each) for each in document["variants"])
        return cls(**{**document, "variants": variants})

    def document(self) -> Document:
        return asdict(self)

    def named(self, name: str) -> Variant | None:
        return next((each for each in self.variants if each.name == name), None)

    def changed(self, counts: dict[str, int], weights: dict[str, float]) -> Self:
        """The same with other counts and weights, by the variant's name; where none is given they stay."""
        variants = tuple(
            replace(each, instances=counts.get(each.name, each.instances), weight=weights.get(each.name, each.weight))
            for each in self.variants
        )
        return replace(self, variants=variants)
