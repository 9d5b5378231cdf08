"""The business impact analysis: what cannot be kept is refused with its place."""

import pytest

GOLD = {"rto": "10 minutes", "rpo": "1 minute", "availability": "99.99%", "support": "24/7"}
SHOP = {"port": 8101, "path": "/shop", "depends_on": ["naas-api"]}
TAKE, ANSWER = "take-orders", "answer-customers"

# (the process, the key, its value, the path that must be named, words that must be said)
WRONG = [
    (
        TAKE,
        "services",
        ["mail"],
        f"business_impact.{TAKE}.services.0",
        "there is no service mail; one of naas-api",
    ),
    (TAKE, "services", [], f"business_impact.{TAKE}.services", "at least one"),
    (TAKE, "depends_on", ["pay"], f"business_impact.{TAKE}.depends_on.0", "there is no process pay"),
    (TAKE, "depends_on", [ANSWER], f"business_impact.{TAKE}.depends_on.0", "the later priority 2"),
    (TAKE, "depends_on", [TAKE], f"business_impact.{TAKE}.depends_on", f"a circle: {TAKE} needs {TAKE}"),
    (
        TAKE,
        "tolerable_outage",
        "30 minutes",
        f"business_impact.{TAKE}.tolerable_outage",
        "no less than 1 hour",
    ),
    (TAKE, "tolerable_loss", "1 minute", f"business_impact.{TAKE}.tolerable_loss", "no less than 15 minutes"),
    (TAKE, "critical", "yes", f"business_impact.{TAKE}.critical", "not a boolean"),
    (TAKE, "resources", [], f"business_impact.{TAKE}.resources", "at least one"),
    (TAKE, "cost", "much", f"business_impact.{TAKE}.cost", "unknown key"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong[3])
def test_a_wrong_process_is_refused_at_its_path(good, refused, wrong):
    name, key, value, path, words = wrong
    good["business_impact"][name][key] = value
    refused(good, path, words)


def with_shop(good, tier):
    good["sla_tiers"]["gold"] = GOLD
    good["services"] = {"shop": SHOP | {"tier": tier}}
    good["access"] |= {"start_service": "start {service} {host}", "stop_service": "stop {service} {host}"}
    return good


def test_a_service_of_a_better_tier_than_what_it_needs_is_refused(good, check):
    code, lines = check(with_shop(good, "gold"))
    assert code == 2
    told = "services.shop.tier: gold is better than the premium tier of naas-api, which it needs"
    assert any(line.startswith(told) for line in lines), lines


@pytest.mark.parametrize("tier", ["premium", "standard"])
def test_a_service_of_the_same_or_a_lesser_tier_is_fine(good, check, tier):
    assert check(with_shop(good, tier))[0] == 0


def test_a_tier_that_is_not_there_is_named(good, check):
    code, lines = check(with_shop(good, "platinum"))
    assert code == 2
    assert any(line.startswith("services.shop.tier: there is no tier platinum") for line in lines), lines


def test_evidence_needs_an_archive_that_locks(good, check):
    del good["sites"]["eu-west-1"]["storage"]["object_lock"]
    code, lines = check(good)
    assert code == 2
    assert any(line.startswith("sites.eu-west-1.storage.object_lock: no object lock") for line in lines), (
        lines
    )


def test_without_any_of_it_the_plan_is_fine(good, check):
    del good["business_impact"]
    del good["evidence"]
    assert check(good)[0] == 0
