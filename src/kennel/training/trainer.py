"""One training loop for the head alone and for the whole network: epochs, metrics, checkpoints, the best epoch kept.

Reads from top to bottom: `fit` is the story, everything below it a step of it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, Adam, AdamW, Optimizer

from kennel import metrics
from kennel.errors import TrainingFailed
from kennel.hyperparameters import Hyperparameters
from kennel.training.checkpoint import Checkpoint, trained
from kennel.training.observer import Observer
from kennel.training.sources import Batch, Source
from kennel.training.world import World

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch's figures; losses are means of cross entropy in nats, accuracies shares of 1."""

    number: int
    train_loss: float
    train_accuracy: float
    valid_loss: float
    valid_accuracy: float

    def lines(self) -> list[str]:
        """What is printed, one metric a line."""
        figures = (
            (metrics.TRAIN_LOSS, self.train_loss),
            (metrics.TRAIN_ACCURACY, self.train_accuracy),
            (metrics.VALID_LOSS, self.valid_loss),
            (metrics.VALID_ACCURACY, self.valid_accuracy),
        )
        return [metric.line(value, self.number) for metric, value in figures]


@dataclass(frozen=True, slots=True)
class Fitted:
    """history: all epochs; best: the number of the one whose tensors were kept (lowest validation loss)."""

    history: tuple[Epoch, ...]
    best: int
    tensors: dict[str, Tensor]


def fit(
    module: nn.Module,
    source: Source,
    hyperparameters: Hyperparameters,
    checkpoint: Checkpoint,
    world: World,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    observer: Observer | None = None,
) -> Fitted:
    """Train `module`'s parameters that require gradients; it stays in the mode (train or eval) in which it comes.

    Goes on from the checkpoint if there is one. The module holds the best epoch's tensors at the end.
    observer: sees every step of this process; the same bytes come out with one and without.
    Raises TrainingFailed when the loss stops being a number.
    """
    module.to(world.device)
    optimizer = make_optimizer(module, hyperparameters)
    scaler = torch.amp.GradScaler(enabled=_half(world) is torch.float16)
    history, best = _resume(module, optimizer, scaler, checkpoint)
    observer = observer or Observer()
    observer.attach(module, source, len(history), scaler.get_scale)
    parallel = DistributedDataParallel(module) if world.size > 1 else module
    for number in range(len(history) + 1, hyperparameters.epochs + 1):
        started = time.monotonic()
        train = _train(parallel, source, optimizer, scaler, hyperparameters, number, world, observer)
        epoch = Epoch(number, *train, *_validate(parallel, source, world, observer))
        _refuse_nonsense(epoch)
        history.append(epoch)
        if epoch.valid_loss <= min(each.valid_loss for each in history):
            best = {name: value.detach().cpu().clone() for name, value in trained(module).items()}
        if world.local_rank == 0:  # every host goes on from its own disk
            checkpoint.save(module, best, optimizer, _about(history, scaler))
        if world.leads:
            on_epoch(epoch)
        log.debug("epoch %d took %.2f s", number, time.monotonic() - started)
    module.load_state_dict(best, strict=False)
    return Fitted(tuple(history), min(history, key=lambda each: (each.valid_loss, -each.number)).number, best)


def make_optimizer(module: nn.Module, hyperparameters: Hyperparameters) -> Optimizer:
    """The optimizer over the parameters that learn. Decay spares biases and norms (one-dimensional parameters)."""
    learning = list(trained(module).values())
    groups: list[dict[str, Any]] = [
        {"params": [each for each in learning if each.ndim > 1], "weight_decay": hyperparameters.weight_decay},
        {"params": [each for each in learning if each.ndim <= 1], "weight_decay": 0.0},
    ]
    if hyperparameters.optimizer == "sgd":
        return SGD(groups, lr=hyperparameters.learning_rate, momentum=0.9)
    kind = AdamW if hyperparameters.optimizer == "adamw" else Adam
    return kind(groups, lr=hyperparameters.learning_rate)


def learning_rate(start: float, step: int, steps: int) -> float:
    """Half a cosine from `start` at step 0 to 0 at `steps` (Loshchilov & Hutter 2016, no restarts)."""
    return start * 0.5 * (1 + math.cos(math.pi * step / steps))


def _train(
    module: nn.Module,
    source: Source,
    optimizer: Optimizer,
    scaler: torch.amp.GradScaler,
    hyperparameters: Hyperparameters,
    number: int,
    world: World,
    observer: Observer,
) -> tuple[float, float]:
    steps = source.steps()
    sums = torch.zeros(3, dtype=torch.float64)
    for step, batch in enumerate(observer.batches("train", source.training(number))):
        rate = learning_rate(hyperparameters.learning_rate, (number - 1) * steps + step, hyperparameters.epochs * steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        loss, seen = _loss(module, batch, world)
        observer.loss(loss)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()
        sums += seen
    return _means(world.sum(sums))


@torch.no_grad()
def _validate(module: nn.Module, source: Source, world: World, observer: Observer) -> tuple[float, float]:
    sums = torch.zeros(3, dtype=torch.float64)
    for batch in observer.batches("valid", source.validation()):
        if len(batch[1]):
            loss, seen = _loss(module, batch, world)
            observer.loss(loss)
            sums += seen
    return _means(world.sum(sums))


def _loss(module: nn.Module, batch: Batch, world: World) -> tuple[Tensor, Tensor]:
    """The batch's mean loss, and (sum of losses, right answers, rows)."""
    inputs, labels = (each.to(world.device, non_blocking=True) for each in batch)
    with _precision(world):
        logits = module(inputs).float()
    loss = cross_entropy(logits, labels)
    right = (logits.argmax(1) == labels).sum()
    return loss, torch.tensor([float(loss.detach()) * len(labels), float(right), len(labels)], dtype=torch.float64)


def _means(sums: Tensor) -> tuple[float, float]:
    loss, right, rows = sums.tolist()
    return loss / rows, right / rows


def _half(world: World) -> torch.dtype | None:
    """The short float that the device multiplies fast: bfloat16 from Ampere on, float16 before it, none on a CPU."""
    if world.device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.get_device_capability(world.device) >= (8, 0) else torch.float16


def _precision(world: World) -> AbstractContextManager[None]:
    half = _half(world)
    return torch.autocast(world.device.type, dtype=half or torch.bfloat16, enabled=half is not None)


def _resume(
    module: nn.Module, optimizer: Optimizer, scaler: torch.amp.GradScaler, checkpoint: Checkpoint
) -> tuple[list[Epoch], dict[str, Tensor]]:
    found = checkpoint.restore(module, optimizer)
    if found is None:
        return [], {}
    best, about = found
    scaler.load_state_dict(about["scaler"]) if about["scaler"] else None
    log.info("continuing after epoch %d", len(about["history"]))
    return [Epoch(**each) for each in about["history"]], best


def _about(history: Iterable[Epoch], scaler: torch.amp.GradScaler) -> dict[str, Any]:
    return {"history": [asdict(each) for each in history], "scaler": scaler.state_dict()}


def _refuse_nonsense(epoch: Epoch) -> None:
    if not math.isfinite(epoch.train_loss + epoch.valid_loss):
        raise TrainingFailed(f"the loss is not a number after epoch {epoch.number}", "Lower learning_rate")
