"""What Debugger and profiler found of a training: of a job on either side, or in a folder; judged, and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kennel.cloud import training
from kennel.cloud.debugger import PROFILER_RULES, TENSOR_RULES, parameters_of
from kennel.cloud.downloads import receive
from kennel.cloud.events import OVER
from kennel.cloud.session import Cloud
from kennel.cloud.storage import S3Uri
from kennel.debugger.advice import Facts
from kennel.debugger.evaluation import REPORT, Evaluation, Judged, RuleConfig
from kennel.errors import DataError, KennelError
from kennel.files import write_atomically
from kennel.progress import Progress
from kennel.reports import debugger as report
from kennel.settings import Debugger

PLACES = {
    "tensors": (".", "tensors", "debug-output", "output/tensors"),
    "profiler": (".", "profiler", "profiler-output", "output/profiler"),
}
"""Where they are looked for below a folder: a container's own, S3's, `kennel train --out`'s."""
MEMBERS = {"DebugHookConfig": ("debug-output", "tensors"), "ProfilerConfig": ("profiler-output", "profiler")}
"""A description's member → the folder below S3OutputPath/JOB, and ours."""


def of_folder(folder: Path, settings: Debugger) -> Evaluation:
    """All rules on a folder of tensors, of metrics, or one that has both. Raises DataError, SettingError."""
    tensors, profiler = _tensors_in(folder), _profiler_in(folder)
    if tensors is None and profiler is None:
        raise DataError(
            f"{folder} holds neither tensors (collections/, index/, events/) nor a profiler's metrics (system/)",
            "Name a job's debug-output, or the folder of a training with --debug",
        )
    return Evaluation(default_rules(settings, tensors is not None, profiler is not None), tensors, profiler)


def of_job(cloud: Cloud, name: str, folder: Path, progress: Progress) -> Judged:
    """A job's rules on what it has left in S3 so far, fetched into `folder`. Raises KennelError."""
    job = described(cloud, name)
    fetched = {kind: _fetch(cloud, job, member, folder / kind, progress) for member, (_, kind) in MEMBERS.items()}
    with progress.step("judge"):
        evaluation = Evaluation(rules_of(job, cloud.settings.debugger), fetched["tensors"], fetched["profiler"])
        return replace(evaluation.judge(over=job["TrainingJobStatus"] in OVER), facts=_facts(job))


def described(cloud: Cloud, name: str) -> dict[str, Any]:
    """Raises KennelError for a job that is not there, or records nothing."""
    job = training.describe(cloud, name)
    if job is None:
        raise KennelError(
            f"there is no training job {name}", "See which there are: kennel status, or the run's summary"
        )
    if not any(job.get(member) for member in MEMBERS):
        raise KennelError(
            f"{name} was created without Debugger and profiler (a tuning job's own jobs cannot have them)",
            "Name the training job that repeats the best one",
        )
    return job


def rules_of(job: Mapping[str, Any], settings: Debugger) -> list[RuleConfig]:
    """The job's own; all of ours for a job that records but has none."""
    configs = [*job.get("DebugRuleConfigurations", []), *job.get("ProfilerRuleConfigurations", [])]
    own = [RuleConfig(each["RuleConfigurationName"], each.get("RuleParameters", {})) for each in configs]
    own = [each for each in own if each.rule != REPORT]
    return own or default_rules(settings, "DebugHookConfig" in job, "ProfilerConfig" in job)


def default_rules(settings: Debugger, tensors: bool, profiler: bool) -> list[RuleConfig]:
    """The rules that there is something for. Raises SettingError."""
    names = [*(TENSOR_RULES if tensors else ()), *(PROFILER_RULES if profiler else ())]
    return [RuleConfig(each, {"rule_to_invoke": each, **parameters_of(settings, each)}) for each in names]


def title_of(what: str) -> str:
    """A job's name; of a folder the name, or that of the one around it where it is only called `output`, say."""
    if not Path(what).is_dir():
        return what
    usual = {part for places in PLACES.values() for place in places for part in Path(place).parts}
    folder = Path(what).resolve()
    return next((each.name for each in (folder, *folder.parents) if each.name not in usual), "") or what


def write_page(title: str, judged: Judged, path: Path) -> None:
    """The report, one file."""
    page = report.page(title, list(judged.verdicts.values()), judged.recorded, judged.profile, judged.facts)
    write_atomically(path, page.encode())


def _facts(job: Mapping[str, Any]) -> Facts:
    batch = str(job.get("HyperParameters", {}).get("batch_size", ""))
    machines = job.get("ResourceConfig", {})
    return Facts(batch_size=int(batch) if batch.isdigit() else None, instance=machines.get("InstanceType"))


def _fetch(cloud: Cloud, job: Mapping[str, Any], member: str, to: Path, progress: Progress) -> Path | None:
    """None where the job leaves nothing of that kind."""
    uri = job.get(member, {}).get("S3OutputPath")
    if not uri:
        return None
    receive(cloud, S3Uri.parse(f"{uri.rstrip('/')}/{job['TrainingJobName']}/{MEMBERS[member][0]}/"), to, progress)
    return to


def _tensors_in(folder: Path) -> Path | None:
    found = (folder / each for each in PLACES["tensors"])
    return next((each for each in found if (each / "collections").is_dir()), None)


def _profiler_in(folder: Path) -> Path | None:
    found = (folder / each for each in PLACES["profiler"])
    return next((each for each in found if (each / "system").is_dir() or (each / "framework").is_dir()), None)
