"""Names on AWS, from what they stand for: the same work has the same name, so each step can look first at what exists.

Pure. Lengths are those of SageMaker's API.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from kennel.settings import Settings

TRIES = 9
"""How many jobs may try one and the same thing."""
LONGEST = 63 - len("-9")
LONGEST_TUNING = 32 - len("-9")
DIGITS = 8

DATA = "data"
WEIGHTS = "weights"
JOBS = "jobs"
CHECKPOINTS = "checkpoints"
EC2 = "ec2"
"""What a machine leaves that trains by hand."""


def digest(*matter: Any) -> str:
    """8 hex digits of everything that matters (JSON values; the order of a mapping's names does not)."""
    text = json.dumps(matter, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def name(project: str, kind: str, *matter: Any) -> str:
    """`kennel-train-1a2b3c4d`: of a training job, a model, an endpoint configuration. kind: `train`, `features` …

    Two characters less than the 63 that are allowed, for `tries`.
    """
    return _joined(project, kind, digest(*matter), LONGEST)


def tuning_name(project: str, *matter: Any) -> str:
    """`kennel-tune-1a2b3c4d`: of a tuning job, which may have 32 characters only."""
    return _joined(project, "tune", digest(*matter), LONGEST_TUNING)


def tries(first: str) -> list[str]:
    """`NAME`, `NAME-2` … `NAME-9`: a job that failed keeps its name, the next try needs another."""
    return [first, *(f"{first}-{number}" for number in range(2, TRIES + 1))]


def prefix(settings: Settings, *parts: str) -> str:
    """`kennel/data/train`: keys of the bucket, which may hold other things than this project's."""
    return "/".join((settings.project, *parts))


def _joined(project: str, kind: str, digits: str, longest: int) -> str:
    """The project is what gives way where it is too long."""
    room = longest - len(kind) - len(digits) - 2
    return f"{project[:room].rstrip('-')}-{kind}-{digits}"
