"""S3 of the local AWS: every object that was answered for is there after kill -9, as it was; and S3 from inside."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from kennel.local.home import credentials

if TYPE_CHECKING:
    from test_local_server import Server
else:
    from test_local_server import Server

KEYS = [
    "a b",
    "ü/ñ 日本.txt",
    "a+b=c&d",
    "per%20cent",
    "x//y",
    "/lead",
    "trailing/",
    "q?x=1",
    "dot/../x",
    "'\"<>\\",
    " sp ",
]
BIG = 20_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("local") / "home")
    yield made
    made.end()


@pytest.fixture(scope="module")
def big() -> bytes:
    return os.urandom(BIG)


@pytest.fixture(scope="module")
def filled(server: Server, big: bytes, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """Two buckets with all kinds of objects in them, and a server that was killed since."""
    s3, path = server.client("s3"), tmp_path_factory.mktemp("big") / "big"
    s3.create_bucket(Bucket="plain")
    for key in KEYS:
        s3.put_object(
            Bucket="plain", Key=key, Body=key.encode(), ContentType="text/x", Metadata={"my_key": "v", "b-c": "d"}
        )
    path.write_bytes(big)
    s3.upload_file(str(path), "plain", "parts")
    s3.put_object(Bucket="plain", Key="onepiece", Body=big, StorageClass="STANDARD_IA", ChecksumAlgorithm="SHA256")
    s3.copy_object(Bucket="plain", Key="copy of parts", CopySource={"Bucket": "plain", "Key": "parts"})
    s3.put_object(Bucket="plain", Key="public", Body=b"p", ACL="public-read")
    s3.put_object(Bucket="plain", Key="empty", Body=b"")
    s3.create_bucket(Bucket="versions")
    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    for number in range(3):
        s3.put_object(Bucket="versions", Key="v", Body=b"%d" % number, Tagging=f"number={number}")
    s3.delete_object(Bucket="versions", Key="v")
    s3.put_object(Bucket="versions", Key="back", Body=b"b")
    marker = s3.delete_object(Bucket="versions", Key="back")["VersionId"]
    s3.delete_object(Bucket="versions", Key="back", VersionId=marker)
    s3.put_object_tagging(Bucket="versions", Key="back", Tagging={"TagSet": [{"Key": "ü", "Value": "x y"}]})
    return server


def told(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def everything(server: Server) -> list[str]:
    """All that S3 tells of the two buckets."""
    s3, said = server.client("s3"), [repr(told(server.client("s3").list_buckets()))]
    for bucket in ("plain", "versions"):
        listed = s3.list_object_versions(Bucket=bucket)
        said.append(repr(told(listed)))
        for version in listed["Versions"]:
            which = {"Bucket": bucket, "Key": version["Key"]}
            which |= {"VersionId": version["VersionId"]} if bucket == "versions" else {}
            found = told(s3.get_object(**which, ChecksumMode="ENABLED"))
            said.append(hashlib.sha256(found.pop("Body").read()).hexdigest())
            said += [repr(found), repr(told(s3.head_object(**which, ChecksumMode="ENABLED")))]
            said += [repr(told(s3.get_object_tagging(**which))), repr(told(s3.get_object_acl(**which)))]
    return said


def code_of(call: Any, **given: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**given)
    return str(caught.value.response["Error"]["Code"])


def test_every_object_is_as_it_was_after_a_kill(filled: Server) -> None:
    before = everything(filled)
    filled.kill_and_start()
    assert everything(filled) == before


@pytest.mark.parametrize("key", KEYS)
def test_keys_of_all_kinds_are_kept_as_they_are(filled: Server, key: str) -> None:
    s3 = filled.client("s3")
    found = s3.get_object(Bucket="plain", Key=key)
    assert found["Body"].read() == key.encode()
    assert found["ContentType"] == "text/x"
    assert found["Metadata"] == {"my_key": "v", "b-c": "d"}
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="plain", Prefix=key)["Contents"]] == [key]


def test_a_large_object_comes_whole_and_in_ranges(filled: Server, big: bytes, tmp_path: Path) -> None:
    s3 = filled.client("s3")
    for key in ("parts", "onepiece", "copy of parts"):
        s3.download_file("plain", key, str(tmp_path / "down"))
        assert (tmp_path / "down").read_bytes() == big
    for asked, expected in (("-5", big[-5:]), ("19999990-", big[-10:]), ("5-9", big[5:10]), ("0-99999999", big)):
        found = s3.get_object(Bucket="plain", Key="parts", Range=f"bytes={asked}")
        assert found["Body"].read() == expected
        assert found["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert code_of(s3.get_object, Bucket="plain", Key="parts", Range=f"bytes={BIG}-") == "InvalidRange"
    etag = s3.head_object(Bucket="plain", Key="parts")["ETag"]
    assert etag.endswith('-3"')
    assert code_of(s3.get_object, Bucket="plain", Key="parts", IfNoneMatch=etag) == "304"


def test_versions_can_be_read_and_deleted_one_by_one(filled: Server) -> None:
    s3 = filled.client("s3")
    listed = s3.list_object_versions(Bucket="versions", Prefix="v")
    assert code_of(s3.get_object, Bucket="versions", Key="v") == "NoSuchKey"
    bodies = {
        each["VersionId"]: s3.get_object(Bucket="versions", Key="v", VersionId=each["VersionId"])["Body"].read()
        for each in listed["Versions"]
    }
    assert sorted(bodies.values()) == [b"0", b"1", b"2"]
    gone = next(version for version, body in bodies.items() if body == b"1")
    s3.delete_object(Bucket="versions", Key="v", VersionId=gone)
    filled.kill_and_start()
    left = filled.client("s3").list_object_versions(Bucket="versions", Prefix="v")
    assert {each["VersionId"] for each in left["Versions"]} == bodies.keys() - {gone}
    assert len(left["DeleteMarkers"]) == 1


def test_what_is_said_of_a_bucket_outlives_a_kill(server: Server) -> None:
    s3, bucket = server.client("s3"), {"Bucket": "configured"}
    s3.create_bucket(**bucket)
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::configured/*"}
    s3.put_bucket_policy(**bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    s3.put_public_access_block(**bucket, PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(**bucket, ServerSideEncryptionConfiguration={"Rules": [default]})
    s3.put_bucket_tagging(**bucket, Tagging={"TagSet": [{"Key": "project", "Value": "kennel"}]})
    rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 7}}
    s3.put_bucket_lifecycle_configuration(**bucket, LifecycleConfiguration={"Rules": [rule]})
    before = _configuration(server)
    server.kill_and_start()
    assert _configuration(server) == before


def _configuration(server: Server) -> str:
    s3 = server.client("s3")
    asked = ("policy", "tagging", "encryption", "lifecycle_configuration", "location")
    found = [told(getattr(s3, f"get_bucket_{each}")(Bucket="configured")) for each in asked]
    return repr([*found, told(s3.get_public_access_block(Bucket="configured"))])


def test_what_was_deleted_stays_deleted_and_its_bytes_go(server: Server) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="gone")
    for number in range(20):
        s3.put_object(Bucket="gone", Key=f"k{number}", Body=os.urandom(100))
    s3.put_object(Bucket="gone", Key="k0", Body=b"over")
    s3.delete_object(Bucket="gone", Key="k1")
    s3.delete_objects(Bucket="gone", Delete={"Objects": [{"Key": f"k{number}"} for number in range(2, 20)]})
    server.kill_and_start()
    s3 = server.client("s3")
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="gone")["Contents"]] == ["k0"]
    assert s3.get_object(Bucket="gone", Key="k0")["Body"].read() == b"over"
    s3.delete_object(Bucket="gone", Key="k0")
    s3.delete_bucket(Bucket="gone")
    server.kill_and_start()
    assert code_of(server.client("s3").list_objects_v2, Bucket="gone") == "NoSuchBucket"


def test_an_unfinished_upload_leaves_nothing(server: Server) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="unfinished")
    before = stored(server)
    upload = s3.create_multipart_upload(Bucket="unfinished", Key="k")["UploadId"]
    s3.upload_part(Bucket="unfinished", Key="k", UploadId=upload, PartNumber=1, Body=b"1" * 6_000_000)
    assert len(stored(server)) == len(before) + 1
    s3.abort_multipart_upload(Bucket="unfinished", Key="k", UploadId=upload)
    assert stored(server) == before
    upload = s3.create_multipart_upload(Bucket="unfinished", Key="k")["UploadId"]
    s3.upload_part(Bucket="unfinished", Key="k", UploadId=upload, PartNumber=1, Body=b"1" * 6_000_000)
    server.kill_and_start()
    assert stored(server) <= before


def stored(server: Server) -> set[str]:
    return {path.name for path in (server.home / "s3/bytes").glob("*/*")}


def test_a_kill_amid_uploads_loses_no_object_that_was_answered_for(server: Server) -> None:
    server.client("s3").create_bucket(Bucket="killed")
    s3, answered = server.client("s3", max_pool_connections=8), set[str]()

    def put(number: int) -> None:
        try:
            s3.put_object(Bucket="killed", Key=f"k{number}", Body=b"%d" % number * 1000)
            answered.add(f"k{number}")
        except Exception:
            return
        if number == 150:
            server.process.send_signal(signal.SIGKILL)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(400)))
    assert 100 < len(answered) < 400
    server.process.wait()
    server.start()
    s3 = server.client("s3")
    there = {each["Key"]: each["Size"] for each in s3.list_objects_v2(Bucket="killed")["Contents"]}
    assert answered <= there.keys()
    for key, size in there.items():
        body = s3.get_object(Bucket="killed", Key=key)["Body"].read()
        assert body == key[1:].encode() * 1000
        assert len(body) == size


def test_a_presigned_address_and_a_bucket_in_the_host_name_work(filled: Server) -> None:
    s3 = filled.client("s3")
    new, old = (
        filled.client("s3", signature_version=version).generate_presigned_url(
            "get_object", {"Bucket": "plain", "Key": "a b"}
        )
        for version in ("s3v4", "s3")
    )
    with urllib.request.urlopen(new) as answer:
        assert answer.read() == b"a b"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(old)
    assert b"Please use AWS4-HMAC-SHA256" in refused.value.read()
    netloc = urlsplit(filled.url).netloc.replace("127.0.0.1", "plain.localhost")
    assert filled.raw("GET", "/a%20b", {"Host": netloc}, "s3").read() == b"a b"
    assert s3.head_bucket(Bucket="plain")


def test_the_aws_command_line_copies_synchronises_and_lists(server: Server, tmp_path: Path, big: bytes) -> None:
    tree = tmp_path / "tree"
    (tree / "sub folder").mkdir(parents=True)
    (tree / "sub folder/ä+b c.txt").write_text("text")
    (tree / "large").write_bytes(big)
    aws(server, "mb", "s3://commanded")
    aws(server, "sync", str(tree), "s3://commanded/t")
    aws(server, "cp", "s3://commanded/t/large", "s3://commanded/copied")
    listed = aws(server, "ls", "s3://commanded", "--recursive")
    assert [line.split(maxsplit=3)[2:] for line in listed.splitlines()] == [
        [str(BIG), "copied"],
        [str(BIG), "t/large"],
        ["4", "t/sub folder/ä+b c.txt"],
    ]
    server.kill_and_start()
    aws(server, "sync", "s3://commanded/t", str(tmp_path / "back"))
    assert (tmp_path / "back/sub folder/ä+b c.txt").read_text() == "text"
    assert (tmp_path / "back/large").read_bytes() == big


def aws(server: Server, *command: str) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "AWS_ENDPOINT_URL": server.url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": credentials(server.home)[0],
        "AWS_SECRET_ACCESS_KEY": credentials(server.home)[1],
    }
    program = str(Path(sys.executable).with_name("aws"))
    return subprocess.run(
        [program, "s3", *command], env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


INSIDE = """
import json, sys, time
from pathlib import Path
from kennel.local.errors import Refused
from kennel.local.moto_side import Moto
from kennel.local.objects import ObjectStore

home, source = Path(sys.argv[1]), Path(sys.argv[2])
moto = Moto(home / "moto")
store = ObjectStore(home / "s3", moto)
moto.start()

def code(call, *given):
    try:
        call(*given)
    except Refused as refused:
        return [refused.code, refused.status]

store.put("inside", "m/ä.tar.gz", source)
store.put("inside", "m/b", source)
source.write_bytes(b"altered")
found = store.get("inside", "m/ä.tar.gz")
store.put("inside", "m/b", source)
store.delete("inside", "n")
print(json.dumps({
    "listed": [[each.key, each.size, each.path.read_bytes().decode()] for each in store.list("inside", "m/")],
    "got": [found.key, found.size, found.path.read_bytes().decode()],
    "codes": [code(store.get, "inside", "x"), code(store.get, "nowhere", "x"), code(store.put, "nowhere", "x", source)],
}))
"""


def test_objects_are_put_got_and_listed_from_inside(tmp_path: Path) -> None:
    server = Server(tmp_path / "home")
    s3 = server.client("s3")
    s3.create_bucket(Bucket="inside")
    s3.put_object(Bucket="inside", Key="n", Body=b"n")
    server.end(signal.SIGKILL)
    source = tmp_path / "source"
    source.write_bytes(b"original")
    program = [sys.executable, "-c", INSIDE, str(server.home), str(source)]
    said = json.loads(subprocess.run(program, stdout=subprocess.PIPE, check=True, text=True).stdout)
    assert said["listed"] == [["m/b", 7, "altered"], ["m/ä.tar.gz", 8, "original"]]
    assert said["got"] == ["m/ä.tar.gz", 8, "original"]
    assert said["codes"] == [["NoSuchKey", 404], ["NoSuchBucket", 404], ["NoSuchBucket", 404]]
    server.start()
    s3 = server.client("s3")
    found = s3.get_object(Bucket="inside", Key="m/ä.tar.gz")
    assert found["Body"].read() == b"original"
    assert found["ETag"] == f'"{hashlib.md5(b"original").hexdigest()}"'
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="inside")["Contents"]] == ["m/b", "m/ä.tar.gz"]
    server.end()
