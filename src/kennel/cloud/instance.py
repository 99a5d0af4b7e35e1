"""A training by hand on EC2: launched, looked at, waited for, ended. The machine itself is `ec2/machine.sh`'s.

Each call looks first at what exists: a launch that is repeated makes no second machine, one after an interruption goes
on from the checkpoints, and one of what is done already launches nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from kennel.cloud import by_hand, names
from kennel.cloud.by_hand import ByHand
from kennel.cloud.instance_requests import InstancePlan, run_instances
from kennel.cloud.machines import (
    ENDING,
    LIVE,
    expect_profile,
    image_id,
    machine_image,
    of_run,
    run_of,
    security_group,
    state_of_machine,
    there,
)
from kennel.cloud.names import EC2
from kennel.cloud.session import Cloud, told
from kennel.cloud.storage import S3Uri
from kennel.cloud.watch import Sleep, until
from kennel.errors import KennelError

Tell = Callable[[ByHand], None]
POLL_S = {"local": 0.5, "aws": 10.0}
SHOWN_S, SHOWN_LOOKS = 1.0, 60
"""Between two looks for a machine that was just launched, and how many there are."""
CONSOLE_LINES = 20
LONGEST_LINE = 500


def next_try(cloud: Cloud, plan: InstancePlan) -> InstancePlan:
    """The plan under the name that its next try has: a run that failed keeps its name. Raises KennelError."""
    for name in names.tries(plan.run):
        found = find(cloud, name)
        if found is None or found.state != "Failed":
            return replace(plan, run=name, out=str(place(cloud, name)))
    remedy = f"See why: kennel ec2 status {plan.run}; then change what is wrong"
    raise KennelError(f"the run {plan.run} failed {names.TRIES} times", remedy)


def launch(cloud: Cloud, plan: InstancePlan, sleep: Sleep = time.sleep) -> str:
    """The id of the machine that does this plan, one that does it already or a new one; "" where it is done. Raises
    KennelError."""
    found = find(cloud, plan.run)
    if found is not None and found.state == "Completed":
        return ""
    with told(f"launch {plan.run}"):
        machines = of_run(cloud, plan.run)
        if at_it := [each for each in machines if state_of_machine(each) in LIVE | ENDING]:
            return str(at_it[0]["InstanceId"])
        expect_profile(cloud, plan.role)
        group = security_group(cloud, plan)
        image = image_id(cloud)
        about = machine_image(cloud, image)
        before = (sorted(each["InstanceId"] for each in machines), found.attempt if found else 0)
        attempt = launch_of(run_instances(plan, image, group, about), *before, datetime.now(UTC))
        done = cloud.client("ec2").run_instances(**run_instances(plan, image, group, about, attempt))
    machine = str(done["Instances"][0]["InstanceId"])
    _until_shown(cloud, plan.run, machine, sleep)
    return machine


def launch_of(request: Mapping[str, Any], ended: Sequence[str], attempts: int, now: datetime) -> str:
    """What a launch's token is made of. EC2 takes one again for the same request only, and not after its machine has
    ended, also where it lists that machine no more, about an hour later."""
    return names.digest(request, list(ended), attempts, now.strftime("%Y-%m-%dT%H"))


def status(cloud: Cloud, run: str) -> ByHand:
    """What the machine has told, and what the account knows of it. Raises KennelError where there is no such run."""
    found = find(cloud, run)
    if found is None:
        raise KennelError(
            f"there is no run {run}", "See which there are: kennel ec2 status; a run begins by kennel ec2 launch"
        )
    return found


def runs(cloud: Cloud) -> tuple[str, ...]:
    """Names of this project's runs by hand: of what they left, and of machines that have told nothing yet. Raises
    KennelError."""
    above = place(cloud, "").key
    with told("look at the runs by hand"):
        pages = cloud.client("s3").get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=cloud.bucket, Prefix=above, Delimiter="/", ExpectedBucketOwner=cloud.account)
        left = [each["Prefix"] for page in found for each in page.get("CommonPrefixes", [])]
        return tuple(sorted({each.removeprefix(above).rstrip("/") for each in left} | set(map(run_of, there(cloud)))))


def find(cloud: Cloud, run: str) -> ByHand | None:
    """The same; None where there is no such run. Raises KennelError."""
    with told(f"look at the run {run}"):
        return _looked(cloud, run)


def wait(cloud: Cloud, run: str, tell: Tell, sleep: Sleep = time.sleep) -> ByHand:
    """Until it is over and its machine is gone. tell: each time that state, phase or machine have changed. Raises
    KennelError."""
    seen: list[ByHand] = []

    def look() -> bool:
        found = _looked(cloud, run)
        if found is None:
            raise KennelError(f"there is no run {run}", "Launch it: kennel ec2 launch")
        if not seen or _news(seen[-1]) != _news(found):
            tell(found)
        seen.append(found)
        del seen[:-1]
        return found.over and found.instance not in LIVE | ENDING

    until(cloud, look, POLL_S[cloud.side], sleep)
    return seen[-1]


def end(cloud: Cloud, run: str) -> tuple[str, ...]:
    """Ask its machines to end: they stop the training, which leaves checkpoints. Their ids. Raises KennelError."""
    with told(f"end the machine of {run}"):
        live = [str(each["InstanceId"]) for each in of_run(cloud, run) if state_of_machine(each) in LIVE]
        if live:
            cloud.client("ec2").terminate_instances(InstanceIds=live)
    return tuple(live)


def log(cloud: Cloud, run: str, most: int = 1 << 20) -> str:
    """The end of its log, as far as it was sent; "" where there is none yet. most: bytes. Raises KennelError."""
    with told(f"read the log of {run}"):
        content = _object(cloud, place(cloud, run) / by_hand.LOG, most, last=True)
    return (content or b"").decode(errors="replace")


def place(cloud: Cloud, run: str) -> S3Uri:
    """Where what a run leaves lies."""
    return S3Uri(cloud.bucket, names.prefix(cloud.settings, EC2, run))


def _until_shown(cloud: Cloud, run: str, machine: str, sleep: Sleep) -> None:
    """EC2 describes a machine, and by its tags, some seconds after it is there: who asked meanwhile would find none, or
    the one before. Raises KennelError."""
    looks = iter(range(SHOWN_LOOKS))

    def look() -> bool:
        seen = any(each["InstanceId"] == machine for each in of_run(cloud, run))
        if not seen and next(looks, None) is None:
            remedy = f"See whether it is there: aws ec2 describe-instances --instance-ids {machine}"
            raise KennelError(f"EC2 does not describe {machine}, which it has just launched", remedy)
        return seen

    until(cloud, look, SHOWN_S, sleep)


# --- a run ------------------------------------------------------------------------------------------------------


def _looked(cloud: Cloud, run: str) -> ByHand | None:
    """First the machine, then what it told: it tells before it ends."""
    machines = of_run(cloud, run)
    newest = max(machines, key=lambda each: (state_of_machine(each) in LIVE | ENDING, each["LaunchTime"]), default=None)
    content = _object(cloud, place(cloud, run) / by_hand.STATUS, by_hand.LARGEST)
    if content is None:
        return None if newest is None else _untold(cloud, run, newest)
    state: Any = "" if newest is None else state_of_machine(newest)
    found = replace(by_hand.parse(content), run=run, instance=state)
    if newest is not None:
        found = replace(found, machine=replace(found.machine, launched=newest["LaunchTime"]))
    if found.over and state in LIVE and _is_newer(newest, found):
        return replace(found, state="InProgress", phase="boot", reason="")  # launched again, and not yet begun
    if found.over or state in LIVE | ENDING:
        return found
    return replace(found, state="Stopped", reason=f"{by_hand.GONE}; the next launch goes on")


def _is_newer(machine: Mapping[str, Any] | None, found: ByHand) -> bool:
    return machine is not None and found.ended is not None and machine["LaunchTime"] > found.ended


def _untold(cloud: Cloud, run: str, machine: Mapping[str, Any]) -> ByHand:
    """A machine that has told nothing yet, or never will."""
    state, at = state_of_machine(machine), machine["LaunchTime"]
    gone = state not in LIVE | ENDING
    return ByHand(
        version=1,
        run=run,
        state="Failed" if gone else "InProgress",
        phase="boot",
        reason=_why(machine) if gone else "",
        attempt=1,
        phases=(),
        image="",
        data="",
        weights="",
        hyperparameters={},
        machine=by_hand.Machine(
            instance_id=str(machine["InstanceId"]),
            instance_type=str(machine.get("InstanceType", "")),
            region=cloud.region,
            zone=str(machine.get("Placement", {}).get("AvailabilityZone", "")),
            spot=machine.get("InstanceLifecycle") == "spot",
            launched=at,
        ),
        begun=at,
        ended=datetime.now(UTC) if gone else None,
        instance=state,
        console=_console(cloud, str(machine["InstanceId"])) if gone else (),
    )


def _why(machine: Mapping[str, Any]) -> str:
    said = str(machine.get("StateReason", {}).get("Message", ""))[:LONGEST_LINE]
    return f"the machine ended and told nothing{f' ({said})' if said else ''}. See its console's last lines"


def _console(cloud: Cloud, instance: str) -> tuple[str, ...]:
    """Its last lines, as far as they can be had: EC2 keeps 64 KB, for an hour."""
    from botocore.exceptions import ClientError

    try:
        said = cloud.client("ec2").get_console_output(InstanceId=instance).get("Output", "")
    except ClientError:
        return ()
    lines = ["".join(sign for sign in line if sign.isprintable())[:LONGEST_LINE] for line in said.splitlines()]
    return tuple([line for line in lines if line.strip()][-CONSOLE_LINES:])


def _news(found: ByHand) -> tuple[object, ...]:
    return found.state, found.phase, found.attempt, found.instance


def _object(cloud: Cloud, uri: S3Uri, most: int, last: bool = False) -> bytes | None:
    """At most so many bytes, the first or the last; None where there is no such object."""
    # First the list: whether S3 says "not there" or "not allowed" depends on who may list, and what.
    listed = cloud.client("s3").list_objects_v2(
        Bucket=uri.bucket, Prefix=uri.key, MaxKeys=1, ExpectedBucketOwner=cloud.account
    )
    if [each["Key"] for each in listed.get("Contents", []) if each["Size"]] != [uri.key]:
        return None
    more = {"Range": f"bytes=-{most}"} if last else {}
    found = cloud.client("s3").get_object(Bucket=uri.bucket, Key=uri.key, ExpectedBucketOwner=cloud.account, **more)
    with found["Body"] as body:
        return bytes(body.read(most + 1))
