"""What a thief would try with machines: each is a launch as it is allowed, but for one thing; or another's machine."""

from __future__ import annotations

from typing import Any

from kennel.cloud import machines
from kennel.cloud.instance_plan import Given, plan_of
from kennel.cloud.instance_requests import InstancePlan, run_instances
from kennel.cloud.session import Cloud
from kennel.pictures.dataset import SPLITS
from kennel.workflow.proof.ground import Ground

NO_IMAGE = "sha256:" + "0" * 64
OPEN = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def lay_out(ground: Ground) -> None:
    """A machine and a security group of somebody else's, a role that EC2 may give out, which may do anything."""
    admin = ground.admin
    ec2, iam = admin.client("ec2"), admin.client("iam")
    iam.create_instance_profile(InstanceProfileName="powerful")
    iam.add_role_to_instance_profile(InstanceProfileName="powerful", RoleName="powerful")
    ec2.run_instances(ImageId=machines.image_id(admin), MinCount=1, MaxCount=1)
    _group(ground)


def of_another_type(cloud: Cloud, ground: Ground) -> Any:
    return _launch(cloud, ground, InstanceType="p4d.24xlarge")


def with_old_metadata(cloud: Cloud, ground: Ground) -> Any:
    return _launch(cloud, ground, MetadataOptions={"HttpTokens": "optional"})


def with_a_plain_disk(cloud: Cloud, ground: Ground) -> Any:
    disk = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 100, "Encrypted": False}}
    return _launch(cloud, ground, BlockDeviceMappings=[disk])


def with_a_powerful_role(cloud: Cloud, ground: Ground) -> Any:
    return _launch(cloud, ground, IamInstanceProfile={"Name": "powerful"})


def without_tags(cloud: Cloud, ground: Ground) -> Any:
    return _launch(cloud, ground, TagSpecifications=[])


def behind_another_group(cloud: Cloud, ground: Ground) -> Any:
    found = ground.admin.client("ec2").describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    return _launch(cloud, ground, SecurityGroupIds=[found[0]["GroupId"]])


def open_the_group(cloud: Cloud, ground: Ground) -> Any:
    return cloud.client("ec2").authorize_security_group_ingress(GroupId=_group(ground), IpPermissions=[OPEN])


def end_anothers(cloud: Cloud, ground: Ground) -> Any:
    return cloud.client("ec2").terminate_instances(InstanceIds=[_anothers(ground)])


def read_anothers_console(cloud: Cloud, ground: Ground) -> Any:
    return cloud.client("ec2").get_console_output(InstanceId=_anothers(ground))


def claim_anothers(cloud: Cloud, ground: Ground) -> Any:
    return cloud.client("ec2").create_tags(Resources=[_anothers(ground)], Tags=ground.settings.tags())


TRIED = (
    ("launch a machine of a dearer type", of_another_type),
    ("launch one whose metadata asks for no token", with_old_metadata),
    ("launch one with a disk that is not encrypted", with_a_plain_disk),
    ("launch one under a powerful role", with_a_powerful_role),
    ("launch one without the project's tag", without_tags),
    ("launch one behind another security group", behind_another_group),
    ("open the security group to everybody", open_the_group),
    ("end another's machine", end_anothers),
    ("read another's console", read_anothers_console),
    ("tag another's machine as this project's", claim_anothers),
)


def _launch(cloud: Cloud, ground: Ground, **changed: Any) -> Any:
    request = run_instances(_plan(ground), machines.image_id(ground.admin), _group(ground)) | changed
    return cloud.client("ec2").run_instances(**request)


def _group(ground: Ground) -> str:
    return machines.security_group(ground.admin, _plan(ground))


def _plan(ground: Ground) -> InstancePlan:
    where = f"s3://{ground.admin.bucket}/{ground.settings.project}/data"
    given = Given(NO_IMAGE, {split: f"{where}/{split}" for split in SPLITS})
    return plan_of(ground.admin, given, f"{ground.settings.project}-ec2-stolen-{ground.fresh()}")


def _anothers(ground: Ground) -> str:
    pages = ground.admin.client("ec2").describe_instances()["Reservations"]
    found = [each for page in pages for each in page["Instances"] if not each.get("Tags")]
    return str(found[0]["InstanceId"])
