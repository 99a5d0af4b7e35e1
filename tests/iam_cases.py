"""What the IAM guide says of decisions, as cases: each has the rule as its name (… goes on with the one before).

`test_iam_evaluation.py` asks them all; iam_conditions.py has those of the Condition element.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kennel.iam.values import Access, Caller, Policies, Policy, Reason

A, B = "111122223333", "444455556666"
ROLE, ROOT = f"arn:aws:iam::{A}:role/examplerole", f"arn:aws:iam::{A}:root"
USER_ARN, SESSION_ARN = f"arn:aws:iam::{A}:user/team/Ana", f"arn:aws:sts::{A}:assumed-role/examplerole/session"
USER = Caller(USER_ARN, A)
SESSION = Caller(SESSION_ARN, A, ROLE)
OWNER = Caller(ROOT, A)
STRANGER = Caller(f"arn:aws:iam::{B}:user/Eve", B)
SERVICE = Caller("sagemaker.amazonaws.com")
NOBODY = Caller("")
OBJECT = "arn:aws:s3:::bucket/home/file"
GET = Access("s3:GetObject", OBJECT)
ASSUME = Access("sts:AssumeRole", ROLE)
Statement = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    rule: str
    expected: Reason
    policies: Policies
    access: Access = GET
    caller: Caller = USER


def allow(action: object = "s3:GetObject", resource: object = "*", **more: Any) -> Statement:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: object = "s3:GetObject", resource: object = "*", **more: Any) -> Statement:
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def without(statement: Statement, *names: str) -> Statement:
    return {key: each for key, each in statement.items() if key not in names}


def policy(*statements: Statement, version: str = "2012-10-17") -> Policy:
    return {"Version": version, "Statement": list(statements)}


def mine(*statements: Statement, **more: Any) -> Policies:
    return Policies((policy(*statements),), **more) if statements else Policies(**more)


def on(*statements: Statement) -> Policy:
    return policy(*statements)


def whom(principal: object, statement: Statement | None = None) -> Statement:
    return {**(statement or allow()), "Principal": principal}


def trust(principal: object, **more: Any) -> Policy:
    return policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more})


def only(*actions: str) -> tuple[Policy, ...]:
    return (policy(allow(list(actions))),)


def asked(action: str, resource: str = "*", **context: str) -> Access:
    return Access(action, resource, {key.replace("__", ":").lower(): (each,) for key, each in context.items()})


def tagged(resource: str = OBJECT, **context: str) -> Access:
    return Access("s3:GetObject", resource, {f"aws:{key}": (each,) for key, each in context.items()})


OK: Reason = "allowed"
NO: Reason = "no identity-based policy allows"
NO_RESOURCE: Reason = "no resource-based policy allows"
NO_BOUNDARY: Reason = "no permissions boundary allows"
NO_SESSION: Reason = "no session policy allows"
DENIED: Reason = "explicit deny in an identity-based policy"
ELSE = only("ec2:*")

BASICS = [
    Case("By default, all requests are implicitly denied", NO, mine()),
    Case("An explicit allow in an identity-based policy overrides this default", OK, mine(allow())),
    Case("An explicit deny in any policy overrides any allows", DENIED, mine(allow(), deny())),
    Case("the same, whatever comes first", DENIED, mine(deny(), allow())),
    Case("the same, in another document", DENIED, Policies((policy(deny()), policy(allow("*"))))),
    Case("a deny of something else denies nothing", OK, mine(allow(), deny("s3:PutObject"))),
    Case("a deny alone allows nothing of the rest", NO, mine(deny("s3:PutObject"))),
    Case("AWS checks all of those policies for at least one Allow", OK, Policies((*ELSE, policy(allow())))),
    Case("root is not denied by default: it has full access", OK, mine(), GET, OWNER),
    Case(
        "what a resource's policy denies is denied to root too",
        "explicit deny in a resource-based policy",
        mine(resource=on(whom("*", deny()))),
        GET,
        OWNER,
    ),
    Case("a statement may stand without a list", OK, Policies(({"Version": "2012-10-17", "Statement": allow()},))),
    Case("a policy without Version is of 2008-10-17", OK, Policies(({"Statement": [allow()]},))),
    Case("Sid, and an empty one, change nothing", OK, mine(allow(Sid="One"), allow(Sid=""), allow(Sid=""))),
]

ACTIONS = [
    Case("Action: '*' is every action of every service", OK, mine(allow("*"))),
    Case("*:* is that too", OK, mine(allow("*:*"))),
    Case("service:* is every action of the service", OK, mine(allow("s3:*"))),
    Case("service:* is of no other service", NO, mine(allow("s3:*")), asked("s3express:CreateSession")),
    Case("Action names can include wildcards at the end", OK, mine(allow("s3:Get*"))),
    Case("… and in the middle", OK, mine(allow("iam:*AccessKey*")), asked("iam:CreateAccessKey")),
    Case("… which may match nothing", OK, mine(allow("s3:GetObject*"))),
    Case("? is one character", OK, mine(allow("s3:GetObjec?"))),
    Case("? is no less than one", NO, mine(allow("s3:GetObject?"))),
    Case("The prefix and the action name are case insensitive", OK, mine(allow("S3:getOBJECT"))),
    Case("… with wildcards too", OK, mine(allow("S3:gET*"))),
    Case("… whatever the request's case", OK, mine(allow()), asked("s3:getobject", OBJECT)),
    Case("of a list, one has to match", OK, mine(allow(["s3:PutObject", "s3:GetObject"]))),
    Case("an action is no prefix", NO, mine(allow("s3:Get"))),
    Case("an action is no suffix", NO, mine(allow("s3:GetObjectAcl"))),
    Case("a dot is a dot", NO, mine(allow("s3:GetObjectAcl")), asked("s3:GetObject.cl")),
    Case("NotAction matches everything except the list", OK, mine(without(allow(NotAction="iam:*"), "Action"))),
    Case(
        "NotAction with Allow: what is listed is not allowed", NO, mine(without(allow(NotAction="s3:Get*"), "Action"))
    ),
    Case(
        "NotAction with Deny denies all that is not listed",
        DENIED,
        mine(allow("*"), without(deny(NotAction=["iam:*", "sts:*"]), "Action")),
    ),
    Case(
        "NotAction with Deny: what is listed is not denied, and not allowed by that",
        NO,
        mine(without(deny(NotAction="s3:*"), "Action")),
    ),
]

RESOURCES = [
    Case("Resource: '*' is every resource", OK, mine(allow())),
    Case("an ARN names its resource", OK, mine(allow(resource=OBJECT))),
    Case("… and no other", NO, mine(allow(resource="arn:aws:s3:::bucket/home"))),
    Case("a bucket's ARN is not its objects'", NO, mine(allow(resource="arn:aws:s3:::bucket"))),
    Case(
        "an object's pattern is not its bucket's",
        NO,
        mine(allow("s3:*", "arn:aws:s3:::bucket/*")),
        asked("s3:ListBucket", "arn:aws:s3:::bucket"),
    ),
    Case("ARNs are case sensitive", NO, mine(allow(resource="arn:aws:s3:::bucket/HOME/file"))),
    Case("all items within a bucket", OK, mine(allow(resource="arn:aws:s3:::bucket/*"))),
    Case("* represents any combination of characters, slashes too", OK, mine(allow(resource="arn:aws:s3:::b*e"))),
    Case("? is any single character", OK, mine(allow(resource="arn:aws:s3:::bucket/home?file"))),
    Case("multiple * in each segment", OK, mine(allow(resource="arn:aws:s3:::*ck*/h*e"))),
    Case("pieces between stars do not overlap", NO, mine(allow(resource="arn:aws:s3:::bucket/home/fil*ile"))),
    Case(
        "a * that ends a segment can expand beyond the colon",
        OK,
        mine(allow("logs:*", f"arn:aws:logs:eu-west-1:{A}:*")),
        asked("logs:PutLogEvents", f"arn:aws:logs:eu-west-1:{A}:log-group:/aws/x:log-stream:y"),
    ),
    Case("an incomplete ARN is completed with *", OK, mine(allow(resource="arn:aws:s3"))),
    Case(
        "… at any place",
        OK,
        mine(allow("sqs:*", "arn:aws:sqs:eu-west-1")),
        asked("sqs:SendMessage", f"arn:aws:sqs:eu-west-1:{A}:queue"),
    ),
    Case("… and still names its service", NO, mine(allow("*", "arn:aws:sqs"))),
    Case("of a list, one has to match", OK, mine(allow(resource=["arn:aws:s3:::other/*", "arn:aws:s3:::bucket/h*"]))),
    Case(
        "the action and the resource have to match in one statement",
        NO,
        mine(allow("s3:PutObject"), allow(resource="arn:aws:s3:::other/*")),
    ),
    Case(
        "a line break in a key is a character",
        OK,
        mine(allow(resource="arn:aws:s3:::bucket/*")),
        asked("s3:GetObject", "arn:aws:s3:::bucket/a\nb"),
    ),
    Case(
        "nothing may follow what a pattern ends with",
        NO,
        mine(allow(resource=OBJECT)),
        asked("s3:GetObject", OBJECT + "\n"),
    ),
    Case(
        "a backslash is a backslash",
        OK,
        mine(allow(resource="arn:aws:s3:::bucket/a\\*")),
        asked("s3:GetObject", "arn:aws:s3:::bucket/a\\b"),
    ),
    Case("brackets are no wildcards", NO, mine(allow(resource="arn:aws:s3:::bucket/[a-z]*")), GET),
    Case(
        "an action without resources needs *",
        NO,
        mine(allow("sagemaker:ListModels", "arn:aws:sagemaker:*")),
        asked("sagemaker:ListModels"),
    ),
    Case("NotResource matches all but those", OK, mine(without(allow(NotResource="arn:aws:s3:::other/*"), "Resource"))),
    Case(
        "NotResource with Allow: what is listed is not allowed",
        NO,
        mine(without(allow(NotResource="arn:aws:s3:::bucket/*"), "Resource")),
    ),
    Case(
        "NotResource with Deny denies all that is not listed",
        DENIED,
        mine(allow("*"), without(deny(NotResource=["arn:aws:s3:::other", "arn:aws:s3:::other/*"]), "Resource")),
    ),
    Case(
        "NotResource with Deny: what is listed is not denied",
        OK,
        mine(allow(), without(deny(NotResource="arn:aws:s3:::bucket/*"), "Resource")),
    ),
]

HOME = "arn:aws:s3:::bucket/${aws:username}/*"
VARIABLES = [
    Case(
        "variables are replaced with values from the request", OK, mine(allow(resource=HOME)), tagged(username="home")
    ),
    Case("… which have to match", NO, mine(allow(resource=HOME)), tagged(username="Ana")),
    Case(
        "key names are case-insensitive",
        OK,
        mine(allow(resource="arn:aws:s3:::bucket/${AWS:UserName}/*")),
        tagged(username="home"),
    ),
    Case("values are case sensitive", NO, mine(allow(resource=HOME)), tagged(username="Home")),
    Case("a variable that is not present matches nothing", NO, mine(allow(resource=HOME))),
    Case("… not even nothing", NO, mine(allow(resource="arn:aws:s3:::bucket/home/file${aws:username}"))),
    Case("… and spoils no other resource of the statement", OK, mine(allow(resource=[HOME, OBJECT]))),
    Case("… and makes a NotResource statement invalid", NO, mine(without(allow(NotResource=HOME), "Resource"))),
    Case(
        "an empty value is a value",
        OK,
        mine(allow(resource="arn:aws:s3:::bucket/home/file${aws:username}")),
        tagged(username=""),
    ),
    Case(
        "a default is taken where the key is absent",
        OK,
        mine(allow(resource="arn:aws:s3:::bucket/${aws:username, 'home'}/*")),
    ),
    Case(
        "… and not where it is there",
        NO,
        mine(allow(resource="arn:aws:s3:::bucket/${aws:username, 'home'}/*")),
        tagged(username="Ana"),
    ),
    Case(
        "tags can be variables",
        OK,
        mine(allow(resource="arn:aws:s3:::bucket/${aws:PrincipalTag/team}/*")),
        Access("s3:GetObject", OBJECT, {"aws:principaltag/team": ("home",)}),
    ),
    Case(
        "a multivalued context key cannot be a policy variable",
        NO,
        mine(allow(resource="arn:aws:s3:::bucket/${aws:TagKeys}/*")),
        Access("s3:GetObject", OBJECT, {"aws:tagkeys": ("home", "Ana")}),
    ),
    Case(
        "several variables in one string",
        OK,
        mine(allow(resource="arn:aws:s3:::${aws:a}/${aws:b}/*")),
        tagged(a="bucket", b="home"),
    ),
    Case("a * in a value is no wildcard", NO, mine(allow(resource=HOME)), tagged(username="*")),
    Case("a ? in a value is no wildcard", NO, mine(allow(resource=HOME)), tagged(username="hom?")),
    Case(
        "a variable in a value is not replaced again",
        NO,
        mine(allow(resource=HOME)),
        tagged(username="${aws:other}", other="home"),
    ),
    Case(
        "${*} is an asterisk",
        OK,
        mine(allow(resource="arn:aws:s3:::bucket/a${*}b")),
        asked("s3:GetObject", "arn:aws:s3:::bucket/a*b"),
    ),
    Case(
        "… and no wildcard",
        NO,
        mine(allow(resource="arn:aws:s3:::bucket/a${*}b")),
        asked("s3:GetObject", "arn:aws:s3:::bucket/axb"),
    ),
    Case(
        "${?} is a question mark",
        OK,
        mine(allow(resource="arn:aws:s3:::bucket/a${?}")),
        asked("s3:GetObject", "arn:aws:s3:::bucket/a?"),
    ),
    Case(
        "… and no wildcard",
        NO,
        mine(allow(resource="arn:aws:s3:::bucket/a${?}")),
        asked("s3:GetObject", "arn:aws:s3:::bucket/ab"),
    ),
    Case(
        "${$} is a dollar sign",
        OK,
        mine(allow(resource="arn:aws:s3:::bucket/${$}{aws:username}")),
        asked("s3:GetObject", "arn:aws:s3:::bucket/${aws:username}"),
    ),
    Case(
        "in version 2008-10-17 variables are literal strings",
        NO,
        Policies((policy(allow(resource=HOME), version="2008-10-17"),)),
        tagged(username="home"),
    ),
    Case(
        "… that match themselves",
        OK,
        Policies((policy(allow(resource=HOME), version="2008-10-17"),)),
        asked("s3:GetObject", "arn:aws:s3:::bucket/${aws:username}/x"),
    ),
    Case(
        "… also where Version is missing",
        NO,
        Policies(({"Statement": [allow(resource=HOME)]},)),
        tagged(username="home"),
    ),
]

LIMITS = [
    Case("a boundary and the identity's policy have both to allow", OK, mine(allow(), boundary=only("s3:*"))),
    Case("an implicit deny of the boundary limits the identity's policy", NO_BOUNDARY, mine(allow(), boundary=ELSE)),
    Case("a boundary alone grants nothing", NO, mine(boundary=only("*"))),
    Case("an empty boundary allows nothing", NO_BOUNDARY, mine(allow(), boundary=())),
    Case(
        "a boundary's explicit deny denies",
        "explicit deny in a permissions boundary",
        mine(allow(), boundary=(policy(allow("*"), deny()),)),
    ),
    Case("a session's permissions are the intersection of both", OK, mine(allow(), session=only("s3:*")), GET, SESSION),
    Case("what the session policy does not allow is denied", NO_SESSION, mine(allow(), session=ELSE), GET, SESSION),
    Case("a session policy alone grants nothing", NO, mine(session=only("*")), GET, SESSION),
    Case("without a session policy a role session has its role's permissions", OK, mine(allow()), GET, SESSION),
    Case(
        "a session policy's explicit deny denies",
        "explicit deny in a session policy",
        mine(allow(), session=(policy(allow("*"), deny()),)),
        GET,
        SESSION,
    ),
    Case("several session policies are one union", OK, mine(allow(), session=(*ELSE, *only("s3:*"))), GET, SESSION),
    Case(
        "boundary, session policy and identity's policy have all to allow",
        NO_BOUNDARY,
        mine(allow(), boundary=ELSE, session=only("*")),
        GET,
        SESSION,
    ),
    Case(
        "a federated user's session has nothing without a session policy",
        NO_SESSION,
        mine(allow()),
        GET,
        Caller(f"arn:aws:sts::{A}:federated-user/Ana", A),
    ),
    Case(
        "… and the intersection with one",
        OK,
        mine(allow(), session=only("s3:*")),
        GET,
        Caller(f"arn:aws:sts::{A}:federated-user/Ana", A),
    ),
]

DENY_RESOURCE: Reason = "explicit deny in a resource-based policy"
RESOURCE_BASED = [
    Case(
        "an allow in a resource-based policy is enough within the account",
        OK,
        mine(resource=on(whom({"AWS": USER_ARN}))),
    ),
    Case("an allow in either is enough", OK, mine(allow(), resource=on(whom({"AWS": f"{USER_ARN}x"})))),
    Case("its explicit deny overrides", DENY_RESOURCE, mine(allow("*"), resource=on(whom({"AWS": USER_ARN}, deny())))),
    Case(
        "the identity's explicit deny overrides what it allows",
        DENIED,
        mine(deny(), resource=on(whom({"AWS": USER_ARN}))),
    ),
    Case("the user name part of the ARN is case sensitive", NO, mine(resource=on(whom({"AWS": USER_ARN.lower()})))),
    Case("another user is not named", NO, mine(resource=on(whom({"AWS": f"arn:aws:iam::{A}:user/Bob"})))),
    Case(
        "of several principals one has to be the caller (OR)",
        OK,
        mine(resource=on(whom({"AWS": [f"arn:aws:iam::{A}:user/Bob", USER_ARN]}))),
    ),
    Case("an account delegates: its user needs a policy of his own", NO, mine(resource=on(whom({"AWS": A})))),
    Case("… the same by the account's root ARN", NO, mine(resource=on(whom({"AWS": ROOT})))),
    Case("… and has one", OK, mine(allow(), resource=on(whom({"AWS": ROOT})))),
    Case(
        "an account that is denied is all who are in it",
        DENY_RESOURCE,
        mine(allow(), resource=on(whom({"AWS": ROOT}, deny()))),
    ),
    Case("* with Allow: principals of the account need no other permission", OK, mine(resource=on(whom("*")))),
    Case('{"AWS": "*"} is equivalent', OK, mine(resource=on(whom({"AWS": "*"})))),
    Case("* is anonymous users too", OK, mine(resource=on(whom("*"))), GET, NOBODY),
    Case("anonymous users are in no account", NO_RESOURCE, mine(resource=on(whom({"AWS": A}))), GET, NOBODY),
    Case("who did not sign has nothing by default", NO_RESOURCE, mine(), GET, NOBODY),
    Case(
        "a user named directly is not limited by his boundary",
        OK,
        mine(boundary=ELSE, resource=on(whom({"AWS": USER_ARN}))),
    ),
    Case(
        "… unless that denies explicitly",
        "explicit deny in a permissions boundary",
        mine(boundary=(policy(deny()),), resource=on(whom({"AWS": USER_ARN}))),
    ),
    Case("a role's ARN allows its sessions", OK, mine(resource=on(whom({"AWS": ROLE}))), GET, SESSION),
    Case(
        "a role's ARN is limited by a boundary",
        NO_BOUNDARY,
        mine(boundary=ELSE, resource=on(whom({"AWS": ROLE}))),
        GET,
        SESSION,
    ),
    Case("… and by a session policy", NO_SESSION, mine(session=ELSE, resource=on(whom({"AWS": ROLE}))), GET, SESSION),
    Case(
        "… where both allow it does not need the role's policies",
        OK,
        mine(boundary=only("s3:*"), session=only("s3:*"), resource=on(whom({"AWS": ROLE}))),
        GET,
        SESSION,
    ),
    Case(
        "a session's ARN is not limited by a boundary",
        OK,
        mine(boundary=ELSE, resource=on(whom({"AWS": SESSION_ARN}))),
        GET,
        SESSION,
    ),
    Case("… nor by a session policy", OK, mine(session=ELSE, resource=on(whom({"AWS": SESSION_ARN}))), GET, SESSION),
    Case(
        "another session of the role is not named",
        NO,
        mine(resource=on(whom({"AWS": f"{SESSION_ARN}2"}))),
        GET,
        SESSION,
    ),
    Case("another role is not named", NO, mine(resource=on(whom({"AWS": f"{ROLE}2"}))), GET, SESSION),
    Case(
        "* with aws:PrincipalArn is not limited by a boundary",
        OK,
        mine(boundary=ELSE, resource=on({**whom("*"), "Condition": {"ArnEquals": {"aws:PrincipalArn": ROLE}}})),
        Access("s3:GetObject", OBJECT, {"aws:principalarn": (ROLE,)}),
        SESSION,
    ),
    Case(
        "a service is named by its name",
        OK,
        mine(resource=on(whom({"Service": "sagemaker.amazonaws.com"}))),
        GET,
        SERVICE,
    ),
    Case("… and no other is", NO_RESOURCE, mine(resource=on(whom({"Service": "lambda.amazonaws.com"}))), GET, SERVICE),
    Case(
        "of several services one has to be the caller",
        OK,
        mine(resource=on(whom({"Service": ["ecs.amazonaws.com", "sagemaker.amazonaws.com"]}))),
        GET,
        SERVICE,
    ),
    Case("a service has nothing by default", NO_RESOURCE, mine(), GET, SERVICE),
    Case("a user is no service", NO, mine(resource=on(whom({"Service": "sagemaker.amazonaws.com"})))),
    Case(
        "NotPrincipal with Deny denies all but those",
        DENY_RESOURCE,
        mine(allow(), resource=on({**deny(), "NotPrincipal": {"AWS": [f"arn:aws:iam::{B}:user/Bob", B]}})),
    ),
    Case(
        "… and not those, with the account's ARN",
        OK,
        mine(allow(), resource=on({**deny(), "NotPrincipal": {"AWS": [USER_ARN, ROOT]}})),
    ),
    Case(
        "… a session with its role's and its account's",
        OK,
        mine(allow(), resource=on({**deny(), "NotPrincipal": {"AWS": [SESSION_ARN, ROLE, ROOT]}})),
        GET,
        SESSION,
    ),
    Case(
        "… which does not grant access by itself",
        NO,
        mine(resource=on({**deny(), "NotPrincipal": {"AWS": [USER_ARN, ROOT]}})),
    ),
    Case(
        "NotPrincipal with Allow allows all but those",
        OK,
        mine(resource=on({**allow(), "NotPrincipal": {"AWS": f"arn:aws:iam::{B}:user/Bob"}})),
    ),
    Case("… and not those", NO, mine(resource=on({**allow(), "NotPrincipal": {"AWS": USER_ARN}}))),
    Case("… and anonymous users", OK, mine(resource=on({**allow(), "NotPrincipal": {"AWS": USER_ARN}})), GET, NOBODY),
    Case(
        "a policy on a repository names no resource",
        OK,
        mine(resource=on(without(whom({"AWS": USER_ARN}, allow("ecr:BatchGetImage")), "Resource"))),
        asked("ecr:BatchGetImage", f"arn:aws:ecr:eu-west-1:{A}:repository/x"),
    ),
    Case("a deleted user's id names nobody", NO, mine(resource=on(whom({"AWS": "AIDACKCEVSQ6C2EXAMPLE"})))),
    Case("a canonical user is none of IAM's", NO, mine(resource=on(whom({"CanonicalUser": "79a59df900b949e55d96"})))),
]

THEIRS = {"aws:resourceaccount": (A,)}
ACROSS = [
    Case(
        "across accounts the identity's policy alone is not enough",
        NO_RESOURCE,
        mine(allow()),
        Access("s3:GetObject", OBJECT, THEIRS),
        STRANGER,
    ),
    Case(
        "across accounts the resource's policy alone is not enough",
        NO,
        mine(resource=on(whom({"AWS": STRANGER.arn}))),
        Access("s3:GetObject", OBJECT, THEIRS),
        STRANGER,
    ),
    Case(
        "across accounts both have to allow",
        OK,
        mine(allow(), resource=on(whom({"AWS": STRANGER.arn}))),
        Access("s3:GetObject", OBJECT, THEIRS),
        STRANGER,
    ),
    Case(
        "the resource's policy may name the account",
        OK,
        mine(allow(), resource=on(whom({"AWS": B}))),
        Access("s3:GetObject", OBJECT, THEIRS),
        STRANGER,
    ),
    Case(
        "… or everybody, who still need permissions in their account",
        NO,
        mine(resource=on(whom("*"))),
        Access("s3:GetObject", OBJECT, THEIRS),
        STRANGER,
    ),
    Case(
        "the other account is not named",
        NO_RESOURCE,
        mine(allow(), resource=on(whom({"AWS": A}))),
        Access("s3:GetObject", OBJECT, THEIRS),
        STRANGER,
    ),
    Case(
        "a boundary limits across accounts even who is named",
        NO_BOUNDARY,
        mine(allow(), boundary=ELSE, resource=on(whom({"AWS": STRANGER.arn}))),
        Access("s3:GetObject", OBJECT, THEIRS),
        STRANGER,
    ),
    Case(
        "a session policy limits across accounts even a session that is named",
        NO_SESSION,
        mine(allow(), session=ELSE, resource=on(whom({"AWS": f"arn:aws:sts::{B}:assumed-role/r/s"}))),
        Access("s3:GetObject", OBJECT, THEIRS),
        Caller(f"arn:aws:sts::{B}:assumed-role/r/s", B, f"arn:aws:iam::{B}:role/r"),
    ),
    Case(
        "the account in the resource's ARN says whose it is",
        NO_RESOURCE,
        mine(allow("*")),
        asked("sqs:SendMessage", f"arn:aws:sqs:eu-west-1:{A}:queue"),
        STRANGER,
    ),
    Case(
        "a deny on either side denies",
        DENY_RESOURCE,
        mine(allow(), resource=on(whom({"AWS": B}), whom("*", deny()))),
        Access("s3:GetObject", OBJECT, THEIRS),
        STRANGER,
    ),
    Case(
        "another account's root needs the resource's policy",
        NO_RESOURCE,
        mine(),
        Access("s3:GetObject", OBJECT, THEIRS),
        Caller(f"arn:aws:iam::{B}:root", B),
    ),
    Case(
        "… and that is enough for it",
        OK,
        mine(resource=on(whom({"AWS": B}))),
        Access("s3:GetObject", OBJECT, THEIRS),
        Caller(f"arn:aws:iam::{B}:root", B),
    ),
]

TO_ASSUME = allow("sts:AssumeRole", ROLE)
ELSEWHERE = asked("sts:AssumeRole", f"arn:aws:iam::{B}:role/theirs")
TRUST = [
    Case("a trust policy must explicitly allow", NO_RESOURCE, mine(TO_ASSUME), ASSUME),
    Case(
        "… whom it does not name it does not",
        NO_RESOURCE,
        mine(TO_ASSUME, resource=trust({"AWS": f"arn:aws:iam::{A}:user/Bob"})),
        ASSUME,
    ),
    Case(
        "an account in it delegates to identity-based policies", OK, mine(TO_ASSUME, resource=trust({"AWS": A})), ASSUME
    ),
    Case("… which have to allow", NO, mine(resource=trust({"AWS": ROOT})), ASSUME),
    Case("… this very role", NO, mine(allow("sts:AssumeRole", f"{ROLE}2"), resource=trust({"AWS": A})), ASSUME),
    Case("the very ARN of a user suffices within the account", OK, mine(resource=trust({"AWS": USER_ARN})), ASSUME),
    Case("… unless his policies deny", DENIED, mine(deny("sts:*"), resource=trust({"AWS": USER_ARN})), ASSUME),
    Case(
        "a role's ARN lets its sessions assume the next",
        OK,
        mine(resource=trust({"AWS": ROLE})),
        asked("sts:AssumeRole", f"{ROLE}2"),
        SESSION,
    ),
    Case(
        "… within their session policy",
        NO_SESSION,
        mine(session=ELSE, resource=trust({"AWS": ROLE})),
        asked("sts:AssumeRole", f"{ROLE}2"),
        SESSION,
    ),
    Case(
        "a service may assume what trusts it",
        OK,
        mine(resource=trust({"Service": "sagemaker.amazonaws.com"})),
        ASSUME,
        SERVICE,
    ),
    Case("… and nothing else", NO_RESOURCE, mine(resource=trust({"Service": "lambda.amazonaws.com"})), ASSUME, SERVICE),
    Case(
        "a user may not assume a service's role",
        NO_RESOURCE,
        mine(TO_ASSUME, resource=trust({"Service": "sagemaker.amazonaws.com"})),
        ASSUME,
    ),
    Case(
        "aws:SourceAccount keeps a confused deputy out",
        NO_RESOURCE,
        mine(
            resource=trust({"Service": "sagemaker.amazonaws.com"}, Condition={"StringEquals": {"aws:SourceAccount": A}})
        ),
        Access("sts:AssumeRole", ROLE, {"aws:sourceaccount": (B,)}),
        SERVICE,
    ),
    Case(
        "… and the right one in",
        OK,
        mine(
            resource=trust({"Service": "sagemaker.amazonaws.com"}, Condition={"StringEquals": {"aws:SourceAccount": A}})
        ),
        Access("sts:AssumeRole", ROLE, {"aws:sourceaccount": (A,)}),
        SERVICE,
    ),
    Case(
        "… where it is not sent, nobody",
        NO_RESOURCE,
        mine(
            resource=trust({"Service": "sagemaker.amazonaws.com"}, Condition={"StringEquals": {"aws:SourceAccount": A}})
        ),
        ASSUME,
        SERVICE,
    ),
    Case(
        "an external id has to be given",
        NO_RESOURCE,
        mine(TO_ASSUME, resource=trust({"AWS": A}, Condition={"StringEquals": {"sts:ExternalId": "x"}})),
        ASSUME,
    ),
    Case("across accounts trust alone is not enough", NO, mine(resource=trust({"AWS": USER_ARN})), ELSEWHERE),
    Case("… nor is permission", NO_RESOURCE, mine(allow("sts:AssumeRole")), ELSEWHERE),
    Case("… both are", OK, mine(allow("sts:AssumeRole"), resource=trust({"AWS": A})), ELSEWHERE),
    Case(
        "root needs to be trusted as everybody does",
        NO_RESOURCE,
        mine(resource=trust({"Service": "sagemaker.amazonaws.com"})),
        ASSUME,
        OWNER,
    ),
    Case("… by its account", OK, mine(resource=trust({"AWS": A})), ASSUME, OWNER),
    Case(
        "to tag a session has to be trusted too",
        NO_RESOURCE,
        mine(allow("sts:*"), resource=trust({"AWS": A})),
        asked("sts:TagSession", ROLE),
    ),
    Case(
        "other actions of STS have no trust policy",
        OK,
        mine(allow("sts:GetFederationToken")),
        asked("sts:GetFederationToken", USER_ARN),
    ),
    Case(
        "a web identity is none of these callers",
        NO_RESOURCE,
        mine(TO_ASSUME, resource=trust({"Federated": "cognito-identity.amazonaws.com"})),
        ASSUME,
    ),
]

CARLOS = policy(
    allow(["s3:GetBucketLocation", "s3:ListAllMyBuckets"], "arn:aws:s3:::*", Sid="AllowS3ListRead"),
    allow("s3:*", ["arn:aws:s3:::carlossalazar/*", "arn:aws:s3:::carlossalazar"], Sid="AllowS3Self"),
    deny("s3:*", "arn:aws:s3:::*log*", Sid="DenyS3Logs"),
)
REPORTS = policy(
    allow(["iam:Get*", "iam:List*"], Sid="AllowGetList"),
    deny("iam:*Report", Sid="DenyReports"),
)
HOMES = policy(
    allow(["s3:ListAllMyBuckets", "s3:GetBucketLocation"], "arn:aws:s3:::*"),
    allow(
        "s3:ListBucket",
        "arn:aws:s3:::bucket",
        Condition={"StringLike": {"s3:prefix": ["", "home/", "home/${aws:username}/"]}},
    ),
    allow("s3:*", ["arn:aws:s3:::bucket/home/${aws:username}", "arn:aws:s3:::bucket/home/${aws:username}/*"]),
)
RUN = allow("ec2:RunInstances", Condition={"StringLike": {"ec2:InstanceType": ["t1.*", "t2.*", "m3.*"]}})
RUN_IF = allow("ec2:RunInstances", Condition={"StringLikeIfExists": {"ec2:InstanceType": ["t1.*", "t2.*", "m3.*"]}})
PASSED = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
PERIMETER = without(deny("*", NotAction=["iam:*", "sts:*"]), "Action")
EXAMPLES = [
    Case(
        "Carlos may not touch a bucket with log in its name",
        DENIED,
        Policies((CARLOS,)),
        asked("s3:PutObject", "arn:aws:s3:::carlossalazar-logs/x"),
    ),
    Case(
        "… and may save a file to his own",
        OK,
        Policies((CARLOS,)),
        asked("s3:PutObject", "arn:aws:s3:::carlossalazar/x"),
    ),
    Case("… and list all", OK, Policies((CARLOS,)), asked("s3:ListAllMyBuckets", "arn:aws:s3:::*")),
    Case("… and nothing of others'", NO, Policies((CARLOS,)), asked("s3:PutObject", "arn:aws:s3:::other/x")),
    Case("reports are denied", DENIED, Policies((REPORTS,)), asked("iam:GetOrganizationsAccessReport")),
    Case("… what begins with Get and List is allowed", OK, Policies((REPORTS,)), asked("iam:GetUser")),
    Case("… to create is denied implicitly", NO, Policies((REPORTS,)), asked("iam:CreatePolicy")),
    Case(
        "… whoever grants reports",
        DENIED,
        Policies((REPORTS, policy(allow("iam:*")))),
        asked("iam:GenerateCredentialReport"),
    ),
    Case(
        "a home directory: the list at its top",
        OK,
        Policies((HOMES,)),
        asked("s3:ListBucket", "arn:aws:s3:::bucket", s3__prefix="", aws__username="Ana"),
    ),
    Case(
        "… one's own",
        OK,
        Policies((HOMES,)),
        asked("s3:ListBucket", "arn:aws:s3:::bucket", s3__prefix="home/Ana/", aws__username="Ana"),
    ),
    Case(
        "… not another's",
        NO,
        Policies((HOMES,)),
        asked("s3:ListBucket", "arn:aws:s3:::bucket", s3__prefix="home/Bob/", aws__username="Ana"),
    ),
    Case("… not without a prefix", NO, Policies((HOMES,)), asked("s3:ListBucket", "arn:aws:s3:::bucket", aws__x="")),
    Case(
        "… a file of one's own",
        OK,
        Policies((HOMES,)),
        asked("s3:PutObject", "arn:aws:s3:::bucket/home/Ana/x", aws__username="Ana"),
    ),
    Case(
        "… nobody's whose name only begins so",
        NO,
        Policies((HOMES,)),
        asked("s3:PutObject", "arn:aws:s3:::bucket/home/Anabel/x", aws__username="Ana"),
    ),
    Case(
        "an instance of a type that is listed", OK, mine(RUN), asked("ec2:RunInstances", ec2__InstanceType="t2.micro")
    ),
    Case("… the image it starts from has no type: this policy does not work", NO, mine(RUN), asked("ec2:RunInstances")),
    Case("… with IfExists it does", OK, mine(RUN_IF), asked("ec2:RunInstances")),
    Case(
        "… and still only for these types", NO, mine(RUN_IF), asked("ec2:RunInstances", ec2__InstanceType="p5.48xlarge")
    ),
    Case("a dot in StringLike is a dot", NO, mine(RUN), asked("ec2:RunInstances", ec2__InstanceType="t2xmicro")),
    Case(
        "a deny that is not over TLS",
        DENIED,
        mine(allow(), deny("s3:*", Condition={"Bool": {"aws:SecureTransport": "false"}})),
        tagged(securetransport="false"),
    ),
    Case(
        "… and over TLS",
        OK,
        mine(allow(), deny("s3:*", Condition={"Bool": {"aws:SecureTransport": "false"}})),
        tagged(securetransport="true"),
    ),
    Case(
        "everybody but one, by aws:PrincipalArn",
        DENY_RESOURCE,
        mine(
            allow(),
            resource=on(
                {
                    **whom("*", deny("s3:*")),
                    "Condition": {"ArnNotEquals": {"aws:PrincipalArn": f"arn:aws:iam::{B}:user/user-name"}},
                }
            ),
        ),
        tagged(principalarn=USER_ARN),
    ),
    Case(
        "… and that one is spared",
        OK,
        mine(
            allow(),
            resource=on({**whom("*", deny("s3:*")), "Condition": {"ArnNotEquals": {"aws:PrincipalArn": USER_ARN}}}),
        ),
        tagged(principalarn=USER_ARN),
    ),
    Case(
        "PassRole to one service only",
        NO,
        mine(allow("iam:PassRole", ROLE, Condition=PASSED)),
        asked("iam:PassRole", ROLE, iam__PassedToService="ec2.amazonaws.com"),
    ),
    Case(
        "what is not on the list of NotAction is denied by a deny of all the rest", DENIED, mine(allow("*"), PERIMETER)
    ),
]

CASES: tuple[Case, ...] = (
    *BASICS, *ACTIONS, *RESOURCES, *VARIABLES, *LIMITS, *RESOURCE_BASED, *ACROSS, *TRUST, *EXAMPLES,
)  # fmt: skip
