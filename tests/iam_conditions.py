"""What the IAM guide says of the Condition element, as cases: each has the rule as its name (… goes on with the one
before). A condition stands alone here, and holds or does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

A = "111122223333"


@dataclass(frozen=True)
class Holds:
    rule: str
    holds: bool
    condition: Mapping[str, Any]
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def given(**context: object) -> dict[str, tuple[str, ...]]:
    """team="red" → aws:team; a list is several values."""
    return {f"aws:{key}": tuple(each) if isinstance(each, list) else (str(each),) for key, each in context.items()}


RED = given(team="red")
NONE: dict[str, tuple[str, ...]] = {}
BOTH = given(keys=["a", "b"])
ARN = "arn:aws:someservice:*:111122223333:finance/*"
LONG = "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"
TOPIC = f"arn:aws:sns:eu-west-1:{A}:topic"

STRINGS = [
    Holds("StringEquals is exact matching", True, {"StringEquals": {"aws:team": "red"}}, RED),
    Holds("StringEquals is no part", False, {"StringEquals": {"aws:team": "re"}}, RED),
    Holds("StringEquals is case sensitive", False, {"StringEquals": {"aws:team": "Red"}}, RED),
    Holds("StringEquals knows no wildcard", False, {"StringEquals": {"aws:team": "r*"}}, RED),
    Holds("… a * is a *", True, {"StringEquals": {"aws:team": "r*"}}, given(team="r*")),
    Holds("values are joined by OR", True, {"StringEquals": {"aws:team": ["blue", "red"]}}, RED),
    Holds("an absent key is false", False, {"StringEquals": {"aws:team": "red"}}),
    Holds("a key without a value is absent", False, {"StringEquals": {"aws:team": "red"}}, {"aws:team": ()}),
    Holds("an empty string is a value", True, {"StringEquals": {"aws:team": ""}}, given(team="")),
    Holds("key names are case-insensitive", True, {"StringEquals": {"AWS:TEAM": "red"}}, RED),
    Holds(
        "tag keys too", True, {"StringEquals": {"aws:PrincipalTag/Team": "red"}}, given(**{"principaltag/team": "red"})
    ),
    Holds("StringNotEquals is negated", True, {"StringNotEquals": {"aws:team": "blue"}}, RED),
    Holds("… and false where it equals", False, {"StringNotEquals": {"aws:team": "red"}}, RED),
    Holds("… its values are joined by NOR", False, {"StringNotEquals": {"aws:team": ["blue", "red"]}}, RED),
    Holds("… true where none matches", True, {"StringNotEquals": {"aws:team": ["blue", "green"]}}, RED),
    Holds("… true where the key is absent", True, {"StringNotEquals": {"aws:team": "red"}}),
    Holds("StringEqualsIgnoreCase", True, {"StringEqualsIgnoreCase": {"aws:team": "RED"}}, RED),
    Holds("… is exact besides", False, {"StringEqualsIgnoreCase": {"aws:team": "RE"}}, RED),
    Holds("StringNotEqualsIgnoreCase", False, {"StringNotEqualsIgnoreCase": {"aws:team": "RED"}}, RED),
    Holds("… is true where it is another", True, {"StringNotEqualsIgnoreCase": {"aws:team": "BLUE"}}, RED),
    Holds("StringLike knows *", True, {"StringLike": {"aws:team": "r*"}}, RED),
    Holds("StringLike knows ?", True, {"StringLike": {"aws:team": "r?d"}}, RED),
    Holds("StringLike is case-sensitive", False, {"StringLike": {"aws:team": "R*"}}, RED),
    Holds("StringLike needs wildcards for a partial match", False, {"StringLike": {"aws:team": "re"}}, RED),
    Holds("StringLike '*' needs the key", False, {"StringLike": {"aws:team": "*"}}),
    Holds("StringNotLike", False, {"StringNotLike": {"aws:team": "r*"}}, RED),
    Holds("… is true where none matches", True, {"StringNotLike": {"aws:team": ["b*", "g*"]}}, RED),
    Holds(
        "a variable in a condition", True, {"StringEquals": {"aws:team": "${aws:own}"}}, given(team="red", own="red")
    ),
    Holds("… that differs", False, {"StringEquals": {"aws:team": "${aws:own}"}}, given(team="red", own="blue")),
    Holds("… whose * is no wildcard", False, {"StringLike": {"aws:team": "${aws:own}"}}, given(team="red", own="*")),
    Holds("… beside a wildcard", True, {"StringLike": {"aws:team": "${aws:own}*"}}, given(team="reds", own="red")),
    Holds("… that is not there matches nothing", False, {"StringEquals": {"aws:team": "${aws:own}"}}, RED),
    Holds(
        "… nor does it hold negated: the statement is invalid",
        False,
        {"StringNotEquals": {"aws:team": "${aws:own}"}},
        RED,
    ),
    Holds("… with a default", True, {"StringEquals": {"aws:team": "${aws:own, 'red'}"}}, RED),
    Holds("several values need a set operator", False, {"StringEquals": {"aws:keys": "a"}}, BOTH),
    Holds("… negated too", False, {"StringNotEquals": {"aws:keys": "c"}}, BOTH),
]

NUMBERS = [
    Holds("NumericEquals", True, {"NumericEquals": {"aws:n": "10"}}, given(n="10")),
    Holds("… compares numbers, not their digits", True, {"NumericEquals": {"aws:n": "10"}}, given(n="10.0")),
    Holds("… takes a number that is written as one", True, {"NumericEquals": {"aws:n": 10}}, given(n="10")),
    Holds("… is exact", False, {"NumericEquals": {"aws:n": "0.3"}}, given(n="0.30000000000000001")),
    Holds("NumericNotEquals", True, {"NumericNotEquals": {"aws:n": "10"}}, given(n="11")),
    Holds("… is true where the key is absent", True, {"NumericNotEquals": {"aws:n": "10"}}),
    Holds("NumericLessThan", True, {"NumericLessThan": {"aws:n": "10"}}, given(n="9.5")),
    Holds("… is not equal", False, {"NumericLessThan": {"aws:n": "10"}}, given(n="10")),
    Holds("NumericLessThanEquals: up to 10 at a time", True, {"NumericLessThanEquals": {"aws:n": "10"}}, given(n="10")),
    Holds("… and not 11", False, {"NumericLessThanEquals": {"aws:n": "10"}}, given(n="11")),
    Holds("… compares no text", True, {"NumericLessThanEquals": {"aws:n": "10"}}, given(n="9")),
    Holds("NumericGreaterThan", True, {"NumericGreaterThan": {"aws:n": "-1"}}, given(n="0")),
    Holds("NumericGreaterThanEquals", True, {"NumericGreaterThanEquals": {"aws:n": "10"}}, given(n="10")),
    Holds("an absent key is false", False, {"NumericLessThan": {"aws:n": "10"}}),
    Holds("what is no number matches none", False, {"NumericLessThan": {"aws:n": "10"}}, given(n="few")),
    Holds("digits of other scripts are no number", False, {"NumericEquals": {"aws:n": "10"}}, given(n="１０")),
    Holds("infinity is no number", False, {"NumericGreaterThan": {"aws:n": "10"}}, given(n="Infinity")),
]

NOON = "2026-06-01T12:00:00Z"
DATES = [
    Holds("DateEquals", True, {"DateEquals": {"aws:t": NOON}}, given(t=NOON)),
    Holds("… in another zone", True, {"DateEquals": {"aws:t": NOON}}, given(t="2026-06-01T14:00:00+02:00")),
    Holds("… in epoch time", True, {"DateEquals": {"aws:t": "1780315200"}}, given(t=NOON)),
    Holds("DateNotEquals", True, {"DateNotEquals": {"aws:t": NOON}}, given(t="2026-06-01T12:00:01Z")),
    Holds("DateLessThan is before", True, {"DateLessThan": {"aws:t": NOON}}, given(t="2026-06-01T11:59:59Z")),
    Holds("… not at", False, {"DateLessThan": {"aws:t": NOON}}, given(t=NOON)),
    Holds("DateLessThanEquals is at or before", True, {"DateLessThanEquals": {"aws:t": NOON}}, given(t=NOON)),
    Holds("DateGreaterThan is after", True, {"DateGreaterThan": {"aws:t": "2020-01-01T00:00:01Z"}}, given(t=NOON)),
    Holds(
        "… a token that is not there was not issued then", False, {"DateGreaterThan": {"aws:t": "2020-01-01T00:00:01Z"}}
    ),
    Holds("DateGreaterThanEquals takes a day", True, {"DateGreaterThanEquals": {"aws:t": "2026-06-01"}}, given(t=NOON)),
    Holds("… a month", True, {"DateGreaterThanEquals": {"aws:t": "2026-06"}}, given(t=NOON)),
    Holds("… a year", False, {"DateGreaterThanEquals": {"aws:t": "2027"}}, given(t=NOON)),
    Holds("… fractions of a second", True, {"DateGreaterThan": {"aws:t": NOON}}, given(t="2026-06-01T12:00:00.5Z")),
    Holds("what is no date is at no time", False, {"DateLessThan": {"aws:t": NOON}}, given(t="yesterday")),
]

OTHERS = [
    Holds("Bool", True, {"Bool": {"aws:s": "true"}}, given(s="true")),
    Holds("… takes true without quotation marks", True, {"Bool": {"aws:s": True}}, given(s="true")),
    Holds("… compares", False, {"Bool": {"aws:s": "true"}}, given(s="false")),
    Holds("… in any case", True, {"Bool": {"aws:s": "True"}}, given(s="true")),
    Holds("… is false where the key is absent", False, {"Bool": {"aws:s": "false"}}),
    Holds("BoolIfExists is true there", True, {"BoolIfExists": {"aws:s": "true"}}),
    Holds("BoolIfExists compares what is there", False, {"BoolIfExists": {"aws:s": "true"}}, given(s="false")),
    Holds("a variable in Bool", True, {"Bool": {"aws:s": "${aws:x}"}}, given(s="true", x="true")),
    Holds("BinaryEquals compares byte for byte", True, {"BinaryEquals": {"aws:b": "QmluYXJ5"}}, given(b="QmluYXJ5")),
    Holds("… and differs", False, {"BinaryEquals": {"aws:b": "QmluYXJ5"}}, given(b="YmluYXJ5")),
    Holds("… and is no text", False, {"BinaryEquals": {"aws:b": "QmluYXJ5"}}, given(b="Binary!")),
    Holds("IpAddress: the range", True, {"IpAddress": {"aws:ip": "203.0.113.0/24"}}, given(ip="203.0.113.255")),
    Holds("… not beside it", False, {"IpAddress": {"aws:ip": "203.0.113.0/24"}}, given(ip="203.0.114.0")),
    Holds(
        "… without a prefix it is one address", True, {"IpAddress": {"aws:ip": "203.0.113.7"}}, given(ip="203.0.113.7")
    ),
    Holds("… and no other", False, {"IpAddress": {"aws:ip": "203.0.113.7"}}, given(ip="203.0.113.8")),
    Holds(
        "… IPv4 and IPv6 mixed",
        True,
        {"IpAddress": {"aws:ip": ["203.0.113.0/24", "2001:DB8:1234:5678::/64"]}},
        given(ip="2001:db8:1234:5678::1"),
    ),
    Holds("… is false where the key is absent", False, {"IpAddress": {"aws:ip": "0.0.0.0/0"}}),
    Holds("… and for what is no address", False, {"IpAddress": {"aws:ip": "0.0.0.0/0"}}, given(ip="sagemaker")),
    Holds(
        "NotIpAddress: all but the range", True, {"NotIpAddress": {"aws:ip": "203.0.113.0/24"}}, given(ip="192.0.2.1")
    ),
    Holds("… NOR", False, {"NotIpAddress": {"aws:ip": ["192.0.2.0/24", "203.0.113.0/24"]}}, given(ip="192.0.2.1")),
    Holds("… is true where the key is absent", True, {"NotIpAddress": {"aws:ip": "203.0.113.0/24"}}),
    Holds("ArnEquals", True, {"ArnEquals": {"aws:a": TOPIC}}, given(a=TOPIC)),
    Holds(
        "ArnEquals knows wildcards: it is ArnLike", True, {"ArnEquals": {"aws:a": "arn:aws:sns:*:*:t*"}}, given(a=TOPIC)
    ),
    Holds("ArnLike", True, {"ArnLike": {"aws:a": f"arn:aws:sns:eu-west-?:{A}:*"}}, given(a=TOPIC)),
    Holds("ArnLike is case-sensitive", False, {"ArnLike": {"aws:a": TOPIC.replace("topic", "Topic")}}, given(a=TOPIC)),
    Holds("each component is checked separately", False, {"ArnLike": {"aws:a": ARN}}, given(a=LONG)),
    Holds("… where a string would match", True, {"StringLike": {"aws:a": ARN}}, given(a=LONG)),
    Holds("an ARN has six components", False, {"ArnLike": {"aws:a": "arn:aws:sns*"}}, given(a=TOPIC)),
    Holds(
        "the sixth may have colons",
        True,
        {"ArnLike": {"aws:a": f"arn:aws:logs:*:{A}:log-group:*"}},
        given(a=f"arn:aws:logs:eu-west-1:{A}:log-group:/x:y"),
    ),
    Holds("what is no ARN is like none", False, {"ArnLike": {"aws:a": "arn:*:*:*:*:*"}}, given(a="topic")),
    Holds("ArnNotEquals", True, {"ArnNotEquals": {"aws:a": f"{TOPIC}2"}}, given(a=TOPIC)),
    Holds("ArnNotLike", False, {"ArnNotLike": {"aws:a": "arn:aws:sns:*:*:*"}}, given(a=TOPIC)),
    Holds("ArnNotLike is true where the key is absent", True, {"ArnNotLike": {"aws:a": "arn:aws:sns:*:*:*"}}),
    Holds("a whole ARN may be a variable", True, {"ArnEquals": {"aws:a": "${aws:b}"}}, given(a=TOPIC, b=TOPIC)),
    Holds("… or a part of it", True, {"ArnLike": {"aws:a": "arn:aws:sns:*:${aws:b}:*"}}, given(a=TOPIC, b=A)),
]

EXISTING = [
    Holds("IfExists: what is not there is true", True, {"StringEqualsIfExists": {"aws:team": "red"}}),
    Holds("IfExists: what is there is compared", False, {"StringEqualsIfExists": {"aws:team": "blue"}}, RED),
    Holds("IfExists with a negated operator is true as well", True, {"StringNotEqualsIfExists": {"aws:team": "red"}}),
    Holds("… and compares", False, {"StringNotEqualsIfExists": {"aws:team": "red"}}, RED),
    Holds("NumericLessThanIfExists", True, {"NumericLessThanIfExists": {"aws:n": "1"}}),
    Holds("ArnLikeIfExists", True, {"ArnLikeIfExists": {"aws:a": TOPIC}}),
    Holds("IpAddressIfExists", True, {"IpAddressIfExists": {"aws:ip": "203.0.113.7"}}),
    Holds("Null true: the key does not exist", True, {"Null": {"aws:team": "true"}}),
    Holds("… and it does", False, {"Null": {"aws:team": "true"}}, RED),
    Holds("Null false: the key exists", True, {"Null": {"aws:team": "false"}}, RED),
    Holds("… and it does not", False, {"Null": {"aws:team": "false"}}),
    Holds("… and its value is null", False, {"Null": {"aws:team": "false"}}, {"aws:team": ()}),
    Holds("Null takes true without quotation marks", True, {"Null": {"aws:team": True}}),
]

SETS = [
    Holds(
        "ForAllValues: every value matches one",
        True,
        {"ForAllValues:StringEquals": {"aws:keys": ["a", "b", "c"]}},
        BOTH,
    ),
    Holds("… one that does not", False, {"ForAllValues:StringEquals": {"aws:keys": ["a", "c"]}}, BOTH),
    Holds("… true where there are no keys", True, {"ForAllValues:StringEquals": {"aws:keys": "a"}}),
    Holds(
        "… or an empty set, for example an empty string",
        True,
        {"ForAllValues:StringEquals": {"aws:keys": "a"}},
        given(keys=""),
    ),
    Holds(
        "… with Null false it needs the key",
        False,
        {"ForAllValues:StringEquals": {"aws:keys": "a"}, "Null": {"aws:keys": "false"}},
    ),
    Holds("ForAnyValue: one value matches one", True, {"ForAnyValue:StringEquals": {"aws:keys": ["b", "c"]}}, BOTH),
    Holds("… none does", False, {"ForAnyValue:StringEquals": {"aws:keys": ["c", "d"]}}, BOTH),
    Holds("… false where there are no keys", False, {"ForAnyValue:StringEquals": {"aws:keys": "a"}}),
    Holds("… or an empty string", False, {"ForAnyValue:StringLike": {"aws:keys": "*"}}, given(keys="")),
    Holds("ForAllValues:StringLike", True, {"ForAllValues:StringLike": {"aws:keys": ["a*", "?"]}}, BOTH),
    Holds(
        "ForAllValues:StringNotEquals: none of them is listed",
        True,
        {"ForAllValues:StringNotEquals": {"aws:keys": ["c", "d"]}},
        BOTH,
    ),
    Holds("… one is", False, {"ForAllValues:StringNotEquals": {"aws:keys": ["b", "d"]}}, BOTH),
    Holds("… true where there are no keys", True, {"ForAllValues:StringNotEquals": {"aws:keys": "a"}}),
    Holds(
        "ForAnyValue:StringNotEquals: one is not listed",
        True,
        {"ForAnyValue:StringNotEquals": {"aws:keys": ["a", "c"]}},
        BOTH,
    ),
    Holds("… all are", False, {"ForAnyValue:StringNotEquals": {"aws:keys": ["b", "a"]}}, BOTH),
    Holds("… false where there are no keys", False, {"ForAnyValue:StringNotEquals": {"aws:keys": "a"}}),
    Holds(
        "ForAnyValue:…IfExists is true where there are no keys",
        True,
        {"ForAnyValue:StringEqualsIfExists": {"aws:keys": "a"}},
    ),
    Holds(
        "ForAllValues:ArnLike",
        True,
        {"ForAllValues:ArnLike": {"aws:keys": "arn:aws:sns:*:*:*"}},
        given(keys=[TOPIC, f"{TOPIC}2"]),
    ),
    Holds(
        "ForAllValues:NumericLessThan",
        False,
        {"ForAllValues:NumericLessThan": {"aws:keys": "2"}},
        given(keys=["1", "2"]),
    ),
]

TOGETHER = [
    Holds("an empty Condition always holds", True, {}),
    Holds(
        "several operators are joined by AND",
        False,
        {"StringEquals": {"aws:team": "red"}, "Bool": {"aws:s": "true"}},
        given(team="red", s="false"),
    ),
    Holds(
        "… all hold",
        True,
        {"StringEquals": {"aws:team": "red"}, "Bool": {"aws:s": "true"}},
        given(team="red", s="true"),
    ),
    Holds(
        "several keys of one operator are joined by AND",
        False,
        {"StringEquals": {"aws:team": "red", "aws:s": "true"}},
        RED,
    ),
    Holds(
        "… all hold",
        True,
        {"StringEquals": {"aws:team": ["red", "blue"], "aws:s": "true"}},
        given(team="blue", s="true"),
    ),
    Holds(
        "one key under two operators: a range",
        True,
        {"NumericGreaterThan": {"aws:n": "1"}, "NumericLessThan": {"aws:n": "3"}},
        given(n="2"),
    ),
]

CONDITIONS: tuple[Holds, ...] = (*STRINGS, *NUMBERS, *DATES, *OTHERS, *EXISTING, *SETS, *TOGETHER)
