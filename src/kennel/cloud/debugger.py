"""Debugger and profiler in CreateTrainingJob: what is recorded, which rules judge it, and with which parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kennel.debugger import profiler_rules, rules
from kennel.debugger.configuration import ACTIVATION_INPUTS, LOSS, collections
from kennel.debugger.evaluation import REPORT
from kennel.errors import SettingError
from kennel.settings import Debugger, DebuggerRule

Request = dict[str, Any]
RULES = "sagemaker-debugger-rules"
"""The repository of AWS's rule image, in a registry for each region."""
REGISTRIES = {
    "af-south-1": "314341159256",
    "ap-east-1": "199566480951",
    "ap-northeast-1": "430734990657",
    "ap-northeast-2": "578805364391",
    "ap-northeast-3": "364406365360",
    "ap-south-1": "904829902805",
    "ap-southeast-1": "972752614525",
    "ap-southeast-2": "184798709955",
    "ca-central-1": "519511493484",
    "cn-north-1": "618459771430",
    "cn-northwest-1": "658757709296",
    "eu-central-1": "482524230118",
    "eu-north-1": "314864569078",
    "eu-south-1": "563282790590",
    "eu-west-1": "929884845733",
    "eu-west-2": "250201462417",
    "eu-west-3": "447278800020",
    "me-south-1": "986000313247",
    "sa-east-1": "818342061345",
    "us-east-1": "503895931360",
    "us-east-2": "915447279597",
    "us-gov-west-1": "515509971035",
    "us-west-1": "685455198987",
    "us-west-2": "895741380848",
}
"""Region → account, as sagemaker-python-sdk's image_uri_config/debugger.json lists them."""
TENSORS = "/opt/ml/output/tensors"
ACTION = "action_json"
OURS = {
    "Overfit": {"tensor_regex": f"{LOSS}_output.*"},
    "PoorWeightInitialization": {"activation_inputs_regex": ACTIVATION_INPUTS},
}
"""Names of tensors, where the published default would find none, or all."""
TENSOR_RULES: tuple[DebuggerRule, ...] = ("VanishingGradient", "Overfit", "Overtraining", "PoorWeightInitialization")
PROFILER_RULES: tuple[DebuggerRule, ...] = ("LowGPUUtilization", "CPUBottleneck")


@dataclass(frozen=True, slots=True)
class Debugging:
    """settings: kennel.toml's; region: for the rule image; steps_per_epoch: from which the intervals follow. tensors:
    False leaves the profiler alone, without rules, so that the training does no more than one by hand does."""

    settings: Debugger
    region: str
    steps_per_epoch: int
    tensors: bool = True


def members(debugging: Debugging, job: str, output: str) -> Request:
    """The request's members about Debugger and profiler. job: its name; output: S3 prefix, tensors come to
    OUTPUT/JOB/debug-output, metrics to OUTPUT/JOB/profiler-output. Raises SettingError."""
    profiler = {"S3OutputPath": output, "ProfilingIntervalInMilliseconds": debugging.settings.profiler_interval_ms}
    if not debugging.tensors:
        return {"ProfilerConfig": profiler}
    return {
        "DebugHookConfig": {
            "S3OutputPath": output,
            "LocalPath": TENSORS,
            "CollectionConfigurations": collections(debugging.steps_per_epoch),
        },
        "DebugRuleConfigurations": list(_rules(debugging, job, TENSOR_RULES)),
        "ProfilerConfig": profiler,
        "ProfilerRuleConfigurations": [
            *_rules(debugging, job, PROFILER_RULES),
            _rule(debugging, REPORT, {}),
        ],
    }


def rules_registry(region: str) -> str:
    """The account whose registry has the rule image of a region. Raises SettingError."""
    if region not in REGISTRIES:
        remedy = "Set debugger.enabled = false in kennel.toml, or take another region"
        raise SettingError(f"AWS publishes no rule image for {region}", remedy)
    return REGISTRIES[region]


def rules_image(region: str) -> str:
    """Raises SettingError."""
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"{rules_registry(region)}.dkr.ecr.{region}.{domain}/{RULES}:latest"


def parameters_of(settings: Debugger, rule: DebuggerRule) -> dict[str, str]:
    """All of a rule's parameters, the published defaults written out. Raises SettingError."""
    given = {name: str(value) for name, value in settings.rules.get(rule, {}).items()}
    if rule in profiler_rules.DEFAULTS:
        found = dict(profiler_rules.parameters_of(rule, given))
    else:
        found = rules.parameters_of(rule, OURS.get(rule, {}) | given)
    return {name: _plain(value) for name, value in found.items()}


def _rules(debugging: Debugging, job: str, names: Sequence[DebuggerRule]) -> Iterator[Request]:
    for rule in names:
        stops = rule in debugging.settings.stop_on
        given = parameters_of(debugging.settings, rule) | ({ACTION: _stop(job)} if stops else {})
        yield _rule(debugging, rule, given)


def _rule(debugging: Debugging, rule: str, parameters: dict[str, str]) -> Request:
    return {
        "RuleConfigurationName": rule,
        "RuleEvaluatorImage": rules_image(debugging.region),
        "RuleParameters": {"rule_to_invoke": rule, **parameters},
    }


def _stop(job: str) -> str:
    """SageMaker's built-in action StopTraining, as sagemaker-debugger-rulesconfig writes it: with escaped quotes."""
    return json.dumps({"name": "stoptraining", "training_job_prefix": job}).replace('"', '\\"')


def _plain(value: Any) -> str:
    """0.0000001 rather than 1e-07, which not every reader takes."""
    return format(Decimal(repr(value)).normalize(), "f") if isinstance(value, float) else str(value)
