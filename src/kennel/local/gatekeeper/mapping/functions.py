"""Lambda. A function is named by its name, part of its ARN or all of it, with a version or an alias behind it.

Where a request names a version or an alias and what it does is that one's, the ARN has it behind: who may invoke
`NAME:live` may not invoke `NAME`. Aliases and versions are managed under the function's own ARN.
"""

from __future__ import annotations

import re

from kennel.local.gatekeeper.mapping.table import (
    EVERY,
    Place,
    Request,
    Resources,
    Rule,
    Table,
    Unknown,
    each,
    passes,
    texts,
)

SERVICE = "lambda.amazonaws.com"
_FORM = re.compile(
    r"(?:arn:aws[a-z-]*:lambda:(?P<region>[a-z0-9-]+):)?(?:(?P<account>\d{12}):function:)?"
    r"(?P<name>[a-zA-Z0-9-_]{1,64})(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]{1,128}))?"
)


def _function(*, qualified: bool) -> Resources:
    def found(request: Request, place: Place) -> tuple[str, ...]:
        named, qualifier = ("".join(texts(request, each)) for each in ("FunctionName", "Qualifier"))
        form = _FORM.fullmatch(named)
        if form is None or (form["qualifier"] and qualifier and form["qualifier"] != qualifier):
            raise Unknown(f"{named} names no function")
        region, account = form["region"] or place.region, form["account"] or place.account
        below = form["qualifier"] or qualifier
        tail = f":{below}" if below and qualified else ""
        return (f"arn:{place.partition}:lambda:{region}:{account}:function:{form['name']}{tail}",)

    return found


FUNCTION, QUALIFIED = _function(qualified=False), _function(qualified=True)
_CODE = "arn:{.partition}:s3:::{S3Bucket}/{S3Key}"
_NEW_CODE = "arn:{.partition}:s3:::{Code.S3Bucket}/{Code.S3Key}"
_NETWORK = {"lambda:subnetids": "VpcConfig.SubnetIds[]", "lambda:securitygroupids": "VpcConfig.SecurityGroupIds[]"}
_URL = {"lambda:functionurlauthtype": "AuthType", "lambda:functionarn": "FunctionArn"}
_PERMISSION = {"lambda:principal": "Principal", "lambda:functionurlauthtype": "FunctionUrlAuthType"}
_SIGNED = {"lambda:codesigningconfigarn": "CodeSigningConfigArn"}
_LAYER = Rule("{Layers[]}", "lambda:GetLayerVersion", when="Layers")


TABLE: Table = {
    "CreateFunction": (
        Rule(FUNCTION, keys={"lambda:layer": "Layers[]"} | _NETWORK | _SIGNED, tags="Tags"),
        Rule(FUNCTION, "lambda:TagResource", tags="Tags", when="Tags"),
        passes("Role", SERVICE),
        _LAYER,
        Rule(_NEW_CODE, "s3:GetObject", when="Code.S3Bucket", unless="Code.S3ObjectVersion"),
        Rule(_NEW_CODE, "s3:GetObjectVersion", when="Code.S3ObjectVersion"),
    ),
    "UpdateFunctionCode": (
        Rule(FUNCTION),
        Rule(_CODE, "s3:GetObject", when="S3Bucket", unless="S3ObjectVersion"),
        Rule(_CODE, "s3:GetObjectVersion", when="S3ObjectVersion"),
    ),
    "UpdateFunctionConfiguration": (
        Rule(FUNCTION, keys={"lambda:layer": "Layers[]"} | _NETWORK),
        passes("Role", SERVICE),
        _LAYER,
    ),
    "Invoke": (Rule(QUALIFIED, "lambda:InvokeFunction"),),
    "AddPermission": (Rule(QUALIFIED, keys=_PERMISSION),),
    "TagResource": (Rule("{Resource}", tags="Tags"),),
    "UntagResource": (Rule("{Resource}", untags="TagKeys[]"),),
    "ListTags": (Rule("{Resource}"),),
    **each("CreateFunctionUrlConfig UpdateFunctionUrlConfig", Rule(QUALIFIED, keys=_URL)),
    **each(
        "DeleteFunctionUrlConfig DeleteProvisionedConcurrencyConfig GetFunction GetFunctionConfiguration "
        "GetFunctionUrlConfig GetPolicy GetProvisionedConcurrencyConfig PutProvisionedConcurrencyConfig "
        "RemovePermission",
        Rule(QUALIFIED),
    ),
    **each(
        "CreateAlias DeleteAlias DeleteFunction DeleteFunctionConcurrency GetAlias GetFunctionConcurrency ListAliases "
        "ListFunctionUrlConfigs ListProvisionedConcurrencyConfigs ListVersionsByFunction PublishVersion "
        "PutFunctionConcurrency UpdateAlias",
        Rule(FUNCTION),
    ),
    **each("GetAccountSettings ListFunctions", Rule(EVERY)),
}
