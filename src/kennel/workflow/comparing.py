"""Records a training job and a run by hand as they are on a side, and holds them against each other."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from kennel.cloud import by_hand, instance, on_engine, prices, recorded, storage, training
from kennel.cloud.downloads import receive
from kennel.cloud.session import Cloud
from kennel.cloud.storage import S3Uri
from kennel.comparison import recorded as records
from kennel.comparison.artifacts import apart, made_of
from kennel.comparison.compared import Comparison
from kennel.comparison.recorded import Recorded, written
from kennel.comparison.used import used
from kennel.debugger.profile import read_profile
from kennel.errors import ArtifactError, DataError, KennelError
from kennel.files import write_atomically
from kennel.progress import Progress
from kennel.reports import comparison as report

PAGE, JSON = "comparison.html", "comparison.json"
RECORDS = {"sagemaker": "sagemaker.json", "ec2": "ec2.json"}


@dataclass(frozen=True, slots=True)
class Found:
    """A record, and its artifact as a file here; without one, why."""

    run: Recorded
    artifact: Path | None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """folder: where artifacts and profiles go meanwhile; more: other recorded runs; jobs: trainings of the tuning job
    that is reckoned with, 0 for the settings' number."""

    folder: Path
    progress: Progress
    more: Sequence[Recorded] = ()
    jobs: int = 0


def of_job(cloud: Cloud, name: str, folder: Path, progress: Progress) -> Found:
    """A training job with its artifact and profile, fetched to below `folder`. Raises KennelError."""
    job = training.describe(cloud, name)
    if job is None:
        raise KennelError(f"there is no training job {name}", "See which there are: kennel status")
    with records.bounded("a training job that can be compared"):
        run = recorded.of_job(job, cloud.side, cloud.region)
    run = run.model_copy(update={"image_digest": run.image_digest or on_engine.id_if_known(cloud, run.image)})
    profile = str(job.get("ProfilerConfig", {}).get("S3OutputPath", "")).rstrip("/")
    series = S3Uri.parse(f"{profile}/{name}/profiler-output/") if profile else None
    artifact = job.get("ModelArtifacts", {}).get("S3ModelArtifacts", "")
    return _with(cloud, run, S3Uri.parse(artifact) if artifact else None, series, folder, progress)


def of_run(cloud: Cloud, name: str, folder: Path, progress: Progress) -> Found:
    """A run by hand with its artifact and profile, fetched to below `folder`. Raises KennelError."""
    asked, place = cloud.settings.ec2, instance.place(cloud, name)
    told = instance.status(cloud, name)
    with records.bounded("a run that can be compared"):
        run = recorded.of_run(told, cloud.side, cloud.region, asked.volume_gb, asked.max_runtime_s)
    run = run.model_copy(update={"image_digest": run.image_digest or on_engine.id_if_known(cloud, run.image)})
    return _with(cloud, run, place / by_hand.ARTIFACT, place / f"{by_hand.OUTPUT}profiler/", folder, progress)


def compare(cloud: Cloud, job: str, run: str, work: Work, hand: Cloud | None = None) -> Comparison:
    """hand: by whom the run by hand is read, where that is somebody else. Raises KennelError."""
    one = of_job(cloud, job, work.folder / "job", work.progress)
    other = of_run(hand or cloud, run, work.folder / "run", work.progress)
    missing, distance = one.missing or other.missing, None
    if one.artifact and other.artifact:
        with work.progress.step("compare artifacts"):
            distance = apart(one.artifact, other.artifact)
    return Comparison(
        made=datetime.now(UTC),
        sagemaker=one.run,
        ec2=priced_like(other.run, one.run),
        apart=distance,
        missing=missing,
        book=prices.load().book(),
        more=tuple(work.more),
        jobs=work.jobs or cloud.settings.tuning.jobs,
    )


def priced_like(run: Recorded, job: Recorded) -> Recorded:
    """A run on a machine that tells no instance type is priced as what the job had."""
    return run if run.instance_type else run.model_copy(update={"instance_type": job.kind})


def write(found: Comparison, out: Path) -> Path:
    """Page, comparison and both records into the folder; the page's path."""
    for run in (found.sagemaker, found.ec2):
        write_atomically(out / RECORDS[run.way], written(run))
    write_atomically(out / JSON, written(found))
    write_atomically(out / PAGE, report.page(found).encode())
    return out / PAGE


def recorded_run(cloud: Cloud, what: str, progress: Progress) -> Recorded:
    """A record's file, or the name of a run by hand. Raises KennelError."""
    if Path(what).is_file():
        return records.parse(records.read(Path(what)))
    with tempfile.TemporaryDirectory(prefix="kennel-") as folder:
        return of_run(cloud, what, Path(folder), progress).run


def _with(
    cloud: Cloud, run: Recorded, artifact: S3Uri | None, series: S3Uri | None, folder: Path, progress: Progress
) -> Found:
    """With what the artifact and the profiler's series tell."""
    found = _fetched(cloud, run, artifact, folder, progress)
    if series is not None:
        found = replace(found, run=_busy(cloud, found.run, series, folder / "profiler", progress))
    return found


def _fetched(cloud: Cloud, run: Recorded, uri: S3Uri | None, folder: Path, progress: Progress) -> Found:
    """An artifact that is not there, or is none, is said and no error: the rest can be compared."""
    if uri is None or not storage.exists(cloud, uri):
        return Found(run, None, f"{run.name} left no artifact")
    path = folder / by_hand.ARTIFACT
    try:
        with progress.step(f"read the artifact of {run.name}"):
            storage.download(cloud, uri, path)
            return Found(run.model_copy(update={"artifact": made_of(path)}), path)
    except (ArtifactError, DataError) as error:
        return Found(run, None, f"the artifact of {run.name} is none: {error.message}")


def _busy(cloud: Cloud, run: Recorded, series: S3Uri, folder: Path, progress: Progress) -> Recorded:
    if not receive(cloud, series, folder, progress):
        return run
    with records.bounded("a profile that can be compared"):
        return run.model_copy(update={"utilisation": used(read_profile(folder))})
