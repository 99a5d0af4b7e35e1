"""A folder of policies, as strangers write them; what the command says, and its SARIF for CI."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kennel.errors import KennelError
from kennel.iam.audit import audit
from kennel.iam.audit.folder import LARGEST, read
from kennel.iam.audit.sarif import RULES, sarif
from policies import ACCOUNT, ROLE, allow, call, policy, trust

SCHEMA = Path(__file__).parent / "schemas" / "sarif-2.1.0.json"
WIDE = """{
  "Version": "2012-10-17",
  "Statement": [
    {"Sid": "Fine", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/data/*"},
    {
      "Sid": "Wide", "Effect": "Allow",
      "Action": "sagemaker:*", "Resource": "*"
    }
  ]
}
"""
NARROW = policy(allow("s3:GetObject", "arn:aws:s3:::b/data/*"))


def write(folder: Path, **files: Any) -> Path:
    for name, content in files.items():
        path = folder / f"{name.replace('__', '/')}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def kennel(*words: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kennel", "iam", "audit", *map(str, words)]
    environment = {**os.environ, "KENNEL_LOCAL_HOME": str(home), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


def test_a_finding_says_the_file_and_the_line_of_its_statement(tmp_path: Path) -> None:
    finding = audit(read(write(tmp_path, roles__wide=WIDE)))[-1]
    assert (finding.rule, finding.file, finding.line, finding.where) == (
        "service-wildcard", "roles/wide.json", 5, "roles/wide.json:5",
    )  # fmt: skip


def test_what_the_aws_command_line_writes_is_read_as_it_is(tmp_path: Path) -> None:
    full = {"PolicyName": "AmazonS3FullAccess", "PolicyArn": "arn:aws:iam::aws:policy/AmazonS3FullAccess"}
    loose = policy(trust({"Service": "sagemaker.amazonaws.com"}))
    write(
        tmp_path,
        inline={"RoleName": "r", "PolicyName": "p", "PolicyDocument": policy(allow("s3:*"))},
        attached={"AttachedPolicies": [full]},
        version={"PolicyVersion": {"Document": policy(allow("ec2:*")), "VersionId": "v1"}},
        role={"Role": {"RoleName": "r", "Arn": ROLE, "AssumeRolePolicyDocument": loose}},
        bucket={"Policy": json.dumps(policy({**trust("*", "s3:GetObject"), "Resource": "arn:aws:s3:::b/*"}))},
        package={"name": "no policy", "dependencies": {}},
    )
    assert {(each.file, each.rule) for each in audit(read(tmp_path))} == {
        ("attached.json", "full-access-policy"),
        ("bucket.json", "public-bucket"),
        ("inline.json", "service-wildcard"),
        ("role.json", "confused-deputy"),
        ("version.json", "escalation"),
        ("version.json", "service-wildcard"),
    }


def test_a_whole_accounts_description_is_read_but_for_roles_that_are_awss_own(tmp_path: Path) -> None:
    role = {"AssumeRolePolicyDocument": policy(trust({"AWS": "*"})), "RolePolicyList": []}
    details = {
        "RoleDetailList": [
            {**role, "RoleName": "open", "Path": "/", "Arn": f"arn:aws:iam::{ACCOUNT}:role/open"},
            {**role, "RoleName": "linked", "Path": "/aws-service-role/x/", "Arn": f"arn:aws:iam::{ACCOUNT}:role/l"},
        ],
        "Policies": [
            {
                "PolicyName": "loose",
                "Arn": f"arn:aws:iam::{ACCOUNT}:policy/loose",
                "PolicyVersionList": [
                    {"Document": NARROW, "IsDefaultVersion": False},
                    {"Document": "%7B%22Statement%22%3A%5B%5D%2C%22Version%22%3A%222012-10-17%22%7D"},
                    {"Document": json.dumps(policy(allow("*"))), "IsDefaultVersion": True},
                ],
            }
        ],
    }
    seen = {(str(each.subject), each.rule) for each in audit(read(write(tmp_path, account=details)))}
    assert seen == {("role open", "open-trust"), ("policy loose", "every-action")}


def test_links_that_lead_out_and_what_is_no_file_are_left_alone(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", secret=policy(allow("*")))
    inside = write(tmp_path / "inside", fine=NARROW)
    (inside / "link.json").symlink_to(outside / "secret.json")
    (inside / "folder").symlink_to(outside, target_is_directory=True)
    os.mkfifo(inside / "pipe.json")
    assert [each.name for each in read(inside)] == ["fine.json"]
    with pytest.raises(KennelError, match="no regular file"):
        read(inside / "pipe.json")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, "nested too deeply"),
        ("9" * 10_000, "no JSON"),
        ('{"Statement": [], "Statement": [{"Effect": "Allow"}]}', "a key is there twice"),
        ("{}", "no policy"),
        (" " * (LARGEST + 1), "MiB"),
        ('{"RoleDetailList": [1]}', "no description of an account"),
        ('{"RoleDetailList": {"a": 1}, "Policies": 3}', "no description of an account"),
    ],
    ids=["empty", "deep lists", "deep objects", "a number", "twice", "no policy", "large", "roles", "policies"],
)
def test_a_hostile_file_is_refused_in_one_line(tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(KennelError, match=why) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(KennelError, match="UTF-8"):
        read(tmp_path)


def test_sarif_is_as_its_schema_says(tmp_path: Path) -> None:
    schema = json.loads(SCHEMA.read_text())
    write(tmp_path, wide=WIDE, a__passed=policy(allow("iam:PassRole")), open=policy(trust("*")), bad={"Statement": 1})
    log = json.loads(json.dumps(sarif(audit(read(tmp_path)), "1.0.0")))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(log)
    (run,) = log["runs"]
    wide = next(each for each in run["results"] if each["ruleId"] == "service-wildcard")
    assert run["tool"]["driver"]["rules"][wide["ruleIndex"]]["id"] == "service-wildcard"
    assert wide["level"] == "error"
    assert wide["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "wide.json"}, "region": {"startLine": 5},
    }  # fmt: skip
    assert "sagemaker:InvokeEndpoint" in wide["message"]["text"]


def test_the_schema_that_sarif_is_held_against_refuses_what_is_none(tmp_path: Path) -> None:
    log = sarif(audit(read(write(tmp_path, wide=WIDE))), "1.0.0")
    log["runs"][0]["results"][0]["level"] = "high"
    assert not Draft202012Validator(json.loads(SCHEMA.read_text())).is_valid(log)


def test_a_finding_keeps_its_fingerprint_when_its_lines_move(tmp_path: Path) -> None:
    one = sarif(audit(read(write(tmp_path, wide=WIDE))), "1")["runs"][0]["results"][-1]
    other = sarif(audit(read(write(tmp_path, wide=f"\n\n{WIDE}"))), "2")["runs"][0]["results"][-1]
    assert one["locations"] != other["locations"]
    assert one["partialFingerprints"] == other["partialFingerprints"]


def test_the_command_shows_risk_evidence_and_remedy_and_exits_by_severity(tmp_path: Path) -> None:
    folder = write(tmp_path / "policies", wide=WIDE, fine=NARROW)
    done = kennel(folder, "--sarif", tmp_path / "out.sarif", home=tmp_path)
    assert done.returncode == 1
    for text in ("high", "service-wildcard", "wide.json:5", "any resource", "sagemaker:InvokeEndpoint"):
        assert text in done.stdout
    assert "2 looked at: 2 high" in done.stderr
    assert json.loads((tmp_path / "out.sarif").read_text())["version"] == "2.1.0"
    shutil.copy(folder / "fine.json", tmp_path)
    fine = kennel(tmp_path / "fine.json", "--json", home=tmp_path)
    assert (fine.returncode, json.loads(fine.stdout)) == (0, [])


def test_the_severity_that_fails_is_the_users_choice(tmp_path: Path) -> None:
    low = write(tmp_path, low=policy(allow("sagemaker:InvokeEndpoint"))) / "low.json"
    assert kennel(low, home=tmp_path).returncode == 0
    assert kennel(low, "--fail-on", "low", home=tmp_path).returncode == 1
    wide = write(tmp_path, wide=WIDE) / "wide.json"
    assert kennel(wide, "--fail-on", "never", "--json", home=tmp_path).returncode == 0


def test_recorded_calls_say_what_to_use_instead(tmp_path: Path) -> None:
    arn = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/kennel"
    (tmp_path / "calls.jsonl").write_text(call("sagemaker:InvokeEndpoint", arn).line() + "\n")
    details = {
        "RoleDetailList": [
            {
                "RoleName": "worker",
                "Arn": ROLE,
                "RolePolicyList": [{"PolicyName": "wide", "PolicyDocument": json.loads(WIDE)}],
            }
        ]
    }
    account = write(tmp_path, account=details) / "account.json"
    done = kennel(account, "--calls", tmp_path / "calls.jsonl", "--json", home=tmp_path)
    found = {each["rule"]: each for each in json.loads(done.stdout)}
    assert found["service-wildcard"]["instead"][0]["Resource"] == [arn]
    assert found["unused"]["statement"] == "Fine"


@pytest.mark.parametrize(
    "words", ["nowhere", "x.json --on aws", "x.json --calls nowhere", "x.json --calls x.json", "--on local"]
)
def test_misuse_is_one_line_with_a_remedy_and_exit_2(tmp_path: Path, words: str) -> None:
    write(tmp_path, x=NARROW)
    done = kennel(*[tmp_path / each if each == "x.json" else each for each in words.split()], home=tmp_path / "home")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error ")
    assert len(done.stderr.splitlines()) == 2


def test_every_rule_is_described_once() -> None:
    assert len(set(RULES.values())) == len(RULES)
