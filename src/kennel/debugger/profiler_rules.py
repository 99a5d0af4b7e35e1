"""SageMaker's two profiler rules, from their published definitions and defaults, as pure functions of a profile.

* **LowGPUUtilization**: over the last `window` values of a GPU, the 95th percentile is below `threshold_p95`, or it is
  not and the 5th is below `threshold_p5` (the GPU works by fits and starts). Any one GPU of any node is enough.
* **CPUBottleneck**: in more than `threshold` percent of a node's samples a core is above `cpu_threshold` while a GPU is
  below `gpu_threshold`. "CPU" is read as any one core, as in the rule's published source: one busy core is enough to
  starve a GPU, and the mean over 32 cores would never show it.

Both judge only what lies beyond `patience` values, and look every `scan_interval_us` from the first value on (AWS's do)
and once at the end, so the verdict on a running training never turns back. Where there is no GPU there is nothing that
either rule could find: they say so, and CPUBottleneck says how busy the cores were; `advice` takes it from there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from kennel.debugger.parameters import NOT_THE_RULES
from kennel.debugger.profile import Floats, Profile, Series
from kennel.debugger.utilisation import Flags, Samples, samples
from kennel.debugger.verdict import Evidence, Verdict
from kennel.errors import SettingError

Parameters = Mapping[str, float]

DEFAULTS: Mapping[str, Mapping[str, float]] = {
    "LowGPUUtilization": {
        "threshold_p95": 70, "threshold_p5": 10, "window": 500, "patience": 1000, "scan_interval_us": 60_000_000
    },
    "CPUBottleneck": {
        "threshold": 50, "gpu_threshold": 10, "cpu_threshold": 90, "patience": 1000, "scan_interval_us": 60_000_000
    },
}  # fmt: skip
"""smdebug_rulesconfig/profiler_rules/rules.py of awslabs/sagemaker-debugger-rulesconfig."""
WHOLE = ("window", "patience", "scan_interval_us")
FEED = "Feed it faster or give it more at once: see what the training waits for, below"
SPARE_CPU = "Give the loader more workers or cores, or do less in it: pack the pictures, compute the features once"


def evaluate(rule: str, parameters: Mapping[str, str], profile: Profile, over: bool) -> Verdict:
    """The verdict on what is recorded so far. over: whether the training has ended; until then InProgress.

    rule: a key of DEFAULTS (KeyError otherwise). Parameters that are wrong give a verdict with status Error.
    """
    judge = {"LowGPUUtilization": _low_utilisation, "CPUBottleneck": _cpu_bottleneck}[rule]
    try:
        return judge(parameters_of(rule, parameters), profile, over)
    except SettingError as error:
        return Verdict(rule, "Error", str(error.message), remedy=error.remedy)


def parameters_of(rule: str, given: Mapping[str, str]) -> Parameters:
    """Defaults, and what RuleParameters says instead. Raises SettingError in one line."""
    known = dict(DEFAULTS[rule])
    for name, text in given.items():
        if name in NOT_THE_RULES and name not in known:
            continue
        if name not in known:
            raise SettingError(f"{rule} has no parameter {name!r}", f"Known are {', '.join(known)}")
        known[name] = _positive(rule, name, text) if name in WHOLE else _percentage(rule, name, text)
    return known


def _low_utilisation(parameters: Parameters, profile: Profile, over: bool) -> Verdict:
    gpus = profile.find("GPUUtilization")
    if not gpus:
        return _nothing("LowGPUUtilization", over, "There was no GPU, so there is no utilisation of one to judge.")
    found = [verdict for gpu in gpus if (verdict := _fired_on(gpu, parameters, over, profile))]
    if found:
        return min(found, key=lambda verdict: (verdict.evidence.time or 0) if verdict.evidence else 0)
    most = max(gpus, key=lambda gpu: len(gpu.values))
    if len(most.values) <= parameters["patience"]:
        return _nothing("LowGPUUtilization", over, _too_few(len(most.values), parameters))
    high, low = np.quantile(most.values[-int(parameters["window"]) :], (0.95, 0.05))
    words = f"The 95th percentile of {_name(most, profile)}'s utilisation is {high:.1f} %, the 5th {low:.1f} %."
    return _none("LowGPUUtilization", over, words)


def _fired_on(gpu: Series, parameters: Parameters, over: bool, profile: Profile) -> Verdict | None:
    """The verdict at the first look at which this GPU is found wanting."""
    for count in _looks(gpu.times, parameters, over):
        last = gpu.values[max(0, count - int(parameters["window"])) : count]
        high, low = (float(each) for each in np.quantile(last, (0.95, 0.05)))
        name, at = _name(gpu, profile), float(gpu.times[count - 1])
        if high < parameters["threshold_p95"]:
            words = f"{name} is used too little: over {len(last)} values the 95th percentile of its utilisation is "
            words += f"{high:.1f} %, below {parameters['threshold_p95']:g} %."
            return _fired("LowGPUUtilization", words, Evidence(name, high, parameters["threshold_p95"], time=at), FEED)
        if low < parameters["threshold_p5"]:
            words = (
                f"{name} works by fits and starts: over {len(last)} values the 95th percentile of its utilisation is "
            )
            words += f"{high:.1f} %, but the 5th {low:.1f} %, below {parameters['threshold_p5']:g} %."
            return _fired("LowGPUUtilization", words, Evidence(name, low, parameters["threshold_p5"], time=at), FEED)
    return None


def _cpu_bottleneck(parameters: Parameters, profile: Profile, over: bool) -> Verdict:
    nodes = [each for node in profile.nodes if len((each := samples(profile, node)).times)]
    with_gpu = [each for each in nodes if each.gpus]
    if not nodes:
        return _nothing("CPUBottleneck", over, "No utilisation was recorded.")
    if not with_gpu:
        return _nothing("CPUBottleneck", over, _without_gpu(nodes, parameters))
    shares = []
    for node in with_gpu:
        busy, starved = bottlenecks(node, parameters)
        both = np.cumsum(busy & starved)
        for count in _looks(node.times, parameters, over):
            share = 100 * float(both[count - 1]) / count
            if share > parameters["threshold"]:
                return _bottleneck(node, count, share, parameters, len(nodes) > 1)
        shares.append((100 * float(both[-1]) / len(both), len(both)))
    share, count = max(shares)
    if max(each for _, each in shares) <= parameters["patience"]:
        return _nothing("CPUBottleneck", over, _too_few(count, parameters))
    words = f"A core above {parameters['cpu_threshold']:g} % met a GPU below {parameters['gpu_threshold']:g} % "
    return _none("CPUBottleneck", over, words + f"in {share:.1f} % of the samples.")


def bottlenecks(at: Samples, parameters: Parameters = DEFAULTS["CPUBottleneck"]) -> tuple[Flags, Flags]:
    """([n] whether a core is above cpu_threshold, [n] whether a GPU is below gpu_threshold). NaN is neither."""
    busy: Flags = np.any(at.cpu > parameters["cpu_threshold"], axis=1)
    starved: Flags = np.any(at.gpu < parameters["gpu_threshold"], axis=1)
    return busy, starved


def _bottleneck(node: Samples, count: int, share: float, parameters: Parameters, several: bool) -> Verdict:
    busy, starved = bottlenecks(node, parameters)
    hot = np.nansum(node.cpu[:count][(busy & starved)[:count]] > parameters["cpu_threshold"], axis=0)
    core = node.cores[int(np.argmax(hot))]
    where = f"{node.node} {core}" if several else core
    words = f"In {share:.1f} % of {count} samples a core was above {parameters['cpu_threshold']:g} % while a GPU was "
    words += f"below {parameters['gpu_threshold']:g} %; {where} most often."
    evidence = Evidence(where, share, parameters["threshold"], time=float(node.times[count - 1]))
    return _fired("CPUBottleneck", words, evidence, SPARE_CPU)


def _without_gpu(nodes: list[Samples], parameters: Parameters) -> str:
    at = max(nodes, key=lambda each: len(each.times))
    hot = at.cpu > parameters["cpu_threshold"]
    words = "There was no GPU, and this rule is about a GPU that waits for a busy CPU. "
    core = at.cores[int(np.argmax(hot.sum(0)))]
    words += f"A core was above {parameters['cpu_threshold']:g} % in {100 * hot.any(1).mean():.0f} % of the samples"
    return f"{words}, {core} most often." if hot.any() else f"{words}."


def _looks(times: Floats, parameters: Parameters, over: bool) -> list[int]:
    """How many values are there at each look that comes after `patience` values."""
    if not len(times):
        return []
    interval = parameters["scan_interval_us"] / 1e6
    scans = np.ceil((times - times[0]) / interval)  # a value is seen by the scan that ends at or after it
    counts = np.flatnonzero(np.diff(scans)) + 1
    counts = np.concatenate([counts, [len(times)]]) if over else counts
    return [int(count) for count in counts if count > parameters["patience"]]


def _name(gpu: Series, profile: Profile) -> str:
    return f"{gpu.node} {gpu.name}" if len(profile.nodes) > 1 else gpu.name


def _too_few(count: int, parameters: Parameters) -> str:
    return f"Only {count} values were recorded; the rule judges when there are more than {parameters['patience']:g}."


def _none(rule: str, over: bool, words: str) -> Verdict:
    return Verdict(rule, "NoIssuesFound" if over else "InProgress", words)


def _nothing(rule: str, over: bool, words: str) -> Verdict:
    """There is nothing that the rule could judge (as yet, while the training runs)."""
    return replace(_none(rule, over, words), applies=False)


def _fired(rule: str, words: str, evidence: Evidence, remedy: str) -> Verdict:
    return Verdict(rule, "IssuesFound", words, evidence, remedy)


def _positive(rule: str, name: str, text: str) -> float:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 0 < number < 2**53:
        raise SettingError(f"{rule}'s {name} is {text!r}", "Write a whole number above 0")
    return number


def _percentage(rule: str, name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 100:
        raise SettingError(f"{rule}'s {name} is {text!r}", "Write a number from 0 to 100")
    return number
