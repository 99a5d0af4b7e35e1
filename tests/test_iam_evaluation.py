"""The IAM guide's rules as a table, and what has to be so whatever the policies are."""

from __future__ import annotations

import pytest

from iam_cases import ASSUME, CASES, GET, SESSION, SESSION_ARN, USER, A, Case, allow, deny, mine, on, trust, whom
from iam_conditions import CONDITIONS, Holds
from kennel.errors import PolicyError
from kennel.iam.evaluation import Applied, evaluate, explain
from kennel.iam.values import Access, Decision, Policies


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


def test_a_decision_names_the_statement_that_made_it() -> None:
    allowing = mine(allow("s3:Put*", Sid="Put"), allow(Sid="Get"), allow("s3:*", Sid="All"))
    assert evaluate(GET, USER, allowing) == Decision(True, "allowed", "Get")
    denying = mine(allow(Sid="Get"), deny("s3:*", Sid="Never"))
    assert evaluate(GET, USER, denying) == Decision(False, "explicit deny in an identity-based policy", "Never")
    assert evaluate(GET, USER, mine(allow("s3:Put*", Sid="Put"))).sid == ""


def test_of_a_resources_policy_the_statement_that_grants_most_is_named() -> None:
    bucket = on({**whom({"AWS": A}), "Sid": "Account"}, {**whom({"AWS": SESSION_ARN}), "Sid": "Session"})
    assert evaluate(GET, SESSION, mine(resource=bucket)) == Decision(True, "allowed", "Session")


def test_every_statement_about_an_access_can_be_told() -> None:
    policies = mine(
        allow("s3:Put*"), allow(Sid="Get"), deny(Sid="Never"), boundary=(on(allow("*")),), resource=trust({"AWS": A})
    )
    assert explain(GET, USER, policies) == (
        Applied("identity", 0, 1, "Allow", "Get"),
        Applied("identity", 0, 2, "Deny", "Never"),
        Applied("boundary", 0, 0, "Allow", ""),
    )
    assert explain(ASSUME, USER, policies)[0] == Applied("resource", 0, 0, "Allow", "", "account")


def test_a_policy_that_is_none_is_refused_and_never_taken_for_an_empty_one() -> None:
    with pytest.raises(PolicyError, match="Statement 1: its Effect"):
        evaluate(GET, USER, Policies((on(allow(Effect="Permit")),)))


def test_a_resource_account_without_a_value_is_the_callers() -> None:
    assert evaluate(Access(GET.action, GET.resource, {"aws:resourceaccount": ()}), USER, mine(allow())).allowed
