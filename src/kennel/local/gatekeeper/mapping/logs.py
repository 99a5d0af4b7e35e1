"""CloudWatch Logs. A group's ARN has `:log-stream:` behind it, and no stream: who may act on it is allowed `GROUP:*`.

"Use the second version, with the trailing :*, to refer to the ARN when specifying permissions in IAM policies for all
other API actions" (CloudWatch Logs, managing access): all but those that tag by ARN.
"""

from __future__ import annotations

from collections.abc import Sequence

from kennel.local.gatekeeper.mapping.table import EVERY, Place, Request, Resources, Rule, Table, Unknown, each, texts


def _groups(*paths: str) -> Resources:
    """Groups by their names, or by the ARNs that some members take instead."""

    def found(request: Request, place: Place) -> Sequence[str]:
        names = [name for path in paths for name in texts(request, path)]
        if not names:
            raise Unknown("the request names no log group")
        return tuple(f"{_arn(name, place)}:log-stream:" for name in names)

    return found


def _arn(name: str, place: Place) -> str:
    if name.startswith("arn:"):
        return name.removesuffix(":*")
    return f"arn:{place.partition}:logs:{place.region}:{place.account}:log-group:{name}"


def _stream(request: Request, place: Place) -> Sequence[str]:
    groups = [*texts(request, "logGroupName"), *texts(request, "logGroupIdentifier")]
    streams = texts(request, "logStreamName")
    if not groups or not streams:
        raise Unknown("the request names no log stream")
    return tuple(f"{_arn(group, place)}:log-stream:{stream}" for group in groups for stream in streams)


GROUP = _groups("logGroupName", "logGroupIdentifier")
QUERIED = _groups("logGroupName", "logGroupNames[]", "logGroupIdentifiers[]")

TABLE: Table = {
    "CreateLogGroup": (
        Rule(GROUP, tags="tags"),
        Rule("log-group:{logGroupName}", "logs:TagResource", tags="tags", when="tags"),
    ),
    "TagResource": (Rule("{resourceArn}", tags="tags"),),
    "UntagResource": (Rule("{resourceArn}", untags="tagKeys[]"),),
    "ListTagsForResource": (Rule("{resourceArn}"),),
    "TagLogGroup": (Rule(GROUP, tags="tags"),),
    "UntagLogGroup": (Rule(GROUP, untags="tags[]"),),
    "StartQuery": (Rule(QUERIED),),
    "StartLiveTail": (Rule(QUERIED),),
    **each("CreateLogStream DeleteLogStream GetLogEvents PutLogEvents", Rule(_stream)),
    **each(
        "DeleteLogGroup DeleteMetricFilter DeleteRetentionPolicy DeleteSubscriptionFilter "
        "DescribeLogStreams DescribeMetricFilters DescribeSubscriptionFilters FilterLogEvents ListTagsLogGroup "
        "PutMetricFilter PutRetentionPolicy",
        Rule(GROUP),
    ),
    **each(
        "DeleteResourcePolicy DescribeDestinations DescribeExportTasks DescribeLogGroups "
        "DescribeQueries DescribeResourcePolicies PutResourcePolicy",
        Rule(EVERY),
    ),
}
"""No mapping: GetQueryResults does not say whose events it gives; CreateExportTask and PutSubscriptionFilter make moto
act elsewhere, where nobody was asked."""
