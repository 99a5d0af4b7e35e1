"""Requests that say one thing to the gatekeeper and another to moto: none goes through, whichever way it is written."""

from __future__ import annotations

import gzip
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from kennel.local.background import start_in_background, stop
from kennel.local.home import State
from mapping_requests import REGION

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
GZIP = FORM | {"Content-Encoding": "gzip"}
JSON = {"Content-Type": "application/x-amz-json-1.1"}
DESCRIBE_ECR = JSON | {"X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories"}
DELETE_ECR = JSON | {"X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.DeleteRepository"}
DESCRIBE_LOGS = JSON | {"X-Amz-Target": "Logs_20140328.DescribeLogGroups"}
MINE, VICTIM = b'{"repositoryName": "mine"}', b'{"repositoryName": "victim"}'
DELETE = b"Action=DeleteUser&UserName=victim"
ALARMS = b"Action=DeleteAlarms&AlarmNames.member.1=victim"
CBOR = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="Action"\r\n\r\nDeleteUser\r\n'
    b'--x\r\nContent-Disposition: form-data; name="UserName"\r\n\r\nvictim\r\n--x--\r\n'
)
ALLOWED = """{"Version": "2012-10-17", "Statement": [
 {"Effect": "Allow", "Action": ["iam:ListUsers", "logs:DescribeLogGroups", "ecr:DescribeRepositories",
   "cloudwatch:ListMetrics"], "Resource": "*"},
 {"Effect": "Allow", "Action": "logs:CreateLogGroup", "Resource": "arn:aws:logs:us-east-1:*:log-group:*"},
 {"Effect": "Allow", "Action": "iam:DeleteUser", "Resource": "arn:aws:iam::*:user/mine"},
 {"Effect": "Allow", "Action": "ecr:DeleteRepository", "Resource": "arn:aws:ecr:*:*:repository/mine"},
 {"Effect": "Allow", "Action": ["s3:GetObject", "s3:DeleteObject", "s3:PutObject", "s3:ListBucket"],
   "Resource": "arn:aws:s3:::pictures*"}]}"""


def polyglot(shown: bytes, packed: bytes) -> bytes:
    """gzip that reads as one form packed, and with what its header holds as another where it is not unpacked."""
    content = gzip.compress(packed, mtime=0)  # each worker collects the same
    return content[:3] + bytes([16]) + content[4:10] + b"&" + shown + b"&z=\0" + content[10:]


@cache
def client(state: State, service: str) -> Any:
    keys = state.access_key_id, state.secret_access_key
    return boto3.Session(*keys, region_name=REGION).client(service, endpoint_url=state.url)


@dataclass(frozen=True)
class Account:
    """A local AWS with things in it, and a user who may little."""

    state: State
    user: Credentials
    first: str
    """The first version of the object `two`."""

    def client(self, service: str) -> Any:
        return client(self.state, service)

    def ask(
        self,
        service: str,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        unsigned: Mapping[str, str] | None = None,
        region: str = REGION,
    ) -> tuple[int, bytes]:
        """Signed, as it is. unsigned: headers that are added afterwards."""
        request = AWSRequest(method, self.state.url + path, data=body, headers=dict(headers or {}))
        signer = S3SigV4Auth if service == "s3" else SigV4Auth
        signer(self.user, service, region).add_auth(request)
        sent = urllib.request.Request(
            self.state.url + path, body or None, {**dict(request.headers), **(unsigned or {})}, method=method
        )
        try:
            with urllib.request.urlopen(sent, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def there(self) -> tuple[int, ...]:
        """How many there are of all that could be deleted."""
        return (
            len(self.client("iam").list_users()["Users"]),
            len(self.client("ecr").describe_repositories()["repositories"]),
            len(self.client("logs").describe_log_groups()["logGroups"]),
            len(self.client("cloudwatch").describe_alarms()["MetricAlarms"]),
            len(self.client("s3").list_object_versions(Bucket="pictures")["Versions"]),
        )


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    home = tmp_path_factory.mktemp("forms")
    state = start_in_background(home, 0, REGION, "process")
    made = Account(state, Credentials("", ""), "")
    iam, s3 = made.client("iam"), made.client("s3")
    for name in ("little", "victim", "mine"):
        iam.create_user(UserName=name)
        made.client("ecr").create_repository(repositoryName=name)
        made.client("logs").create_log_group(logGroupName=name)
    iam.put_user_policy(UserName="little", PolicyName="own", PolicyDocument=ALLOWED)
    keys = iam.create_access_key(UserName="little")["AccessKey"]
    made.client("cloudwatch").put_metric_alarm(
        AlarmName="victim",
        Namespace="a",
        MetricName="b",
        Period=60,
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold",
        Threshold=1,
        Statistic="Sum",
    )
    s3.create_bucket(Bucket="pictures")
    s3.put_bucket_versioning(Bucket="pictures", VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket="pictures", Key="two", Body=b"first")["VersionId"]
    s3.put_object(Bucket="pictures", Key="two", Body=b"second")
    yield Account(state, Credentials(keys["AccessKeyId"], keys["SecretAccessKey"]), first)
    stop(home)


@pytest.mark.parametrize(
    ("service", "method", "path", "headers", "body"),
    [
        ("ecr", "POST", "/?Action=DeleteRepository", DESCRIBE_ECR, VICTIM),
        ("ecr", "POST", "/?repositoryName=victim", DELETE_ECR, MINE),
        ("ecr", "POST", "/", DELETE_ECR, MINE[:-1] + b"," + VICTIM[1:]),
        ("ecr", "POST", "/", DELETE_ECR | FORM, MINE + b"&repositoryName=victim"),
        ("logs", "POST", "/?Action=DeleteLogGroup", DESCRIBE_LOGS, b'{"logGroupName": "victim"}'),
        ("logs", "POST", "/", DESCRIBE_LOGS | FORM, b"Action=DeleteLogGroup&logGroupName=victim"),
        ("iam", "POST", "/?Action=DeleteUser&UserName=victim", FORM, b"Action=ListUsers"),
        ("iam", "POST", "/?Action=ListUsers", FORM, DELETE),
        ("iam", "POST", "/", FORM, b"Action=ListUsers&" + DELETE),
        ("iam", "POST", "/", FORM, DELETE + b"&Action=ListUsers"),
        ("iam", "POST", "/", FORM | {"X-Amz-Target": "x.ListUsers"}, DELETE),
        ("iam", "POST", "/service/x/operation/ListUsers", FORM, DELETE),
        ("iam", "GET", "/?Action=DeleteUser&UserName=victim", {"X-Amz-Target": "x.ListUsers"}, b""),
        ("iam", "POST", "/", JSON | {"X-Amz-Target": "x.ListUsers"}, DELETE),
        ("iam", "POST", "/?Action=ListUsers", JSON, DELETE),
        ("iam", "POST", "/?Action=ListUsers", {"Content-Type": "multipart/form-data; boundary=x"}, MULTIPART),
        ("iam", "POST", "/", FORM, b"Action=DeleteUser&UserName=mine&UserName=victim"),
        ("iam", "POST", "/?UserName=victim", FORM, b"Action=DeleteUser&UserName=mine"),
        ("iam", "POST", "/", FORM | {"x-moto-account-id": "111111111111"}, b"Action=ListUsers"),
        ("monitoring", "POST", "/", FORM | {"X-Amz-Target": "x.ListMetrics"}, ALARMS),
        ("monitoring", "POST", "/service/a/operation/ListMetrics?Action=DeleteAlarms", CBOR, b"\xbf\xff"),
        ("iam", "POST", "/", GZIP, polyglot(b"Action=ListUsers", DELETE)),
        ("iam", "POST", "/?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE", FORM, b"Action=ListUsers"),
        ("logs", "POST", "/?x-id=.eu-west-3.amazonaws.com", DESCRIBE_LOGS, b"{}"),
        ("s3", "POST", "/pictures?delete", {}, b"<Delete><Object><Bucket>other</Bucket><Key>k</Key></Object></Delete>"),
        ("s3", "DELETE", "/pictures?metrics&id=1", {}, b""),
        ("s3", "PUT", "/pictures-made?requestPayment", {}, b"<a/>"),
        ("s3", "POST", "/pictures", FORM, b"key=two&file=replaced"),
    ],
)
def test_a_request_that_reads_in_two_ways_is_refused(
    account: Account, service: str, method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    status, told = account.ask(service, method, path, headers, body)
    assert 400 <= status < 404
    assert b"not authorized to perform" in told
    assert account.there() == (3, 3, 3, 1, 2)


def test_each_of_them_reads_in_one_way_without_its_second(account: Account) -> None:
    """It is not for something else that they are refused."""
    assert account.ask("ecr", "POST", "/", DESCRIBE_ECR, b"{}")[0] == 200
    assert account.ask("logs", "POST", "/", DESCRIBE_LOGS, b"{}")[0] == 200
    assert account.ask("iam", "POST", "/", FORM, b"Action=ListUsers")[0] == 200
    assert account.ask("iam", "GET", "/?Action=ListUsers")[0] == 200
    assert account.ask("monitoring", "POST", "/", FORM, b"Action=ListMetrics")[0] == 200
    assert account.ask("s3", "GET", "/pictures?list-type=2")[0] == 200
    assert account.ask("s3", "GET", "/pictures?list-type=2&prefix=s3.amazonaws.com")[0] == 200


def test_what_a_body_holds_is_not_taken_for_members(account: Account) -> None:
    """moto reads a body of JSON as a form, too."""
    body = b'{"repositoryName": "mine", "registryId": "123456789012", "x": "&repositoryName=victim&"}'
    account.ask("ecr", "POST", "/", DELETE_ECR, body)
    named = [each["repositoryName"] for each in account.client("ecr").describe_repositories()["repositories"]]
    assert named == ["little", "victim"]


def test_a_form_names_no_version_of_an_object(account: Account) -> None:
    named = f"versionId={account.first}".encode()
    assert account.ask("s3", "GET", "/pictures/two", FORM, named) == (200, b"second")
    assert account.ask("s3", "GET", f"/pictures/two?versionId={account.first}")[0] == 403
    account.ask("s3", "DELETE", "/pictures/two", FORM, named)
    kept = account.client("s3").list_object_versions(Bucket="pictures", Prefix="two")["Versions"]
    assert account.first in {each["VersionId"] for each in kept}


def test_an_object_of_a_forms_type_is_kept_as_it_is(account: Account) -> None:
    assert account.ask("s3", "PUT", "/pictures/form", FORM, b"a=1&b=\xff\x00")[0] == 200
    assert account.client("s3").get_object(Bucket="pictures", Key="form")["Body"].read() == b"a=1&b=\xff\x00"


def test_json_names_no_version_of_an_object_either(account: Account) -> None:
    account.ask("s3", "DELETE", "/pictures/two", {}, f'{{"versionId": "{account.first}"}}'.encode())
    kept = account.client("s3").list_object_versions(Bucket="pictures", Prefix="two")["Versions"]
    assert account.first in {each["VersionId"] for each in kept}


def test_headers_that_are_not_signed_say_nothing(account: Account) -> None:
    added = {"x-amz-copy-source": "/pictures/two"}
    status, told = account.ask("s3", "PUT", "/pictures/copied", {}, b"own", unsigned=added)
    assert status == 403
    assert b"which were not signed: x-amz-copy-source" in told


@pytest.mark.parametrize("agent", ["region/eu-west-3", "botocore"])
def test_a_group_is_made_where_the_request_is_signed_for(account: Account, agent: str) -> None:
    name = f"made-{agent[:6]}"
    make = {**JSON, "X-Amz-Target": "Logs_20140328.CreateLogGroup"}
    body = f'{{"logGroupName": "{name}"}}'.encode()
    assert account.ask("logs", "POST", "/", make, body, {"User-Agent": agent}, "eu-west-1")[0] == 400
    assert not account.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert account.ask("logs", "POST", "/", make, body, {"User-Agent": agent})[0] == 200
    assert account.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]


def test_a_body_that_its_client_compressed_is_read_unpacked(account: Account) -> None:
    assert account.ask("iam", "POST", "/", GZIP, gzip.compress(b"Action=ListUsers"))[0] == 200
    assert account.ask("iam", "POST", "/", GZIP, gzip.compress(DELETE))[0] == 403
    assert account.ask("iam", "POST", "/", GZIP, b"Action=ListUsers")[0] == 400
    assert account.ask("iam", "POST", "/", GZIP, gzip.compress(bytes(40 << 20)))[0] == 400
