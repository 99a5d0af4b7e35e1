"""Secrets stay where they belong: not in what the local AWS keeps or logs, not in images, for nobody else to read."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
import pytest
from botocore.config import Config
from detect_secrets.core.scan import scan_line
from detect_secrets.settings import default_settings

from kennel.local.background import start_in_background, stop
from kennel.local.home import State
from kennel.local.journal import Journal
from policies import allow, policy, trust

if TYPE_CHECKING:
    from fixtures_containers import Engine

OWN = ("credentials.json", "server.json")
"""Where the home's own key is, and has to be."""
ENVIRONMENT = {
    "HF_TOKEN": "hf-canary-EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "aws-canary-EXAMPLE",
    "MY_PASSWORD": "pw-canary-EXAMPLE",
}
"""Of whoever starts the server: nothing of it is the server's business."""
GUESSES = ("HexHighEntropyString", "Base64HighEntropyString", "KeywordDetector", "PublicIPDetector", "IPPublicDetector")
"""Detectors that go by how random a text looks, or by a word near it: in digests and logs they find nothing else."""
NAMES = re.compile(
    r"(^|/)(\.netrc|\.pypirc|\.npmrc|\.git-credentials|id_(rsa|dsa|ecdsa|ed25519)|\.aws/|\.docker/config\.json|\.git/|\.env)"
    r"|/etc/pip\.conf$|(^|/)root/\.(config/)?pip/"
)
"""Files that exist to hold credentials."""
KEYS = re.compile(
    rb"PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}|\b(AKIA|ASIA)[0-9A-Z]{16}\b|aws_secret_access_key\s*=\s*[\w/+]{40}"
)
"""What the detector is asked about, of all that is in an image."""
PUBLISHED = re.compile("EXAMPLE|<a very long private key string>")
"""In the examples that come with botocore."""


@dataclass(frozen=True)
class Kept:
    """A home after a day's work, and what nobody may find in it. texts: each file that it has."""

    home: Path
    state: State
    secrets: dict[str, str]
    texts: dict[str, str]
    user: dict[str, str]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    home = tmp_path_factory.mktemp("secrets")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in ENVIRONMENT.items():
            environment.setenv(name, value)
        state = start_in_background(home, 0, "us-east-1", "process")
    secrets = {**ENVIRONMENT, "the home's key": state.secret_access_key}
    user = _work(state, secrets)
    stop(home)
    state = start_in_background(home, 0, "us-east-1", "process")  # the journal was written anew, and played
    yield Kept(home, state, secrets, dict(_texts(home)), user)
    stop(home)


def _work(state: State, secrets: dict[str, str]) -> dict[str, str]:
    """A user with a key and a password, a session that changes something, a presigned address; all that is noted."""
    iam = _client("iam", state, state.access_key_id, state.secret_access_key)
    iam.create_user(UserName="somebody")
    key = iam.create_access_key(UserName="somebody")["AccessKey"]
    everything = json.dumps(policy(allow("*")))
    iam.put_user_policy(UserName="somebody", PolicyName="all", PolicyDocument=everything)
    secrets["a user's key"] = key["SecretAccessKey"]
    secrets["a password"] = "Canary-password-1!"  # pragma: allowlist secret
    iam.create_login_profile(UserName="somebody", Password=secrets["a password"])
    account = state.account
    iam.create_role(
        RoleName="r", AssumeRolePolicyDocument=json.dumps(policy(trust({"AWS": f"arn:aws:iam::{account}:root"})))
    )
    iam.put_role_policy(RoleName="r", PolicyName="all", PolicyDocument=everything)
    user = {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
    sts = _client("sts", state, user["id"], user["secret"])
    session = sts.assume_role(RoleArn=f"arn:aws:iam::{account}:role/r", RoleSessionName="work")["Credentials"]
    secrets["a session's key"], secrets["a session's token"] = session["SecretAccessKey"], session["SessionToken"]
    keys = (session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
    _client("logs", state, *keys).create_log_group(logGroupName="made-by-a-session")
    s3 = _client("s3", state, *keys)
    s3.create_bucket(Bucket="made-by-a-session")
    address = s3.generate_presigned_url("put_object", {"Bucket": "made-by-a-session", "Key": "k"})
    secrets["a presigned signature"] = next(iter(parse_qs(urlsplit(address).query)["X-Amz-Signature"]))
    assert httpx.put(address, content=b"x").status_code == 200
    return user


def _client(service: str, state: State, key: str, secret: str, token: str | None = None) -> Any:
    session = boto3.Session(key, secret, token, state.region)
    return session.client(
        service, endpoint_url=state.url, config=Config(signature_version="s3v4" if service == "s3" else "v4")
    )


def _texts(home: Path) -> Iterator[tuple[str, str]]:
    """Every file; what the journal carries in base64, decoded."""
    for path in sorted(each for each in home.rglob("*") if each.is_file()):
        name = path.relative_to(home).as_posix()
        yield name, path.read_bytes().decode("latin-1")
        if path.name == "journal.jsonl":
            from kennel.local.call import Call

            bodies = [Call.parse(each).body for each in Journal(path).read() if "body" in each]
            yield f"{name}, bodies", "\n".join(each.decode("latin-1") for each in bodies if isinstance(each, bytes))


def test_no_secret_is_in_anything_that_the_local_aws_keeps_or_logs(kept: Kept) -> None:
    assert any("made-by-a-session" in text for text in kept.texts.values())
    found = {
        (what, name)
        for name, text in kept.texts.items()
        for what, secret in kept.secrets.items()
        if secret in text and name not in OWN
    }
    assert found == set()
    assert {name for name, text in kept.texts.items() if kept.secrets["the home's key"] in text} == set(OWN)


def test_no_request_that_is_kept_carries_what_proves_who_asked(kept: Kept) -> None:
    (journal,) = [text for name, text in kept.texts.items() if name.endswith("journal.jsonl")]
    assert "Signature=-" in journal
    assert not re.search(r"Signature=[0-9a-f]", journal)
    assert "SECURITY_TOKEN" not in journal


def test_what_was_made_under_keys_is_there_after_a_restart_and_the_keys_hold(kept: Kept) -> None:
    user = _client("sts", kept.state, kept.user["id"], kept.user["secret"])
    assert user.get_caller_identity()["Arn"].endswith(":user/somebody")
    iam = _client("iam", kept.state, kept.state.access_key_id, kept.state.secret_access_key)
    assert iam.get_login_profile(UserName="somebody")["LoginProfile"]["UserName"] == "somebody"
    logs = _client("logs", kept.state, kept.state.access_key_id, kept.state.secret_access_key)
    assert [each["logGroupName"] for each in logs.describe_log_groups()["logGroups"]] == ["made-by-a-session"]


def test_nobody_else_can_read_the_home_nor_the_files_that_carry_secrets(kept: Kept) -> None:
    assert stat.S_IMODE(kept.home.stat().st_mode) == 0o700
    secret = [*(kept.home / each for each in OWN), *kept.home.rglob("journal.jsonl")]
    assert {each.name: oct(stat.S_IMODE(each.stat().st_mode)) for each in secret} == dict.fromkeys(
        (*OWN, "journal.jsonl"), "0o600"
    )


def test_a_detector_finds_nothing_in_the_logs(kept: Kept) -> None:
    for name, text in kept.texts.items():
        if name.endswith(".log"):
            assert _detected(text) == [], name


def test_the_detector_would_find_a_key() -> None:
    key = "AKIA" + "IOSFODNN7EXAMPLE"
    assert [each[0] for each in _detected(f"export AWS_ACCESS_KEY_ID={key}")] == ["AWS Access Key"]
    assert _detected("-----BEGIN RSA " + "PRIVATE KEY-----")


def test_what_is_committed_is_scanned_by_make_check(tmp_path: Path) -> None:
    makefile = Path(__file__).parent.parent / "Makefile"
    assert "detect-secrets-hook --no-verify" in makefile.read_text()
    (tmp_path / "x.py").write_text(f'KEY = "{"AKIA" + "IOSFODNN7ABCDEFG"}"\n')
    hook = Path(os.sys.executable).parent / "detect-secrets-hook"  # type: ignore[attr-defined]
    done = subprocess.run([hook, "--no-verify", tmp_path / "x.py"], capture_output=True, text=True)
    assert (done.returncode, "AWS Access Key" in done.stdout) == (1, True)


@pytest.mark.parametrize("image", ["training_image", "serving_image"])
def test_no_secret_is_in_an_images_settings_or_history(
    engine: Engine, image: str, request: pytest.FixtureRequest
) -> None:
    name = request.getfixturevalue(image)
    config = engine.inspect(name)["Config"]
    history = engine.docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", name).stdout
    assert len(history) > 500
    assert _detected(f"{json.dumps(config, indent=1)}\n{history}") == []
    named = [each for each in config["Env"] if re.match(r"(AWS_|.*(TOKEN|SECRET|PASSWORD|CREDENTIAL|PIP_))", each)]
    assert named == []


@pytest.mark.parametrize("image", ["training_image", "serving_image"])
def test_no_layer_of_an_image_holds_credentials_not_even_one_that_was_removed_later(
    engine: Engine, image: str, request: pytest.FixtureRequest
) -> None:
    seen, found = 0, []
    for name, content in _layers(request.getfixturevalue(image)):
        seen += 1
        if NAMES.search(name) or KEYS.search(content):
            found += [(name, *each) for each in _detected(content.decode("latin-1")) or [("credentials", "")]]
    assert seen > 3000
    assert [each for each in found if not PUBLISHED.search(each[-1])] == []


def _layers(image: str) -> Iterator[tuple[str, bytes]]:
    """Each file of each layer: its name, and its content where that is small enough to be a key or a setting."""
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saving:
        assert saving.stdout is not None
        with tarfile.open(fileobj=saving.stdout, mode="r|") as saved:
            for layer in saved:
                if layer.isfile() and layer.size > 10_000 and (held := saved.extractfile(layer)):
                    yield from _files(held)


def _files(layer: Any) -> Iterator[tuple[str, bytes]]:
    head = io.BufferedReader(layer)
    try:
        with tarfile.open(fileobj=head, mode="r|*") as files:
            for each in files:
                if each.isfile():
                    held = files.extractfile(each) if each.size < 100_000 else None
                    yield each.name, held.read() if held else b""
    except tarfile.ReadError:  # a description of the image, no layer
        return


def _detected(text: str) -> list[tuple[str, str]]:
    """What detect-secrets finds, guesses left out: its kind and the line."""
    with default_settings() as settings:
        settings.disable_plugins(*GUESSES)
        return [(found.type, line) for line in text.splitlines() for found in scan_line(line)]
