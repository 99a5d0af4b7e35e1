"""The gatekeeper as clients meet it: users and sessions with few rights, against a real server, by plain boto3."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from kennel.iam.record import Call, read
from kennel.local.background import start_in_background, stop
from kennel.local.home import State

ACCOUNT = "123456789012"
USER, ROLE = f"arn:aws:iam::{ACCOUNT}:user/", f"arn:aws:iam::{ACCOUNT}:role/"
ALL_OF_IT = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
SAGEMAKER = {"Service": "sagemaker.amazonaws.com"}
SESSION = boto3.Session()
Keys = tuple[str, ...]
"""Access key, secret, and the token of a session."""


def allow(*actions: str, resource: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}


def deny(*actions: str, resource: str = "*", **more: Any) -> dict[str, Any]:
    return {**allow(*actions, resource=resource, **more), "Effect": "Deny"}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trust(principal: Any, **more: Any) -> str:
    return policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more})


@dataclass(frozen=True)
class Account:
    """A local AWS, its administrator's clients and those of whom they make."""

    state: State
    home: Path

    def client(self, service: str, keys: Keys | None = None, **config: Any) -> Any:
        found = keys or (self.state.access_key_id, self.state.secret_access_key)
        given = Config(retries={"total_max_attempts": 1}, max_pool_connections=50, **config)
        return SESSION.client(service, "us-east-1", None, True, None, self.state.url, *found, config=given)

    def user(self, name: str, *statements: dict[str, Any]) -> Keys:
        iam = self.client("iam")
        iam.create_user(UserName=name)
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(*statements))
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return made["AccessKeyId"], made["SecretAccessKey"]

    def role(self, name: str, trusted: str, *statements: dict[str, Any], **more: Any) -> str:
        iam = self.client("iam")
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusted, **more)
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(*statements))
        return str(made["Role"]["Arn"])

    def session(self, role: str, keys: Keys | None = None, **more: Any) -> Keys:
        sts = self.client("sts", keys)
        made = sts.assume_role(RoleArn=role, RoleSessionName="session", **more)["Credentials"]
        return made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]

    def calls(self) -> list[Call]:
        return list(read(self.home / "gatekeeper"))


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    home = tmp_path_factory.mktemp("account")
    made = Account(start_in_background(home, 0, "us-east-1", "process"), home)
    made.client("s3").create_bucket(Bucket="pictures")
    made.client("s3").put_object(Bucket="pictures", Key="a/1", Body=b"one")
    made.client("s3").put_object(Bucket="pictures", Key="b/2", Body=b"two")
    yield made
    stop(home)


def refused(call: Any, **given: Any) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as caught:
        call(**given)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_the_homes_own_key_is_its_administrators(account: Account) -> None:
    told = account.client("sts").get_caller_identity()
    assert (told["Arn"], told["Account"]) == (f"{USER}administrator", ACCOUNT)


NO_POLICY = "because no identity-based policy allows the {0} action"


@pytest.mark.parametrize(
    ("service", "operation", "given", "code", "status", "told"),
    [
        ("sagemaker", "list_models", {}, "AccessDeniedException", 400, "sagemaker:ListModels on resource: *"),
        (
            "sagemaker-runtime",
            "invoke_endpoint",
            {"EndpointName": "Dogs", "Body": b"x"},
            "AccessDeniedException",
            400,
            f"sagemaker:InvokeEndpoint on resource: arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/dogs",
        ),
        (
            "s3",
            "get_object",
            {"Bucket": "pictures", "Key": "a/1"},
            "AccessDenied",
            403,
            's3:GetObject on resource: "arn:aws:s3:::pictures/a/1"',
        ),
        ("iam", "create_user", {"UserName": "x"}, "AccessDenied", 403, f"iam:CreateUser on resource: {USER}x"),
        (
            "sts",
            "assume_role",
            {"RoleArn": f"{ROLE}nobody", "RoleSessionName": "session"},
            "AccessDenied",
            403,
            f"sts:AssumeRole on resource: {ROLE}nobody",
        ),
        (
            "lambda",
            "get_function",
            {"FunctionName": "f"},
            "AccessDeniedException",
            403,
            f"lambda:GetFunction on resource: arn:aws:lambda:us-east-1:{ACCOUNT}:function:f",
        ),
        (
            "logs",
            "delete_log_group",
            {"logGroupName": "/g"},
            "AccessDeniedException",
            400,
            f"logs:DeleteLogGroup on resource: arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/g",
        ),
        (
            "ecr",
            "create_repository",
            {"repositoryName": "rr"},
            "AccessDeniedException",
            400,
            f"ecr:CreateRepository on resource: arn:aws:ecr:us-east-1:{ACCOUNT}:repository/rr",
        ),
        ("cloudwatch", "describe_alarms", {}, "AccessDenied", 403, "cloudwatch:DescribeAlarms on resource: "),
        ("ec2", "describe_instances", {}, "UnauthorizedOperation", 403, "ec2:DescribeInstances on resource: *"),
        (
            "application-autoscaling",
            "describe_scalable_targets",
            {"ServiceNamespace": "sagemaker"},
            "AccessDeniedException",
            400,
            "application-autoscaling:DescribeScalableTargets on resource: ",
        ),
    ],
)
def test_a_user_without_a_policy_may_nothing_and_is_told_so_as_aws_would(
    account: Account, nobody: Keys, service: str, operation: str, given: Any, code: str, status: int, told: str
) -> None:
    found = refused(getattr(account.client(service, nobody), operation), **given)
    assert (found[0], found[2]) == (code, status)
    assert f"User: {USER}nobody is not authorized to perform: {told}" in found[1]


@pytest.fixture(scope="module")
def nobody(account: Account) -> Keys:
    return account.user("nobody")


def test_who_one_is_needs_no_permission(account: Account, nobody: Keys) -> None:
    assert account.client("sts", nobody).get_caller_identity()["Arn"] == f"{USER}nobody"


KEYS: list[tuple[str, str, str, str]] = [
    ("s3", "list_buckets", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
    ("iam", "list_users", "InvalidClientTokenId", "SignatureDoesNotMatch"),
    ("sts", "get_caller_identity", "InvalidClientTokenId", "SignatureDoesNotMatch"),
    ("sagemaker", "list_models", "UnrecognizedClientException", "InvalidSignatureException"),
    ("lambda", "list_functions", "UnrecognizedClientException", "InvalidSignatureException"),
    ("logs", "describe_log_groups", "UnrecognizedClientException", "InvalidSignatureException"),
    ("ec2", "describe_instances", "AuthFailure", "AuthFailure"),
]


@pytest.mark.parametrize(("service", "operation", "unknown", "wrong"), KEYS)
def test_a_key_that_nobody_has_and_a_wrong_secret_are_refused(
    account: Account, service: str, operation: str, unknown: str, wrong: str
) -> None:
    made_up = account.client(service, ("AKIAEXAMPLEEXAMPLE12", "secret"))
    assert refused(getattr(made_up, operation))[0] == unknown
    stolen = account.client(service, (account.state.access_key_id, "guessed"))
    assert refused(getattr(stolen, operation))[0] == wrong


def test_a_policy_holds_from_the_next_request_on(account: Account) -> None:
    keys, iam = account.user("anna"), account.client("iam")
    s3 = account.client("s3", keys)
    assert refused(s3.get_object, Bucket="pictures", Key="a/1")[0] == "AccessDenied"
    given = policy(allow("s3:GetObject", resource="arn:aws:s3:::pictures/a/*"))
    iam.put_user_policy(UserName="anna", PolicyName="p", PolicyDocument=given)
    assert s3.get_object(Bucket="pictures", Key="a/1")["Body"].read() == b"one"
    assert refused(s3.get_object, Bucket="pictures", Key="b/2")[0] == "AccessDenied"
    iam.delete_user_policy(UserName="anna", PolicyName="p")
    assert refused(s3.get_object, Bucket="pictures", Key="a/1")[0] == "AccessDenied"
    iam.create_policy(PolicyName="managed", PolicyDocument=given)
    managed = f"arn:aws:iam::{ACCOUNT}:policy/managed"
    iam.attach_user_policy(UserName="anna", PolicyArn=managed)
    assert s3.get_object(Bucket="pictures", Key="a/1")
    iam.create_policy_version(PolicyArn=managed, PolicyDocument=policy(deny("s3:*")), SetAsDefault=True)
    code, told, _ = refused(s3.get_object, Bucket="pictures", Key="a/1")
    assert (code, told.endswith("with an explicit deny in an identity-based policy")) == ("AccessDenied", True)


def test_a_group_gives_what_its_policies_give(account: Account) -> None:
    keys, iam = account.user("ben"), account.client("iam")
    iam.create_group(GroupName="readers")
    iam.put_group_policy(GroupName="readers", PolicyName="p", PolicyDocument=policy(allow("s3:Get*")))
    s3 = account.client("s3", keys)
    assert refused(s3.get_object, Bucket="pictures", Key="a/1")[0] == "AccessDenied"
    iam.add_user_to_group(GroupName="readers", UserName="ben")
    assert s3.get_object(Bucket="pictures", Key="a/1")
    iam.remove_user_from_group(GroupName="readers", UserName="ben")
    assert refused(s3.get_object, Bucket="pictures", Key="a/1")[0] == "AccessDenied"


def test_a_key_that_is_switched_off_or_deleted_opens_nothing(account: Account) -> None:
    keys, iam = account.user("carl", allow("s3:*")), account.client("iam")
    s3 = account.client("s3", keys)
    assert s3.list_buckets()
    iam.update_access_key(UserName="carl", AccessKeyId=keys[0], Status="Inactive")
    assert refused(s3.list_buckets)[0] == "InvalidAccessKeyId"
    iam.update_access_key(UserName="carl", AccessKeyId=keys[0], Status="Active")
    assert s3.list_buckets()
    iam.delete_access_key(UserName="carl", AccessKeyId=keys[0])
    assert refused(s3.list_buckets)[0] == "InvalidAccessKeyId"


def test_whether_an_object_is_there_is_told_only_to_who_may_list(account: Account) -> None:
    reads = allow("s3:GetObject", resource="arn:aws:s3:::pictures/*")
    blind = account.client("s3", account.user("blind", reads))
    code, told, status = refused(blind.get_object, Bucket="pictures", Key="missing")
    assert (code, status) == ("AccessDenied", 403)
    assert 's3:ListBucket on resource: "arn:aws:s3:::pictures"' in told
    assert refused(blind.head_object, Bucket="pictures", Key="missing")[2] == 403
    lists = allow("s3:ListBucket", resource="arn:aws:s3:::pictures")
    seeing = account.client("s3", account.user("seeing", reads, lists))
    assert refused(seeing.get_object, Bucket="pictures", Key="missing")[0] == "NoSuchKey"
    assert refused(seeing.head_object, Bucket="pictures", Key="missing")[2] == 404


def test_a_session_may_what_its_role_may_and_its_own_policy_leaves(account: Account) -> None:
    role = account.role("reader", trust(ALL_OF_IT), allow("s3:GetObject", "s3:ListBucket"))
    keys = account.session(role)
    assert account.client("sts", keys).get_caller_identity()["Arn"].endswith("assumed-role/reader/session")
    s3 = account.client("s3", keys)
    assert s3.get_object(Bucket="pictures", Key="a/1")
    code, told, _ = refused(s3.put_object, Bucket="pictures", Key="x", Body=b"")
    assert (code, "assumed-role/reader/session is not authorized" in told) == ("AccessDenied", True)
    narrow = account.session(role, Policy=policy(allow("s3:GetObject", resource="arn:aws:s3:::pictures/a/*")))
    limited = account.client("s3", narrow)
    assert limited.get_object(Bucket="pictures", Key="a/1")
    assert refused(limited.get_object, Bucket="pictures", Key="b/2")[1].endswith(
        "because no session policy allows the s3:GetObject action"
    )
    account.client("iam").delete_role_policy(RoleName="reader", PolicyName="own")
    assert refused(s3.get_object, Bucket="pictures", Key="a/1")[0] == "AccessDenied"


def test_a_session_without_its_token_or_with_anothers_is_none(account: Account) -> None:
    role = account.role("tokens", trust(ALL_OF_IT), allow("*"))
    one, other = account.session(role), account.session(role)
    assert refused(account.client("s3", one[:2]).list_buckets)[0] == "InvalidToken"
    mixed = (*one[:2], other[2])
    assert refused(account.client("s3", mixed).list_buckets)[0] == "InvalidToken"
    assert refused(account.client("sagemaker", mixed).list_models)[0] == "UnrecognizedClientException"
    lasting = (account.state.access_key_id, account.state.secret_access_key, one[2])
    assert refused(account.client("s3", lasting).list_buckets)[0] == "InvalidToken"


def test_a_role_is_taken_on_by_whom_it_trusts_under_its_conditions(account: Account) -> None:
    dora = account.user("dora", allow("sts:AssumeRole"))
    emil = account.user("emil", allow("sts:AssumeRole"))
    role = account.role("hers", trust({"AWS": f"{USER}dora"}, Condition={"StringEquals": {"sts:ExternalId": "hers"}}))
    given = {"RoleArn": role, "RoleSessionName": "session"}
    assert account.client("sts", dora).assume_role(**given, ExternalId="hers")["Credentials"]
    for keys, more in ((dora, {}), (dora, {"ExternalId": "his"}), (emil, {"ExternalId": "hers"})):
        code, told, status = refused(account.client("sts", keys).assume_role, **given, **more)
        assert (code, status) == ("AccessDenied", 403)
        assert f"is not authorized to perform: sts:AssumeRole on resource: {role}" in told
    elsewhere = "arn:aws:iam::999999999999:role/theirs"
    assert refused(account.client("sts").assume_role, RoleArn=elsewhere, RoleSessionName="session")[0] == "AccessDenied"


def test_a_boundary_bounds_what_a_role_may(account: Account) -> None:
    iam = account.client("iam")
    iam.create_policy(PolicyName="bound", PolicyDocument=policy(allow("s3:GetObject")))
    bound = f"arn:aws:iam::{ACCOUNT}:policy/bound"
    trusted = trust(ALL_OF_IT)
    role = account.role("bounded", trusted, allow("s3:*"), PermissionsBoundary=bound)
    s3 = account.client("s3", account.session(role))
    assert s3.get_object(Bucket="pictures", Key="a/1")
    assert refused(s3.list_objects_v2, Bucket="pictures")[1].endswith(
        "because no permissions boundary allows the s3:ListBucket action"
    )
    code, told, _ = refused(iam.create_user, UserName="bound", PermissionsBoundary=bound)
    assert (code, "PermissionsBoundary" in told) == ("ValidationError", True)


def test_a_bucket_has_a_say_too(account: Account) -> None:
    admin, fritz = account.client("s3"), account.user("fritz")
    admin.create_bucket(Bucket="guarded")
    admin.put_object(Bucket="guarded", Key="k", Body=b"v")
    s3 = account.client("s3", fritz)
    assert refused(s3.get_object, Bucket="guarded", Key="k")[0] == "AccessDenied"
    his = {**allow("s3:GetObject", resource="arn:aws:s3:::guarded/*"), "Principal": {"AWS": f"{USER}fritz"}}
    admin.put_bucket_policy(Bucket="guarded", Policy=policy(his))
    assert s3.get_object(Bucket="guarded", Key="k")["Body"].read() == b"v"
    nobodys = {**deny("s3:*", resource="arn:aws:s3:::guarded/*"), "Principal": "*"}
    everything = {**deny("s3:*", resource="arn:aws:s3:::guarded"), "Principal": "*"}
    admin.put_bucket_policy(Bucket="guarded", Policy=policy(his, nobodys, everything))
    for client in (s3, admin):
        assert refused(client.get_object, Bucket="guarded", Key="k")[1].endswith(
            "with an explicit deny in a resource-based policy"
        )
    admin.delete_bucket_policy(Bucket="guarded")  # the administrator is never locked out
    assert admin.get_object(Bucket="guarded", Key="k")
    assert refused(admin.put_bucket_policy, Bucket="guarded", Policy=policy(allow("s3:*")))[0] == "MalformedPolicy"


def test_a_policy_that_iam_would_not_take_is_not_taken(account: Account) -> None:
    iam = account.client("iam")
    for document in (policy({"Effect": "Allow"}), policy(allow("nothing"), allow("s3:*", Sid="a b")), "{}"):
        code, told, _ = refused(iam.put_user_policy, UserName="nobody", PolicyName="p", PolicyDocument=document)
        assert code == "MalformedPolicyDocument"
        assert "\n" not in told


def test_conditions_see_who_asks_and_what_is_asked(account: Account) -> None:
    own = allow("s3:GetObject", resource="arn:aws:s3:::pictures/${aws:username}/*")
    listing = allow("s3:ListBucket", Condition={"StringLike": {"s3:prefix": "a/*"}})
    local = allow("s3:ListAllMyBuckets", Condition={"Bool": {"aws:SecureTransport": "true"},
                                                    "IpAddress": {"aws:SourceIp": "127.0.0.0/8"}})  # fmt: skip
    s3 = account.client("s3", account.user("a", own, listing, local))
    assert s3.get_object(Bucket="pictures", Key="a/1")
    assert refused(s3.get_object, Bucket="pictures", Key="b/2")[0] == "AccessDenied"
    assert s3.list_objects_v2(Bucket="pictures", Prefix="a/")["KeyCount"] == 1
    assert refused(s3.list_objects_v2, Bucket="pictures")[0] == "AccessDenied"
    assert s3.list_buckets()


def test_tags_are_asked_for_and_seen(account: Account) -> None:
    tagged = {"StringEquals": {"aws:RequestTag/project": "kennel"}}
    acts = {"StringEquals": {"aws:ResourceTag/project": "kennel"}}
    name = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:model/"
    keys = account.user(
        "greta",
        allow("sagemaker:CreateModel", "sagemaker:AddTags", resource=f"{name}*", Condition=tagged),
        allow("sagemaker:DeleteModel", resource=f"{name}*", Condition=acts),
    )
    sagemaker, admin = account.client("sagemaker", keys), account.client("sagemaker")
    container = {"Image": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/i:1"}
    assert refused(sagemaker.create_model, ModelName="m", PrimaryContainer=container)[0] == "AccessDeniedException"
    mine = [{"Key": "project", "Value": "kennel"}]
    sagemaker.create_model(ModelName="Mine", PrimaryContainer=container, Tags=mine)
    admin.create_model(ModelName="other", PrimaryContainer=container)
    assert refused(sagemaker.delete_model, ModelName="other")[0] == "AccessDeniedException"
    sagemaker.delete_model(ModelName="Mine")


def test_a_role_is_passed_only_by_whom_and_to_what_is_allowed(account: Account) -> None:
    role = account.role("passed", trust(SAGEMAKER))
    container = {"Image": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/i:1"}
    given = {"ModelName": "passing", "PrimaryContainer": container, "ExecutionRoleArn": role}
    create = allow("sagemaker:CreateModel")
    without = account.client("sagemaker", account.user("henri", create))
    assert f"iam:PassRole on resource: {role}" in refused(without.create_model, **given)[1]

    def passes(service: str) -> dict[str, Any]:
        return allow("iam:PassRole", resource=role, Condition={"StringEquals": {"iam:PassedToService": service}})

    other = account.client("sagemaker", account.user("ida", create, passes("lambda.amazonaws.com")))
    assert f"iam:PassRole on resource: {role}" in refused(other.create_model, **given)[1]
    assert account.client("sagemaker", account.user("jan", create, passes(SAGEMAKER["Service"]))).create_model(**given)


@pytest.mark.parametrize(
    ("condition", "trusted"),
    [
        ({"StringEquals": {"aws:SourceAccount": ACCOUNT}}, True),
        ({"StringEquals": {"aws:SourceAccount": "999999999999"}}, False),
        ({"ArnLike": {"aws:SourceArn": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:model/*"}}, True),
        ({"ArnLike": {"aws:SourceArn": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/*"}}, False),
    ],
)
def test_a_role_trusts_a_service_under_its_conditions(account: Account, condition: Any, trusted: bool) -> None:
    name = f"confused-{abs(hash(json.dumps(condition)))}"
    role = account.role(name, trust(SAGEMAKER, Condition=condition))
    sagemaker = account.client("sagemaker")
    container = {"Image": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/i:1"}
    given = {"ModelName": name, "PrimaryContainer": container, "ExecutionRoleArn": role}
    if trusted:
        assert sagemaker.create_model(**given)
    else:
        assert refused(sagemaker.create_model, **given)[1].startswith(f"Could not assume role {role}.")


def test_what_nobody_has_mapped_is_refused_to_the_administrator_too(account: Account) -> None:
    code, told, _ = refused(account.client("sts").decode_authorization_message, EncodedMessage="x")
    assert code == "AccessDenied"
    assert "does not know what it needs" in told
    assert refused(account.client("sts").get_session_token)[0] == "ValidationError"


def test_a_replay_with_another_body_is_refused(account: Account) -> None:
    request = AWSRequest(
        "POST", account.state.url, headers={"X-Amz-Target": "SageMaker.ListModels"}, data=b'{"MaxResults": 1}'
    )
    keys = Credentials(account.state.access_key_id, account.state.secret_access_key)
    SigV4Auth(keys, "sagemaker", "us-east-1").add_auth(request)

    def send(body: bytes) -> int:
        sent = urllib.request.Request(account.state.url, body, dict(request.headers.items()))
        with urllib.request.urlopen(sent) as answer:
            return int(answer.status)

    assert send(b'{"MaxResults": 1}') == 200
    with pytest.raises(urllib.error.HTTPError) as caught:
        send(b'{"MaxResults": 2}')
    assert b"InvalidSignatureException" in caught.value.read()


def test_every_decision_is_recorded_with_what_it_was_made_of(account: Account) -> None:
    keys = account.user("karl", allow("s3:GetObject", Sid="Reads"))
    s3, began = account.client("s3", keys), time.time()
    s3.get_object(Bucket="pictures", Key="a/1")
    refused(s3.delete_object, Bucket="pictures", Key="a/1")
    one, other = [each for each in account.calls() if each.caller == f"{USER}karl"]
    assert (one.action, one.resource, one.allowed, one.sid, one.operation) == (
        "s3:GetObject",
        "arn:aws:s3:::pictures/a/1",
        True,
        "Reads",
        "s3:GetObject",
    )
    assert began - 1 < one.time < time.time() + 1
    assert one.context["aws:username"] == ("karl",)
    assert (other.action, other.allowed, other.reason) == (
        "s3:DeleteObject",
        False,
        "no identity-based policy allows",
    )
    assert Call.parse(one.line()) == one
    assert (account.home / "gatekeeper/calls.jsonl").stat().st_mode & 0o777 == 0o600


def test_fifty_clients_at_once_get_each_their_own_answer(account: Account) -> None:
    users = [account.user(f"many-{number}", *([allow("s3:GetObject")] if number % 2 else [])) for number in range(10)]
    clients = [account.client("s3", keys) for keys in users]
    iam = account.client("iam")

    def ask(number: int) -> bool:
        try:
            clients[number % 10].get_object(Bucket="pictures", Key="a/1")
        except ClientError as error:
            return bool(error.response["Error"]["Code"] != "AccessDenied")
        return True

    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(ask, number) for number in range(500)]
        for number in range(20):  # IAM changes meanwhile, for somebody else
            iam.create_user(UserName=f"meanwhile-{number}")
        answers = [each.result() for each in asked]
    assert answers == [bool(number % 2) for number in range(500)]
