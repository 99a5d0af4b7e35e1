"""A tuning job on the local AWS, features computed once, beside as many trainings through the network.

Ours is timed whole: `kennel run --until tune` from packing to the last trial, features job included. The peer's way
(benchmarks/bench_training.py's) is one epoch on some of the pictures, timed a few times, then times pictures, epochs
and trials, openly: its epochs all cost the same, and each of its trials starts from the photographs again.

    python benchmarks/bench_tuning.py [--data FOLDER] [--trials 20] [--epochs 20] [--pictures 300] [--timed 2]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench_training import peer
from kennel.cli.console import progress
from kennel.cloud.session import connect
from kennel.local.background import start_in_background, stop
from kennel.machine import cores
from kennel.pictures import dataset
from kennel.pictures.dataset import DataSet
from kennel.pictures.drawings import draw_set
from kennel.settings import parse
from kennel.weights.sources import pretrained
from kennel.workflow import record
from kennel.workflow.stage import Stage, Summary
from kennel.workflow.story import Story


def ours(data: Path, trials: int, epochs: int, folder: Path) -> Summary:
    """The story up to the tuning job's end, in a home of its own; nothing is cached but the pretrained weights."""
    settings = parse({"training": {"hyperparameters": {"epochs": epochs}}, "tuning": {"jobs": trials}})
    server = start_in_background(folder / "home", 0, settings.region, "process")
    try:
        cloud = connect("local", settings, server.url, (server.access_key_id, server.secret_access_key))
        begun = record.new("local", data).write(folder / "run")
        return Story(Stage(cloud, begun, folder / "run", progress())).tell("tune")
    finally:
        stop(folder / "home")


def theirs(data: DataSet, pictures: int, timed: int) -> float:
    """Seconds for one picture in one epoch: the median of a few epochs."""
    step = max(1, len(data.splits["train"]) // pictures)
    chosen = list(data.splits["train"][::step][:pictures])
    weights = pretrained()
    return statistics.median(peer(weights, chosen, data.labels, 1) for _ in range(timed)) / len(chosen)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path)
    arguments.add_argument("--trials", type=int, default=20)
    arguments.add_argument("--epochs", type=int, default=20)
    arguments.add_argument("--pictures", type=int, default=300)
    arguments.add_argument("--timed", type=int, default=2)
    given = arguments.parse_args()
    os.environ.pop("AWS_ENDPOINT_URL", None)
    with tempfile.TemporaryDirectory() as folder:
        if given.data is None:
            draw_set(Path(folder) / "drawings")
        path = (given.data or Path(folder) / "drawings").resolve()
        data = dataset.load(path)
        each = theirs(data, given.pictures, given.timed)
        started = time.monotonic()
        summary = ours(path, given.trials, given.epochs, Path(folder))
        whole = time.monotonic() - started
    count = len(data.splits["train"])
    network = each * count * given.epochs * given.trials
    table = Table("what", "seconds")
    for step, seconds in summary.seconds.items():
        table.add_row(f"ours: {step}", f"{seconds:.0f}")
    table.add_row("ours: in all, server's start and end included", f"{whole:.0f}")
    table.add_row(f"{given.trials} × {given.epochs} epochs through the network (extrapolated)", f"{network:.0f}")
    table.add_row("ratio", f"{network / whole:.0f}")
    Console(width=120).print(table)
    print(f"{cores()} cores, {count} training pictures, {given.timed} epochs of {given.pictures} pictures timed")


if __name__ == "__main__":
    main()
