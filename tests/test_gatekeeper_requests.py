"""What requests bring to a decision, at a real server: keys of the request, of the resource, of what is looked up."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from kennel.local.background import start_in_background, stop
from kennel.local.gatekeeper.mapping import TABLES
from mapping_requests import REGION, http_of_s3
from test_gatekeeper import ACCOUNT, ROLE, SAGEMAKER, Account, allow, policy, refused, trust

BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/limit"
HARMLESS = policy(allow("s3:GetObject"))


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    home = tmp_path_factory.mktemp("requests")
    made = Account(start_in_background(home, 0, REGION, "process"), home)
    yield made
    stop(home)


def test_roles_are_made_and_changed_only_within_a_boundary(account: Account) -> None:
    account.client("iam").create_policy(PolicyName="limit", PolicyDocument=HARMLESS)
    bounded = {"StringEquals": {"iam:PermissionsBoundary": BOUNDARY}}
    iam = account.client("iam", account.user("maker", allow("iam:CreateRole", "iam:PutRolePolicy", Condition=bounded)))
    given = {"AssumeRolePolicyDocument": trust(SAGEMAKER)}
    assert refused(iam.create_role, RoleName="free", **given)[0] == "AccessDenied"
    iam.create_role(RoleName="bounded", PermissionsBoundary=BOUNDARY, **given)
    account.role("unbounded", trust(SAGEMAKER))
    iam.put_role_policy(RoleName="bounded", PolicyName="own", PolicyDocument=HARMLESS)
    assert (
        refused(iam.put_role_policy, RoleName="unbounded", PolicyName="own", PolicyDocument=HARMLESS)[0]
        == "AccessDenied"
    )


def test_a_role_below_a_path_is_meant_by_its_whole_arn(account: Account) -> None:
    account.role("deep", trust(SAGEMAKER), Path="/teams/dogs/")
    iam = account.client("iam", account.user("reader", allow("iam:GetRole", resource=f"{ROLE}teams/*")))
    assert iam.get_role(RoleName="deep")["Role"]["Path"] == "/teams/dogs/"
    account.role("shallow", trust(SAGEMAKER))
    assert refused(iam.get_role, RoleName="shallow")[0] == "AccessDenied"


def test_a_model_of_large_letters_is_meant_by_small_ones_and_found_by_its_tags(account: Account) -> None:
    role = account.role("server", trust(SAGEMAKER), allow("s3:GetObject", "ecr:*"))
    tagged = {"StringEquals": {"aws:ResourceTag/project": "dogs"}}
    keys = account.user(
        "owner",
        allow(
            "sagemaker:CreateModel", "sagemaker:AddTags", resource=f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/dogs"
        ),
        allow("sagemaker:DeleteModel", Condition=tagged),
        allow("iam:PassRole"),
    )
    mine = account.client("sagemaker", keys)
    image = {"Image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/kennel-serving:latest"}
    tags = [{"Key": "project", "Value": "dogs"}]
    made = mine.create_model(ModelName="Dogs", ExecutionRoleArn=role, PrimaryContainer=image, Tags=tags)
    assert made["ModelArn"].endswith("model/dogs")
    owner = account.client("sagemaker")
    owner.create_model(ModelName="Cats", ExecutionRoleArn=role, PrimaryContainer=image)
    assert owner.list_tags(ResourceArn=made["ModelArn"])["Tags"] == tags
    assert refused(mine.delete_model, ModelName="Cats")[0] == "AccessDeniedException"
    mine.delete_model(ModelName="Dogs")


def ask(account: Account, operation: str, bucket: str) -> tuple[int, bytes]:
    """One of S3's operations with the members that it must have, by the administrator; the object is `a/1`."""
    method, named, key, query, headers, body = http_of_s3(operation, full=False)
    address = f"{account.state.url}/{bucket if named else ''}{'/a/1' if key else ''}?{query}"
    request = AWSRequest(method, address, data=body, headers=headers)
    S3SigV4Auth(Credentials(account.state.access_key_id, account.state.secret_access_key), "s3", REGION).add_auth(
        request
    )
    sent = urllib.request.Request(address, body or None, dict(request.headers), method=method)
    try:
        with urllib.request.urlopen(sent, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


LISTINGS = ("ListObjects", "ListObjectsV2", "ListBuckets", "ListObjectVersions")


@pytest.mark.parametrize("operation", TABLES["s3"])
def test_moto_takes_no_operation_of_s3_for_another(account: Account, operation: str) -> None:
    """What it does not know it takes for a listing, or for the making or deleting of what is named."""
    s3, bucket = account.client("s3"), f"kennel-{operation.lower()}"[:60]
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a/1", Body=b"one")
    status, told = ask(account, operation, bucket)
    assert status != 403  # 500 where moto wants a body that is not given
    assert any(word in told for word in (b"<ListBucketResult", b"<ListAllMyB", b"<ListVersions")) == (
        operation in LISTINGS
    )
    assert told != b"one" or operation == "GetObject"
    kept = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
    assert kept == ([] if operation == "DeleteObject" else ["a/1"])
    ask(account, operation, f"{bucket}-2")
    there = [each["Name"] for each in s3.list_buckets()["Buckets"]]
    assert (f"{bucket}-2" in there) == (operation == "CreateBucket")
