"""What recording costs: a head trained without, with the default collections, and with everything at every step.

The worst case for it: the features are there, so a step takes a millisecond or two. The three take turns in one run;
the figures are the process's own seconds (the writing included) and the wall's, as medians, and as ratios to `off`.

    python benchmarks/bench_debugger.py [--rows 13600] [--labels 133] [--epochs 10] [--rounds 5]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from kennel.debugger.configuration import collections, everything
from kennel.debugger.recorder import Recorder
from kennel.hyperparameters import Hyperparameters
from kennel.network import new_head
from kennel.pictures.dataset import Picture
from kennel.pictures.decode import Pixels
from kennel.training.checkpoint import Checkpoint
from kennel.training.features import SplitFeatures
from kennel.training.observer import Observer
from kennel.training.sources import FeatureSource, Slice
from kennel.training.trainer import fit
from kennel.training.world import World

WAYS = ("off", "default", "everything")
BATCH = 64


def features(rows: int, labels: list[str], seed: int) -> SplitFeatures:
    """As a backbone leaves them: not negative, about a half. What they are of is all the same to the cost."""
    random = np.random.default_rng(seed)
    pictures = tuple(Picture(f"{row}.jpg", labels[row % len(labels)], "", unread) for row in range(rows))
    return SplitFeatures(random.random((rows, 1, 2048), np.float32), pictures, ())


def unread() -> Pixels:
    """Nobody looks at the pixels."""
    raise AssertionError


def train(source: FeatureSource, labels: int, epochs: int, way: str, folder: Path) -> tuple[float, float]:
    """(seconds of the process, of the wall)."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "checkpoints").mkdir(parents=True)
    config = {"default": collections(source.steps()), "everything": everything()}.get(way)
    observer = Observer(Recorder({"CollectionConfigurations": config}, folder / "tensors") if config else None)
    given = Hyperparameters(epochs=epochs, batch_size=BATCH)
    checkpoint = Checkpoint.within(folder / "checkpoints", "bench")
    alone = World(0, 1, 0, 1, torch.device("cpu"))
    started, wall = time.process_time(), time.perf_counter()
    fit(new_head(labels, 0), source, given, checkpoint, alone, observer=observer)
    observer.close()
    return time.process_time() - started, time.perf_counter() - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=13600)
    parser.add_argument("--labels", type=int, default=133)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    labels = [f"{number:03}" for number in range(given.labels)]
    splits = features(given.rows, labels, 0), features(given.rows // 8, labels, 1)
    source = FeatureSource(*splits, labels, BATCH, 0, Slice())
    title = f"{given.epochs} epochs of {source.steps()} steps, n = {given.rounds}"
    table = Table("recording", "process s", "ratio", "wall s", "ratio", "MB", title=title)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train(source, given.labels, 1, "default", folder)  # imports
        seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        written = dict.fromkeys(WAYS, 0.0)
        for _ in range(given.rounds):
            for way in WAYS:
                seconds[way].append(train(source, given.labels, given.epochs, way, folder))
                tensors = [each.stat().st_size for each in (folder / "tensors").rglob("*") if each.is_file()]
                written[way] = sum(tensors) / 1e6
    for way in WAYS:
        pairs = list(zip(seconds[way], seconds["off"], strict=True))
        ratios = [[here[kind] / off[kind] for here, off in pairs] for kind in (0, 1)]
        process, wall = ([each[kind] for each in seconds[way]] for kind in (0, 1))
        table.add_row(
            way, f"{statistics.median(process):.2f}", f"{statistics.median(ratios[0]):.2f}",
            f"{statistics.median(wall):.2f}", f"{statistics.median(ratios[1]):.2f}", f"{written[way]:.1f}",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
