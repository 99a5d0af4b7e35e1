"""From what SageMaker describes to the pages a person looks at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kennel.cloud import tuning, watch
from kennel.cloud.events import hyperparameters_of, objective_of, seconds_of
from kennel.cloud.session import Cloud
from kennel.errors import KennelError
from kennel.reports import tuning as report


def tuning_page(cloud: Cloud, name: str) -> str:
    """The page of a tuning job. Raises KennelError where there is none of that name."""
    found = tuning.describe(cloud, name)
    if found is None:
        raise KennelError(f"there is no tuning job {name}", "See which there are: kennel status")
    objective = found["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    best = found.get("BestTrainingJob", {}).get("TrainingJobName")
    trials = [_trial(each) for each in watch.trials(cloud, name)]
    end = found.get("HyperParameterTuningEndTime")
    seconds = (end - found["CreationTime"]).total_seconds() if end else None
    return report.page(name, trials, best, objective["MetricName"], objective["Type"], seconds)


def _trial(summary: Mapping[str, Any]) -> report.Trial:
    return report.Trial(
        str(summary["TrainingJobName"]),
        str(summary["TrainingJobStatus"]),
        hyperparameters_of(summary),
        objective_of(summary),
        seconds_of(summary),
    )
