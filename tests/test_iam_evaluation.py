"""The IAM guide's rules as a table, and what has to be so whatever the policies are."""

from __future__ import annotations

import pytest

from iam_cases import CASES, GET, USER, Case, allow, deny, mine
from iam_conditions import CONDITIONS, Holds
from kennel.iam.evaluation import evaluate
from kennel.iam.values import Access


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_decision_is_as_the_guide_says(case: Case) -> None:
    found = evaluate(case.access, case.caller, case.policies)
    assert (found.reason, found.allowed) == (case.expected, case.expected == "allowed")


@pytest.mark.parametrize("case", CONDITIONS, ids=lambda case: case.rule)
def test_a_condition_holds_as_the_guide_says(case: Holds) -> None:
    asked = Access(GET.action, GET.resource, case.context)
    assert evaluate(asked, USER, mine(allow(Condition=case.condition))).allowed is case.holds
    denied = evaluate(asked, USER, mine(allow(), deny(Condition=case.condition)))
    assert denied.allowed is not case.holds


def test_the_table_is_of_more_than_150_rules() -> None:
    assert len(CASES) >= 150
    assert len(CONDITIONS) >= 120
