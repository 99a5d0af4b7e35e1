"""STS: who may become whom. What tells a caller only who it is needs nothing."""

from __future__ import annotations

from kennel.local.gatekeeper.mapping.table import EVERY, Rule, Table

_ASSUMED = {
    "sts:externalid": "ExternalId",
    "sts:rolesessionname": "RoleSessionName",
    "sts:sourceidentity": "SourceIdentity",
    "sts:transitivetagkeys": "TransitiveTagKeys[]",
}

TABLE: Table = {
    "AssumeRole": (
        Rule("{RoleArn}", keys=_ASSUMED, tags="Tags"),
        Rule(
            "{RoleArn}",
            "sts:TagSession",
            keys={"sts:transitivetagkeys": "TransitiveTagKeys[]"},
            tags="Tags",
            when="Tags",
        ),
        Rule(
            "{RoleArn}", "sts:SetSourceIdentity", keys={"sts:sourceidentity": "SourceIdentity"}, when="SourceIdentity"
        ),
    ),
    # "No permissions are required" (IAM's guide, of both)
    "GetCallerIdentity": (),
    "GetSessionToken": (),
    "GetFederationToken": (Rule("arn:{.partition}:sts::{.account}:federated-user/{Name}", tags="Tags"),),
    "GetAccessKeyInfo": (Rule(EVERY),),
}
"""AssumeRoleWithSAML and AssumeRoleWithWebIdentity prove who asks by a token that nobody here verifies: no mapping."""
