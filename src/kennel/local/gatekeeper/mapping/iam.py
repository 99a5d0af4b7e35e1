"""IAM: users, groups, roles, profiles, policies. Their ARNs have a path, which requests leave away: it is looked up."""

from __future__ import annotations

from kennel.local.gatekeeper.mapping.table import (
    EVERY,
    Keys,
    Place,
    Request,
    Resources,
    Rule,
    Table,
    Unknown,
    each,
    texts,
)

_MEMBERS = {
    "role": "RoleName",
    "user": "UserName",
    "group": "GroupName",
    "instance-profile": "InstanceProfileName",
    "server-certificate": "ServerCertificateName",
}
_BOUNDARY = {"iam:permissionsboundary": "PermissionsBoundary"}
_LINKED = {
    "sagemaker.application-autoscaling.amazonaws.com": "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
}
_ATTACHED = {"iam:policyarn": "PolicyArn"}


def _named(kind: str) -> Resources:
    """What is there already, by its name. A user that is not named is who asks."""

    def found(request: Request, place: Place) -> tuple[str, ...]:
        names = [each for each in texts(request, _MEMBERS[kind]) if each]
        if not names and kind == "user":
            return (place.caller or f"arn:{place.partition}:iam::{place.account}:root",)
        if not names:
            raise Unknown(f"the request names no {kind}")
        return tuple(place.found(kind, name) or arn(kind, name, place) for name in names)

    return found


def _new(kind: str, member: str) -> Resources:
    """What is being made, with the path that the request gives it."""

    def found(request: Request, place: Place) -> tuple[str, ...]:
        path = "".join(texts(request, "Path")) or "/"
        if not (path.startswith("/") and path.endswith("/")):
            raise Unknown(f"{path} is no path")
        return tuple(arn(kind, f"{path[1:]}{name}", place) for name in texts(request, member))

    return found


def arn(kind: str, name: str, place: Place) -> str:
    return f"arn:{place.partition}:iam::{place.account}:{kind}/{name}"


def _renamed(kind: str, old: str, new: str) -> Resources:
    """What a user or a group is to be called; its path stays unless another is given."""

    def found(request: Request, place: Place) -> tuple[str, ...]:
        held = texts(request, old)[0]
        name, path = ("".join(texts(request, each)) for each in (new, "NewPath"))
        here = (place.found(kind, held) or arn(kind, held, place)).split(f":{kind}/", 1)[1]
        kept = here.rpartition("/")[0]
        below = path.strip("/") if path else kept
        return (arn(kind, f"{below}/{name or held}" if below else name or held, place),)

    return found


def _key_user(request: Request, place: Place) -> tuple[str, ...]:
    """Whose a key is; of one that nobody has, anybody's."""
    keys = texts(request, "AccessKeyId")
    return tuple(place.found("access-key", key) or arn("user", "*", place) for key in keys)


def _identity_provider(request: Request, place: Place) -> tuple[str, ...]:
    return tuple(arn("oidc-provider", url.removeprefix("https://"), place) for url in texts(request, "Url"))


def _of_deletion(request: Request, place: Place) -> tuple[str, ...]:
    """`task/aws-service-role/SERVICE/ROLE/ID` is about the role of this path and name."""
    tasks = texts(request, "DeletionTaskId")
    return tuple(arn("role", task.removeprefix("task/").rpartition("/")[0] or "*", place) for task in tasks)


def linked_role(service: str, place: Place) -> str:
    """The role that a service makes for itself; its name is the service's choice."""
    name = _LINKED.get(service, "*")
    return arn("role", f"aws-service-role/{service}/{name}", place)


def _linked(request: Request, place: Place) -> tuple[str, ...]:
    return tuple(linked_role(service, place) for service in texts(request, "AWSServiceName"))


ROLE, USER, GROUP = _named("role"), _named("user"), _named("group")
PROFILE, CERTIFICATE = _named("instance-profile"), _named("server-certificate")
POLICY, OIDC, SAML = "{PolicyArn}", "{OpenIDConnectProviderArn}", "{SAMLProviderArn}"
_NEW_ROLE, _NEW_USER = _new("role", "RoleName"), _new("user", "UserName")
_NEW_PROFILE, _NEW_POLICY = _new("instance-profile", "InstanceProfileName"), _new("policy", "PolicyName")
_NEW_CERTIFICATE, _NEW_MFA = _new("server-certificate", "ServerCertificateName"), _new("mfa", "VirtualMFADeviceName")
_OF_ROLE = {"iam:permissionsboundary": "role-boundary RoleName"}
_OF_USER = {"iam:permissionsboundary": "user-boundary UserName"}


def _made(resource: Resources | str, tagging: str, keys: Keys | None = None) -> tuple[Rule, Rule]:
    """What makes a tagged thing needs to be allowed to tag it too."""
    return Rule(resource, keys=keys or {}, tags="Tags"), Rule(resource, f"iam:{tagging}", tags="Tags", when="Tags")


def _tagged(kind: str, resource: Resources | str) -> dict[str, tuple[Rule, ...]]:
    return {
        f"Tag{kind}": (Rule(resource, tags="Tags"),),
        f"Untag{kind}": (Rule(resource, untags="TagKeys[]"),),
    }


TABLE: Table = {
    "CreateRole": _made(_NEW_ROLE, "TagRole", _BOUNDARY),
    "CreateUser": _made(_NEW_USER, "TagUser", _BOUNDARY),
    "CreateGroup": (Rule(_new("group", "GroupName")),),
    "CreatePolicy": _made(_NEW_POLICY, "TagPolicy"),
    "CreateInstanceProfile": _made(_NEW_PROFILE, "TagInstanceProfile"),
    "CreateVirtualMFADevice": _made(_NEW_MFA, "TagMFADevice"),
    "CreateOpenIDConnectProvider": _made(_identity_provider, "TagOpenIDConnectProvider"),
    "CreateSAMLProvider": _made("saml-provider/{Name}", "TagSAMLProvider"),
    "UploadServerCertificate": _made(_NEW_CERTIFICATE, "TagServerCertificate"),
    "CreateServiceLinkedRole": (Rule(_linked, keys={"iam:awsservicename": "AWSServiceName"}),),
    "GetServiceLinkedRoleDeletionStatus": (Rule(_of_deletion),),
    "AddRoleToInstanceProfile": (
        Rule(PROFILE),
        Rule(ROLE, "iam:PassRole", fixed={"iam:passedtoservice": "ec2.amazonaws.com"}),
    ),
    "PutRolePermissionsBoundary": (Rule(ROLE, keys=_BOUNDARY),),
    "UpdateUser": (Rule(USER), Rule(_renamed("user", "UserName", "NewUserName"))),
    "UpdateGroup": (Rule(GROUP), Rule(_renamed("group", "GroupName", "NewGroupName"))),
    "GetAccessKeyLastUsed": (Rule(_key_user),),
    "DeleteVirtualMFADevice": (Rule("{SerialNumber}"),),
    **_tagged("Role", ROLE),
    **_tagged("User", USER),
    **_tagged("Policy", POLICY),
    **_tagged("InstanceProfile", PROFILE),
    **_tagged("OpenIDConnectProvider", OIDC),
    **each("AttachRolePolicy DetachRolePolicy", Rule(ROLE, keys=_ATTACHED, looked_up=_OF_ROLE)),
    **each("AttachUserPolicy DetachUserPolicy", Rule(USER, keys=_ATTACHED, looked_up=_OF_USER)),
    **each("AttachGroupPolicy DetachGroupPolicy", Rule(GROUP, keys=_ATTACHED)),
    **each(
        "DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy GetRole PutRolePolicy UpdateAssumeRolePolicy "
        "UpdateRole UpdateRoleDescription",
        Rule(ROLE, looked_up=_OF_ROLE),
    ),
    **each(
        "DeleteServiceLinkedRole GetRolePolicy ListAttachedRolePolicies ListInstanceProfilesForRole ListRolePolicies "
        "ListRoleTags",
        Rule(ROLE),
    ),
    **each("DeleteUserPolicy PutUserPolicy", Rule(USER, looked_up=_OF_USER)),
    **each(
        "CreateAccessKey CreateLoginProfile DeactivateMFADevice DeleteAccessKey DeleteLoginProfile DeleteSSHPublicKey "
        "DeleteSigningCertificate DeleteUser EnableMFADevice GetLoginProfile GetSSHPublicKey GetUser GetUserPolicy "
        "ListAccessKeys ListAttachedUserPolicies ListGroupsForUser ListMFADevices ListSSHPublicKeys "
        "ListSigningCertificates ListUserPolicies ListUserTags UpdateAccessKey UpdateLoginProfile UpdateSSHPublicKey "
        "UpdateSigningCertificate UploadSSHPublicKey UploadSigningCertificate",
        Rule(USER),
    ),
    **each(
        "AddUserToGroup DeleteGroup DeleteGroupPolicy GetGroup GetGroupPolicy ListAttachedGroupPolicies "
        "ListGroupPolicies PutGroupPolicy RemoveUserFromGroup",
        Rule(GROUP),
    ),
    **each("DeleteInstanceProfile GetInstanceProfile RemoveRoleFromInstanceProfile", Rule(PROFILE)),
    **each("DeleteServerCertificate GetServerCertificate", Rule(CERTIFICATE)),
    **each(
        "CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy GetPolicyVersion ListEntitiesForPolicy "
        "ListPolicyTags ListPolicyVersions SetDefaultPolicyVersion",
        Rule(POLICY),
    ),
    **each(
        "DeleteOpenIDConnectProvider GetOpenIDConnectProvider ListOpenIDConnectProviderTags "
        "UpdateOpenIDConnectProviderThumbprint",
        Rule(OIDC),
    ),
    **each("DeleteSAMLProvider GetSAMLProvider UpdateSAMLProvider", Rule(SAML)),
    **each(
        "CreateAccountAlias DeleteAccountAlias DeleteAccountPasswordPolicy GenerateCredentialReport "
        "GetAccountAuthorizationDetails GetAccountPasswordPolicy GetAccountSummary GetCredentialReport "
        "ListAccountAliases ListGroups ListInstanceProfiles ListOpenIDConnectProviders ListPolicies ListRoles "
        "ListSAMLProviders ListServerCertificates ListUsers ListVirtualMFADevices UpdateAccountPasswordPolicy",
        Rule(EVERY),
    ),
}
