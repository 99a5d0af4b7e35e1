"""What the gatekeeper of the local AWS decided: one call a line of JSON, in `HOME/gatekeeper/calls.jsonl`.

Each line is one `Call`: its fields by their names, values of context keys as lists. When the file is full it becomes
`calls.1.jsonl`, which takes the place of the one before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from kennel.iam.values import Access, Caller

NOW, OLDER = "calls.jsonl", "calls.1.jsonl"
TIME, EPOCH = "aws:currenttime", "aws:epochtime"
"""Context keys that are left out of a line: they follow from its time."""


@dataclass(frozen=True, slots=True)
class Call:
    """One access that was asked for, and what came of it.

    time: epoch seconds. caller, role: as in values.Caller; the session of a service that works under a role is named
    after the service (`assumed-role/ROLE/SageMaker`). operation: of the API, as in `sagemaker:CreateTrainingJob`, which
    may have needed several accesses; of what a service did under a role, the ARN of the job, endpoint or function that
    it did it for. reason, sid: as in values.Decision.
    """

    time: float
    caller: str
    role: str
    action: str
    resource: str
    allowed: bool
    reason: str
    sid: str
    operation: str
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, line: str | bytes) -> Self:
        """From `line()`. Raises ValueError."""
        document: dict[str, Any] = json.loads(line)
        if not isinstance(document, dict) or set(document) != set(cls.__slots__):
            raise ValueError(f"not a call: {line[:100]!r}")
        context = {str(key): tuple(map(str, each)) for key, each in document.pop("context").items()}
        return cls(**document, context=context)

    def line(self) -> str:
        """Without its end."""
        document = {name: getattr(self, name) for name in self.__slots__}
        document["context"] = {key: each for key, each in self.context.items() if key not in (TIME, EPOCH)}
        return json.dumps(document, separators=(",", ":"))

    def access(self) -> Access:
        """As it was evaluated, so that it can be evaluated again."""
        return Access(self.action, self.resource, {**self.context, **times(self.time)})

    def who(self) -> Caller:
        return Caller(self.caller, self.caller.split(":")[4] if self.caller.startswith("arn:") else "", self.role)


def times(now: float) -> dict[str, tuple[str, ...]]:
    """aws:CurrentTime and aws:EpochTime."""
    return {TIME: (datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),), EPOCH: (str(int(now)),)}


def read(folder: Path) -> Iterator[Call]:
    """All that are kept in `HOME/gatekeeper`, the oldest first; but what a killed server left of a line."""
    for name in (OLDER, NOW):
        if not (path := folder / name).is_file():
            continue
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield Call.parse(line)
