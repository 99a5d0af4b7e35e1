"""What CreateHyperParameterTuningJob refuses beyond its shapes, and the requests that create its trials. Pure."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

from kennel.local.errors import Refused, in_use, invalid, limit_exceeded
from kennel.local.parts import Document
from kennel.local.training import requests as training_requests
from kennel.local.tuning.search import Choice, Number, Search, Space, combinations, number_of, space_of

MOST_PARAMETERS = 30
MOST_RESOURCE = 20_000
MOST_TRIALS = 750
"""Of a tuning job, on AWS too."""
EPOCHS = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")
"""Static hyperparameters that Hyperband takes its MaxResource from where none is given."""
OVER = ("Completed", "Failed", "Stopped")
MAPPED = (
    "RoleArn", "InputDataConfig", "VpcConfig", "OutputDataConfig", "ResourceConfig", "StoppingCondition",
    "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining",
    "CheckpointConfig", "RetryStrategy", "Environment",
)  # fmt: skip
"""Members of a definition that its training jobs are created with as they are."""


def check(request: Document) -> None:
    """Raises Refused."""
    _check_present(request)
    config, definition = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    space = _space(config)
    _check_space(space, config.get("ParameterRanges", {}), definition)
    _check_objective(config, definition)
    _check_limits(config, space)
    _check_strategy(config, definition)
    tuned = {name: each.values[0] if isinstance(each, Choice) else str(each.low) for name, each in space.items()}
    training_requests.check(trial_request(request, f"{request['HyperParameterTuningJobName']}-001", tuned))


def search_of(request: Document) -> Search:
    """seed: RandomSeed, or one that follows from the name."""
    config = request["HyperParameterTuningJobConfig"]
    maximize = config["HyperParameterTuningJobObjective"]["Type"] == "Maximize"
    seed = config.get("RandomSeed", number_of(request["HyperParameterTuningJobName"]))
    return Search(_space(config), config["Strategy"], maximize, seed)


def most_trials(config: Document) -> float:
    """MaxNumberOfTrainingJobs; of a grid all its points; else as many as can be."""
    most: int | None = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    if most is not None:
        return most
    return combinations(_space(config)) if config["Strategy"] == "Grid" else MOST_TRIALS


def resources(request: Document) -> tuple[int, int]:
    """(least, most) steps of a Hyperband trial; most is 0 where it cannot be known."""
    given = request["HyperParameterTuningJobConfig"].get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
    static = static_of(request)
    epochs = next((int(static[name]) for name in EPOCHS if static.get(name, "").isdecimal()), 0)
    return given.get("MinResource", 1), given.get("MaxResource", epochs)


def trial_request(request: Document, name: str, tuned: Mapping[str, str]) -> Document:
    """CreateTrainingJob's request of one trial."""
    definition = request["TrainingJobDefinition"]
    made: Document = {member: definition[member] for member in MAPPED if member in definition}
    made["TrainingJobName"] = name
    made["AlgorithmSpecification"] = definition["AlgorithmSpecification"]
    made["HyperParameters"] = {
        **definition.get("StaticHyperParameters", {}),
        **tuned,
        "_tuning_objective_metric": request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"][
            "MetricName"
        ],
    }
    if "HyperParameterTuningResourceConfig" in definition:
        made["ResourceConfig"] = _resource_config(definition["HyperParameterTuningResourceConfig"])
    if request.get("Tags"):
        made["Tags"] = request["Tags"]
    return made


def trial_name(tuning_job: str, number: int, created: float) -> str:
    """`dogs-018-c70921b4`. created: of the tuning job, so that one of the same name later has other trials."""
    mark = hashlib.sha256(f"{tuning_job}/{number}/{created}".encode()).hexdigest()[:8]
    return f"{tuning_job}-{number:03d}-{mark}"


def static_of(request: Document) -> dict[str, str]:
    """Hyperparameters that all trials have in common."""
    return dict(request["TrainingJobDefinition"].get("StaticHyperParameters", {}))


def taken(arn: str) -> Refused:
    return in_use(
        "Hyperparameter tuning job names must be unique within an AWS account and region, and a hyperparameter tuning "
        f"job with this name already exists ({arn})"
    )


def check_parents(request: Document, parents: Mapping[str, Document | None]) -> None:
    """parents: the tuning jobs that a warm start names, by name. Raises Refused."""
    for name, parent in parents.items():
        if parent is None:
            raise invalid(f"The parent hyperparameter tuning job {name} does not exist.")
        if parent["HyperParameterTuningJobStatus"] not in OVER:
            raise invalid(
                f"The parent hyperparameter tuning job {name} is in status {parent['HyperParameterTuningJobStatus']}. "
                "Parent tuning jobs must be in a terminal state: Completed, Stopped or Failed."
            )
        _check_alike(request, name, parent)


def parent_names(request: Document) -> list[str]:
    parents = request.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", [])
    return [each["HyperParameterTuningJobName"] for each in parents if "HyperParameterTuningJobName" in each]


def _check_present(request: Document) -> None:
    if "TrainingJobDefinition" in request and "TrainingJobDefinitions" in request:
        raise invalid("You can't specify both TrainingJobDefinition and TrainingJobDefinitions.")
    if "TrainingJobDefinitions" in request:
        raise invalid("The local AWS has tuning jobs with one TrainingJobDefinition only.")
    if "TrainingJobDefinition" not in request:
        raise invalid("You must specify either TrainingJobDefinition or TrainingJobDefinitions.")
    if "Autotune" in request:
        raise invalid("The local AWS has no Autotune; name the ranges.")
    definition = request["TrainingJobDefinition"]
    for member in ("TuningObjective", "HyperParameterRanges"):
        if member in definition:
            raise invalid(f"{member} of a definition is for TrainingJobDefinitions; set it in the tuning job's config.")
    if ("ResourceConfig" in definition) == ("HyperParameterTuningResourceConfig" in definition):
        raise invalid("Exactly one of ResourceConfig and HyperParameterTuningResourceConfig must be specified.")
    names = parent_names(request)
    if "WarmStartConfig" in request and (not names or len(set(names)) < len(names)):
        raise invalid("ParentHyperParameterTuningJobs must name parent tuning jobs, each once.")


def _space(config: Document) -> Space:
    try:
        return space_of(config.get("ParameterRanges", {}))
    except (ValueError, OverflowError) as error:
        raise invalid(f"MinValue and MaxValue of a parameter range must be numbers: {error}") from error


def _check_space(space: Space, ranges: Document, definition: Document) -> None:
    if ranges.get("AutoParameters"):
        raise invalid("The local AWS has no AutoParameters; name the ranges.")
    names = [each["Name"] for kind in sorted(ranges) for each in ranges[kind]]
    if not names:
        raise invalid("You must specify at least one hyperparameter range.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise invalid(f"Hyperparameter names must be unique, found duplicates: {', '.join(twice)}")
    if len(names) > MOST_PARAMETERS:
        raise invalid(f"The number of hyperparameters to search over exceeds the limit of {MOST_PARAMETERS}.")
    if both := sorted(set(names) & set(definition.get("StaticHyperParameters", {}))):
        raise invalid(f"Hyperparameters cannot be both static and tunable: {', '.join(both)}")
    whole = {each["Name"]: each.get("ScalingType") for each in ranges.get("IntegerParameterRanges", [])}
    for name, one in space.items():
        if isinstance(one, Number):
            _check_range(name, one, whole.get(name))


def _check_range(name: str, one: Number, scaling_of_whole: str | None) -> None:
    if not (math.isfinite(one.low) and math.isfinite(one.high)):
        raise invalid(f"MinValue and MaxValue of the hyperparameter {name} must be finite numbers.")
    if one.low > one.high:
        raise invalid(f"MinValue of the hyperparameter {name} must not be greater than its MaxValue.")
    if one.scale == "logarithmic" and one.low <= 0:
        raise invalid(f"Logarithmic scaling works only for ranges with values greater than 0, see {name}.")
    if scaling_of_whole == "ReverseLogarithmic":
        raise invalid(f"ReverseLogarithmic scaling is not supported for integer hyperparameters, see {name}.")
    if one.scale == "reverse" and not 0 <= one.low <= one.high < 1:
        raise invalid(f"ReverseLogarithmic scaling works only for ranges within 0 <= x < 1.0, see {name}.")


def _check_objective(config: Document, definition: Document) -> None:
    objective = config.get("HyperParameterTuningJobObjective")
    if objective is None:
        raise invalid("You must specify HyperParameterTuningJobObjective.")
    defined = [each["Name"] for each in definition["AlgorithmSpecification"].get("MetricDefinitions", [])]
    if objective["MetricName"] not in defined:
        raise invalid(
            "A metric is required for this hyperparameter tuning job objective. Provide a metric in the metric "
            "definitions."
        )


def _check_limits(config: Document, space: Space) -> None:
    limits, criteria = config["ResourceLimits"], config.get("TuningJobCompletionCriteria", {})
    most = limits.get("MaxNumberOfTrainingJobs")
    if criteria.get("ConvergenceDetected", {}).get("CompleteOnConvergence") == "Enabled":
        raise invalid("The local AWS does not detect convergence; set another completion criterion.")
    if most is None and not criteria and "MaxRuntimeInSeconds" not in limits and config["Strategy"] != "Grid":
        raise invalid("MaxNumberOfTrainingJobs is required when no other limit or completion criterion is set.")
    if most is not None and limits["MaxParallelTrainingJobs"] > most:
        raise invalid(
            f"MaxParallelTrainingJobs [{limits['MaxParallelTrainingJobs']}] must be less than or equal to "
            f"MaxNumberOfTrainingJobs [{most}]."
        )
    if (wanted := most_trials(config)) > MOST_TRIALS:
        raise limit_exceeded(
            f"A tuning job can have {MOST_TRIALS} training jobs at most, and {wanted:.0f} are asked for."
        )
    found = combinations(space)
    if most is not None and config["Strategy"] != "Grid" and found < most:
        raise invalid(
            "You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter "
            f"combinations for the provided ranges [{float(found)}] must be equal or greater than the value of "
            f"MaxNumberOfJobs, [{most}]. Provide additional ranges."
        )


def _check_strategy(config: Document, definition: Document) -> None:
    strategy, hyperband = config["Strategy"], config.get("StrategyConfig", {}).get("HyperbandStrategyConfig")
    if strategy == "Grid":
        _check_grid(config)
    if strategy != "Hyperband":
        if hyperband is not None:
            raise invalid(f"HyperbandStrategyConfig cannot be specified with the strategy {strategy}.")
        return
    if config.get("TrainingJobEarlyStoppingType", "Off") == "Auto":
        raise invalid("TrainingJobEarlyStoppingType must be Off with the strategy Hyperband, which stops jobs itself.")
    least, most = resources({"HyperParameterTuningJobConfig": config, "TrainingJobDefinition": definition})
    if not most:
        raise invalid(f"MaxResource is required in HyperbandStrategyConfig, or one of {', '.join(EPOCHS)} as static.")
    if not least <= most <= MOST_RESOURCE:
        raise invalid(f"MinResource [{least}] must not exceed MaxResource [{most}], which is {MOST_RESOURCE} at most.")


def _check_grid(config: Document) -> None:
    ranges = config.get("ParameterRanges", {})
    if ranges.get("ContinuousParameterRanges") or ranges.get("IntegerParameterRanges"):
        raise invalid("Only categorical hyperparameter ranges are supported with the strategy Grid.")
    points, most = combinations(_space(config)), config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    if most is not None and most != points:
        raise invalid(
            f"With the strategy Grid MaxNumberOfTrainingJobs [{most}] must equal the number of combinations of "
            f"categorical values [{points}]."
        )


def _check_alike(request: Document, name: str, parent: Document) -> None:
    objective = "HyperParameterTuningJobObjective"
    config, other = request["HyperParameterTuningJobConfig"], parent["HyperParameterTuningJobConfig"]
    if config[objective] != other[objective]:
        raise invalid(f"The objective metric must be the same as that of the parent tuning job {name}.")
    if _hyperparameters(request) != _hyperparameters(parent):
        raise invalid(
            "The set of tunable plus static HyperParameter names is not the same across current and parent tuning "
            "jobs. Please ensure this set is constant when warm starting. Note that previously static "
            f"HyperParameters can be tuned in warm start jobs and vice versa. See the parent tuning job {name}."
        )
    if request["WarmStartConfig"]["WarmStartType"] == "TransferLearning":
        return
    mine, theirs = request["TrainingJobDefinition"], parent["TrainingJobDefinition"]
    image = "TrainingImage"
    if mine["AlgorithmSpecification"][image] != theirs["AlgorithmSpecification"][image]:
        raise invalid(f"IdenticalDataAndAlgorithm demands the training image of the parent tuning job {name}.")
    if mine.get("InputDataConfig") != theirs.get("InputDataConfig"):
        raise invalid(f"IdenticalDataAndAlgorithm demands the input data of the parent tuning job {name}.")


def _hyperparameters(request: Document) -> set[str]:
    return {*static_of(request), *_space(request["HyperParameterTuningJobConfig"])}


def _resource_config(given: Document) -> Document:
    """Of several kinds of instances the first is taken: here all can be had."""
    config = {**given, **(given.get("InstanceConfigs") or [{}])[0]}
    return {name: value for name, value in config.items() if name not in ("InstanceConfigs", "AllocationStrategy")}
