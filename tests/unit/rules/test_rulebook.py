"""The list of all rules is what is asked: places and settings exist, nothing is left out."""

import importlib
from dataclasses import fields

import pytest

from replicator.errors import ErrorCode
from replicator.limits import Limits
from replicator.rules.policy import ASKING, LASTING
from replicator.rules.rulebook import STAGES, all_rules
from replicator.rules.taking import POSTS, REFS
from replicator.settings import Settings

RULES = all_rules()
SETTINGS = {item.name for item in fields(Settings)} | {
    f"limits.{item.name}" for item in fields(Limits)
}
PUT_REASONS = {
    *("malformed", "bad-signature", "origin-key", "unknown-origin", "not-in-pool", "too-large"),
    *("future", "expired", "equivocation", "blocked", "quota"),
}


def test_names_are_unique_and_every_rule_is_a_sentence():
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert all(rule.says.endswith(".") and rule.says[0].isupper() for rule in RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_decides_itself_or_names_the_module_that_does(rule):
    assert set(rule.settings) <= SETTINGS
    if rule.refuses is None:
        importlib.import_module(rule.place)
    else:
        assert rule.place == ""


def test_the_rules_that_are_evaluated_stand_in_the_list_in_their_order():
    evaluated = [rule for rule in RULES if rule.refuses is not None]
    assert evaluated == [*ASKING, *POSTS, *REFS]


def test_every_refusal_of_the_protocol_has_a_rule():
    requests = {rule.reason for rule in dict(STAGES)["request"]}
    own_faults_and_cursors = {ErrorCode.UNEXPECTED, ErrorCode.BAD_CURSOR}
    assert requests >= set(ErrorCode) - own_faults_and_cursors
    posts = {rule.reason for rule in dict(STAGES)["post"]}
    assert posts >= PUT_REASONS
    assert posts >= LASTING


def test_what_costs_less_is_asked_before_what_costs_more():
    order = [rule.name for rule in RULES]
    names = (
        "claim-rate",
        "header-size",
        "body-size",
        "envelope",
        "signatures",
        "nonce",
        "document",
    )
    assert sorted(names, key=order.index) == list(names)
    assert order.index("sender-rate") < order.index("document")
    assert order.index("post-signatures") < order.index("quota")
