"""Training the last layer: the peer's way beside ours, on the same pictures, in one run.

The peer's way, as the usual notebooks have it: each epoch decodes every picture (torchvision's ImageFolder, Pillow,
Resize, CenterCrop, a random mirror) and runs the whole frozen network forward. Ours computes the features of both
views once and trains the head on them. A few of the peer's epochs are timed and the rest is that times the number of
epochs, openly: its epochs all cost the same.

    python benchmarks/bench_training.py [--data FOLDER] [--pictures 200] [--epochs 20] [--timed 2]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch.nn.functional import cross_entropy

from kennel.engines.openvino import float32_engine
from kennel.hyperparameters import Hyperparameters
from kennel.machine import cores
from kennel.network import build, new_head
from kennel.pictures import dataset
from kennel.pictures.dataset import Picture
from kennel.pictures.drawings import draw_set
from kennel.training.checkpoint import Checkpoint
from kennel.training.features import FeatureCache, compute
from kennel.training.sources import FeatureSource, Slice
from kennel.training.trainer import fit
from kennel.training.world import World
from kennel.weights import Weights
from kennel.weights.sources import pretrained
from kennel.weights.torch import torchvision


class Folder(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """What ImageFolder does, over some of a split's pictures."""

    def __init__(self, pictures: list[Picture], labels: tuple[str, ...]) -> None:
        vision = torchvision()
        transforms = vision.transforms
        steps = [transforms.Resize(256), transforms.CenterCrop(224), transforms.RandomHorizontalFlip()]
        normalise = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        self._load = vision.datasets.folder.pil_loader
        self._transform = transforms.Compose([*steps, transforms.ToTensor(), normalise])
        self._pictures, self._labels = pictures, {label: number for number, label in enumerate(labels)}

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        picture = self._pictures[place]
        return self._transform(self._load(str(picture.path))), self._labels[picture.label]


def peer(weights: Weights, pictures: list[Picture], labels: tuple[str, ...], epochs: int) -> float:
    """Seconds an epoch."""
    network = build(weights, new_head(len(labels), 0))
    network.requires_grad_(False)
    head = network.get_submodule("fc").requires_grad_(True)
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.001)
    loader = torch.utils.data.DataLoader(Folder(pictures, labels), batch_size=64, shuffle=True, num_workers=cores())
    started = time.monotonic()
    for _ in range(epochs):
        for inputs, truth in loader:
            optimizer.zero_grad()
            cross_entropy(network(inputs), truth).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return (time.monotonic() - started) / epochs


def ours(weights: Weights, pictures: list[Picture], labels: tuple[str, ...], epochs: int) -> tuple[float, float]:
    """Seconds for the features (both views), and for all epochs of the head."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        cache = FeatureCache(Path(folder), weights.digest, "float32")
        compute(pictures, 2, float32_engine(weights), cache, cores())
        split = cache.collect(pictures, 2)
        between = time.monotonic()
        source = FeatureSource(split, split, labels, 64, 0, Slice())
        alone = World(0, 1, 0, 1, torch.device("cpu"))
        fit(new_head(len(labels), 0), source, Hyperparameters(epochs=epochs), Checkpoint(Path(folder) / "c", ""), alone)
        return between - started, time.monotonic() - between


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path)
    arguments.add_argument("--pictures", type=int, default=200)
    arguments.add_argument("--epochs", type=int, default=20)
    arguments.add_argument("--timed", type=int, default=2)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.data is None:
            draw_set(Path(folder))
        data = dataset.load(given.data or Path(folder))
        step = max(1, len(data.splits["train"]) // given.pictures)
        pictures = list(data.splits["train"][::step][: given.pictures])
        weights = pretrained()
        rounds = [
            (peer(weights, pictures, data.labels, 1), *ours(weights, pictures, data.labels, given.epochs))
            for _ in range(given.timed)
        ]
    table = Table("round", "peer s/epoch", f"peer {given.epochs} epochs", "ours: features", "ours: head", "ratio")
    for number, (epoch, features, head) in enumerate(rounds, 1):
        whole = epoch * given.epochs
        row = (
            f"{epoch:.1f}",
            f"{whole:.0f} s",
            f"{features:.1f} s",
            f"{head:.1f} s",
            f"{whole / (features + head):.1f}",
        )
        table.add_row(str(number), *row)
    Console(width=120).print(table)
    print(f"{cores()} cores, {len(pictures)} pictures; {given.epochs} peer epochs = one epoch × {given.epochs}")


if __name__ == "__main__":
    main()
