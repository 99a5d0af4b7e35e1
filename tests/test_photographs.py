"""On real photographs where there are some (KENNEL_PHOTOGRAPHS names a data set), on drawings elsewhere."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from kennel.artifact import Artifact
from kennel.hyperparameters import Hyperparameters
from kennel.pictures import dataset
from kennel.pictures.decode import crop
from kennel.serving.choice import proven
from kennel.settings import Debugger
from kennel.training.job import Debugging, Job
from kennel.training.run import train
from kennel.workflow.debugging import of_folder


def test_a_linear_probe_on_good_features_knows_the_breeds(trained: Artifact) -> None:
    engines = trained.card.engines
    assert engines["float32"].accuracy > 0.8
    assert engines["int8"].accuracy > 0.8


def test_a_large_jpeg_decoded_scaled_gets_the_answer_of_the_full_way(trained: Artifact, photographs: Path) -> None:
    classifier = proven(trained, "float32")
    pictures = dataset.load(photographs).splits["test"][::2][:20]
    bodies = [enlarged(picture.path) for picture in pictures if picture.path]
    drafted, full = (np.stack([crop(body, draft=draft) for body in bodies]) for draft in (2, 0))
    assert not np.array_equal(drafted, full)
    assert np.array_equal(classifier.scores(drafted).argmax(1), classifier.scores(full).argmax(1))


def enlarged(path: Path) -> bytes:
    """The picture as a JPEG with a shorter side of 1600."""
    picture = Image.open(path).convert("RGB")
    factor = 1600 / min(picture.size)
    file = io.BytesIO()
    size = (round(picture.width * factor), round(picture.height * factor))
    picture.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def test_of_a_healthy_training_no_rule_of_debugger_or_profiler_fires(
    photographs: Path, cache: Path, tmp_path: Path
) -> None:
    out, debugging = tmp_path, Debugging.plain(tmp_path / "output")
    job = Job(photographs, out / "model", out / "output", out / "checkpoints", cache / "training", None, debugging)
    train(job, Hyperparameters(epochs=4, learning_rate=0.0001, batch_size=32))
    verdicts = of_folder(tmp_path / "output", Debugger()).judge(over=True).verdicts
    assert len(verdicts) == 6
    assert {rule: each.words for rule, each in verdicts.items() if each.status != "NoIssuesFound"} == {}
