"""How long policies may be, by where they are. IAM counts characters and no white space; S3 counts bytes."""

from __future__ import annotations

import json
from typing import Literal

from kennel.iam.values import Policy

Place = Literal["managed", "user", "group", "role", "trust", "bucket", "session"]
LIMITS: dict[Place, int] = {
    "managed": 6_144,
    "user": 2_048,
    "group": 5_120,
    "role": 10_240,
    "trust": 2_048,
    "bucket": 20 * 1_024,
    "session": 2_048,
}
"""managed: of one document. user, group, role: of all that are inline in one, together. trust: what an account has that
never asked for more. bucket: bytes. session: what AssumeRole takes. (IAM's page of quotas, S3's of bucket policies.)"""


def size(policy: Policy, place: Place = "managed") -> int:
    """Characters, or bytes for a bucket, of the shortest way to write it. White space within strings counts: whether
    IAM leaves that out too is said nowhere."""
    text = json.dumps(policy, separators=(",", ":"), ensure_ascii=False)
    return len(text.encode()) if place == "bucket" else len(text)
