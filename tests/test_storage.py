"""What the cloud side sends: bucket, folders and files against an S3 that really stores; images, roles, jobs."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from urllib3 import HTTPResponse

from fixtures_moto import moto_server
from kennel.cloud import endpoint, on_engine, registry, training, transfers, tuning
from kennel.cloud.bucket import ensure_bucket
from kennel.cloud.endpoint import EndpointPlan
from kennel.cloud.session import Cloud, connect
from kennel.cloud.storage import S3Uri, download, exists, upload_file, upload_folder
from kennel.cloud.training import Channel, TrainingPlan
from kennel.cloud.tuning import TuningPlan
from kennel.errors import DataError, KennelError, ServerError, Stopped
from kennel.progress import Advance, Progress, Unit
from kennel.settings import Settings, Training, Tuning

KEYS = ("AKIAKENNEL", "secret")
ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/kennel"
IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/kennel:1"
TRAIN = TrainingPlan(
    "kennel-train-1", IMAGE, ROLE, (Channel("train", "s3://kennel/data/train/"),), "s3://kennel/jobs", Training()
)
DEPLOY = EndpointPlan(
    "kennel", "kennel-model-1", "kennel-config-1", IMAGE, "s3://kennel/jobs/1/output/model.tar.gz", ROLE,
    "ml.m5.large", 1, 480, tags=tuple(Settings().tags()),
)  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with moto_server() as address:
        yield address


@pytest.fixture
def url(server: str) -> str:
    """The server, as new."""
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.moto_api._internal.models import moto_api_backend

    assert DEFAULT_ACCOUNT_ID == ACCOUNT
    moto_api_backend.reset()
    return server


@pytest.fixture(scope="module")
def sides(server: str) -> dict[str, Cloud]:
    """One of each side for all tests: clients take a while to make."""
    return {"aws": connect("aws", Settings(), server, KEYS), "local": connect("local", Settings(), server, KEYS)}


@pytest.fixture
def cloud(url: str, sides: dict[str, Cloud]) -> Cloud:
    """As on AWS."""
    return sides["aws"]


@pytest.fixture
def local(url: str, sides: dict[str, Cloud]) -> Cloud:
    """The local side, with its bucket."""
    ensure_bucket(sides["local"])
    return sides["local"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path / "train", {"001.Beagle/1.jpg": b"one", "001.Beagle/2.jpg": b"two", "002.Pug/3.jpg": b"3"})


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def stored(cloud: Cloud, prefix: str = "") -> dict[str, bytes]:
    s3 = cloud.client("s3")
    found = s3.list_objects_v2(Bucket=cloud.bucket, Prefix=prefix).get("Contents", [])
    return {each["Key"]: s3.get_object(Bucket=cloud.bucket, Key=each["Key"])["Body"].read() for each in found}


@contextmanager
def requests(cloud: Cloud, service: str = "s3") -> Iterator[list[str]]:
    """The operations that are sent meanwhile."""
    sent: list[str] = []

    def note(model: Any, **more: Any) -> None:
        sent.append(model.name)

    events = cloud.client(service).meta.events
    events.register(f"before-call.{service}", note)
    yield sent
    events.unregister(f"before-call.{service}", note)


class Counting:
    """A watcher that adds up."""

    def __init__(self) -> None:
        self.total: int | None = 0
        self.done = 0

    @contextmanager
    def step(self, title: str, total: int | None, unit: Unit) -> Iterator[Advance]:
        self.total = total

        def advance(count: int) -> None:
            self.done += count

        yield advance

    def say(self, line: str) -> None:
        pass


class TestFolders:
    def test_a_channel_is_exactly_the_folder(self, local: Cloud, folder: Path) -> None:
        uri = upload_folder(local, folder, "kennel/data/train", Progress())
        assert str(uri) == f"s3://kennel-us-east-1-{ACCOUNT}/kennel/data/train/"
        assert stored(local) == {
            "kennel/data/train/001.Beagle/1.jpg": b"one",
            "kennel/data/train/001.Beagle/2.jpg": b"two",
            "kennel/data/train/002.Pug/3.jpg": b"3",
        }

    def test_nothing_is_sent_twice(self, local: Cloud, folder: Path) -> None:
        upload_folder(local, folder, "data", Progress())
        with requests(local) as sent:
            upload_folder(local, folder, "data", Progress())
        assert sent == ["ListObjectsV2"]

    def test_what_changed_is_sent_and_what_went_is_removed(self, local: Cloud, folder: Path) -> None:
        upload_folder(local, folder, "data/train", Progress())
        local.client("s3").put_object(Bucket=local.bucket, Key="data/train2/other.jpg", Body=b"another channel's")
        (folder / "001.Beagle/1.jpg").write_bytes(b"ONE")
        (folder / "002.Pug/3.jpg").unlink()
        with requests(local) as sent:
            upload_folder(local, folder, "data/train", Progress())
        assert sorted(sent) == ["DeleteObjects", "HeadObject", "ListObjectsV2", "PutObject"]
        assert stored(local) == {
            "data/train/001.Beagle/1.jpg": b"ONE",
            "data/train/001.Beagle/2.jpg": b"two",
            "data/train2/other.jpg": b"another channel's",
        }

    def test_more_than_a_thousand_are_removed(self, local: Cloud, tmp_path: Path) -> None:
        from moto.s3.models import s3_backends

        for number in range(1001):
            s3_backends[ACCOUNT]["aws"].put_object(local.bucket, f"data/{number}", b"")
        upload_folder(local, written(tmp_path / "few", {"1.jpg": b"1"}), "data", Progress())
        assert stored(local) == {"data/1.jpg": b"1"}

    def test_a_large_file_goes_in_parts_and_is_known_by_its_own_digest(self, local: Cloud, tmp_path: Path) -> None:
        content = bytes(range(256)) * 4096 * 17
        folder = written(tmp_path / "packed", {"pictures.npy": content})
        with requests(local) as sent:
            upload_folder(local, folder, "data", Progress())
        assert sent.count("UploadPart") == 2
        found = local.client("s3").head_object(Bucket=local.bucket, Key="data/pictures.npy")
        assert found["ContentLength"] == len(content)
        assert found["Metadata"][transfers.SHA256] == hashlib.sha256(content).hexdigest()
        with requests(local) as sent:
            upload_folder(local, folder, "data", Progress())
        assert sent == ["ListObjectsV2", "HeadObject"]

    def test_progress_is_in_bytes_and_counts_what_is_there(self, local: Cloud, folder: Path) -> None:
        for _ in range(2):
            watcher = Counting()
            upload_folder(local, folder, "data", Progress(watcher))
            assert (watcher.done, watcher.total) == (7, 7)

    def test_hidden_files_and_links_out_are_left_out(self, local: Cloud, folder: Path) -> None:
        written(folder, {".DS_Store": b"x", ".git/config": b"x", "001.Beagle/.1.jpg.swp": b"x"})
        outside = written(folder.parent / "outside", {"secret": b"x"})
        (folder / "002.Pug/secret").symlink_to(outside / "secret")
        (folder / "003.Out").symlink_to(outside)
        (folder / "004.Lost").symlink_to(folder / "nowhere")
        (folder / "005.Same").symlink_to(folder / "002.Pug")
        (folder / "002.Pug/circle").symlink_to(folder)
        upload_folder(local, folder, "data", Progress())
        names = [key.removeprefix("data/") for key in stored(local)]
        assert {name for name in names if "circle" not in name} == {
            "001.Beagle/1.jpg", "001.Beagle/2.jpg", "002.Pug/3.jpg", "005.Same/3.jpg",
        }  # fmt: skip
        assert not any("circle" in name for name in names)

    def test_any_name_is_kept(self, local: Cloud, tmp_path: Path) -> None:
        names = ["Übung 1+2=3.jpg", "a%20b&c?.jpg", "犬/#1.jpg", "quote'\".jpg", "{x}~!.jpg"]
        folder = written(tmp_path / "odd", {name: name.encode() for name in names})
        for _ in range(2):
            upload_folder(local, folder, "data", Progress())
            assert stored(local) == {f"data/{name}": name.encode() for name in names}

    def test_a_name_that_s3_cannot_have_is_told(self, local: Cloud, folder: Path) -> None:
        (folder / "b\udcff.jpg").write_bytes(b"x")
        with pytest.raises(DataError, match="is not UTF-8"):
            upload_folder(local, folder, "data", Progress())

    def test_an_empty_folder_is_no_channel(self, local: Cloud, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="holds no files"):
            upload_folder(local, tmp_path, "data", Progress())

    @pytest.mark.parametrize("prefix", ["", "/"])
    def test_a_whole_bucket_is_never_mirrored(self, local: Cloud, folder: Path, prefix: str) -> None:
        with pytest.raises(KennelError, match="cannot be the whole bucket"):
            upload_folder(local, folder, prefix, Progress())

    def test_a_missing_bucket_is_told_with_a_remedy(self, local: Cloud, folder: Path) -> None:
        local.client("s3").delete_bucket(Bucket=local.bucket)
        with pytest.raises(KennelError, match=r"cannot upload .* does not exist .*kennel\.toml"):
            upload_folder(local, folder, "data", Progress())

    def test_a_refusal_ends_it_soon_with_a_remedy(self, local: Cloud, tmp_path: Path) -> None:
        folder = written(tmp_path / "many", {f"{number}.jpg": b"x" for number in range(transfers.WAITING * 2)})
        deny = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{local.bucket}/*",
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
        local.client("s3").put_bucket_policy(Bucket=local.bucket, Policy=policy)
        with requests(local) as sent, pytest.raises(KennelError, match=r"Forbidden|Access Denied") as caught:
            upload_folder(local, folder, "data", Progress())
        assert sent.count("PutObject") <= transfers.WAITING * 2 - 100
        assert "permission" in caught.value.remedy

    def test_a_signal_ends_it_and_the_next_one_does_the_rest(self, local: Cloud, tmp_path: Path) -> None:
        folder = written(tmp_path / "many", {f"{number:03}.jpg": b"x" for number in range(100)})
        upload_folder(local, written(tmp_path / "some", {"000.jpg": b"x"}), "data", Progress())

        class Signal(Counting):
            @contextmanager
            def step(self, title: str, total: int | None, unit: Unit) -> Iterator[Advance]:
                def advance(count: int) -> None:
                    raise Stopped(15)

                yield advance

        with pytest.raises(Stopped):
            upload_folder(local, folder, "data", Progress(Signal()))
        upload_folder(local, folder, "data", Progress())
        assert len(stored(local)) == 100


class TestFiles:
    def test_a_file_goes_up_and_comes_down(self, local: Cloud, tmp_path: Path) -> None:
        source = tmp_path / "weights.safetensors"
        source.write_bytes(b"numbers")
        uri = upload_file(local, source, "kennel/weights/weights.safetensors", Progress())
        with requests(local) as sent:
            assert upload_file(local, source, uri.key, Progress()) == uri
        assert sent == ["ListObjectsV2"]
        download(local, uri, tmp_path / "new/copy")
        assert (tmp_path / "new/copy").read_bytes() == b"numbers"
        assert [each.name for each in (tmp_path / "new").iterdir()] == ["copy"]

    def test_what_is_too_large_is_not_begun(self, local: Cloud, tmp_path: Path) -> None:
        source = tmp_path / "big"
        source.write_bytes(b"x" * 1000)
        uri = upload_file(local, source, "big", Progress())
        with pytest.raises(KennelError, match="are allowed"):
            download(local, uri, tmp_path / "copy", limit=999)
        assert not (tmp_path / "copy").exists()

    def test_what_is_missing_is_told(self, local: Cloud, tmp_path: Path) -> None:
        (tmp_path / "old").write_bytes(b"stays")
        with pytest.raises(KennelError, match=r"cannot download s3://.*/nothing"):
            download(local, S3Uri(local.bucket, "nothing"), tmp_path / "old")
        assert (tmp_path / "old").read_bytes() == b"stays"

    def test_objects_and_prefixes_exist_or_not(self, local: Cloud, folder: Path) -> None:
        uri = upload_folder(local, folder, "data", Progress())
        assert exists(local, uri)
        assert exists(local, uri / "002.Pug/3.jpg")
        assert not exists(local, uri / "002.Pug/4.jpg")
        assert not exists(local, S3Uri(local.bucket, "dat/"))
        assert not exists(local, S3Uri("a-bucket-that-nobody-made", "data/"))

    @pytest.mark.parametrize("text", ["", "data/train", "https://bucket/key", "s3://", "s3:///key"])
    def test_an_address_is_one_of_s3(self, text: str) -> None:
        with pytest.raises(KennelError, match="is no address in S3"):
            S3Uri.parse(text)

    def test_an_address_is_taken_apart_and_put_together(self) -> None:
        uri = S3Uri.parse("s3://dogs/data/train/")
        assert (uri.bucket, uri.key, str(uri)) == ("dogs", "data/train/", "s3://dogs/data/train/")
        assert str(uri / "1.jpg") == "s3://dogs/data/train/1.jpg"
        assert str(S3Uri.parse("s3://dogs") / "1.jpg") == "s3://dogs/1.jpg"


class TestConnecting:
    def test_the_account_is_asked_for(self, cloud: Cloud) -> None:
        assert (cloud.side, cloud.region, cloud.account) == ("aws", "us-east-1", ACCOUNT)

    @pytest.mark.parametrize(
        "environment",
        [
            {"AWS_PROFILE": "a-profile-that-is-not-there"},
            {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""},
            {"AWS_USE_FIPS_ENDPOINT": "true"},
            {"AWS_CONFIG_FILE": "broken", "AWS_SHARED_CREDENTIALS_FILE": "broken"},
            {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"},
        ],
    )
    def test_settings_for_aws_do_not_touch_the_local_one(
        self, environment: dict[str, str], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "broken").write_text("[this is\nno configuration")
        monkeypatch.chdir(tmp_path)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        cloud = connect("local", Settings(), url, KEYS)
        assert ensure_bucket(cloud)

    def test_without_a_local_one_the_command_is_told(self) -> None:
        with pytest.raises(KennelError, match="kennel local up"):
            connect("local", Settings())
        with pytest.raises(KennelError, match="kennel local up"):
            connect("local", Settings(), "http://127.0.0.1:9", KEYS)

    def test_without_credentials_the_remedy_is_to_log_in(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
            monkeypatch.delenv(name, raising=False)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.setenv(name, str(tmp_path / "none"))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with pytest.raises(KennelError, match="cannot ask AWS whose account this is") as caught:
            connect("aws", Settings())
        assert "aws sso login" in caught.value.remedy
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        with pytest.raises(KennelError, match="nobody") as caught:
            connect("aws", Settings())
        assert "AWS_PROFILE" in caught.value.remedy


class TestImages:
    @pytest.fixture
    def push(self, cloud: Cloud) -> Callable[[str], str]:
        ecr = cloud.client("ecr")
        ecr.create_repository(repositoryName="kennel-training")

        def push(tag: str) -> str:
            manifest = {
                "schemaVersion": 2,
                "config": {"digest": hashlib.sha256(tag.encode()).hexdigest()},
                "layers": [],
            }
            kind = "application/vnd.docker.distribution.manifest.v2+json"
            made = ecr.put_image(
                repositoryName="kennel-training",
                imageTag=tag,
                imageManifest=json.dumps(manifest),
                imageManifestMediaType=kind,
            )
            return str(made["image"]["imageId"]["imageDigest"])

        return push

    def test_it_is_told_by_digest_the_newest_where_no_tag_is_named(
        self, cloud: Cloud, push: Callable[[str], str]
    ) -> None:
        from moto.ecr.models import ecr_backends

        old, new = push("old"), push("new")
        for image in ecr_backends[ACCOUNT]["us-east-1"].repositories["kennel-training"].images:
            image.image_pushed_at = "2026-01-0{}T00:00:00Z".format(2 if "new" in image.image_tags else 1)
        base = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/kennel-training"
        assert registry.image_uri(cloud, "kennel-training:old") == f"{base}@{old}"
        assert registry.image_uri(cloud, "kennel-training") == f"{base}@{new}"

    def test_what_was_never_pushed_is_told_with_the_command(self, cloud: Cloud, push: Callable[[str], str]) -> None:
        for image in ("kennel-training", "kennel-training:none", "kennel-serving"):
            with pytest.raises(KennelError, match=f"{image} is not in ECR in us-east-1") as caught:
                registry.image_uri(cloud, image)
            assert f"scripts/build_push.sh {image.split(':')[0].removeprefix('kennel-')} " in caught.value.remedy

    def test_the_local_one_goes_by_tag_and_needs_no_repository(self, local: Cloud, push: Callable[[str], str]) -> None:
        base = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
        assert registry.image_uri(local, "kennel-nowhere") == f"{base}/kennel-nowhere"
        assert registry.image_uri(local, "kennel-serving:1a2b") == f"{base}/kennel-serving:1a2b"
        push("1a2b")
        assert registry.image_uri(local, "kennel-training") == f"{base}/kennel-training:1a2b"

    def test_what_no_repository_has_is_told_by_the_tag_it_has_on_the_engine(
        self, local: Cloud, training_image: str
    ) -> None:
        repository = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/{training_image.split(':')[0]}"
        told = registry.image_uri(local, training_image.split(":")[0])
        assert told.startswith(f"{repository}:")
        assert on_engine.id_of(told) == on_engine.id_of(repository) == on_engine.id_if_known(local, told)
        assert on_engine.id_if_known(local, f"{repository}-nowhere") == ""

    def test_where_jobs_are_no_containers_the_engine_is_not_asked(self, local: Cloud, training_image: str) -> None:
        settings = local.settings.model_copy(
            update={"local": local.settings.local.model_copy(update={"runner": "process"})}
        )
        repository, processes = training_image.split(":")[0], replace(local, settings=settings)
        assert registry.image_uri(processes, repository).endswith(f"/{repository}")
        assert on_engine.id_if_known(processes, training_image) == ""


def left_behind(cloud: Cloud, job: str) -> None:
    """The artifact, which moto's jobs do not leave."""
    found = training.describe(cloud, job)
    assert found is not None
    uri = S3Uri.parse(found["ModelArtifacts"]["S3ModelArtifacts"])
    with suppress(cloud.client("s3").exceptions.BucketAlreadyOwnedByYou):
        cloud.client("s3").create_bucket(Bucket=uri.bucket)
    cloud.client("s3").put_object(Bucket=uri.bucket, Key=uri.key, Body=b"artifact")


class TestSending:
    """What is sent, and what is found; what the work does is not looked at here."""

    def test_a_job_that_is_there_is_not_started_again(self, cloud: Cloud) -> None:
        assert training.describe(cloud, TRAIN.name) is None
        assert training.start(cloud, TRAIN) == TRAIN.name
        left_behind(cloud, TRAIN.name)
        with requests(cloud, "sagemaker") as sent:
            assert training.start(cloud, TRAIN) == TRAIN.name
        assert sent == ["DescribeTrainingJob"]
        assert [each["TrainingJobName"] for each in training.listed(cloud, "kennel-train")] == [TRAIN.name]

    def test_a_job_whose_output_is_gone_is_done_again(self, cloud: Cloud) -> None:
        features = replace(TRAIN, compression="NONE")
        assert training.start(cloud, features) == TRAIN.name
        assert training.start(cloud, features) == f"{TRAIN.name}-2"

    def test_a_job_that_failed_is_tried_under_the_next_name(self, cloud: Cloud) -> None:
        from moto.sagemaker.models import sagemaker_backends

        jobs = sagemaker_backends[ACCOUNT]["us-east-1"].training_jobs
        for name in (TRAIN.name, f"{TRAIN.name}-2", f"{TRAIN.name}-3"):
            assert training.start(cloud, TRAIN) == name
            jobs[name].training_job_status = "Failed"
        jobs[f"{TRAIN.name}-2"].training_job_status = "Completed"
        left_behind(cloud, f"{TRAIN.name}-2")
        assert training.start(cloud, TRAIN) == f"{TRAIN.name}-2"

    def test_a_job_is_not_tried_for_ever(self, cloud: Cloud) -> None:
        from moto.sagemaker.models import sagemaker_backends

        jobs = sagemaker_backends[ACCOUNT]["us-east-1"].training_jobs
        for _ in range(9):
            jobs[training.start(cloud, TRAIN)].training_job_status = "Stopped"
        with pytest.raises(KennelError, match="failed 9 times"):
            training.start(cloud, TRAIN)

    def test_an_endpoint_of_somebody_else_is_left_alone(self, cloud: Cloud) -> None:
        endpoint.deploy(cloud, replace(DEPLOY, tags=()))
        with pytest.raises(KennelError, match="not this project's"):
            endpoint.deploy(cloud, DEPLOY)

    def test_an_endpoint_is_made_then_left_then_changed(self, cloud: Cloud) -> None:
        assert endpoint.describe(cloud, DEPLOY.name) is None
        assert endpoint.deploy(cloud, DEPLOY).action == "created"
        with requests(cloud, "sagemaker") as sent:
            assert endpoint.deploy(cloud, DEPLOY).action == "unchanged"
        assert sent == ["DescribeEndpoint", "ListTags"]
        changed = replace(DEPLOY, model="kennel-model-2", config="kennel-config-2")
        assert endpoint.decide(changed, endpoint.describe(cloud, DEPLOY.name)) == "updated"

    def test_a_search_is_started_once_and_tells_its_best(self, cloud: Cloud) -> None:
        plan = TuningPlan(replace(TRAIN, name="kennel-tune-1"), Tuning())
        assert tuning.describe(cloud, "kennel-tune-1") is None
        assert tuning.start(cloud, plan) == "kennel-tune-1"
        with requests(cloud, "sagemaker") as sent:
            assert tuning.start(cloud, plan) == "kennel-tune-1"
        assert sent == ["DescribeHyperParameterTuningJob"]
        with pytest.raises(KennelError, match="the tuning job nothing has no best trial"):
            tuning.best(cloud, "nothing")


class TestInvoking:
    """The endpoint's answers are put in place of a server's; what boto3 makes of them is boto3's."""

    @contextmanager
    def answering(self, cloud: Cloud, status: int, body: bytes, **headers: str) -> Iterator[list[Any]]:
        asked: list[Any] = []

        def answer(request: Any, **more: Any) -> AWSResponse:
            asked.append(request)
            return AWSResponse(request.url, status, headers, HTTPResponse(BytesIO(body), preload_content=False))

        events = cloud.client("sagemaker-runtime").meta.events
        events.register("before-send.sagemaker-runtime.InvokeEndpoint", answer)
        yield asked
        events.unregister("before-send.sagemaker-runtime.InvokeEndpoint", answer)

    def test_json_comes_as_values_and_anything_else_as_bytes(self, cloud: Cloud) -> None:
        with self.answering(cloud, 200, b'{"predictions": []}', **{"Content-Type": "application/json"}) as asked:
            assert endpoint.invoke(cloud, "kennel", b"picture", attributes="top_k=3") == {"predictions": []}
        assert asked[0].url.endswith("/endpoints/kennel/invocations")
        assert asked[0].body == b"picture"
        assert asked[0].headers["X-Amzn-SageMaker-Custom-Attributes"] == b"top_k=3"
        assert asked[0].headers["Content-Type"] == b"application/octet-stream"
        with self.answering(cloud, 200, b"0.1,0.9", **{"Content-Type": "text/csv"}):
            assert endpoint.invoke(cloud, "kennel", b"picture") == b"0.1,0.9"

    @pytest.mark.parametrize(
        ("original", "told"),
        [
            (
                '{"error": "the file is empty", "remedy": "Send a picture"}',
                "refused: the file is empty. Send a picture",
            ),
            ("Prediction failed\nTraceback", "answered 400: Prediction failed Traceback. See its log, /aws/sagemaker/"),
            ('["no object"]', 'answered 400: ["no object"]. See its log'),
        ],
    )
    def test_what_the_container_said_is_kept(self, cloud: Cloud, original: str, told: str) -> None:
        body = {"Message": "Received client error", "OriginalStatusCode": 400, "OriginalMessage": original}
        error = {"x-amzn-errortype": "ModelError", "Content-Type": "application/json"}
        with self.answering(cloud, 424, json.dumps(body).encode(), **error), pytest.raises(ServerError) as caught:
            endpoint.invoke(cloud, "kennel", b"no picture")
        assert told in str(caught.value)

    def test_an_endpoint_that_is_not_there_is_told(self, cloud: Cloud) -> None:
        body = json.dumps({"message": "Endpoint nobody of account 123456789012 not found."}).encode()
        missing = pytest.raises(KennelError, match=r"cannot ask the endpoint nobody: .* not found")
        with self.answering(cloud, 400, body, **{"x-amzn-errortype": "ValidationError"}), missing:
            endpoint.invoke(cloud, "nobody", b"picture")


def test_the_command_line_starts_without_boto3() -> None:
    code = (
        "import sys, kennel.cloud.storage, kennel.cloud.tuning, kennel.cloud.endpoint, kennel.cloud.iam.apply\n"
        "assert not [name for name in sys.modules if name.startswith(('boto', 's3transfer', 'moto', 'torch'))]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_shell_that_talks_to_the_local_aws_is_not_taken_for_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4600")
    with pytest.raises(KennelError, match="points to this machine"):
        connect("aws", Settings())
