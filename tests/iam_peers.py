"""The evaluator beside another: @cloud-copilot/iam-simulate, npm's, the best kept that we found.

Its answers to the same random questions are recorded in golden/iam_simulate.txt, so that the tests need no Node. This
records them again, and needs Node, npm and the registry:

    python tests/iam_peers.py

PyPI has nothing of that kind: principalmapper's simulation (2022) does not import on today's Python, and moto's says
itself that it lacks principals, resources and conditions.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from iam_cases import A
from iam_random import KEYS, Question, question
from kennel.iam.evaluation import evaluate

PEER = "@cloud-copilot/iam-simulate@0.1.173"
SEED, COUNT = 20261124, 4_000
HERE = Path(__file__).parent
RECORDED = HERE / "golden" / "iam_simulate.txt"
_SPELLED = {key.lower(): key for key in [*KEYS, "aws:TagKeys"]}


@dataclass(frozen=True)
class Answers:
    """letters: A allowed, D explicitly denied, I implicitly denied; one for each question."""

    peer: str
    digest: str
    letters: str


def questions() -> list[Question]:
    random = Random(SEED)
    return [question(random) for _ in range(COUNT)]


def recorded() -> Answers:
    peer, digest, *lines = RECORDED.read_text().splitlines()
    return Answers(peer, digest, "".join(lines))


def digest_of(asked: list[Question]) -> str:
    return hashlib.sha256(json.dumps([spoken(each) for each in asked], sort_keys=True).encode()).hexdigest()


def ours(each: Question) -> str:
    found = evaluate(each.access, each.caller, each.policies)
    if found.allowed:
        return "A"
    return "D" if found.reason.startswith("explicit") else "I"


def spoken(each: Question) -> dict[str, Any]:
    """A question as the peer is asked it."""
    context = each.access.context
    return {
        "caller": each.caller.arn,
        "action": each.access.action,
        "resource": each.access.resource,
        "account": A,
        "context": {
            _SPELLED[key]: list(values) if key == "aws:tagkeys" else values[0]
            for key, values in context.items()
            if key in _SPELLED
        },
        "identity": list(each.policies.identity),
        "policy": each.policies.resource,
        "boundary": each.policies.boundary and list(each.policies.boundary),
        "session": each.policies.session and each.policies.session[0],
    }


def record() -> None:
    asked = questions()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "install", "--silent", "--prefix", folder, PEER], check=True)
        script = Path(folder, "ask.mjs")
        script.write_text((HERE / "peers" / "iam_simulate.mjs").read_text())
        given = json.dumps([spoken(each) for each in asked])
        letters = subprocess.run(["node", script], input=given, check=True, capture_output=True, text=True).stdout
    if len(letters) != COUNT:
        raise SystemExit(f"{PEER} refused a question: {letters[:2000]}")
    lines = [letters[start : start + 100] for start in range(0, COUNT, 100)]
    RECORDED.write_text("\n".join([PEER, digest_of(asked), *lines]) + "\n")


if __name__ == "__main__":
    record()
