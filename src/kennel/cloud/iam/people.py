"""The roles that people and machines take on to use this project: who deploys, and what builds and pushes images. Pure.

Neither can widen what anybody may do, but for one thing that is the deployer's task: it opens the function's alias to
everybody. AWS has no condition for what a permission allows, so it is bounded by whom (everybody, never one account or
role, which would go unseen), by the kind of URL, and by the alias, under whose ARN no code, role or setting is changed.
Roles, the bucket's own settings and what cannot be undone (versions of objects, logs, repositories) are the
administrator's, who runs `kennel iam apply` and `kennel teardown --everything`.
"""

from __future__ import annotations

from kennel.cloud import names
from kennel.cloud.function_requests import ALIAS
from kennel.cloud.iam.place import TRAINING_LOGS, Place
from kennel.cloud.iam.scaling import scaling
from kennel.cloud.iam.values import Role, Statement, Trust, both

SAGEMAKER, LAMBDA = "sagemaker.amazonaws.com", "lambda.amazonaws.com"
JOBS = ("training-job", "hyper-parameter-tuning-job")
SERVED = ("model", "endpoint-config", "endpoint")
MADE = ("CreateTrainingJob", "CreateHyperParameterTuningJob", "CreateModel", "CreateEndpointConfig", "CreateEndpoint")
LONGEST_SESSION_S = 12 * 3600


def deployer(place: Place) -> Role:
    """Of whoever tells the story: run, deploy, function, scale, status, teardown, data, debug, predict."""
    return Role(
        "deployer",
        place.settings.deployer_role,
        "whoever runs kennel: uploads, trains, deploys, asks, tears down",
        _account(place, "Whom of this account the administrator allows sts:AssumeRole on it"),
        (*_roles(place), *_bucket(place), *_sagemaker(place), *_function(place), *_looking(place), *scaling(place)),
        LONGEST_SESSION_S,
    )


def builder(place: Place) -> Role:
    """Of what builds and pushes images (scripts/build_push.sh)."""
    images = place.settings.images
    repositories = tuple(sorted({place.repository(images.training), place.repository(images.serving)}))
    return Role(
        "builder",
        place.settings.builder_role,
        "CI that builds the images and pushes them, and does nothing else",
        _account(place, "What CI runs as, where the administrator allows it sts:AssumeRole on it"),
        (
            Statement("Login", "A login is for the whole registry", ("ecr:GetAuthorizationToken",), ("*",)),
            Statement(
                "Repositories", "They are made with the first push, with immutable tags, and tidy themselves",
                ("ecr:DescribeRepositories", "ecr:CreateRepository", "ecr:PutLifecyclePolicy"), repositories,
            ),
            Statement(
                "Push", "Layers that are missing, and the manifest",
                (
                    "ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart",
                    "ecr:CompleteLayerUpload", "ecr:PutImage",
                ),
                repositories,
            ),
            Statement(
                "Look", "A tag that is there is not built again; what was pushed is looked at",
                ("ecr:DescribeImages", "ecr:BatchGetImage"), repositories,
            ),
        ),
    )  # fmt: skip


def _account(place: Place, reason: str) -> Trust:
    """The account as the principal delegates to its administrator: nobody gets in by this alone."""
    return Trust({"AWS": f"arn:{place.partition}:iam::{place.account}:root"}, reason)


def _roles(place: Place) -> tuple[Statement, ...]:
    settings = place.settings
    worked = (settings.training_role, settings.endpoint_role, settings.function_role)
    training, endpoint, function = (place.role(each) for each in worked)
    return (
        Statement(
            "FindRoles", "Are the roles there, and as kennel.toml wants them? To change them is the administrator's",
            ("iam:GetRole", "iam:GetRolePolicy"), (training, endpoint, function),
        ),
        Statement(
            "PassToSageMaker", "Jobs and models work under these roles", ("iam:PassRole",), (training, endpoint),
            {"StringEquals": {"iam:PassedToService": SAGEMAKER}},
        ),
        Statement(
            "PassToLambda", "The function works under this role", ("iam:PassRole",), (function,),
            {"StringEquals": {"iam:PassedToService": LAMBDA}},
        ),
    )  # fmt: skip


def _bucket(place: Place) -> tuple[Statement, ...]:
    given = (names.DATA, names.WEIGHTS)
    return (
        Statement(
            "SeeBucket", "Is it there and this project's? What of it is billed, versions and lost uploads included?",
            ("s3:GetBucketTagging", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"), (place.bucket,),
        ),
        Statement(
            "List", "What is there already is not sent again; what a job has left",
            ("s3:ListBucket",), (place.bucket,), place.prefixed(*given, names.JOBS),
        ),
        Statement("Upload", "Pictures and pretrained weights", ("s3:PutObject",), place.objects(*given)),
        Statement(
            "Replace", "A channel is exactly the folder: what is not in it goes, as a version that can be had back",
            ("s3:DeleteObject",), place.objects(names.DATA),
        ),
        Statement(
            "Read", "Is the same file there, and the artifact still? Tensors and metrics, for the report",
            ("s3:GetObject",), place.objects(*given, names.JOBS),
        ),
    )  # fmt: skip


def _sagemaker(place: Place) -> tuple[Statement, ...]:
    return (
        Statement(
            "Make", "Jobs, models, endpoints; always with the project's tag",
            tuple(f"sagemaker:{each}" for each in MADE), place.named(*JOBS, *SERVED), place.requested(),
        ),
        Statement(
            "TagMade", "Only while it is made, with the tags of its making: what is another's stays another's",
            ("sagemaker:AddTags",), (place.arn("sagemaker", f"*/{place.begin}*"), *place.named("endpoint")),
            {"StringEquals": {"sagemaker:TaggingAction": MADE}},
        ),
        Statement(
            "Watch", "How far they are, what they were made of, whose they are",
            (
                "sagemaker:DescribeTrainingJob", "sagemaker:DescribeHyperParameterTuningJob",
                "sagemaker:ListTrainingJobsForHyperParameterTuningJob", "sagemaker:DescribeModel",
                "sagemaker:DescribeEndpointConfig", "sagemaker:DescribeEndpoint", "sagemaker:ListTags",
            ),
            place.named(*JOBS, *SERVED),
        ),
        Statement(
            "Act", "Only on what carries the project's tag; to scale an endpoint takes the right to change its count",
            (
                "sagemaker:StopTrainingJob", "sagemaker:StopHyperParameterTuningJob", "sagemaker:UpdateEndpoint",
                "sagemaker:DeleteEndpoint", "sagemaker:DeleteEndpointConfig", "sagemaker:DeleteModel",
                "sagemaker:InvokeEndpoint", "sagemaker:UpdateEndpointWeightsAndCapacities",
            ),
            place.named(*JOBS, *SERVED), place.tagged(),
        ),
        Statement(
            "Overview", "What of this project runs, machines too: lists know no resource",
            (
                "sagemaker:ListTrainingJobs", "sagemaker:ListHyperParameterTuningJobs", "sagemaker:ListEndpoints",
                "sagemaker:ListEndpointConfigs", "sagemaker:ListModels", "ec2:DescribeInstances",
            ),
            ("*",),
        ),
    )  # fmt: skip


def _function(place: Place) -> tuple[Statement, ...]:
    """Also of its versions and its alias."""
    function, qualified, log = place.function, f"{place.function}:*", place.function_log
    return (
        Statement(
            "MakeFunction", "With the project's tag, its log too; the ARN of a log's tagging has no end",
            ("lambda:CreateFunction", "lambda:TagResource", "logs:TagResource"),
            (function, place.group(log).removesuffix(":*")), place.requested(),
        ),
        Statement(
            "WatchFunction", "What there is of it, and how far a change is",
            (
                "lambda:GetFunction", "lambda:GetFunctionConfiguration", "lambda:GetAlias",
                "lambda:ListVersionsByFunction", "lambda:GetFunctionConcurrency", "lambda:GetFunctionUrlConfig",
                "lambda:GetProvisionedConcurrencyConfig", "lambda:ListFunctionUrlConfigs", "lambda:ListAliases",
            ),
            (function, qualified),
        ),
        Statement(
            "ChangeFunction", "Deploy, go back, ask, tear down; only where it carries the project's tag",
            (
                "lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration", "lambda:PublishVersion",
                "lambda:CreateAlias", "lambda:UpdateAlias", "lambda:PutFunctionConcurrency",
                "lambda:DeleteFunctionConcurrency", "lambda:CreateFunctionUrlConfig", "lambda:DeleteFunctionUrlConfig",
                "lambda:PutProvisionedConcurrencyConfig", "lambda:DeleteProvisionedConcurrencyConfig",
                "lambda:InvokeFunction", "lambda:DeleteAlias", "lambda:DeleteFunction",
            ),
            (function, qualified), place.tagged(),
        ),
        Statement(
            "OpenFunction", "The URL is everybody's; one of the two permissions that it takes names no kind of URL",
            ("lambda:AddPermission",), (f"{function}:{ALIAS}",),
            both(
                place.tagged(), {"StringEquals": {"lambda:Principal": "*"}},
                {"StringEqualsIfExists": {"lambda:FunctionUrlAuthType": "NONE"}},
            ),
        ),
        Statement(
            "FunctionLog", "Its log, which Lambda would make without an end to what it keeps",
            ("logs:CreateLogGroup", "logs:PutRetentionPolicy"), (place.group(log),),
        ),
    )  # fmt: skip


def _looking(place: Place) -> tuple[Statement, ...]:
    images, groups = place.settings.images, (TRAINING_LOGS, place.endpoint_log, place.function_log)
    training, *own = groups
    return (
        Statement("FindLogs", "Which streams there are", ("logs:DescribeLogStreams",), tuple(map(place.group, groups))),
        Statement(
            "ReadLogs", "Of this project's jobs, endpoint and function; the group of jobs is the account's",
            ("logs:GetLogEvents",),
            (place.group(training, f"{place.begin}*"), *(place.group(each, "*") for each in own)),
        ),
        Statement(
            "FindImages", "Jobs are told an image by its digest; what lies in the repositories is billed",
            ("ecr:DescribeImages", "ecr:DescribeRepositories", "ecr:ListImages"),
            tuple(sorted({place.repository(images.training), place.repository(images.serving)})),
        ),
        Statement(
            "Invocations", "Which endpoints serve nobody: metrics know no resource",
            ("cloudwatch:GetMetricStatistics",), ("*",),
        ),
    )  # fmt: skip
