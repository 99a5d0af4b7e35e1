"""Recording and reading back: the same artifact with and without, steps across an interruption, hostile folders."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from kennel.cli.app import app
from kennel.contract import Contract
from kennel.debugger.configuration import ACTIVATION_INPUTS, collections, everything
from kennel.debugger.evaluation import Evaluation, RuleConfig
from kennel.debugger.recorded import Recorded
from kennel.debugger.recorder import Recorder, read_config
from kennel.debugger.trial import Reader
from kennel.errors import DataError, SettingError
from kennel.files import sha256_of
from kennel.hyperparameters import Hyperparameters
from kennel.network import build, new_head
from kennel.settings import Debugger
from kennel.training.job import Debugging, Job
from kennel.training.run import PicturesIn, train
from kennel.weights.sources import pretrained
from kennel.workflow.debugging import of_folder


def record(
    folder: Path,
    module: nn.Module | None = None,
    steps: int = 6,
    config: object = None,
    done: int = 0,
    close: bool = True,
) -> None:
    """So many training steps of a small head, a validation batch after every third."""
    given = {"CollectionConfigurations": config or collections(3)}
    recorder = Recorder(given, folder)
    torch.manual_seed(0)
    head = module or nn.Linear(8, 3)
    optimizer = torch.optim.SGD(head.parameters(), 0.1)
    recorder.attach(head, {"train": done, "valid": done // 3})
    for step in range(steps):
        if step % 3 == 0:
            recorder.phase("train")
        loss = nn.functional.cross_entropy(head(torch.randn(5, 8)), torch.tensor([0, 1, 2, 0, 1]))
        recorder.loss(loss)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % 3 == 2:
            recorder.phase("valid")
            with torch.no_grad():
                recorder.loss(nn.functional.cross_entropy(head(torch.randn(5, 8)), torch.tensor([0, 1, 2, 0, 1])))
    if close:
        recorder.close()


def read(folder: Path) -> Recorded:
    return Reader(folder, ACTIVATION_INPUTS).read()


def test_what_the_four_rules_need_is_recorded_and_no_more(tmp_path: Path) -> None:
    record(tmp_path / "t", steps=30, config=collections(40))
    found = read(tmp_path / "t")
    train = [each.own for each in found.losses if each.phase == "train"]
    assert train == [*range(10), 13, 26]  # the first ten, then three an epoch
    assert [each.own for each in found.losses if each.phase == "valid"] == list(range(10))
    assert set(found.gradients) == {"gradient/Linear_weight", "gradient/Linear_bias"}
    weight = found.gradients["gradient/Linear_weight"]
    assert [each.own for each in weight] == [0, 4, 9]
    assert all(math.isfinite(each.p95 - each.p5) for each in weight)
    inputs = found.activations["Linear_output_0"]
    assert [each.own for each in inputs] == list(range(10))
    assert all(each.variance > 0 for each in inputs)
    assert [each.own for each in found.weights["Linear_weight"]] == [0]
    assert found.over


def test_once_an_epoch_gradients_are_recorded_as_figures(tmp_path: Path) -> None:
    record(tmp_path / "t", steps=30, config=collections(12))
    later = read(tmp_path / "t").gradients["gradient/Linear_weight"][3:]
    assert [each.own for each in later] == [12, 24]
    assert all(each.mean_abs > 0 and math.isnan(each.p95) for each in later)


def test_a_loss_that_is_saved_is_the_mean_of_all_since_the_last_one(tmp_path: Path) -> None:
    record(tmp_path / "every", steps=30, config=collections(4))
    record(tmp_path / "some", steps=30, config=collections(40))
    every, some = (
        [each.value for each in read(tmp_path / name).losses if each.phase == "train"] for name in ("every", "some")
    )
    assert len(every) == 30
    assert some[-1] == pytest.approx(sum(every[14:27]) / 13)


def test_of_the_real_network_the_inputs_of_its_activations_are_recorded(cache: Path, tmp_path: Path) -> None:
    """ResNet50 calls each block's one ReLU three times, and in place: yet each input is there, as it was."""
    network = PicturesIn(build(pretrained("auto"), new_head(3, 0)))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_("layer4" in name or "fc" in name)
    recorder = Recorder({"CollectionConfigurations": [*collections(1), *everything()]}, tmp_path / "t")
    recorder.attach(network, {"train": 0, "valid": 0})
    recorder.phase("train")
    loss = nn.functional.cross_entropy(
        network(torch.randint(0, 255, (1, 64, 64, 3), dtype=torch.uint8)), torch.tensor([1])
    )
    recorder.loss(loss)
    loss.backward()  # type: ignore[no-untyped-call]
    recorder.close()
    found = read(tmp_path / "t")
    assert len(found.activations) == 1 + 16 * 3  # the stem's, and three in each of 16 blocks
    values = found.activations["network.layer4.2.relu_input_2"]
    assert values[0].p5 < 0  # before the activation
    assert "gradient/PicturesIn_network.layer4.0.conv1.weight" in found.gradients
    assert not [name for name in found.gradients if "layer3" in name]


def test_the_artifact_is_the_same_with_and_without(job: Job, tmp_path: Path) -> None:
    given = Hyperparameters(epochs=2, batch_size=16)
    digests = []
    for name, debug in (("without", False), ("with", True)):
        out = tmp_path / name
        debugging = Debugging.plain(out / "output") if debug else Debugging(None)
        made = Job(job.data, out / "model", out / "output", out / "checkpoints", job.cache, None, debugging)
        train(made, given)
        digests.append({path.name: sha256_of(path) for path in made.model.iterdir()})
    assert digests[0] == digests[1]
    assert not (tmp_path / "without/output/tensors").exists()
    verdicts = of_folder(tmp_path / "with/output", Debugger()).judge(over=True).verdicts
    assert {each.status for each in verdicts.values()} <= {"IssuesFound", "NoIssuesFound"}


def test_without_a_configuration_nothing_is_recorded(tmp_path: Path) -> None:
    """Nor is smdebug imported: test_features_job looks at a whole trial's modules."""
    assert Job.under(Contract(tmp_path)).debugging.observer(5).recorder is None
    assert Job.under(Contract(tmp_path)).debugging.observer(5).clock is None


def test_after_an_interruption_steps_go_on_and_earlier_ones_are_kept(tmp_path: Path) -> None:
    record(tmp_path / "t", steps=6)
    record(tmp_path / "t", steps=3, done=6)
    found = read(tmp_path / "t")
    assert [each.own for each in found.losses if each.phase == "train"] == list(range(9))
    assert [each.own for each in found.losses if each.phase == "valid"] == [0, 1, 2]
    assert [each.step for each in found.losses] == sorted(each.step for each in found.losses)


def test_a_training_from_the_start_forgets_what_lies_there(tmp_path: Path) -> None:
    record(tmp_path / "t", steps=9)
    record(tmp_path / "t", steps=3)
    assert len([each for each in read(tmp_path / "t").losses if each.phase == "train"]) == 3


def test_everything_can_be_recorded(tmp_path: Path) -> None:
    record(tmp_path / "t", config=everything())
    found = read(tmp_path / "t")
    assert len(found.weights["Linear_weight"]) == len(found.gradients["gradient/Linear_weight"]) == 6


def test_bfloat16_is_recorded(tmp_path: Path) -> None:
    class Half(nn.Linear):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return super().forward(rows).bfloat16()

        def _get_name(self) -> str:
            return "Linear"

    record(tmp_path / "t", Half(8, 3))
    assert len(read(tmp_path / "t").activations["Linear_output_0"]) == 6


def test_gradients_are_recorded_without_float16s_loss_scale(tmp_path: Path) -> None:
    def gradients(scale: float) -> list[float]:
        torch.manual_seed(0)
        recorder = Recorder({"CollectionConfigurations": collections(3)}, tmp_path / str(scale))
        head = nn.Linear(8, 3)
        recorder.attach(head, {"train": 0, "valid": 0}, lambda: scale)
        recorder.phase("train")
        (nn.functional.cross_entropy(head(torch.randn(5, 8)), torch.tensor([0, 1, 2, 0, 1])) * scale).backward()  # type: ignore[no-untyped-call]
        recorder.close()
        return [each[0].mean_abs for each in read(tmp_path / str(scale)).gradients.values()]

    assert gradients(65536.0) == pytest.approx(gradients(1.0), rel=1e-5)


def test_a_disk_that_takes_no_more_ends_the_recording_not_the_training(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t/events").write_text("a file where smdebug wants a folder")
    (tmp_path / "t/collections").write_text("")
    record(tmp_path / "t", steps=6, done=3)  # done: it must not be cleared away


COLLECTIONS = "CollectionConfigurations"
NO_INTERVAL = {"CollectionName": "losses", "CollectionParameters": {"save_interval": "x"}}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '"text"',
        '{"CollectionConfigurations": [{}]}',
        json.dumps({"CollectionConfigurations": [NO_INTERVAL]}),
    ],
)
def test_a_configuration_that_is_none_is_told_in_one_line(tmp_path: Path, content: str) -> None:
    file = tmp_path / "debughookconfig.json"
    file.write_text(content)
    with pytest.raises(SettingError) as error:
        Recorder(read_config(file), tmp_path / "t").attach(nn.Linear(2, 2), {"train": 0, "valid": 0})
    assert "\n" not in str(error.value)


class TestFolders:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        record(tmp_path / "t")
        return tmp_path / "t"

    def test_of_a_folder_that_is_not_there_yet_nothing_is_known(self, tmp_path: Path) -> None:
        assert read(tmp_path / "none") == Recorded()

    def test_it_is_read_while_it_grows(self, tmp_path: Path) -> None:
        reader = Reader(tmp_path / "t", ACTIVATION_INPUTS)
        assert reader.read() == Recorded()
        record(tmp_path / "t", steps=3, close=False)
        first = reader.read()
        assert first.losses
        assert not first.over
        assert reader.read() == first
        record(tmp_path / "t", steps=3, done=3)
        assert len(reader.read().losses) > len(first.losses)

    def test_a_draft_is_not_looked_at(self, folder: Path) -> None:
        before = read(folder)
        (folder / "index/000000000/000000000099_worker_0.json.tmp").write_text("{")
        assert read(folder) == before

    def test_a_step_whose_file_is_gone_is_left_out(self, folder: Path) -> None:
        everything = len(read(folder).losses)
        next((folder / "events").glob("*/*.tfevents")).unlink()
        assert len(read(folder).losses) < everything

    def test_damaged_values_are_left_out(self, folder: Path) -> None:
        everything = len(read(folder).losses)
        path = sorted((folder / "events").glob("*/*.tfevents"))[-1]
        path.write_bytes(bytes(path.stat().st_size))
        assert len(read(folder).losses) == everything - 1

    def spoil(self, folder: Path, change: Callable[[dict[str, object]], object]) -> None:
        path = sorted((folder / "index").glob("*/*.json"))[0]
        index = json.loads(path.read_text())
        change(index)
        path.write_text(json.dumps(index))

    @pytest.mark.parametrize(
        "name", ["/etc/passwd", "../../../etc/passwd", "events/000000000000/../../x.tfevents", "events/0/x", ""]
    )
    def test_an_index_that_leads_elsewhere_is_refused(self, folder: Path, name: str) -> None:
        self.spoil(folder, lambda index: index["meta"].update(event_file_name=name))  # type: ignore[attr-defined]
        with pytest.raises(DataError, match="is no index of tensors"):
            read(folder)

    @pytest.mark.parametrize("length", [-1, 0, 10**12, "a"])
    def test_an_index_that_promises_more_than_there_is_is_refused(self, folder: Path, length: object) -> None:
        self.spoil(folder, lambda index: index["tensor_payload"][0].update(length=length))  # type: ignore[index]
        with pytest.raises(DataError, match="is no index of tensors"):
            read(folder)

    def test_a_link_in_the_place_of_values_is_refused(self, folder: Path, tmp_path: Path) -> None:
        path = sorted((folder / "events").glob("*/*.tfevents"))[0]
        shutil.move(path, tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(DataError, match="is no index of tensors"):
            read(folder)

    def test_a_half_written_index_is_an_error_with_its_name_and_a_remedy(self, folder: Path) -> None:
        path = sorted((folder / "index").glob("*/*.json"))[2]
        path.write_text(path.read_text()[:40])
        rules = [RuleConfig("Overfit", {"rule_to_invoke": "Overfit"})]
        verdict = Evaluation(rules, folder, None).judge().verdicts["Overfit"]
        assert verdict.status == "Error"
        assert str(path) in verdict.words
        assert "Remove it" in verdict.words

    def test_processes_that_never_came_are_not_waited_for(self, folder: Path) -> None:
        path = next((folder / "collections").glob("*/*.json"))
        listed = json.loads(path.read_text())
        listed["_meta"]["num_workers"] = 1000
        path.write_text(json.dumps(listed))
        with pytest.raises(DataError, match="only 1 of 1000 processes"):
            read(folder)
        (folder / "training_job_end.ts").unlink()
        assert read(folder) == Recorded()

    def test_a_regex_that_is_none_costs_the_other_rules_nothing(self, folder: Path) -> None:
        wrong = {"rule_to_invoke": "PoorWeightInitialization", "activation_inputs_regex": "("}
        rules = [RuleConfig("a", wrong), RuleConfig("b", {"rule_to_invoke": "VanishingGradient"})]
        verdicts = Evaluation(rules, folder, None).judge().verdicts
        assert {name: each.status for name, each in verdicts.items()} == {"a": "Error", "b": "NoIssuesFound"}

    def test_links_in_the_place_of_folders_are_refused(self, folder: Path, tmp_path: Path) -> None:
        shutil.move(folder / "events", tmp_path / "elsewhere")
        (folder / "events").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(DataError, match="is no index of tensors"):
            read(folder)

    def test_values_that_cannot_be_read_at_all_are_no_good_verdict(self, folder: Path) -> None:
        for path in (folder / "events").glob("*/*.tfevents"):
            path.write_bytes(bytes(path.stat().st_size))
        verdicts = of_folder(folder, Debugger()).judge(over=True).verdicts
        assert {each.status for each in verdicts.values()} == {"Error"}

    def test_the_command_ends_with_1_only_where_a_rule_cannot_judge(self, folder: Path, tmp_path: Path) -> None:
        arguments = ["debug", str(folder), "--page", str(tmp_path / "page.html")]
        shown = CliRunner().invoke(app, arguments, prog_name="kennel")
        assert (shown.exit_code, "Error" in shown.stdout) == (0, False), shown.output
        for path in (folder / "events").glob("*/*.tfevents"):
            path.write_bytes(bytes(path.stat().st_size))
        shown = CliRunner().invoke(app, [*arguments, "--json"], prog_name="kennel")
        assert shown.exit_code == 1
        assert json.loads(shown.stdout)["Overfit"]["status"] == "Error"

    def test_a_folder_that_holds_neither_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="neither tensors"):
            of_folder(tmp_path, Debugger())
