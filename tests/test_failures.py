"""Texts that AWS gave real people, each with the cause and the remedy it is known by."""

import botocore.exceptions
import pytest
from botocore.exceptions import ClientError

from kennel.artifact.files import REMEDY
from kennel.cloud.failures import CLEAR, NEVER_IN_LOGS, VAGUE, Cause, JobFailed, explain, from_client_error

ROLE = "arn:aws:iam::123456789012:role/kennel-training"
REAL = {
    "User: arn:aws:sts::123456789012:assumed-role/Role-20200202/SageMaker is not "
    "authorized to perform: sagemaker:CreateTrainingJob on resource: "
    "arn:aws:sagemaker:us-east-1:123456789012:training-job/wpi-cpu-2020-02-02 with an explicit deny": (
        "a policy forbids arn:aws:sts::123456789012:assumed-role/Role-20200202/SageMaker "
        "to do sagemaker:CreateTrainingJob on arn:aws:sagemaker:us-east-1:123456789012:training-job/wpi-cpu-2020-02-02"
    ),
    "denied: User: arn:aws:sts::757901089955:assumed-role/AmazonSageMaker-ExecutionRole/SageMaker is not authorized to "
    "perform: ecr:InitiateLayerUpload on resource: arn:aws:ecr:us-west-2:757901089955:repository/tfrecord-processing": (
        "may not do ecr:InitiateLayerUpload on arn:aws:ecr:us-west-2:757901089955:repository/tfrecord-processing"
    ),
    "The role 'arn:aws:iam::911100000000:role/test-role' does not have BatchGetImage permission for the image: "
    "'763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-inference:1.15.2-gpu'.": (
        "arn:aws:iam::911100000000:role/test-role may not do ecr:BatchGetImage on "
        "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-inference:1.15.2-gpu"
    ),
    'No S3 objects found under S3 URL "s3://sagemaker-us-west-2-521695447989/image-classification/train/" given in '
    "input data source. Please ensure that the bucket exists in the selected region (us-west-2), that objects exist "
    f'under that S3 prefix, and that the role "{ROLE}" has "s3:ListBucket" permissions on bucket "sagemaker".': (
        "nothing lies under s3://sagemaker-us-west-2-521695447989/image-classification/train/"
    ),
    "Could not find model data at s3://sagemaker-us-west-2-521695447989/tensorflow-training/output/model.tar.gz.": (
        "the artifact s3://sagemaker-us-west-2-521695447989/tensorflow-training/output/model.tar.gz is not there"
    ),
    "Could not access model data at s3://b/output/model/. Please ensure that the role "
    f'"{ROLE}" exists and that its trust relationship policy allows the action "sts:AssumeRole" for the service '
    'principal "sagemaker.amazonaws.com". Also ensure that the role has "s3:GetObject" permissions': (
        "the artifact s3://b/output/model/ is not there, or the role may not read it"
    ),
    f"Could not assume role {ROLE}. Please ensure that the role exists and allows principal "
    "'sagemaker.amazonaws.com' to assume the role.": f"SageMaker cannot act as the role {ROLE}",
    "ClientError: SageMaker was unable to assume the role 'arn:aws:iam::379899735384:role/SageMakerRole'": (
        "SageMaker cannot act as the role arn:aws:iam::379899735384:role/SageMakerRole"
    ),
    "ClientError: TrainingHostAgent Initialization failed:InvalidInputException: SageMaker is unable to perform: "
    "sts:AssumeRole on the role. Check if you have a trust relationship for 'sagemaker.amazonaws.com' to assume the "
    "role.": "SageMaker cannot act as the role",
    "Unsupported manifest media type application/vnd.oci.image.manifest.v1+json for image "
    "123456789012.dkr.ecr.us-east-1.amazonaws.com/kennel:1.0.0. Ensure that valid manifest media type is used for "
    "specified image.": "a manifest of type application/vnd.oci.image.manifest.v1+json",
    "Requested image 123456789012.dkr.ecr.us-west-2.amazonaws.com/ezsmdeploy-image-randomname not found.": (
        "the image is not there"
    ),
    "ClientError: API error (404): manifest for 757901089955.dkr.ecr.us-west-2.amazonaws.com/tfrecord-processing:2021 "
    "not found: manifest unknown: Requested image not found": "the image is not there",
    "The image '763104351884.dkr.ecr.ap-northeast-2.amazonaws.com/tensorflow-inference-eia:1.15.0-cpu' does not "
    "exist..": "the image is not there",
    "ClientError: Cannot pull algorithm container. Either the image does not exist or its permissions are "
    "incorrect.": "the image is not there",
    "Please make sure all images included in the model for the production variant AllTraffic exist, and that the "
    "execution role used to create the model has permissions to access them.": "the image is not there",
    "standard_init_linux.go:219: exec user process caused: exec format error": "built for another processor",
    "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.70 GiB. GPU 0 has a total capacity of 6.00 "
    "GiB of which 0 bytes is free.": "the GPU's memory is too small",
    "ClientError: Data download failed:Insufficient disk space": "the disk of the instance is full",
    "The model data archive is too large. Please reduce the size of the model data archive or move to an instance type "
    "with more memory.": "the instance's memory was too small",
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance "
    "type.": "AWS has no free instance of this type",
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error.": (
        "AWS has no free instance of this type"
    ),
    "ResourceLimitExceeded: The account-level service limit 'ml.g4dn.xlarge for training job usage' is 0 Instances, "
    "with current utilization of 0 Instances and a request delta of 1 Instances. Please contact AWS support to request "
    "an increase for this limit.": "the account's quota for ml.g4dn.xlarge for training job usage is 0",
    "The requested resource training-job/ml.p2.xlarge is not available in this region": (
        "this region has no training-job/ml.p2.xlarge"
    ),
    "MaxWaitTimeExceeded": "the spot job waited too long",
    "MaxRuntimeExceeded": "the job ran as long as it may",
    "ExpiredTokenException: The security token included in the request is expired": "the credentials have expired",
    "UnrecognizedClientException: The security token included in the request is invalid.": (
        "AWS does not know these credentials"
    ),
    "Unable to locate credentials": "there are no credentials",
    "ThrottlingException: Rate exceeded": "AWS asks for fewer requests",
    'Could not connect to the endpoint URL: "https://api.sagemaker.us-est-1.amazonaws.com/"': (
        "nobody answers at https://api.sagemaker.us-est-1.amazonaws.com/"
    ),
    'Could not connect to the endpoint URL: "http://127.0.0.1:4600/"': (
        "no local AWS answers at http://127.0.0.1:4600/"
    ),
    "You must specify a region.": "the region is not one of AWS's",
    "NoSuchBucket: The specified bucket does not exist": "the bucket is not there",
    "AlgorithmError: , exit code: 137": "the process was killed, most likely because the instance's memory",
    "The primary container for production variant AllTraffic did not pass the ping health check. Please check "
    "CloudWatch logs for this endpoint.": "the container did not start",
    "InternalServerError: We encountered an internal error. Please try again.": "something went wrong on AWS's side",
    "/opt/ml/model is no artifact: it has no model.json. Train again, or fetch the artifact again": (
        "/opt/ml/model is no artifact: it has no model.json"
    ),
    f"the artifact has no network.safetensors. {REMEDY}": "the artifact has no network.safetensors",
    f"network.safetensors is not the file that the card was written for. {REMEDY}": (
        "network.safetensors is not the file that the card was written for"
    ),
}


@pytest.mark.parametrize("text", REAL)
def test_a_real_text_is_known_by_its_cause(text: str) -> None:
    found = explain(text)
    assert found is not None
    assert REAL[text] in found.cause
    assert found.remedy
    assert "{" not in found.cause + found.remedy
    assert "\n" not in found.cause + found.remedy
    assert not found.remedy.endswith(".")


def test_every_row_of_the_table_has_a_real_text() -> None:
    for row in CLEAR + NEVER_IN_LOGS + VAGUE:
        assert any(row.match(text) for text in REAL), row.pattern


def test_an_unknown_text_has_no_cause() -> None:
    assert explain("the moon was full", ["nothing to see"]) is None


def test_our_own_failure_file_is_shown_as_it_is() -> None:
    text = "AlgorithmError: loss is not a number in epoch 3. Take a smaller learning_rate, exit code: 1"
    assert explain(text) == Cause("loss is not a number in epoch 3", "Take a smaller learning_rate")
    error = JobFailed("training job dogs", text)
    assert str(error) == "training job dogs failed: loss is not a number in epoch 3. Take a smaller learning_rate"
    assert error.exit_code == 1


def test_a_traceback_of_the_toolkit_is_not_taken_for_our_words() -> None:
    assert explain("AlgorithmError: framework error: \nTraceback (most recent call last):\n boom, exit code: 1") is None


def test_the_log_explains_what_the_reason_leaves_open() -> None:
    ping = "The primary container for production variant all did not pass the ping health check."
    log = ["starting", f"/opt/ml/model is no artifact: it has no model.json. {REMEDY}", "bye"]
    found = explain(ping, log)
    assert found is not None
    assert "it has no model.json" in found.cause
    vague = explain(ping, ["starting", "bye"])
    assert vague is not None
    assert "did not start" in vague.cause


def test_a_clear_reason_beats_the_log() -> None:
    found = explain("CapacityError: Unable to provision requested ML compute capacity.", ["exec format error"])
    assert found is not None
    assert "no free instance" in found.cause


def test_a_log_line_about_throttling_is_no_cause() -> None:
    assert explain("AlgorithmError: , exit code: 1", ["Throttling the learning rate"]) is None


def test_a_failure_carries_reason_cause_remedy_and_the_last_lines() -> None:
    error = JobFailed("training job dogs", "AlgorithmError: , exit code: 137", [f"line {n}" for n in range(50)])
    assert error.log[0] == "line 30"
    assert error.log[-1] == "line 49"
    assert error.cause is not None
    assert error.message.startswith("training job dogs failed: AlgorithmError")
    assert error.remedy.startswith("The process was killed")
    assert "\n" not in str(error)


def test_a_failure_without_a_reason_still_is_a_sentence() -> None:
    assert str(JobFailed("endpoint dogs", "")) == "endpoint dogs failed. Its log tells more"


def client_error(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "CreateTrainingJob")


def test_a_client_error_becomes_one_line_with_the_remedy() -> None:
    error = from_client_error(
        client_error(
            "AccessDeniedException",
            f"User: {ROLE} is not authorized to perform: iam:PassRole on resource: {ROLE} because no identity-based "
            "policy allows the iam:PassRole action",
        )
    )
    assert error.message.startswith("AWS refused CreateTrainingJob: User:")
    assert error.message.endswith("(AccessDeniedException)")
    assert f"may not do iam:PassRole on {ROLE}. Allow iam:PassRole" in error.remedy


def test_an_unknown_client_error_is_passed_on() -> None:
    assert from_client_error(client_error("Odd", "Odd things\nhappen")).message == (
        "AWS refused CreateTrainingJob: Odd things happen (Odd)"
    )


def test_what_botocore_itself_raises_becomes_one_line_too() -> None:
    error = from_client_error(botocore.exceptions.NoCredentialsError())
    assert error.message == "Unable to locate credentials"
    assert "aws configure" in error.remedy
    refused = botocore.exceptions.EndpointConnectionError(endpoint_url="http://127.0.0.1:4600/", error="refused")
    assert "kennel local up" in from_client_error(refused).remedy
