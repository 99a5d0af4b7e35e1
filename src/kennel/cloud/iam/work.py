"""The roles that SageMaker, Lambda and an EC2 instance work under: each may do what its code needs, no more. Pure."""

from __future__ import annotations

from kennel.cloud import names
from kennel.cloud.debugger import RULES, rules_registry
from kennel.cloud.iam.place import ENDPOINT_LOGS, RULE_LOGS, TRAINING_LOGS, Place
from kennel.cloud.iam.values import Role, Statement, Trust

PULL = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage")
READ = (names.DATA, names.WEIGHTS, names.JOBS, names.CHECKPOINTS)
WRITTEN = (names.JOBS, names.CHECKPOINTS)
SESSIONS = (
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)


def training(place: Place) -> Role:
    """Of training jobs: the features job, a tuning job's trials, the best again with its rules."""
    settings = place.settings
    return Role(
        "training",
        settings.training_role,
        "training jobs, those of a tuning job too, and Debugger's rules",
        _sagemaker(place, "training-job", "hyper-parameter-tuning-job", "processing-job"),
        (
            Statement(
                "List", "Channels are prefixes; so are the outputs of earlier jobs, and checkpoints",
                ("s3:ListBucket",), (place.bucket,), place.prefixed(*READ),
            ),
            Statement(
                "Read", "Pictures, weights, features of an earlier job, checkpoints after an interruption",
                ("s3:GetObject",), place.objects(*READ),
            ),
            Statement(
                "Write", "Artifacts, tensors and metrics; checkpoints. Never data or weights",
                ("s3:PutObject",), place.objects(*WRITTEN),
            ),
            *_pull(place, settings.images.training),
            *_log(place, TRAINING_LOGS, f"{place.begin}*"),
            _metrics("/aws/sagemaker/TrainingJobs"),
            *(_debug(place) if settings.debugger.enabled else ()),
        ),
    )  # fmt: skip


def endpoint(place: Place) -> Role:
    """Of the endpoint's instances."""
    return Role(
        "endpoint",
        place.settings.endpoint_role,
        "the endpoint's instances",
        _sagemaker(place, "model", "endpoint-config", "endpoint"),
        (
            Statement("Read", "The artifact that it serves", ("s3:GetObject",), place.objects(names.JOBS)),
            *_pull(place, place.settings.images.serving),
            *_log(place, place.endpoint_log),
            _metrics(ENDPOINT_LOGS),
        ),
    )


def function(place: Place) -> Role:
    """Of the function. Its log group is made when it is deployed, so it needs not make one."""
    asked = place.settings.function
    pictures: tuple[Statement, ...] = ()
    if asked.s3_bucket:
        where = (f"arn:{place.partition}:s3:::{asked.s3_bucket}/*",)
        pictures = (Statement("Pictures", "s3:// addresses, which a setting allows", ("s3:GetObject",), where),)
    sources = tuple(f"{place.arn('lambda', f'function:{asked.name}', '*')}{more}" for more in ("", ":*"))
    return Role(
        "function",
        place.settings.function_role,
        "the function",
        Trust(
            {"Service": "lambda.amazonaws.com"},
            "Lambda, for this function of this account only",
            {"StringEquals": {"aws:SourceAccount": place.account}, "ArnLike": {"aws:SourceArn": sources}},
        ),
        (
            Statement(
                "Ask", "It stands in front of one endpoint", ("sagemaker:InvokeEndpoint",), place.named("endpoint")
            ),
            Statement(
                "Log", "A line a request, to its own log", ("logs:CreateLogStream", "logs:PutLogEvents"),
                (place.group(place.function_log, "*"),),
            ),
            *pictures,
        ),
    )  # fmt: skip


def instance(place: Place) -> Role:
    """Of an EC2 instance on which the training image is run by hand. It needs no right to end itself: it switches off,
    which EC2 takes for its end. Its log goes where its artifact goes."""
    settings = place.settings
    machines = (place.arn("ec2", "instance/*"),)
    read = (names.DATA, names.WEIGHTS, names.EC2)
    return Role(
        "instance",
        settings.instance_role,
        "an EC2 instance that trains",
        Trust({"Service": "ec2.amazonaws.com"}, "EC2; it names no source, so none can be asked for"),
        (
            Statement(
                "List", "Data, weights and its own runs are prefixes",
                ("s3:ListBucket",), (place.bucket,), place.prefixed(*read),
            ),
            Statement("Read", "Pictures, weights, its own checkpoints", ("s3:GetObject",), place.objects(*read)),
            Statement("Write", "What it leaves, apart from SageMaker's", ("s3:PutObject",), place.objects(names.EC2)),
            *_pull(place, settings.images.training),
            Statement(
                "Register", "Session Manager: a shell without an open port or a key",
                ("ssm:UpdateInstanceInformation",), machines, {"ArnLike": {"ec2:SourceInstanceARN": machines}},
            ),
            Statement("Shell", "Session Manager's channels, which know no resource", SESSIONS, ("*",)),
        ),
    )  # fmt: skip


def _sagemaker(place: Place, *kinds: str) -> Trust:
    return Trust(
        {"Service": "sagemaker.amazonaws.com"},
        "SageMaker, for this project's work in this account only",
        {
            "StringEquals": {"aws:SourceAccount": place.account},
            "ArnLike": {"aws:SourceArn": place.sources(*kinds)},
        },
    )


def _pull(place: Place, image: str) -> tuple[Statement, ...]:
    return (
        Statement("Login", "A login is for the whole registry", ("ecr:GetAuthorizationToken",), ("*",)),
        Statement("Pull", "The one image", PULL, (place.repository(image),)),
    )


def _log(place: Place, group: str, streams: str = "*", sid: str = "Log") -> tuple[Statement, ...]:
    """SageMaker makes the group with the first job or endpoint."""
    return (
        Statement(
            f"{sid}Group", "The log's group, made where it is missing",
            ("logs:CreateLogGroup", "logs:DescribeLogStreams"), (place.group(group),),
        ),
        Statement(
            sid, "What the containers say", ("logs:CreateLogStream", "logs:PutLogEvents"),
            (place.group(group, streams),),
        ),
    )  # fmt: skip


def _metrics(namespace: str) -> Statement:
    """CloudWatch has no resource for it, only the namespace as a condition."""
    namespaces = {"StringEquals": {"cloudwatch:namespace": namespace}}
    reason = "How busy the machines are; a namespace stands for the resource that CloudWatch does not know"
    return Statement("Metrics", reason, ("cloudwatch:PutMetricData",), ("*",), namespaces)


def _debug(place: Place) -> tuple[Statement, ...]:
    """Rules work under the training job's role: in AWS's own image, with a log of their own; one that shall end the job
    has to be allowed to."""
    rules = place.arn("ecr", f"repository/{RULES}").replace(place.account, rules_registry(place.region))
    found = (
        Statement("PullRules", "Debugger's rules are an image of AWS's", PULL, (rules,)),
        *_log(place, RULE_LOGS, f"{place.begin}*", "LogRules"),
    )
    if not place.settings.debugger.stop_on:
        return found
    return (
        *found,
        Statement(
            "FindOnIssue", "AWS's rule looks up the job that it shall end: lists know no resource",
            ("sagemaker:ListTrainingJobs",), ("*",),
        ),
        Statement(
            "StopOnIssue", "A rule of debugger.stop_on ends its job", ("sagemaker:StopTrainingJob",),
            place.named("training-job"), place.tagged(),
        ),
    )  # fmt: skip
