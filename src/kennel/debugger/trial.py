"""Reads recorded tensors, while they are written too: smdebug's trial on a folder, reduced to `Recorded`.

The folder may be anybody's (a job's, a download), so its index is looked at before smdebug reads by it: it names only
files of this folder, and no more bytes than they have. smdebug itself would wait for what is missing, and follow the
index anywhere.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kennel.debugger.recorded import Loss, Phase, Recorded, Statistics
from kennel.errors import DataError

log = logging.getLogger(__name__)

END = "training_job_end.ts"
"""smdebug's mark of a training that has ended."""
EVENT_FILE = re.compile(r"events/\d+/[\w.-]+\.tfevents")
LARGEST_INDEX, LARGEST_EVENTS = 16 << 20, 2 << 30
"""Bytes of one file that are looked at, at most."""
NO_WAITING = {"SMDEBUG_TRAINING_END_DELAY_REFRESH": "0", "SMDEBUG_MISSING_EVENT_FILE_RETRY_LIMIT": "0"}
"""smdebug's own settings: what is not there yet is looked for the next time."""
NAN = float("nan")
Growing = dict[str, list[Statistics]]
"""A tensor's name → its figures so far."""


class Reader:
    """What is in a folder of tensors so far. Each step is read once."""

    def __init__(self, folder: Path, activations: str) -> None:
        """activations: a regex, which tensors are inputs of activations."""
        self._folder, self._activations = folder, re.compile(activations)
        self._checked: set[Path] = set()
        self._seen: set[int] = set()
        self._trial: Any = None
        self._losses: list[Loss] = []
        self._series: dict[str, Growing] = {"gradients": {}, "weights": {}, "activations": {}}

    def read(self, over: bool = False) -> Recorded:
        """Everything so far. over: whether the training is known to have ended; the folder may say so as well.

        Raises DataError for a folder that cannot be trusted or understood.
        """
        over = over or self.ended
        if self._is_complete(over):
            self._check_index()
            self._load(over)
        losses = tuple(sorted(self._losses, key=lambda each: each.step))
        return Recorded(losses, **{kind: _frozen(series) for kind, series in self._series.items()}, over=over)

    @property
    def ended(self) -> bool:
        """Whether the folder says that the training has."""
        return (self._folder / END).is_file()

    def _is_complete(self, over: bool) -> bool:
        """Whether every process that records has said so: smdebug would wait for them for ever. Raises DataError."""
        found = [_workers(path) for path in _collections(self._folder)]
        if not found or len(found) >= max(found):
            return bool(found)
        if over:
            remedy = "Record it again; what is here is of a training that was ended early"
            raise DataError(f"{self._folder}: only {len(found)} of {max(found)} processes recorded anything", remedy)
        return False

    def _load(self, over: bool) -> None:
        os.environ.update(NO_WAITING)
        try:
            if self._trial is None:
                self._trial = _trial(self._folder)
            steps = [step for step in self._trial.steps(show_incomplete_steps=over) if step not in self._seen]
            names = self._named()
            for step in steps:
                self._seen.add(step)
                self._take(step, names)
        except Exception as error:  # smdebug raises whatever a broken file leads to
            raise DataError(f"{self._folder}: smdebug cannot read it ({error})", "Record it again") from error

    def _named(self) -> dict[str, set[str]]:
        """The names of the tensors of each of smdebug's own collections."""
        found = {}
        for collection in ("losses", "gradients", "weights"):
            found[collection] = set(self._trial.tensor_names(collection=collection))
        return found

    def _take(self, step: int, names: dict[str, set[str]]) -> None:
        phase = _phase(self._trial.mode(step))
        own = self._trial.mode_step(step)
        for name in self._trial.tensor_names(step=step):
            tensor = self._trial.tensor(name)
            if name in names["losses"]:
                if (value := _value(tensor, step)) is not None and value.size:
                    self._losses.append(Loss(step, own, phase, float(np.mean(value))))
            elif phase == "train":
                for kind in self._kinds(name, names):
                    self._series[kind].setdefault(name, []).append(statistics(tensor, step, own))

    def _kinds(self, name: str, names: dict[str, set[str]]) -> Iterator[str]:
        yield from (kind for kind in ("gradients", "weights") if name in names[kind])
        if self._activations.match(name):
            yield "activations"

    def _check_index(self) -> None:
        """Raises DataError."""
        for path in sorted((self._folder / "index").glob("*/*.json")):
            if path not in self._checked and _check_index_file(path, self._folder):
                self._checked.add(path)


def _frozen(series: Growing) -> dict[str, tuple[Statistics, ...]]:
    return {name: tuple(rows) for name, rows in sorted(series.items())}


def statistics(tensor: Any, step: int, own: int) -> Statistics:
    """Of one tensor of smdebug's at one step: from its values, else from the reductions that were recorded."""
    value = _value(tensor, step)
    if value is None:
        mean_abs, variance = (_reduction(tensor, step, *each) for each in (("mean", True), ("variance", False)))
        return Statistics(step, own, mean_abs, variance, NAN, NAN, not math.isinf(mean_abs))
    numbers = value.astype(np.float64, copy=False)
    if not numbers.size or not np.isfinite(numbers).all():
        return Statistics(step, own, NAN, NAN, NAN, NAN, finite=False)
    low, high = np.percentile(numbers, (5, 95))
    mean_abs, variance = float(np.abs(numbers).mean()), float(numbers.var())
    return Statistics(step, own, mean_abs, variance, float(low), float(high), finite=True)


def _value(tensor: Any, step: int) -> np.ndarray[Any, Any] | None:
    """None where it was not recorded in full, or cannot be read."""
    try:
        return np.asarray(tensor.value(step))
    except Exception as error:
        log.debug("%s at step %d: %s", tensor.name, step, error)
        return None


def _reduction(tensor: Any, step: int, name: str, absolute: bool) -> float:
    try:
        return float(tensor.reduction_value(step, name, abs=absolute))
    except Exception as error:
        log.debug("%s at step %d: %s", tensor.name, step, error)
        return NAN


def _trial(folder: Path) -> Any:
    from smdebug.core.logger import get_logger

    get_logger().setLevel(logging.ERROR)
    from smdebug.trials import create_trial

    return create_trial(str(folder))


def _phase(mode: Any) -> Phase:
    return "valid" if mode.name in ("EVAL", "PREDICT") else "train"


def _collections(folder: Path) -> Iterable[Path]:
    """smdebug writes one at the first saved step, for each process that records."""
    return list((folder / "collections").glob("*/*_collections.json"))


def _workers(path: Path) -> int:
    """How many processes record, as one of them says. Raises DataError."""
    try:
        return int(_json(path)["_meta"]["num_workers"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is no list of collections ({error})", "Record it again") from error


def _json(path: Path) -> Any:
    """Raises OSError, ValueError, RecursionError; the file is a plain one, and not large."""
    about = path.lstat()
    if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST_INDEX:
        raise ValueError("it is no plain file, or too large")
    return json.loads(path.read_bytes())


def _check_index_file(path: Path, folder: Path) -> bool:
    """Whether its values are there and were looked at. Raises DataError."""
    try:
        index = _json(path)
        name = str(index["meta"]["event_file_name"])
        event = folder / name
        links = (event, event.parent, event.parent.parent)
        if not EVENT_FILE.fullmatch(name) or any(each.is_symlink() for each in links):
            raise ValueError(f"it names {name!r}")
        size = event.stat().st_size if event.is_file() else 0
        payload = index.get("tensor_payload") or []
        if size > LARGEST_EVENTS or (size and any(not _lies_within(each, size) for each in payload)):
            raise ValueError(f"{name} is shorter than it says, or too large")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is no index of tensors ({error})", "Remove it: the other steps can be read") from error
    return size > 0


def _lies_within(entry: Any, size: int) -> bool:
    start, length = int(entry["start_idx"]), int(entry["length"])
    return start >= 0 and length > 0 and start + length <= size
