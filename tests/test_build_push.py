"""scripts/build_push.sh: its tags, what it asks of Docker and AWS, and what it says when they refuse.

The script is the real one, in a small repository of its own. Docker and AWS are played by a program that answers with
the real tools' words; tests/test_containers.py has the real engine and a real registry.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = "scripts/build_push.sh"
DIGEST = "sha256:" + "ab" * 32
ACCOUNT = "123456789012"
ECR = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"

PROGRAM = f"""#!{sys.executable} -IS
import json, sys
from pathlib import Path
me, asked = Path(sys.argv[0]).resolve(), sys.argv[1:]
given = "" if sys.stdin.isatty() or asked[0] != "login" else sys.stdin.read()
with me.with_suffix(".calls").open("a") as calls:
    calls.write(json.dumps([asked, given]) + "\\n")
rules = json.loads(me.with_suffix(".json").read_text())
start, code, out, err = next(rule for rule in reversed(rules) if " ".join(asked).startswith(rule[0]))
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


@dataclass
class Program:
    """A program on PATH that answers by how its arguments start, and remembers what it was asked."""

    path: Path
    rules: list[tuple[str, int, str, str]] = field(default_factory=list)

    def answers(self, start: str, out: str = "", *, code: int = 0, err: str = "") -> Program:
        """From now on, to arguments that start so; a later rule goes before an earlier one."""
        self.rules.append((start, code, out, err))
        self.path.with_suffix(".json").write_text(json.dumps(self.rules))
        self.path.write_text(PROGRAM)
        self.path.chmod(0o755)
        return self

    @property
    def calls(self) -> list[list[str]]:
        return [asked for asked, _ in self._log()]

    @property
    def heard(self) -> str:
        """What came on standard input."""
        return "".join(given for _, given in self._log())

    def called(self, start: str) -> list[str]:
        """The one call that starts so."""
        (found,) = [call for call in self.calls if call[: len(start.split())] == start.split()]
        return found

    def _log(self) -> list[tuple[list[str], str]]:
        log = self.path.with_suffix(".calls")
        return [tuple(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


@dataclass
class Workplace:
    """A repository with the script, and a PATH with Docker, AWS and what else the script uses."""

    folder: Path
    docker: Program
    aws: Program

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments]
        done = subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "x")
        return self.git("rev-parse", "HEAD")[:12]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("KENNEL_", "AWS_"))}
        path = f"{self.docker.path.parent}:{os.environ['PATH']}"
        values = kept | {"PATH": path, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"} | environment
        command = [str(self.folder / SCRIPT), *arguments]
        return subprocess.run(command, env=values, capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def refusal(self, *arguments: str, **environment: str) -> str:
        """The line of a failure, which leaves nothing on stdout."""
        done = self.run(*arguments, **environment)
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        line = done.stderr.rstrip("\n").splitlines()[-1]
        assert re.fullmatch(r"\S.*\. \S.*\.", line), line
        assert not re.search(r": line \d+: ", done.stderr), "a message of bash's own"
        return line


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """A committed tree, an engine that builds and pushes, an AWS whose ECR is empty."""
    folder = tmp_path / "clone"
    for name in (SCRIPT, "scripts/ecr_lifecycle.json", "src/kennel/__init__.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / ".gitignore").write_text("out/\n")
    (tmp_path / "bin").mkdir()
    made = Workplace(folder, Program(tmp_path / "bin/docker"), Program(tmp_path / "bin/aws"))
    made.git("init", "--quiet")
    made.commit()
    engine(made.docker)
    account(made.aws)
    return made


def engine(docker: Program) -> None:
    """Debian's 20.10: BuildKit inside, no buildx."""
    docker.answers("", code=1, err="docker: 'x' is not a docker command.\nSee 'docker --help'\n")
    docker.answers("version --format {{.Client.Version}}", "20.10.24+dfsg1\n")
    docker.answers("version --format {{.Server.Version}}", "20.10.24+dfsg1\n")
    docker.answers("build ", err="#1 [internal] load build definition from Dockerfile\n#1 DONE 0.0s\n")
    docker.answers("image inspect --format {{.Os}}/{{.Architecture}}", "linux/amd64\n")
    docker.answers("push", "The push refers to repository [x]\n5f70bf18a086: Pushed\n")
    docker.answers("login", "Login Succeeded\n")
    digests = [f"{host}/kennel-{image}@{DIGEST}\n" for host in (ECR, "ghcr.io/me") for image in ("training", "serving")]
    docker.answers("image inspect --format {{range .RepoDigests}}{{println .}}{{end}}", "".join(digests))
    docker.answers("manifest inspect", '{"mediaType": "application/vnd.docker.distribution.manifest.v2+json"}')


def account(aws: Program) -> None:
    aws.answers("", code=252, err="\nusage: aws [options] <command> <subcommand> [parameters]\n")
    aws.answers("configure get region", code=1)
    aws.answers("sts get-caller-identity", f"{ACCOUNT}\n")
    missing = refused("RepositoryNotFoundException", "DescribeRepositories")
    aws.answers("ecr describe-repositories", code=254, err=missing)
    aws.answers("ecr create-repository", "{}\n")
    aws.answers("ecr put-lifecycle-policy", "{}\n")
    aws.answers("ecr describe-images", code=254, err=refused("ImageNotFoundException", "DescribeImages"))
    aws.answers("ecr get-login-password", "a-token\n")


def refused(code: str, operation: str, text: str = "no") -> str:
    """As botocore words it."""
    return f"\nAn error occurred ({code}) when calling the {operation} operation: {text}\n"


# --- what is asked ----------------------------------------------------------------------------------------------


def test_help_is_the_result(place: Workplace) -> None:
    done = place.run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: scripts/build_push.sh training|serving|all")
    assert place.docker.calls == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("", "no image is named. Say training, serving or all."),
        ("--push", "no image is named. Say training, serving or all."),
        ("trainig", "there is no image named 'trainig'. Say training, serving or all."),
        ("training --gpu", "build_push.sh has no option --gpu. See scripts/build_push.sh --help."),
        ("training --registry", "--registry needs a value. See scripts/build_push.sh --help."),
        ("all --platform linux/arm64", "SageMaker does not run linux/arm64. Leave --platform at linux/amd64."),
        ("all --account 12345", "'12345' is no AWS account. Give its 12 digits."),
    ],
)
def test_an_argument_it_does_not_know_is_one_line(place: Workplace, arguments: str, line: str) -> None:
    done = place.run(*arguments.split())
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line + "\n")
    assert place.docker.calls == []


# --- tags -------------------------------------------------------------------------------------------------------


def tag(place: Workplace, *more: str) -> str:
    done = place.run("serving", *more)
    assert done.returncode == 0, done.stderr
    name, _, found = done.stdout.rstrip("\n").partition(":")
    assert name == "kennel-serving"
    return found


def test_a_clean_tree_is_tagged_by_its_commit(place: Workplace) -> None:
    (place.folder / "out").mkdir()
    (place.folder / "out/ignored").touch()
    assert tag(place) == place.git("rev-parse", "HEAD")[:12]
    assert tag(place, "--cpu") == tag(place) + "-cpu"


def test_a_dirty_tree_says_so_and_the_same_changes_have_the_same_tag(place: Workplace) -> None:
    commit, source = place.git("rev-parse", "HEAD")[:12], place.folder / "src/kennel/__init__.py"
    clean = source.read_text()
    source.write_text(clean + "# a\n")
    first = tag(place)
    assert re.fullmatch(f"{commit}-dirty-[0-9a-f]{{8}}", first)
    assert tag(place) == first
    place.git("add", "--all")
    assert tag(place) == first, "staged or not, it is the same tree"
    source.write_text(clean + "# b\n")
    assert tag(place) != first
    place.git("reset", "--quiet", "--hard")
    assert tag(place) == commit


def test_a_file_that_git_does_not_know_makes_it_dirty_by_its_content(place: Workplace) -> None:
    new = place.folder / "src/kennel/a file.py"
    new.write_text("a")
    first = tag(place)
    new.write_text("b")
    assert "-dirty-" in first
    assert "-dirty-" in tag(place)
    assert tag(place) != first


def test_before_the_first_commit_everything_is_dirty(place: Workplace) -> None:
    shutil.rmtree(place.folder / ".git")
    place.git("init", "--quiet")
    assert re.fullmatch("none-dirty-[0-9a-f]{8}", tag(place))


def test_without_git_there_is_no_tag(place: Workplace) -> None:
    shutil.rmtree(place.folder / ".git")
    line = place.refusal("serving", GIT_CEILING_DIRECTORIES=str(place.folder.parent))
    assert line == "this is no git checkout. Clone it: images are tagged by commit."


@pytest.mark.parametrize(
    ("remote", "label"),
    [
        ("https://me:secret@git.example.com/kennel.git", "https://git.example.com/kennel.git"),
        ("/home/me/secret-project/kennel", "unknown"),
        (None, "unknown"),
    ],
)
def test_the_source_label_tells_no_token_and_no_path(place: Workplace, remote: str | None, label: str) -> None:
    if remote:
        place.git("remote", "add", "origin", remote)
    place.run("training")
    build = place.docker.called("build")
    assert f"SOURCE={label}" in build
    assert f"REVISION={place.git('rev-parse', 'HEAD')[:12]}" in build
    assert "me:" not in " ".join(build)


# --- what is asked of Docker ------------------------------------------------------------------------------------


def test_all_builds_both_and_prints_a_name_a_line(place: Workplace) -> None:
    done = place.run("all", "--cpu")
    revision = place.git("rev-parse", "HEAD")[:12]
    assert done.stdout == f"kennel-training:{revision}\nkennel-serving:{revision}-cpu\n"
    training, serving = (call for call in place.docker.calls if call[0] == "build")
    assert "ACCELERATOR=cpu" not in training
    assert not any(each.startswith("BASE_IMAGE=") for each in training)
    assert {"ACCELERATOR=cpu", "BASE_IMAGE=debian:bookworm-slim", "linux/amd64"} <= set(serving)


def test_the_environment_reaches_the_build(place: Workplace, tmp_path: Path) -> None:
    (bundle := tmp_path / "ca.pem").touch()
    values = {"KENNEL_BASE_IMAGE": "base:x", "KENNEL_WHEELS_IMAGE": "wheels:x", "KENNEL_CA_BUNDLE": str(bundle)}
    assert place.run("serving", "--cpu", **values).returncode == 0
    build = place.docker.called("build")
    assert {"BASE_IMAGE=base:x", "WHEELS_IMAGE=wheels:x", f"id=ca,src={bundle}"} <= set(build)


def test_buildx_is_told_to_make_what_sagemaker_accepts(place: Workplace) -> None:
    place.docker.answers("buildx version", "github.com/docker/buildx v0.24.0\n").answers("buildx build")
    assert place.run("training").returncode == 0
    build = place.docker.called("buildx build")
    assert {"--provenance=false", "--sbom=false", "--output=type=docker,oci-mediatypes=false"} <= set(build)


def test_pushing_elsewhere_prints_the_digest_and_asks_aws_nothing(place: Workplace) -> None:
    done = place.run("training", "--push", "--registry", "ghcr.io/me/")
    assert done.stdout == f"ghcr.io/me/kennel-training@{DIGEST}\n"
    assert place.aws.calls == []
    assert "login" not in [call[0] for call in place.docker.calls]


def test_pushing_to_ecr_makes_the_repository_logs_in_and_prints_the_digest(place: Workplace) -> None:
    done = place.run("serving", "--cpu", "--push", "--region", "us-east-1")
    assert done.stdout == f"{ECR}/kennel-serving@{DIGEST}\n"
    made = place.aws.called("ecr create-repository")
    assert made[made.index("--image-tag-mutability") + 1] == "IMMUTABLE"
    assert made[made.index("--image-scanning-configuration") + 1] == "scanOnPush=true"
    assert "file://scripts/ecr_lifecycle.json" in place.aws.called("ecr put-lifecycle-policy")
    assert place.docker.called("login") == ["login", "--username", "AWS", "--password-stdin", ECR]
    assert place.docker.heard.strip() == "a-token"


def test_a_repository_that_is_there_is_left_as_it_is(place: Workplace) -> None:
    place.aws.answers("ecr describe-repositories", "{}\n")
    assert place.run("serving", "--push", "--region", "us-east-1").returncode == 0
    assert not [call for call in place.aws.calls if call[1] in ("create-repository", "put-lifecycle-policy")]


def test_a_tag_that_is_in_ecr_is_not_built_again(place: Workplace) -> None:
    place.aws.answers("ecr describe-repositories", "{}\n").answers("ecr describe-images", f"{DIGEST}\n")
    done = place.run("training", "--push", "--region", "us-east-1")
    assert done.stdout == f"{ECR}/kennel-training@{DIGEST}\n"
    assert not [call for call in place.docker.calls if call[0] in ("build", "push")]


def test_a_region_in_china_has_its_own_domain(place: Workplace) -> None:
    done = place.run("training", "--push", "--region", "cn-north-1")
    assert f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn" in done.stderr


# --- what can be missing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
            "no Docker engine answers. Start Docker; on a bare Debian: scripts/docker_engine.sh start.",
        ),
        (
            "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
            "you may not use the Docker engine. Join the group docker, or use sudo.",
        ),
    ],
)
def test_an_engine_that_does_not_answer(place: Workplace, words: str, line: str) -> None:
    place.docker.answers("version --format {{.Server.Version}}", "\n", code=1, err=words + "\n")
    assert place.refusal("training") == line


@pytest.mark.skipif(not shutil.which("docker"), reason="there is no Docker client on this machine")
def test_the_real_client_without_an_engine(place: Workplace) -> None:
    place.docker.path.unlink()
    line = place.refusal("training", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert line.startswith(("no Docker engine answers. Start Docker", "no Docker client here can use BuildKit."))


def test_a_client_without_buildkit(place: Workplace) -> None:
    place.docker.answers("version --format {{.Client.Version}}", "28.2.2\n")
    line = place.refusal("training", KENNEL_DOCKER=str(place.docker.path))
    assert line == "no Docker client here can use BuildKit. Install the plugin docker-buildx, or Debian's docker.io."


def test_a_client_that_is_not_there(place: Workplace) -> None:
    assert "no Docker client" in place.refusal("training", KENNEL_DOCKER="/nowhere/docker")


def test_a_secret_that_cannot_be_read(place: Workplace) -> None:
    line = place.refusal("training", KENNEL_CA_BUNDLE="/nowhere/ca.pem")
    assert line == "KENNEL_CA_BUNDLE=/nowhere/ca.pem cannot be read. Name a file, or unset it."


HUB = "https://registry-1.docker.io/v2/nvidia/cuda/manifests/13"
BUILD_FAILURES = {
    "failed to copy files: copy file range failed: no space left on device": "no disk space is left",
    "#7 0.2 standard_init_linux.go:228: exec user process caused: exec format error": "wrong platform",
    "failed to solve with frontend dockerfile.v0: failed to create LLB definition: failed to do request: "
    f"Head {HUB}: dial tcp: lookup registry-1.docker.io: no such host": "its base cannot be pulled",
    "ERROR: failed to solve: no/base:x: failed to resolve source metadata for docker.io/no/base:x: "
    "pull access denied, repository does not exist or may require authorization": "its base cannot be pulled",
    "#9 ERROR: No matching distribution found for torch==2.13.0": "pip does not find torch==2.13.0",
    "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local": "pip trusts no certificate",
    "#6 3.1 E: Failed to fetch http://deb/gcc_12.deb  404  Not Found": "built (#6 3.1 E: Failed to fetch",
    "#6 0.2 /bin/sh: 1: jlink: not found": "built (#6 0.2 /bin/sh: 1: jlink: not found). See the lines above.",
}


@pytest.mark.parametrize(("words", "line"), BUILD_FAILURES.items())
def test_a_build_that_fails_says_why(place: Workplace, words: str, line: str) -> None:
    log = "#3 [internal] load metadata for docker.io/library/base:x\n#3 DONE 0.0s\n"
    place.docker.answers("build ", code=1, err=f"{log}{words}\n")
    found = place.refusal("training")
    assert found.startswith("the training image could not be built")
    assert line in found


def test_an_image_of_another_platform_is_not_used(place: Workplace) -> None:
    place.docker.answers("image inspect --format {{.Os}}/{{.Architecture}}", "linux/arm64\n")
    line = place.refusal("training")
    assert line == "the image is for linux/arm64, SageMaker runs linux/amd64. Take a base for linux/amd64."


LAYER = "5f70bf18a086: Preparing\n5f70bf18a086: Pushed\n"
PUSH_FAILURES = {
    "no basic auth credentials": "no login at ghcr.io, or not for this repository. Log in: docker login ghcr.io.",
    "denied: Your authorization token has expired. Reauthenticate and try again.": "no login at ghcr.io, or not",
    "name unknown: The repository with name 'kennel-training' does not exist in the registry with id '123456789012'": (
        "ghcr.io has no repository me/kennel-training"
    ),
    f"{LAYER}tag invalid: The image tag 'x' already exists in the 'kennel-training' repository and cannot be "
    "overwritten because the tag is immutable.": "this tag is taken for ever. Commit, and build again.",
    f"{LAYER}error parsing HTTP 400 response body: write /var/lib/x: no space left on device": "no disk space is left",
    f"{LAYER}received unexpected HTTP status: 503 Service Unavailable": "was pushed by half: layers arrived, no image",
    f'{LAYER}Put "https://ghcr.io/v2/kennel-training/manifests/x": EOF': "was pushed by half: layers arrived, no image",
    "received unexpected HTTP status: 503 Service Unavailable": (
        "nothing was pushed (received unexpected HTTP status: 503 Service Unavailable). Run the same command again."
    ),
}


@pytest.mark.parametrize(("words", "line"), PUSH_FAILURES.items())
def test_a_push_that_fails_says_why_and_how_far_it_came(place: Workplace, words: str, line: str) -> None:
    place.docker.answers("push", code=1, err=words + "\n")
    found = place.refusal("training", "--push", "--registry", "ghcr.io/me")
    assert line in found
    assert ("by half" in found) == (LAYER in words)


def test_a_manifest_that_sagemaker_may_refuse_is_told(place: Workplace) -> None:
    place.docker.answers("manifest inspect", json.dumps({"mediaType": "application/vnd.oci.image.manifest.v1+json"}))
    line = place.refusal("training", "--push", "--registry", "ghcr.io/me")
    assert "OCI media types, which SageMaker may refuse. Turn off Docker's containerd image store." in line


AWS_REFUSALS = {
    "sts get-caller-identity": (
        "GetCallerIdentity",
        "AWS does not know who is calling (An error occurred",
    ),
    "ecr describe-repositories": ("DescribeRepositories", "Ask for ecr:DescribeRepositories."),
    "ecr create-repository": ("CreateRepository", "is missing and cannot be created (An error occurred (AccessDenied"),
    "ecr put-lifecycle-policy": ("PutLifecyclePolicy", "is made, but has no lifecycle policy (An error occurred"),
}


@pytest.mark.parametrize(("asked", "operation", "line"), [(asked, *rest) for asked, rest in AWS_REFUSALS.items()])
def test_what_aws_refuses_is_told_with_its_remedy(place: Workplace, asked: str, operation: str, line: str) -> None:
    place.aws.answers(asked, code=254, err=refused("AccessDeniedException", operation))
    assert line in place.refusal("training", "--push", "--region", "us-east-1")
    assert not [call for call in place.docker.calls if call[0] == "build"], "known before the build's minutes"


def test_without_credentials_aws_is_not_logged_in(place: Workplace) -> None:
    words = '\nUnable to locate credentials. You can configure credentials by running "aws login".\n'
    place.aws.answers("sts get-caller-identity", code=253, err=words)
    line = place.refusal("training", "--push", "--region", "us-east-1")
    assert line.startswith("AWS does not know who is calling (Unable to locate credentials.")
    assert line.endswith("Log in: aws sso login, aws configure, or AWS_PROFILE.")


def test_a_login_that_aws_refuses_says_what_aws_said(place: Workplace) -> None:
    place.aws.answers("ecr get-login-password", code=254, err=refused("AccessDeniedException", "GetAuthorizationToken"))
    place.docker.answers("login", code=1, err="password is empty\n")
    line = place.refusal("training", "--push", "--region", "us-east-1")
    assert line.startswith(f"no login to {ECR} (An error occurred (AccessDeniedException)")


def test_without_a_region_or_without_aws_nothing_is_built(place: Workplace) -> None:
    assert place.refusal("training", "--push") == "no AWS region is set. Say --region us-east-1, or set AWS_REGION."
    only = place.folder.parent / "tools"
    only.mkdir()
    for name in ("bash", "env", "git", "sed", "grep", "mktemp", "rm", "dirname", "cut", "tr", "xargs", "sort"):
        (only / name).symlink_to(shutil.which(name) or "/bin/false")
    (only / "docker").symlink_to(place.docker.path)
    line = place.refusal("training", "--push", PATH=str(only))
    assert line == "the AWS command line is not installed. Install it, or push with --registry."
