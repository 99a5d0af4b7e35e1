"""The rules of a training job: their process, started and ended with an attempt, and what it says in the job's
description, as AWS words it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kennel.contract import Contract
from kennel.debugger.evaluation import RuleConfig
from kennel.errors import KennelError
from kennel.local import rule_process
from kennel.local.errors import Refused, invalid
from kennel.local.parts import Document, House
from kennel.local.rule_process import OVER, PAGE, Task
from kennel.local.runners.process import KEPT
from kennel.local.tail import Tail
from kennel.local.training.channels import parted
from kennel.local.training.states import Alter
from kennel.local.work import Program, Running

log = logging.getLogger(__name__)

MOST = 20
STATUSES = {
    "DebugRuleConfigurations": "DebugRuleEvaluationStatuses",
    "ProfilerRuleConfigurations": "ProfilerRuleEvaluationStatuses",
}
"""A request's member → the description's."""
REPORT = "ProfilerReport"
CUT_OFF = "The training job ended before the rule did."
LAST_WORD_S = 60.0
"""For the last verdicts and the page, once the training has ended."""
PREFIXES = {"tensors": "debug-output", "profiler": "profiler-output"}
"""Folders below /opt/ml/output → where they come to in S3, below S3OutputPath/JOB."""


def check(request: Document) -> None:
    """Raises Refused."""
    for kind in STATUSES:
        _check_rules(request.get(kind, []), kind)
    if request.get("DebugRuleConfigurations") and "DebugHookConfig" not in request:
        raise invalid("DebugHookConfig must be specified when DebugRuleConfigurations are: rules read what it records.")
    local = request.get("DebugHookConfig", {}).get("LocalPath", "/opt/ml/output/tensors")
    if local != "/opt/ml/output/tensors":
        raise invalid(f"DebugHookConfig: the local AWS reads tensors in /opt/ml/output/tensors only, not in {local}.")
    profiler = request.get("ProfilerConfig", {})
    if request.get("ProfilerRuleConfigurations") and ("S3OutputPath" not in profiler or _disabled(profiler)):
        raise invalid("ProfilerConfig with an S3OutputPath must be specified when ProfilerRuleConfigurations are.")


def _check_rules(rules: Sequence[Document], kind: str) -> None:
    names = [each["RuleConfigurationName"] for each in rules]
    if len(names) > MOST:
        raise invalid(f"{kind} must have at most {MOST} members.")
    if len(set(names)) < len(names):
        raise invalid(f"RuleConfigurationName must be unique in {kind}.")


def begin(job: Document, arn: Callable[[str], str], now: float) -> None:
    """A new job's statuses. arn: makes one of a resource's name."""
    for member, statuses in STATUSES.items():
        if job.get(member):
            job[statuses] = [
                {
                    "RuleConfigurationName": each["RuleConfigurationName"],
                    "RuleEvaluationJobArn": arn(f"processing-job/{job['TrainingJobName']}-{number}".lower()[:256]),
                    "RuleEvaluationStatus": "InProgress",
                    "LastModifiedTime": now,
                }
                for number, each in enumerate(job[member])
            ]
    if job.get("ProfilerConfig"):
        job["ProfilingStatus"] = "Disabled" if _disabled(job["ProfilerConfig"]) else "Enabled"


def tell(job: Document, name: str, status: str, details: str, now: float) -> None:
    """The new status of one rule. One that found an issue keeps it."""
    for each in _statuses(job):
        if each["RuleConfigurationName"] == name and each["RuleEvaluationStatus"] != "IssuesFound":
            each.update(RuleEvaluationStatus=status, StatusDetails=details[:1024], LastModifiedTime=now)


def end(job: Document, why: str, now: float, status: str = "Stopped") -> None:
    """Rules that had not come to an end by the end of the job."""
    for each in _statuses(job):
        if each["RuleEvaluationStatus"] in ("InProgress", "Stopping"):
            each.update(RuleEvaluationStatus=status, StatusDetails=why[:1024], LastModifiedTime=now)


def details(verdict: Document) -> str:
    """StatusDetails: AWS's own sentence where an issue was found, and then ours."""
    if verdict["status"] != "IssuesFound":
        return str(verdict["words"])
    evidence = verdict.get("evidence") or {}
    at = f" at step {evidence['step']}" if evidence.get("step") is not None else ""
    met = f"Evaluation of the rule {verdict['rule']}{at} resulted in the condition being met"
    return f"RuleEvaluationConditionMet: {met}. {verdict['words']} {verdict.get('remedy', '')}".strip()


def stops(job: Document, name: str) -> bool:
    """Whether an issue that this rule finds shall end the job: SageMaker's built-in action StopTraining."""
    mine = [each for member in STATUSES for each in job.get(member, []) if each["RuleConfigurationName"] == name]
    actions = [each for rule in mine for each in _actions(rule.get("RuleParameters", {}).get("action_json", ""))]
    prefixes = [str(each.get("training_job_prefix", "")) for each in actions if each.get("name") == "stoptraining"]
    return any(job["TrainingJobName"].startswith(prefix) for prefix in prefixes)


def outputs(job: Document, root: Path) -> list[tuple[str, Path]]:
    """(S3 address, folder) of what is sent while the job runs: tensors and metrics."""
    contract, name = Contract(root), job["TrainingJobName"]
    given = {"tensors": job.get("DebugHookConfig"), "profiler": job.get("ProfilerConfig")}
    folders = {"tensors": contract.tensors, "profiler": contract.profiler}
    return [
        (f"{config['S3OutputPath'].rstrip('/')}/{name}/{PREFIXES[kind]}", folders[kind])
        for kind, config in given.items()
        if config and "S3OutputPath" in config
    ]


class RuleJob:
    """The process that judges one attempt. change: alters the job's description; stop: ends the job."""

    def __init__(
        self, house: House, job: Document, root: Path, change: Callable[[Alter], None], stop: Callable[[], None]
    ) -> None:
        self._house, self._job, self._root = house, job, root
        self._change, self._stop = change, stop
        self._folder = house.home / "rules" / job["TrainingJobName"]
        self._running: Running | None = None
        self._over = False
        self._told: dict[str, tuple[str, Any]] = {}
        self.tail = Tail(self._folder / "verdicts.log", self._take)
        """What the process says; looked at with the job's own log."""

    def start(self) -> None:
        """Nothing for a job without rules."""
        if not any(_statuses(self._job)) or self._house.programs is None:
            return
        if refused := self._not_pulled():
            self._give_up(f"ClientError: Unable to pull the image of the rule. {refused.message}")
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._task().write(self._folder)
        module = [sys.executable, "-m", rule_process.__name__, str(self._folder)]
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        program = Program(
            f"rules-{self._job['TrainingJobName']}", tuple(module), self._folder, self._folder / "verdicts.log", kept
        )
        try:
            self._running = self._house.programs.run(program)
        except KennelError as error:
            self._give_up(f"The rule cannot be judged: {error}")

    def finish(self) -> None:
        """The training has ended: the last verdicts, and the page. What goes wrong here costs the job nothing."""
        self._over = True  # an issue found from now on has nothing left to stop
        if self._running is None:
            return
        try:
            self._end()
        except (OSError, Refused) as error:
            log.warning("%s: the rules' last words are lost: %s", self._job["TrainingJobName"], error)

    def _end(self) -> None:
        assert self._running is not None
        (self._folder / OVER).touch()
        until = self._house.clock.now() + LAST_WORD_S
        while self._running.exit_code() is None and self._house.clock.now() < until:
            if self._house.clock.wait(self._house.closing, 0.1):
                break
        self._keep_page()

    def close(self) -> None:
        """Nothing of it runs any more."""
        if self._running is not None:
            code = self._running.exit_code()
            self._running.close()
            self.tail.pump(self._house.clock.now(), last=True)
            self._running = None
            if code:
                self._give_up(f"The process that judges the rules ended with exit code {code}.")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _task(self) -> Task:
        job, contract = self._job, Contract(self._root)
        configs = [each for member in STATUSES for each in job.get(member, [])]
        rules = [(each["RuleConfigurationName"], each.get("RuleParameters", {})) for each in configs]
        return Task(
            job["TrainingJobName"],
            tuple(RuleConfig(*each) for each in rules),
            str(contract.tensors) if "DebugHookConfig" in job else None,
            str(contract.profiler) if "ProfilerConfig" in job else None,
            page=self._report() is not None,
        )

    def _take(self, lines: Sequence[tuple[float, str]]) -> None:
        for now, line in lines:
            if found := rule_process.verdict_of(line):
                self._tell(*found, now)
            else:
                log.warning("%s: rules: %s", self._job["TrainingJobName"], line)

    def _give_up(self, why: str) -> None:
        """Rules that have not come to an end are in error."""
        log.warning("%s: %s", self._job["TrainingJobName"], why)
        now = self._house.clock.now()
        self._change(lambda job: end(job, why, now, "Error"))

    def _tell(self, name: str, verdict: dict[str, Any], now: float) -> None:
        news = (str(verdict["status"]), verdict.get("evidence"))
        if self._told.get(name) == news:
            return  # only its words are new
        self._told[name] = news
        self._change(lambda job: tell(job, name, str(verdict["status"]), details(verdict), now))
        if not self._over and verdict["status"] == "IssuesFound" and stops(self._job, name) and self._may_stop():
            self._stop()

    def _not_pulled(self) -> Refused | None:
        """Rules work under the job's role, in an image of their own: what AWS would say if it may not pull it."""
        images = {each["RuleEvaluatorImage"] for member in STATUSES for each in self._job.get(member, [])}
        try:
            for each in sorted(images):
                if self._house.actor:
                    self._house.actor.check_pull(each)
        except Refused as refused:
            return refused
        return None

    def _may_stop(self) -> bool:
        """AWS's rule looks its job up in a list before it stops it."""
        asked = {"sagemaker:ListTrainingJobs": "*", "sagemaker:StopTrainingJob": self._job["TrainingJobArn"].lower()}
        for action, resource in asked.items():
            refused = self._house.actor.why_not(action, resource) if self._house.actor else None
            if refused:
                log.warning("%s: a rule may not stop it: %s", self._job["TrainingJobName"], refused.message)
                return False
        return True

    def _report(self) -> str | None:
        """The configuration's name of the rule that leaves a page."""
        rules = self._job.get("ProfilerRuleConfigurations", [])
        mine = (each for each in rules if each.get("RuleParameters", {}).get("rule_to_invoke") == REPORT)
        return next((str(each["RuleConfigurationName"]) for each in mine), None)

    def _keep_page(self) -> None:
        """Where AWS leaves its own."""
        page, name = self._folder / PAGE, self._report()
        if name and page.is_file():
            bucket, prefix = parted(self._job["ProfilerConfig"]["S3OutputPath"].rstrip("/"))
            place = f"{self._job['TrainingJobName']}/rule-output/{name}/profiler-output/profiler-report.html"
            self._house.objects.put(bucket, f"{prefix}/{place}".lstrip("/"), page)


def _statuses(job: Document) -> Iterator[Document]:
    yield from (each for member in STATUSES.values() for each in job.get(member, []))


def _actions(text: str) -> list[dict[str, str]]:
    """action_json, also with its quotes escaped, as SageMaker's SDK writes it."""
    try:
        found = json.loads(text.replace('\\"', '"') or "[]")
    except (ValueError, RecursionError):
        return []
    return [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, dict)]


def _disabled(profiler: Document) -> bool:
    return bool(profiler.get("DisableProfiler", False))
