"""What judges one training job of the local AWS while it runs, as a process of its own: `… rule_process FOLDER`.

FOLDER/rules.json says what and where; a line of JSON on stdout is a verdict that is new; when FOLDER/over is there the
training has ended, so the last verdicts come, and the page if one is wanted. A process, as on AWS: what a training
writes is nothing that the server should read by itself.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kennel.debugger.evaluation import REPORT, Evaluation, Judged, RuleConfig
from kennel.debugger.verdict import Verdict
from kennel.files import write_atomically

log = logging.getLogger(__name__)

TASK, OVER, PAGE = "rules.json", "over", "page.html"
LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be judged. tensors, profiler: folders, None where nothing is recorded; page: whether one is wanted."""

    job: str
    rules: tuple[RuleConfig, ...]
    tensors: str | None
    profiler: str | None
    page: bool

    def write(self, folder: Path) -> None:
        (folder / TASK).write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> Task:
        found = json.loads((folder / TASK).read_text())
        rules = tuple(RuleConfig(**each) for each in found.pop("rules"))
        return cls(rules=rules, **found)

    def evaluation(self) -> Evaluation:
        folders = [Path(each) if each else None for each in (self.tensors, self.profiler)]
        return Evaluation(self.rules, *folders)


def main() -> int:
    """Until the training is over."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    folder = Path(sys.argv[1])
    task = Task.read(folder)
    evaluation, told = task.evaluation(), dict[str, Verdict]()
    while True:
        over = (folder / OVER).exists()
        judged = evaluation.judge(over)
        for line in news(told, judged.verdicts):
            print(line, flush=True)
        if over:
            _write_page(task, judged, folder)
            return 0
        time.sleep(LOOK_EVERY_S)


def news(told: dict[str, Verdict], verdicts: Mapping[str, Verdict]) -> Iterator[str]:
    """A line for each verdict that was not told yet; from then on it is."""
    for name, verdict in verdicts.items():
        if told.get(name) != verdict:
            told[name] = verdict
            yield json.dumps({"name": name, "verdict": asdict(verdict)})


def verdict_of(line: str) -> tuple[str, dict[str, Any]] | None:
    """Name and verdict in such a line; None for any other."""
    try:
        found = json.loads(line)
        return str(found["name"]), dict(found["verdict"])
    except (ValueError, KeyError, TypeError):
        return None


def _write_page(task: Task, judged: Judged, folder: Path) -> None:
    if task.page:
        from kennel.reports import debugger

        verdicts = [each for each in judged.verdicts.values() if each.rule != REPORT]
        page = debugger.page(task.job, verdicts, judged.recorded, judged.profile)
        write_atomically(folder / PAGE, page.encode())


if __name__ == "__main__":
    sys.exit(main())
