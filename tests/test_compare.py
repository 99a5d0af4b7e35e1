"""Two ways of one training: recorded strictly, priced by hand-checked arithmetic, held against each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kennel import artifact
from kennel.artifact import Artifact
from kennel.cloud import prices
from kennel.comparison import compared, inputs, recorded
from kennel.comparison.artifacts import apart, made_of
from kennel.comparison.compared import Comparison
from kennel.comparison.costs import (
    Book,
    billed_seconds,
    forgotten_minutes,
    saving,
    tuning_jobs,
    what_if,
)
from kennel.comparison.costs import prices as prices_of
from kennel.comparison.recorded import Phases, Utilisation
from kennel.comparison.used import used
from kennel.debugger.profile import read_profile
from kennel.engines import Head
from kennel.errors import ArtifactError, DataError, KennelError
from kennel.training.job import Job
from kennel.workflow import comparing
from recordings import BOOK, DAY, DIGEST, IMAGE, WEIGHTS, at, described, managed, merged, offer, own

# --- recorded -------------------------------------------------------------------------------------------------------


def test_a_training_job_of_aws_is_told_in_phases_and_the_image_s_download_is_one_of_them() -> None:
    found = managed()
    assert found.phases == Phases(provision=100, data=30, pull=180, train=300, upload=10, other=0)
    assert (found.training_seconds, found.billed_seconds, found.wall_seconds) == (520, 520, 620)
    assert (found.image_digest, found.weights, found.spot) == (DIGEST, WEIGHTS, False)
    assert found.facts["network isolation"].value is True
    assert found.facts["time limit, in seconds"].value == 3600


def test_a_job_that_tells_of_no_download_of_its_image_has_no_such_phase() -> None:
    transitions = [each for each in described()["SecondaryStatusTransitions"] if "image" not in each["StatusMessage"]]
    assert managed(SecondaryStatusTransitions=transitions).phases.pull is None


def test_as_aws_keeps_transitions_the_image_is_not_told_apart_from_the_pictures() -> None:
    assert managed(SecondaryStatusTransitions=merged()).phases == Phases(
        provision=100, data=210, pull=None, train=300, upload=10, other=0
    )
    twice = [*merged()[:3], {**merged()[0], "Status": "Interrupted"}, *merged()]
    assert managed(SecondaryStatusTransitions=twice).phases.pull is None


def test_pictures_that_are_streamed_are_in_the_training_s_time_and_that_is_a_fact() -> None:
    streamed = [{**each, "InputMode": "FastFile"} for each in described()["InputDataConfig"]]
    assert managed(InputDataConfig=streamed).facts["pictures are read"].value == "while it trains"
    assert {each.facts["pictures are read"].value for each in (managed(), own())} == {"before it trains"}


def test_a_run_whose_weights_were_fetched_by_name_had_a_network() -> None:
    for weights, isolated in (("auto", False), ("torchvision", False), (WEIGHTS, True)):
        assert own(weights=weights).facts["network isolation"].value is isolated


def test_a_job_that_runs_cannot_be_compared() -> None:
    with pytest.raises(KennelError, match="InProgress"):
        managed(TrainingJobStatus="InProgress")


def test_a_run_by_hand_is_told_in_the_same_phases() -> None:
    found = own()
    assert found.phases == Phases(provision=40, pull=60, data=20, train=300, upload=7, other=3)
    assert found.billed_seconds == 430
    assert found.wall_seconds == 430
    assert (found.instance_type, found.kind, found.region) == ("g4dn.xlarge", "g4dn.xlarge", "us-east-1")


def test_a_run_on_no_ec2_machine_is_billed_from_its_first_phase_and_tells_no_provision() -> None:
    found = own(machine={**described_machine(), "launched": "", "instance_type": ""})
    assert found.phases.provision is None
    assert found.billed_seconds == 390
    assert comparing.priced_like(found, managed()).instance_type == "g4dn.xlarge"
    other = managed(ResourceConfig={**described()["ResourceConfig"], "InstanceType": "ml.p3.2xlarge"})
    assert comparing.priced_like(own(), other).instance_type == "g4dn.xlarge", "it told one"


def test_a_run_whose_figures_cannot_be_is_told_in_one_line() -> None:
    phase = {"name": "train", "attempt": 1, "begun": at(0).isoformat(), "seconds": 1e8}
    with pytest.raises(DataError, match="this is not a run"), recorded.bounded("a run"):
        own(phases=[phase] * 1000)


def described_machine() -> dict[str, Any]:
    return {"instance_id": "", "instance_type": "", "region": "", "zone": "", "spot": False, "gpus": "", "cores": 2}


def test_a_run_of_two_attempts_pays_for_both_machines() -> None:
    phases = [
        {"name": "train", "attempt": 1, "begun": at(40).isoformat(), "seconds": 100},
        {"name": "train", "attempt": 2, "begun": at(1000).isoformat(), "seconds": 50},
    ]
    machine = {**described_machine(), "launched": at(970).isoformat()}
    found = own(phases=phases, attempt=2, machine=machine, ended=at(1060).isoformat())
    assert found.phases.train == 150
    assert found.billed_seconds == 100 + 60 + 2 * 30
    assert found.interruptions == 1
    assert found.begun == at(40 - 30)


def test_a_record_is_the_same_after_it_was_written() -> None:
    for each in (managed(), own()):
        assert recorded.parse(recorded.written(each)) == each


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"version": 2}, "version"),
        ({"way": "azure"}, "way"),
        ({"billed_seconds": -1}, "billed_seconds"),
        ({"billed_seconds": "NaN"}, "billed_seconds"),
        ({"image_digest": "sha256:x"}, "image_digest"),
        ({"name": "a\x1b[2J"}, "name"),
        ({"instances": 10**9}, "instances"),
        ({"run": "rm -rf"}, "run"),
        ({"hyperparameters": {str(n): "1" for n in range(101)}}, "hyperparameters"),
    ],
)
def test_a_record_that_is_none_is_refused_in_one_line(change: dict[str, Any], where: str) -> None:
    content = json.dumps(json.loads(recorded.written(managed())) | change).encode()
    with pytest.raises(DataError, match=where) as refused:
        recorded.parse(content)
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("content", [b"", b"[]", b"{" * 10_000, b"null", b"\xff\xfe", b'{"version": NaN}'])
def test_what_is_no_record_at_all_is_refused_too(content: bytes) -> None:
    for parse in (recorded.parse, compared.parse):
        with pytest.raises(DataError, match="this is not"):
            parse(content)


def test_a_file_that_is_too_large_or_no_file_is_not_read(tmp_path: Path) -> None:
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (recorded.LARGEST + 1))
    for path in (large, tmp_path, tmp_path / "none", Path("/dev/zero")):
        with pytest.raises(DataError):
            recorded.read(path)


# --- inputs ---------------------------------------------------------------------------------------------------------


def test_the_same_inputs_are_seen_to_be_the_same_however_they_are_told() -> None:
    assert inputs.differing(managed(), own()) == []


def test_each_input_that_differs_is_named() -> None:
    other = own(image=IMAGE.replace("a" * 64, "b" * 64), data="s3://dogs/other/", hyperparameters={"epochs": "5"})
    assert [each.name for each in inputs.differing(managed(), other)] == ["image", "data", "epochs"]


def test_a_default_that_is_written_out_is_no_difference() -> None:
    assert inputs.differing(managed(), own(hyperparameters={"epochs": "20", "seed": "0"})) == []


def test_an_image_without_a_digest_may_be_another() -> None:
    (found,) = inputs.differing(managed(), own(image="kennel-training:latest"))
    assert found.same is None


# --- costs ----------------------------------------------------------------------------------------------------------


def test_what_a_training_costs_is_price_times_billed_seconds() -> None:
    on_demand, spot = prices_of(managed(), BOOK)
    assert on_demand.amount == pytest.approx(0.72 * 520 / 3600)  # 0.104; ml.g4dn has a disk of its own
    assert (spot.amount, spot.why) == (None, "no managed spot job of AWS was recorded")


def test_a_machine_by_hand_costs_its_instance_its_disk_and_its_address() -> None:
    on_demand, spot = prices_of(own(), BOOK)
    hours = 430 / 3600
    assert dict(on_demand.parts) == pytest.approx(
        {"instance": 0.54 * hours, "disk": 100 * 0.073 / 730 * hours, "public address": 0.005 * hours}
    )
    assert on_demand.amount == pytest.approx(0.0645 + 0.00119444 + 0.00059722, abs=1e-7)
    assert spot.amount == pytest.approx(0.0215 + 0.00119444 + 0.00059722, abs=1e-7)
    assert saving(on_demand, prices_of(managed(), BOOK)[0]) == pytest.approx(1 - 0.06629167 / 0.104)


def test_a_volume_is_billed_where_the_instance_has_no_disk_of_its_own() -> None:
    found = managed(ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 73})
    book = Book(
        as_of="2026-11-28",
        offers=(BOOK.offers[0].model_copy(update={"instance_type": "m5.xlarge", "hourly": 0.36, "gb_month": 0.1}),),
        sources=(),
    )
    assert prices_of(found, book)[0].amount == pytest.approx(2 * 520 / 3600 * (0.36 + 73 * 0.1 / 730))


def test_a_machine_is_billed_for_a_minute_at_least_and_a_job_is_not() -> None:
    short = own().model_copy(update={"billed_seconds": 5.0})
    assert billed_seconds(short) == 60
    assert billed_seconds(managed(BillableTimeInSeconds=5)) == 5


def test_managed_spot_is_reckoned_from_a_job_that_aws_has_run_and_from_nothing_else() -> None:
    spot = managed(EnableManagedSpotTraining=True, TrainingTimeInSeconds=500, BillableTimeInSeconds=150)
    there, cheaper = prices_of(spot, BOOK)
    assert there.amount == pytest.approx(0.72 * 500 / 3600)
    assert cheaper.amount == pytest.approx(0.72 * 150 / 3600)
    assert saving(cheaper, there) == pytest.approx(0.7)
    _, reckoned = prices_of(managed(), BOOK, [spot])
    assert reckoned.estimate
    assert reckoned.amount == pytest.approx(0.104 * 0.3)
    here = spot.model_copy(update={"side": "local"})
    assert prices_of(managed(), BOOK, [here])[1].amount is None
    assert prices_of(here, BOOK)[1].amount is None


def test_a_price_that_is_not_known_is_unknown_and_said() -> None:
    elsewhere = own().model_copy(update={"region": "mars-north-1"})
    for each in prices_of(elsewhere, BOOK):
        assert each.amount is None
        assert "mars-north-1" in each.why
    unmeasured = managed(BillableTimeInSeconds=None)
    assert "not told" in prices_of(unmeasured, BOOK)[0].why
    assert saving(prices_of(elsewhere, BOOK)[0], prices_of(managed(), BOOK)[0]) is None


def test_a_forgotten_machine_eats_the_saving_up() -> None:
    by_hand_, job = prices_of(own(), BOOK)[0], prices_of(managed(), BOOK)[0]
    assert forgotten_minutes(by_hand_, job, BOOK.offers[1]) == pytest.approx((0.104 - 0.06629167) / 0.555 * 60)
    assert forgotten_minutes(job, by_hand_, BOOK.offers[1]) is None


def test_a_machine_for_nothing_saves_for_ever() -> None:
    free = offer("ec2", "on demand", 0, gb_month=0, ipv4_hour=0)
    (for_nothing, _) = prices_of(own(), BOOK.model_copy(update={"offers": (free,)}))
    assert for_nothing.amount == 0
    assert forgotten_minutes(for_nothing, prices_of(managed(), BOOK)[0], free) is None


def test_an_on_demand_price_is_never_reckoned_at_seconds_that_have_spot_s_discount_in_them() -> None:
    spot = managed(EnableManagedSpotTraining=True, TrainingTimeInSeconds=500, BillableTimeInSeconds=150)
    (job,) = tuning_jobs(spot, BOOK, 8)
    assert job.seconds == 8 * 500
    assert job.amount == pytest.approx(8 * 0.72 * 500 / 3600)
    (found,) = [each for each in what_if([spot], BOOK) if each.way == "sagemaker"]
    assert found.seconds == 500
    assert found.amount == pytest.approx(0.72 * 500 / 3600)


def test_a_tuning_job_is_as_many_jobs_or_one_machine_that_trains_one_after_the_other() -> None:
    (job,) = tuning_jobs(managed(), BOOK, 8)
    assert job.seconds == 8 * 520
    assert job.amount == pytest.approx(8 * 0.104)
    busy = Utilisation(samples=9, seconds=300, cores=4, gpus=1, before_loop=100.0)
    each, once = tuning_jobs(own().model_copy(update={"utilisation": busy}), BOOK, 8)
    assert each.seconds == 430 + 7 * 307
    assert once.seconds == 430 + 7 * 207
    assert once.amount == pytest.approx(once.seconds / 3600 * (0.54 + 0.01 + 0.005))


@given(st.floats(0, 1e7), st.integers(1, 50), st.floats(0.01, 50))
def test_more_seconds_never_cost_less_and_jobs_add_up(seconds: float, jobs: int, hourly: float) -> None:
    book = BOOK.model_copy(update={"offers": (offer("ec2", "on demand", hourly, gb_month=0.08, ipv4_hour=0.005),)})
    run = own().model_copy(update={"billed_seconds": seconds})
    longer = run.model_copy(update={"billed_seconds": seconds + 1})
    amounts = [prices_of(each, book)[0].amount or 0.0 for each in (run, longer)]
    assert 0 < amounts[0] <= amounts[1]
    totals = [each.amount or 0.0 for n in (jobs, jobs + 1) for each in tuning_jobs(run, book, n)[:1]]
    assert amounts[0] * (1 - 1e-9) <= totals[0] <= totals[1]


def test_what_if_scales_no_time_that_was_not_measured() -> None:
    book = prices.load().book()
    found = what_if([managed(), own()], book)
    assert {each.instance_type for each in found if each.amount is not None} == {"g4dn.xlarge"}
    assert {each.region for each in found if each.amount is not None and each.way == "ec2"} == {
        "us-east-1", "us-west-2", "eu-west-1", "eu-central-1"}  # fmt: skip
    other = own(machine={**described_machine(), "instance_type": "m5.xlarge", "region": "us-east-1"})
    more = {each.instance_type for each in what_if([managed(), own(), other], book) if each.amount is not None}
    assert more == {"g4dn.xlarge", "m5.xlarge"}


def test_every_price_has_a_source_and_a_date() -> None:
    found = prices.load()
    members = {
        member
        for region in found.regions.values()
        for member in ("instances", "ec2", "spot", "gp3_gb_month", "ipv4_hour", "volume_gb_month", "bucket_gb_month",
                       "provisioned_gb_s")
        if getattr(region, member)
    }  # fmt: skip
    assert members == found.sources.keys()
    assert all(each.date and each.source for each in found.sources.values())
    assert found.hourly("us-east-1", "g4dn.xlarge") == 0.526
    for region in found.regions.values():
        assert all(price < region.ec2[kind] for kind, price in region.spot.items())


# --- artifacts ------------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(job: Job, tmp_path: Path) -> Path:
    """The trained artifact once more, as what SageMaker packs it into."""
    artifact.pack(job.model, tmp_path / "model.tar.gz")
    return tmp_path / "model.tar.gz"


def test_an_artifact_and_its_archive_are_the_same_bit_for_bit(job: Job, copy: Path) -> None:
    found = apart(job.model, copy)
    assert (found.same, found.differ, found.weight, found.bias, found.accuracy) == ("files", (), 0.0, 0.0, 0.0)
    made = made_of(copy)
    assert made == made_of(job.model)
    assert made.files.keys() == {"model.json", *artifact.FILES}


def changed(job: Job, folder: Path, head: Head | None = None, **card: Any) -> Path:
    """The artifact with another head, or another card, written as any artifact is."""
    found = artifact.load(job.model)
    artifact.write(
        folder, found.card.model_copy(update=card), found.weights(), head or found.head, found.int8, found.proof
    )
    return folder


def test_a_card_that_differs_leaves_the_head_the_same(job: Job, tmp_path: Path) -> None:
    found = apart(job.model, changed(job, tmp_path / "card", best_epoch=0))
    assert (found.same, found.differ) == ("head", ("model.json",))


def test_how_far_apart_two_heads_are_is_the_largest_difference(job: Job, tmp_path: Path) -> None:
    found: Artifact = artifact.load(job.model)
    weight, bias = found.head.weight.copy(), found.head.bias.copy()
    weight[1, 7] += np.float32(0.25)
    bias[2] -= np.float32(0.5)
    other = apart(job.model, changed(job, tmp_path / "head", Head(weight, bias)))
    assert other.same == "no"
    assert other.weight == pytest.approx(0.25, abs=1e-6)
    assert other.bias == pytest.approx(0.5, abs=1e-6)
    assert other.scores == {"float32": 0.0, "int8": 0.0}


@pytest.mark.parametrize("card", [{"provenance": {"device": "\x1b[2J"}}, {"best_epoch": -1}])
def test_a_card_that_tells_what_cannot_be_is_refused_in_one_line(job: Job, tmp_path: Path, card: Any) -> None:
    with pytest.raises(DataError, match="this is not a card") as caught:
        made_of(changed(job, tmp_path / "card", **card))
    assert "\x1b" not in str(caught.value)


def test_an_artifact_that_was_tampered_with_is_refused(job: Job, copy: Path, tmp_path: Path) -> None:
    copy.write_bytes(copy.read_bytes()[:-1000])
    with pytest.raises(ArtifactError):
        apart(job.model, copy)
    with pytest.raises(ArtifactError):
        made_of(tmp_path)


# --- utilisation ----------------------------------------------------------------------------------------------------


def test_how_busy_a_machine_was_is_told_from_the_profiler_s_series(tmp_path: Path) -> None:
    lines = []
    for second in range(10):
        stamp = 1_800_000_000.0 + second
        for name, kind, dimension, value in (
            ("cpu0", "cpu", "CPUUtilization", 100), ("cpu1", "cpu", "CPUUtilization", 10 * second),
            ("gpu0", "gpu", "GPUUtilization", 50), ("MemoryUsedPercent", "memory", "", 25)):  # fmt: skip
            line = {"Type": kind, "Name": name, "Dimension": dimension, "Value": value, "NodeId": "algo-1"}
            lines.append(json.dumps(line | {"Timestamp": stamp}))
    path = tmp_path / "system/incremental/2027011500/1800000000.algo-1.json"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines) + "\n")
    found = used(read_profile(tmp_path))
    assert found is not None
    assert (found.samples, found.cores, found.gpus, found.seconds) == (10, 2, 1, 10)
    assert found.cpu is not None
    assert found.cpu.mean == pytest.approx((100 + 45) / 2)
    assert found.cpu.p95 == pytest.approx(np.percentile([50 + 5 * n for n in range(10)], 95))
    assert (found.gpu, found.memory) == (recorded.Use(mean=50, p95=50), recorded.Use(mean=25, p95=25))
    assert found.before_loop is None
    assert [each.at for each in found.series] == [float(n + 1) for n in range(10)]


def test_an_empty_profile_tells_nothing(tmp_path: Path) -> None:
    assert used(read_profile(tmp_path)) is None


# --- a comparison ---------------------------------------------------------------------------------------------------


def comparison(**members: Any) -> Comparison:
    return Comparison(made=DAY, sagemaker=managed(), ec2=own(), book=BOOK, **members)


def test_a_comparison_is_the_same_after_it_was_written() -> None:
    found = comparison(missing="not at hand")
    assert compared.parse(recorded.written(found)) == found


def test_two_records_of_one_way_are_no_comparison() -> None:
    content = json.loads(recorded.written(comparison()))
    with pytest.raises(DataError, match="one record of SageMaker"):
        compared.parse(json.dumps(content | {"ec2": content["sagemaker"]}).encode())
