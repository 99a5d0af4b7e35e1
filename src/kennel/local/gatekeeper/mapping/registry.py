"""ECR: repositories and what is in them."""

from __future__ import annotations

from kennel.local.gatekeeper.mapping.table import EVERY, Rule, Table, each

REPOSITORY = "arn:{.partition}:ecr:{.region}:{registryId}:repository/{repositoryName} | repository/{repositoryName}"
REPOSITORIES = "repository/{repositoryNames[]} | repository/*"

TABLE: Table = {
    "CreateRepository": (
        Rule(REPOSITORY, tags="tags"),
        Rule(REPOSITORY, "ecr:TagResource", tags="tags", when="tags"),
    ),
    "DescribeRepositories": (Rule(REPOSITORIES),),
    "BatchGetRepositoryScanningConfiguration": (Rule(REPOSITORIES),),
    "TagResource": (Rule("{resourceArn}", tags="tags"),),
    "UntagResource": (Rule("{resourceArn}", untags="tagKeys[]"),),
    "ListTagsForResource": (Rule("{resourceArn}"),),
    **each(
        "BatchCheckLayerAvailability BatchDeleteImage BatchGetImage CompleteLayerUpload DeleteLifecyclePolicy "
        "DeleteRepository DeleteRepositoryPolicy DescribeImageScanFindings DescribeImages GetDownloadUrlForLayer "
        "GetLifecyclePolicy GetRepositoryPolicy InitiateLayerUpload ListImages PutImage PutImageScanningConfiguration "
        "PutImageTagMutability PutLifecyclePolicy SetRepositoryPolicy StartImageScan UploadLayerPart",
        Rule(REPOSITORY),
    ),
    **each(
        "DeleteRegistryPolicy DescribeRegistry GetAuthorizationToken GetRegistryPolicy "
        "GetRegistryScanningConfiguration PutRegistryPolicy PutRegistryScanningConfiguration",
        Rule(EVERY),
    ),
}
