"""Tuning jobs: the request as a value, and the few calls that send, look at and end one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from kennel.aws.shapes import check
from kennel.cloud import names, watch
from kennel.cloud.events import hyperparameters_of, objective_of
from kennel.cloud.session import Cloud, or_none, told
from kennel.cloud.training import ENDED_BADLY, Request, TrainingPlan, algorithm, work
from kennel.errors import KennelError
from kennel.hyperparameters import parse
from kennel.settings import Tuning

SEARCHED = ("learning_rate", "batch_size")
MOST_VALUES = 30
"""Of a categorical range."""


@dataclass(frozen=True, slots=True)
class TuningPlan:
    """A search over trainings. training: what all trials have in common; its name and tags are the tuning job's.

    warm_start: how the earlier tuning jobs of the settings are used. IdenticalDataAndAlgorithm also compares with
    their best, and asks for the same data and image.
    """

    training: TrainingPlan
    search: Tuning
    warm_start: Literal["TransferLearning", "IdenticalDataAndAlgorithm"] = "TransferLearning"


@dataclass(frozen=True, slots=True)
class Trial:
    """One training job of a tuning job. value: the objective's, None where it printed none."""

    job: str
    status: str
    value: float | None
    hyperparameters: Mapping[str, str]


def tuning_request(plan: TuningPlan) -> Request:
    """CreateHyperParameterTuningJob's request. Raises SettingError where AWS would refuse it."""
    request: Request = {
        "HyperParameterTuningJobName": plan.training.name,
        "HyperParameterTuningJobConfig": _config(plan),
        "TrainingJobDefinition": _definition(plan),
        "Tags": [dict(tag) for tag in plan.training.tags],  # SageMaker puts them on every trial, too
    }
    if plan.search.warm_start:
        parents = [{"HyperParameterTuningJobName": each} for each in plan.search.warm_start]
        request["WarmStartConfig"] = {"ParentHyperParameterTuningJobs": parents, "WarmStartType": plan.warm_start}
    check("sagemaker", "CreateHyperParameterTuningJob", request)
    return request


def trial_count(search: Tuning) -> int:
    """How many training jobs a search starts: of a grid all its points, else as many as the settings say."""
    if search.strategy != "Grid":
        return search.jobs
    return len(grid_rates(search)) * len(search.batch_size)


def grid_rates(search: Tuning) -> list[float]:
    """A grid's learning rates: logarithmically spaced, as many as keep it near the number of jobs, at least two."""
    low, high = search.learning_rate
    count = min(MOST_VALUES, max(2, round(search.jobs / len(search.batch_size))))
    return [float(f"{low * (high / low) ** (place / (count - 1)):.4g}") for place in range(count)]


def start(cloud: Cloud, plan: TuningPlan) -> str:
    """The name of the tuning job that does this plan: one that is there already, or a new one (as training.start)."""
    for name in names.tries(plan.training.name):
        found = describe(cloud, name)
        if found is None:
            request = tuning_request(replace(plan, training=replace(plan.training, name=name)))
            with told(f"start the tuning job {name}"):
                cloud.client("sagemaker").create_hyper_parameter_tuning_job(**request)
            return name
        if found["HyperParameterTuningJobStatus"] not in ENDED_BADLY:
            return name
    raise KennelError(
        f"the tuning job {plan.training.name} failed {names.TRIES} times",
        "See why: kennel status; then change what is wrong, or delete those jobs",
    )


def describe(cloud: Cloud, name: str) -> dict[str, Any] | None:
    """SageMaker's description, None where there is no such job."""
    sagemaker = cloud.client("sagemaker")
    with told(f"look at the tuning job {name}"):
        return or_none(lambda: sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name))


def best(cloud: Cloud, name: str) -> Trial:
    """The trial with the best value. Raises KennelError while there is none."""
    found = (describe(cloud, name) or {}).get("BestTrainingJob")
    if found is None:
        raise KennelError(f"the tuning job {name} has no best trial", "See why its trials failed: kennel status")
    return _trial(found)


def trials(cloud: Cloud, name: str) -> list[Trial]:
    """All of them, the oldest first."""
    with told(f"list the trials of {name}"):
        return [_trial(each) for each in watch.trials(cloud, name)]


def stop(cloud: Cloud, name: str) -> None:
    """Ask it and its trials to end; one that has ended already is no error."""
    found = describe(cloud, name)
    if found is not None and found["HyperParameterTuningJobStatus"] == "InProgress":
        with told(f"stop the tuning job {name}"):
            cloud.client("sagemaker").stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)


def _config(plan: TuningPlan) -> Request:
    search, metric = plan.search, plan.search.metric
    given = parse(plan.training.hyperparameters)
    objective = {"Type": "Maximize" if metric.larger_is_better else "Minimize", "MetricName": metric.name}
    # Hyperband ends trials early by itself, and SageMaker refuses both together; a grid is meant to be seen whole.
    stops = search.early_stopping and search.strategy in ("Bayesian", "Random")
    config: Request = {
        "Strategy": search.strategy,
        "HyperParameterTuningJobObjective": objective,
        "ResourceLimits": {
            "MaxNumberOfTrainingJobs": trial_count(search),
            "MaxParallelTrainingJobs": min(search.parallel_jobs, trial_count(search)),
        },
        "ParameterRanges": _ranges(search),
        "TrainingJobEarlyStoppingType": "Auto" if stops else "Off",
        "RandomSeed": given.seed,
    }
    if search.strategy == "Hyperband":
        config["StrategyConfig"] = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": given.epochs}}
    return config


def _ranges(search: Tuning) -> Request:
    """learning_rate on a logarithmic scale: from 0.001 to 0.1 a linear one would try 9 in 10 trials above 0.01.

    A grid takes categories only.
    """
    sizes = {"Name": "batch_size", "Values": [str(each) for each in search.batch_size]}
    if search.strategy == "Grid":
        rates = {"Name": "learning_rate", "Values": [str(each) for each in grid_rates(search)]}
        return {"CategoricalParameterRanges": [rates, sizes]}
    low, high = (str(each) for each in search.learning_rate)
    rate = {"Name": "learning_rate", "MinValue": low, "MaxValue": high, "ScalingType": "Logarithmic"}
    return {"ContinuousParameterRanges": [rate], "CategoricalParameterRanges": [sizes]}


def _definition(plan: TuningPlan) -> Request:
    """Checkpoints only as the plan says: trials share the path, so those of one would be found by another."""
    fixed = {key: value for key, value in plan.training.hyperparameters.items() if key not in SEARCHED}
    return {
        "AlgorithmSpecification": algorithm(plan.training),
        "StaticHyperParameters": fixed,
        **work(plan.training),
    }


def _trial(summary: Mapping[str, Any]) -> Trial:
    return Trial(
        str(summary["TrainingJobName"]),
        str(summary["TrainingJobStatus"]),
        objective_of(summary),
        hyperparameters_of(summary),
    )
