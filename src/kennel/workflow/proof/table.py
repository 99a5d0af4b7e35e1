"""What a proof has found, as values and as a table of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from kennel.cloud.iam.values import Actor
from kennel.workflow.proof.items import Item
from kennel.workflow.proof.stolen import Tried

Verdict = Literal["proven", "would be denied", "not exercised", "too wide"]
BAD: tuple[Verdict, ...] = ("too wide",)


@dataclass(frozen=True, slots=True)
class Outcome:
    """step: that noticed it; why: the refusal, or why there is none; seconds: of the step without the item."""

    item: Item
    verdict: Verdict
    step: str = ""
    why: str = ""
    seconds: float = 0.0

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Outcome:
        return cls(**{**document, "item": Item(**document["item"])})

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Proof:
    outcomes: tuple[Outcome, ...]
    stolen: tuple[Tried, ...]

    @property
    def holds(self) -> bool:
        return not any(each.verdict in BAD for each in self.outcomes) and all(each.denied for each in self.stolen)

    def count(self, verdict: Verdict) -> int:
        return sum(each.verdict == verdict for each in self.outcomes)

    def summary(self) -> str:
        verdicts: tuple[Verdict, ...] = ("proven", "would be denied", "not exercised", "too wide")
        told = [f"{count} {each}" for each in verdicts if (count := self.count(each))]
        denied = sum(each.denied for each in self.stolen)
        tries = (
            f"; of {len(self.stolen)} things that a stolen role would try, {denied} are denied" if self.stolen else ""
        )
        return f"{len(self.outcomes)} actions and resources: {', '.join(told)}{tries}"

    def document(self) -> dict[str, Any]:
        stolen = [{**asdict(each), "denied": each.denied} for each in self.stolen]
        return {"holds": self.holds, "outcomes": [each.document() for each in self.outcomes], "stolen": stolen}


def markdown(proof: Proof, date: str, command: str, minutes: float) -> str:
    """For docs/iam.md: a table a role, and one of what a thief would try."""
    head = f"By `{command}` on {date}, {minutes:.0f} minutes: {proof.summary()}."
    lines = [head, ""]
    for actor in dict.fromkeys(each.item.actor for each in proof.outcomes):
        mine = [each for each in proof.outcomes if each.item.actor == actor]
        lines += [f"**{actor}**", "", "| statement | taken away | found | by |", "|---|---|---|---|"]
        lines += [_row(each) for each in mine] + [""]
    if proof.stolen:
        actors = list(dict.fromkeys(each.actor for each in proof.stolen))
        lines += [f"| a thief would | {' | '.join(actors)} |", "|---|" + "---|" * len(actors)]
        lines += list(_stolen_rows(proof.stolen, actors))
    return "\n".join(lines).rstrip() + "\n"


def _row(outcome: Outcome) -> str:
    what = outcome.item.value.split(":", 5)[-1] if outcome.item.kind == "resource" else outcome.item.value
    found = outcome.step if outcome.verdict == "proven" else outcome.why or outcome.step
    return f"| {outcome.item.sid} | `{what}` | {outcome.verdict} | {found.replace('|', '/')} |"


def _stolen_rows(tried: Sequence[Tried], actors: Sequence[Actor]) -> list[str]:
    found = {(each.what, each.actor): "denied" if each.denied else each.said for each in tried}
    whats = dict.fromkeys(each.what for each in tried)
    return [f"| {what} | {' | '.join(found.get((what, actor), 'is its work') for actor in actors)} |" for what in whats]
