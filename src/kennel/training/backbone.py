"""What the frozen backbone gives: the features of pictures, through the cache; an engine is made when one is needed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

from kennel.engines import Engine, Features, Pictures
from kennel.engines.openvino import float32_engine, int8_engine
from kennel.errors import DataError
from kennel.machine import cores
from kennel.pictures.dataset import Picture
from kennel.training import given
from kennel.training.export import Int8
from kennel.training.features import FeatureCache, SplitFeatures, compute
from kennel.training.job import Setup
from kennel.training.world import World
from kennel.weights import Weights

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Later:
    """An engine that is made when its first picture comes: where all features are there already, none is.

    key: what its features are kept under, the library's version included.
    """

    name: str
    key: str
    make: Callable[[], Engine]
    _made: Engine | None = field(default=None, init=False)

    def features(self, pictures: Pictures) -> Features:
        """See `kennel.engines.Engine`."""
        self._made = self._made or self.make()
        return self._made.features(pictures)


def float32(weights: Weights, world: World) -> Later:
    """The engine for features: torch on a GPU, OpenVINO on a CPU, float32 both."""
    if world.device.type == "cuda":
        return Later("torch-cuda", f"torch-cuda-{version('torch')}", lambda: _torch(weights, world))
    return float32_on_cpu(weights, max(1, cores() // world.local_size))


def float32_on_cpu(weights: Weights, threads: int = 0) -> Later:
    """OpenVINO's: what the proof is made with everywhere."""
    return Later("float32", f"float32-{version('openvino')}", lambda: float32_engine(weights, threads))


def quantised(int8: Int8) -> Later:
    """OpenVINO's int8."""
    return Later("int8", f"int8-{int8.digest[:16]}-{version('openvino')}", lambda: int8_engine(int8.path))


def cache_of(setup: Setup, weights: Weights, engine: Later) -> FeatureCache:
    """Where this engine's features are kept."""
    job = setup.job
    more = job.given / given.FEATURES if job.given else None
    return FeatureCache(job.cache / given.FEATURES, weights.digest, engine.key, more)


def features_of(setup: Setup, weights: Weights, engine: Later, split: str, views: int) -> SplitFeatures:
    """The features of a split, through the cache; every process of a host computes its share. Raises DataError."""
    cache, pictures, world = cache_of(setup, weights, engine), setup.data.splits[split], setup.world
    mine = pictures[world.local_rank :: world.local_size]
    title = f"features of {split}" + (" (int8)" if engine.name == "int8" else "")
    with setup.progress.step(title, len(mine)) as advance:
        compute(mine, views, engine, cache, setup.workers, advance)
        world.wait()
    found = cache.collect(pictures, views)
    for picture in found.left_out:
        log.warning("left out: %s/%s/%s cannot be read", split, picture.label, picture.name)
    if not found.pictures:
        raise DataError(f"no picture of {split}/ can be read", "Run: kennel data check")
    return found


def centre_features(setup: Setup, weights: Weights, engine: Later, pictures: Sequence[Picture]) -> Features:
    """The features of a few pictures' centre views, through the cache."""
    cache = cache_of(setup, weights, engine)
    compute(pictures, 1, engine, cache, setup.workers)
    return cache.collect(pictures, 1).features[:, 0]


def description(setup: Setup, engine: Later) -> given.About:
    """What a channel of features for this training says."""
    return given.About(
        weights=setup.weights.digest,
        engine=engine.key,
        data=setup.data.digest,
        views=setup.hyperparameters.views,
    )


def _torch(weights: Weights, world: World) -> Engine:
    from kennel.engines.torch import TorchEngine

    return TorchEngine(weights, str(world.device))
