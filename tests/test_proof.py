"""The proof: what is taken away, which step needs it, that the step then fails by that refusal; what a thief gets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kennel.cloud import training
from kennel.cloud.iam import Place, place_of, role_of
from kennel.cloud.iam.values import Role, Statement
from kennel.cloud.training import Channel, TrainingPlan
from kennel.errors import KennelError
from kennel.iam.record import Call
from kennel.pictures.dataset import SPLITS
from kennel.progress import Progress
from kennel.settings import Settings
from kennel.workflow.proof.ground import Ground, ground
from kennel.workflow.proof.items import Item, denied, items, needing, without
from kennel.workflow.proof.machines import MACHINES
from kennel.workflow.proof.prove import NO_ENGINE, NO_REGISTRY, UNREACHED, Wanted, chosen, work_on
from kennel.workflow.proof.steps import Step, images, roles, upload
from kennel.workflow.proof.stolen import ATTEMPTS, tried
from kennel.workflow.proof.table import Outcome, Proof, markdown

ACCOUNT = "123456789012"
PLACE = Place(Settings(), "us-east-1", ACCOUNT)
TRAINING, DEPLOYER = role_of(PLACE, "training"), role_of(PLACE, "deployer")
BUCKET = f"arn:aws:s3:::kennel-us-east-1-{ACCOUNT}"
QUICK = (Step("roles and bucket", roles), Step("images", images), Step("upload", upload))


def call(role: Role, action: str, resource: str, sid: str, allowed: bool = True) -> Call:
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role.name}"
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role.name}/s"
    return Call(0.0, session, arn, action, resource, allowed, "allowed" if allowed else "no", sid, "op")


class TestItems:
    def test_every_action_and_resource_is_one_and_a_single_resource_is_its_actions(self) -> None:
        read = [each for each in items(TRAINING) if each.sid == "Read"]
        assert [(each.kind, each.value.rsplit("/", 2)[-2]) for each in read[1:]] == [
            ("resource", name) for name in ("data", "weights", "jobs", "checkpoints")
        ]
        assert [each.value for each in items(TRAINING) if each.sid == "Pull"] == [
            "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"
        ]  # fmt: skip

    @pytest.mark.parametrize("item", list(items(TRAINING)), ids=str)
    def test_taken_away_it_alone_is_missing(self, item: Item) -> None:
        before = {each["Sid"]: each for each in TRAINING.policy["Statement"]}
        after = {each["Sid"]: each for each in without(TRAINING, item)["Statement"]}
        assert item.value not in json.dumps(after.get(item.sid, {}).get(item.kind.title(), ""))
        assert {sid: each for sid, each in before.items() if sid != item.sid} == {
            sid: each for sid, each in after.items() if sid != item.sid
        }

    def test_a_step_needs_what_its_calls_would_be_refused_without(self) -> None:
        calls = {
            "reads": [call(TRAINING, "s3:GetObject", f"{BUCKET}/kennel/data/x", "Read")],
            "writes": [call(TRAINING, "s3:PutObject", f"{BUCKET}/kennel/jobs/x", "Write")],
            "another's": [call(DEPLOYER, "s3:GetObject", f"{BUCKET}/kennel/data/x", "Read")],
        }
        data = Item("training", "Read", "resource", f"{BUCKET}/kennel/data/*")
        assert needing(TRAINING, calls, data) == ["reads"]
        assert needing(TRAINING, calls, replace(data, value=f"{BUCKET}/kennel/weights/*")) == []

    def test_only_the_very_refusal_counts(self) -> None:
        item = Item("training", "Read", "resource", f"{BUCKET}/kennel/data/*")
        policy = without(TRAINING, item)
        refusal = call(TRAINING, "s3:GetObject", f"{BUCKET}/kennel/data/x", "", allowed=False)
        others = [
            replace(refusal, allowed=True),
            replace(refusal, role=f"arn:aws:iam::{ACCOUNT}:role/kennel-deployer"),
            replace(refusal, resource=f"{BUCKET}/private/x"),
            replace(refusal, action="s3:PutObject"),
        ]
        assert denied(others, TRAINING, item, policy) is None
        assert denied([*others, refusal], TRAINING, item, policy) == refusal

    def test_the_image_of_the_rules_is_another_accounts(self) -> None:
        image = "arn:aws:ecr:us-east-1:503895931360:repository/sagemaker-debugger-rules"
        item = Item("training", "PullRules", "action", "ecr:BatchGetImage")
        allowed, refusal = (call(TRAINING, "ecr:BatchGetImage", image, "PullRules", one) for one in (True, False))
        assert needing(TRAINING, {"a job with rules": [allowed]}, item) == ["a job with rules"]
        assert needing(TRAINING, {"a job with rules": [allowed]}, replace(item, value="ecr:BatchGet")) == []
        assert denied([refusal], TRAINING, item, without(TRAINING, item)) == refusal

    def test_what_cannot_be_exercised_is_a_statement_that_there_is(self) -> None:
        ec2 = {"spot": True, "ssh_from": "192.0.2.1/32", "key_name": "mine"}
        everything = Settings.model_validate(
            {"function": {"s3_bucket": "dogs"}, "debugger": {"stop_on": ["Overfit"]}, "ec2": ec2}
        )
        place = replace(PLACE, settings=everything)
        for actor, sid in UNREACHED | NO_ENGINE | NO_REGISTRY:
            assert sid in {each.sid for each in role_of(place, actor).statements}

    def test_a_statement_that_is_not_there_is_told(self) -> None:
        with pytest.raises(KennelError, match="there is no statement Nonsense"):
            chosen([TRAINING], Wanted(statement="Nonsense"))


class TestProving:
    @pytest.fixture(scope="class")
    @staticmethod
    def made() -> Iterator[Ground]:
        with ground(Settings(), Progress()) as found:
            yield found

    def test_without_each_thing_the_step_fails_by_that_refusal(self, made: Ground, tmp_path: Path) -> None:
        wanted = Wanted(("deployer",), kept=tmp_path / "kept.json", steps=QUICK)
        for statement in ("FindRoles", "Upload", "Read", "Replace"):
            outcomes = work_on(made, replace(wanted, statement=statement), Progress())
            there = [each for each in outcomes if "kennel/jobs/*" not in each.item.value]
            assert [each.verdict for each in there] == ["proven"] * len(there), outcomes
        replaced = outcomes[0]
        assert (replaced.step, replaced.item.value) == ("upload", "s3:DeleteObject")
        assert replaced.why.startswith(f"s3:DeleteObject on {BUCKET}/kennel/data/proof-")

    def test_what_nothing_needs_is_too_wide(self, made: Ground) -> None:
        (outcome, *_) = work_on(made, Wanted(("deployer",), "Overview", steps=QUICK), Progress())
        assert (outcome.verdict, outcome.why) == ("too wide", "nothing that is done needs it")
        assert not Proof((outcome,), ()).holds

    def test_a_role_is_whole_again_afterwards(self, made: Ground) -> None:
        item = Item("deployer", "Upload", "action", "s3:PutObject")
        role = made.role("deployer")
        with pytest.raises(KennelError, match="x"), made.limited(role, without(role, item)):
            raise KennelError("x")
        found = made.admin.client("iam").get_role_policy(RoleName=role.name, PolicyName="kennel-us-east-1")
        assert found["PolicyDocument"] == role.policy

    def test_what_was_proven_is_not_proven_again(self, made: Ground, tmp_path: Path) -> None:
        wanted = Wanted(("deployer",), "Replace", kept=tmp_path / "kept.json", steps=QUICK)
        first = work_on(made, wanted, Progress())
        before = len(made.calls())
        assert work_on(made, replace(wanted, steps=()), Progress()) == first
        assert len(made.calls()) == before
        (tmp_path / "kept.json").write_text("broken")
        assert work_on(made, wanted, Progress())[0].verdict == "proven"

    def test_quick_replays_and_says_so(self, made: Ground) -> None:
        outcomes = work_on(made, Wanted(("deployer",), "FindRoles", quick=True, steps=QUICK), Progress())
        assert {each.verdict for each in outcomes} == {"would be denied"}

    def test_a_machine_is_launched_only_by_who_may_give_it_its_role(self, made: Ground) -> None:
        settings, where = made.settings, f"s3://{made.admin.bucket}/kennel"
        channels = tuple(Channel(name, f"{where}/data/{name}") for name in (*SPLITS, "weights"))
        role = made.role("training").name
        plan = TrainingPlan(
            "kennel-train-proof",
            "kennel-training",
            place_of(made.admin).role(role),
            channels,
            f"{where}/jobs",
            settings.training,
        )
        made.told["training job"] = training.start(made.admin, plan)
        step = next(each for each in MACHINES if each.name == "launch by hand")
        outcomes = work_on(made, Wanted(("launcher",), "PassToEc2", steps=(step,)), Progress())
        assert [each.verdict for each in outcomes] == ["proven"], outcomes

    def test_a_thief_gets_nowhere_with_the_roles_of_people_and_of_the_function(self, made: Ground) -> None:
        found = list(tried(made, ("function", "builder", "launcher")))
        assert len(found) > 100
        assert [each for each in found if not each.denied] == []
        assert len({each.what for each in ATTEMPTS}) == len(ATTEMPTS)


def test_the_page_shows_each_thing_and_what_a_thief_got() -> None:
    item = Item("function", "Ask", "action", "sagemaker:InvokeEndpoint")
    proof = Proof((Outcome(item, "proven", "ask the function", "x", 1.0),), ())
    page = markdown(proof, "2026-11-24", "kennel iam prove", 9.4)
    assert page.startswith("By `kennel iam prove` on 2026-11-24, 9 minutes: 1 actions and resources: 1 proven.")
    assert "| Ask | `sagemaker:InvokeEndpoint` | proven | ask the function |" in page


def test_a_statement_says_what_it_is_for() -> None:
    one = Statement("Sid", "a reason", ("s3:GetObject",), ("*",))
    assert one.document() == {"Sid": "Sid", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
