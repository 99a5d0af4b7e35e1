"""Training as a whole, in this process: what is equal to what, what is kept, what is left out."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kennel import artifact, metrics
from kennel.engines import Head
from kennel.engines.torch import TorchEngine
from kennel.errors import ArtifactError, DataError, PictureError, Stopped, TrainingFailed
from kennel.hyperparameters import Hyperparameters
from kennel.network import build, new_head
from kennel.pictures import dataset, store
from kennel.progress import Printer, Progress
from kennel.training.checkpoint import Checkpoint, forget_old
from kennel.training.export import compare_engines, spread
from kennel.training.features import FeatureCache, SplitFeatures, compute
from kennel.training.job import Job
from kennel.training.run import PicturesIn, train
from kennel.training.sources import FeatureSource, PictureSource, Slice, batches, shuffled
from kennel.training.trainer import fit, learning_rate, make_optimizer
from kennel.training.world import World
from kennel.weights import random_weights

ALONE = World(0, 1, 0, 1, torch.device("cpu"))


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def again(job: Job, out: Path, **changes: object) -> Job:
    """The same job into another folder, with the same cache."""
    return replace(job, model=out / "model", output=out / "output", checkpoints=out / "checkpoints", **changes)  # type: ignore[arg-type]


def test_the_head_trained_on_cached_features_is_the_head_trained_through_the_backbone(
    drawings: Path, tmp_path: Path
) -> None:
    """Same batch order, same views, frozen backbone in eval mode: only the rounding of batched sums may differ."""
    data, weights = dataset.load(drawings), random_weights()
    pictures = [each for each in data.splits["train"] if each.label == data.labels[0]][:6]
    pictures += [each for each in data.splits["train"] if each.label == data.labels[1]][:6]
    labels, valid = data.labels[:2], data.splits["valid"][:2]
    wanted = Hyperparameters(epochs=2, batch_size=5, learning_rate=0.01)
    heads = []
    engine, cache = TorchEngine(weights, "cpu"), FeatureCache(tmp_path, weights.digest, "torch-cpu")
    compute([*pictures, *valid], 2, engine, cache, workers=2)
    features = FeatureSource(cache.collect(pictures, 2), cache.collect(valid, 1), labels, 5, 0, Slice())
    head = new_head(2, seed=0)
    fit(head, features, wanted, Checkpoint(tmp_path / "head", ""), ALONE)
    heads.append(head.weight.detach().numpy())
    network = PicturesIn(build(weights, new_head(2, seed=0)))
    for name, parameter in network.network.named_parameters():
        parameter.requires_grad_(name.startswith("fc"))
    source = PictureSource(pictures, valid, labels, 5, 0, Slice(), workers=2, views=2)
    fit(network, source, wanted, Checkpoint(tmp_path / "network", ""), ALONE)
    heads.append(network.network.get_submodule("fc").weight.detach().numpy())
    start = new_head(2, seed=0).weight.detach().numpy()
    assert np.abs(heads[0] - start).max() > 0.01
    np.testing.assert_allclose(heads[0], heads[1], atol=2e-5)


def test_the_same_training_leaves_the_same_bytes(job: Job, tmp_path: Path) -> None:
    train(again(job, tmp_path), Hyperparameters(epochs=5, batch_size=16))
    assert files_of(tmp_path / "model") == files_of(job.model)


def test_another_seed_leaves_another_head(job: Job, tmp_path: Path) -> None:
    train(again(job, tmp_path), Hyperparameters(epochs=5, batch_size=16, seed=1))
    assert (tmp_path / "model" / artifact.NETWORK).read_bytes() != (job.model / artifact.NETWORK).read_bytes()


def test_a_packed_store_trains_to_the_same_artifact_as_the_folder(job: Job, tmp_path: Path) -> None:
    for split, pictures in dataset.load(job.data).splits.items():
        store.pack(pictures, tmp_path / "packed" / split, workers=2)
    train(again(job, tmp_path, data=tmp_path / "packed"), Hyperparameters(epochs=5, batch_size=16))
    assert files_of(tmp_path / "model") == files_of(job.model)


def test_the_card_tells_how_good_it_is_and_where_it_comes_from(job: Job) -> None:
    card = artifact.load(job.model).card
    assert card.evaluation.pictures == 16
    assert card.evaluation.accuracy > 0.8
    assert card.evaluation.top5_accuracy == 1.0
    assert np.array(card.evaluation.confusion).sum() == 16
    assert set(card.engines) == {"int8", "float32"}
    assert card.provenance["data"]["digest"] == dataset.load(job.data).digest
    assert card.provenance["packages"]["torch"].startswith("2.")


def test_the_report_lies_with_the_output(job: Job) -> None:
    page = job.report.read_text()
    assert "test accuracy" in page
    assert "<svg" in page


def test_metrics_are_printed_one_a_line_and_read_back_by_their_regex(job: Job, tmp_path: Path) -> None:
    lines: list[str] = []
    train(again(job, tmp_path), Hyperparameters(epochs=3, batch_size=16), progress=Progress(Printer(lines.append)))
    log = "\n".join(lines)
    card = artifact.load(tmp_path / "model").card
    assert len(metrics.VALID_LOSS.read(log)) == 3
    assert min(metrics.VALID_LOSS.read(log)) == pytest.approx(card.metrics["valid:loss"], abs=1e-6)
    assert metrics.TEST_ACCURACY.read(log) == [pytest.approx(card.metrics["test:accuracy"], abs=1e-6)]
    assert all(line.count("metric ") <= 1 for line in lines)


def test_other_hyperparameters_start_anew_and_leave_the_first_checkpoint_be(
    job: Job, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def lines(epochs: int) -> list[str]:
        found: list[str] = []
        caplog.clear()
        with caplog.at_level(logging.INFO):
            train(again(job, tmp_path), Hyperparameters(epochs=epochs), progress=Progress(Printer(found.append)))
        return [*caplog.messages, *found]

    lines(3)
    other = lines(4)
    assert not [line for line in other if "continuing" in line]
    assert [line for line in other if line.endswith("epoch=1")]
    first = lines(3)
    assert "continuing after epoch 3" in first
    assert not [line for line in first if line.endswith("epoch=1")]


def test_a_broken_picture_is_left_out_and_training_goes_on(job: Job, tmp_path: Path) -> None:
    """Of a split that the quantisation does not look at: it would be made anew for the pictures that are left."""
    data = tmp_path / "data"
    shutil.copytree(job.data, data)
    broken = next((data / "valid").rglob("*.jpg"))
    broken.write_bytes(broken.read_bytes()[:300])
    made = train(again(job, tmp_path, data=data), Hyperparameters(epochs=1))
    assert made is not None
    assert made.card.provenance["data"]["pictures"]["valid"] == 16


def test_a_split_without_a_readable_picture_is_a_clear_error(job: Job, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(job.data, data)
    for path in (data / "valid").rglob("*.jpg"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="no picture of valid/ can be read"):
        train(again(job, tmp_path, data=data), Hyperparameters(epochs=1))


def test_features_are_computed_once(drawings: Path, tmp_path: Path) -> None:
    pictures, weights = dataset.load(drawings).splits["valid"][:4], random_weights()
    cache, engine = FeatureCache(tmp_path, weights.digest, "torch-cpu"), Counting(weights, "cpu")
    compute(pictures, 2, engine, cache, workers=1)
    compute(pictures, 2, engine, cache, workers=1)
    assert engine.seen == 8
    compute(pictures, 3, engine, cache, workers=1)
    assert engine.seen == 12


def test_a_damaged_shard_of_features_is_computed_again(drawings: Path, tmp_path: Path) -> None:
    pictures, weights = dataset.load(drawings).splits["valid"][:3], random_weights()
    cache, engine = FeatureCache(tmp_path, weights.digest, "torch-cpu"), Counting(weights, "cpu")
    compute(pictures, 1, engine, cache, workers=1)
    whole = cache.collect(pictures, 1).features
    for shard in cache.folder.iterdir():
        shard.write_bytes(shard.read_bytes()[:500])
    compute(pictures, 1, engine, cache, workers=1)
    assert np.array_equal(cache.collect(pictures, 1).features, whole)


class Counting(TorchEngine):
    """The torch engine, counting pictures."""

    seen = 0

    def features(self, pictures: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        self.seen += len(pictures)
        return super().features(pictures)


def test_a_loss_that_is_no_number_ends_training_with_a_remedy(drawings: Path, tmp_path: Path) -> None:
    pictures = dataset.load(drawings).splits["valid"][:4]
    broken = SplitFeatures(np.full((4, 1, 2048), np.inf, np.float32), pictures, ())
    source = FeatureSource(broken, broken, dataset.load(drawings).labels, 4, 0, Slice())
    with pytest.raises(TrainingFailed, match="not a number after epoch 1") as error:
        fit(new_head(4, 0), source, Hyperparameters(), Checkpoint(tmp_path / "x", ""), ALONE)
    assert "learning_rate" in error.value.remedy


def test_a_folder_keeps_the_newest_checkpoints_of_three_trainings_and_whatever_else_is_in_it(tmp_path: Path) -> None:
    made = [Checkpoint.within(tmp_path, f"{number:064x}"[::-1]) for number in range(5)]
    for age, each in enumerate(made):
        each.path.touch()
        os.utime(each.path, (1000 - age, 1000 - age))
    (tmp_path / "mine.safetensors").touch()
    forget_old(tmp_path, made[3])
    assert {path.name for path in tmp_path.iterdir()} == {"mine.safetensors", *(made[n].path.name for n in (0, 1, 3))}


def test_the_order_of_rows_depends_on_seed_and_epoch_alone() -> None:
    assert np.array_equal(shuffled(100, 3, 7), shuffled(100, 3, 7))
    assert not np.array_equal(shuffled(100, 3, 7), shuffled(100, 3, 8))
    assert not np.array_equal(shuffled(100, 3, 7), shuffled(100, 4, 7))
    assert sorted(np.concatenate(list(batches(shuffled(100, 0, 1), 32)))) == list(range(100))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_slices_of_a_batch_are_equally_long_and_cover_it(size: int) -> None:
    rows = np.arange(7)
    parts = [Slice(rank, size).of(rows) for rank in range(size)]
    assert len({len(part) for part in parts}) == 1
    assert set(np.concatenate(parts)) == set(rows)


def test_the_learning_rate_falls_along_half_a_cosine() -> None:
    assert learning_rate(0.1, 0, 100) == 0.1
    assert learning_rate(0.1, 50, 100) == pytest.approx(0.05)
    assert learning_rate(0.1, 100, 100) == pytest.approx(0)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_decay_spares_biases(name: str) -> None:
    optimizer = make_optimizer(nn.Linear(3, 2), Hyperparameters(optimizer=name, weight_decay=0.1))  # type: ignore[arg-type]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert [[len(each.shape) for each in group["params"]] for group in optimizer.param_groups] == [[2], [1]]


def test_int8_serves_by_default_only_as_long_as_it_loses_half_a_point_at_most() -> None:
    assert compare_engines(0.900, 0.895)[1] == "int8"
    assert compare_engines(0.900, 0.894)[1] == "float32"
    assert compare_engines(0.900, 0.905)[0]["int8"].lost_points == pytest.approx(-0.5)


def test_calibration_pictures_are_spread_over_the_labels(drawings: Path) -> None:
    chosen = spread(dataset.load(drawings).splits["train"], 8)
    assert {each.label for each in chosen} == set(dataset.load(drawings).labels)
    assert len(chosen) == 8


def test_scores_of_a_head_are_those_of_torch() -> None:
    head, features = new_head(5, 0), torch.randn(3, 2048)
    ours = Head(head.weight.detach().numpy(), head.bias.detach().numpy()).scores(features.numpy())
    np.testing.assert_allclose(ours, head(features).softmax(1).detach().numpy(), rtol=1e-4)


def test_what_a_killed_writer_left_in_the_artifacts_folder_is_no_hindrance(job: Job, tmp_path: Path) -> None:
    """`write_atomically` killed between its temporary file and the renaming."""
    (tmp_path / "model").mkdir()
    for name in (artifact.NETWORK, artifact.CARD):
        (tmp_path / "model" / f".{name}.x1y2").write_bytes(b"half")
    train(again(job, tmp_path), Hyperparameters(epochs=5, batch_size=16))
    assert files_of(tmp_path / "model") == files_of(job.model)


def test_a_foreign_file_where_the_artifact_goes_is_told_before_anything_is_computed(job: Job, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/holiday.jpg").write_bytes(b"mine")
    with pytest.raises(ArtifactError, match=r"holiday\.jpg"):
        train(again(job, tmp_path, data=tmp_path / "nowhere"), Hyperparameters())


def test_a_file_that_cannot_be_opened_is_a_picture_that_is_left_out(drawings: Path) -> None:
    path = drawings / "nowhere.jpg"
    with pytest.raises(PictureError) as error:
        dataset.read_file(path)
    assert error.value.kind == "unreadable"


def test_a_signal_is_never_taken_for_a_broken_picture() -> None:
    assert not issubclass(Stopped, Exception)
