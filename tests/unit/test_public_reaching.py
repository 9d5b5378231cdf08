"""Whether the public could be told: each channel with everything well, and with each fault."""

import pytest
from public_parties import SES, channels
from third_parties import ADDRESS, Plans, answering, dead_port

from infra.edge.addresses import our_public_channels
from infra.edge.inbox import messages
from tasks.clients.public.reaching import public_reachable
from tasks.errors import DrError, Permanent, Transient
from tasks.plan.public_channels import PublicChannels

LIST = "channel,address,language,timezone\nemail,ann@example.org,en,\nsms,+4930123456,de,Europe/Berlin\n"
EVERY = {"statuspage", "x", "linkedin", "email to subscribers", "sms"}
LISTS = {"subscribers of customers", "subscribers of partners"}


def reached(plans, found):
    """What came of reaching each, by channels that lead somewhere; None where all is well."""
    for name in ("customers.csv", "partners.csv"):
        if not (plans.folder / "secrets" / name).exists():
            plans.write(name, LIST)
    crisis = plans.plan.crisis.model_copy(update={"channels": found})
    plan = plans.plan.model_copy(update={"crisis_communication": crisis})
    return {name: _error(reach) for name, reach in public_reachable(plan).items()}


def _error(reach):
    try:
        return reach()
    except DrError as error:
        return error


def wrong(found):
    return {name: type(error) for name, error in found.items() if error}


def test_where_all_is_well_each_is_reached_and_nobody_is_told(plans, ports, box):
    found = reached(plans, channels(plans, *ports))
    assert found == dict.fromkeys(EVERY | LISTS)
    assert list(messages(box)) == []


def test_mail_by_amazon_is_looked_for_there(plans, ports):
    by_ses = our_public_channels({"email": SES}, ADDRESS, (ports[0], dead_port()))
    assert wrong(reached(plans, PublicChannels.model_validate(by_ses))) == {}


def test_who_does_not_answer_is_each_named(plans):
    found = reached(plans, channels(plans, dead_port(), dead_port()))
    assert wrong(found) == dict.fromkeys(EVERY, Transient)


def test_a_stranger_at_their_address_is_not_taken_for_them(plans, tmp_path):
    with answering(Plans(tmp_path).tls, (200, "[]", {})) as (port, asked):
        found = wrong(reached(plans, channels(plans, port, dead_port())))
    assert {name for name, kind in found.items() if kind is Permanent} >= {"x", "linkedin", "sms"}
    assert "statuspage" in found
    assert asked == []


def test_a_key_that_the_status_page_refuses_is_found_before_it_is_needed(plans):
    with answering(plans.tls, (401, '{"error": "Could not authenticate"}', {})) as (port, _):
        error = reached(plans, channels(plans, port))["statuspage"]
    assert isinstance(error, Permanent)
    assert "authenticate" in f"{error.message} {error.detail}"


@pytest.mark.parametrize("spoilt", ["statuspage", "x", "linkedin", "amazon"])
def test_a_secret_that_is_gone_is_found(plans, ports, spoilt):
    led = channels(plans, *ports)
    path = plans.folder / "secrets" / spoilt
    kept = path.read_text()
    path.unlink()
    try:
        assert wrong(reached(plans, led)) == {"sms" if spoilt == "amazon" else spoilt: Permanent}
    finally:
        path.write_text(kept)


@pytest.mark.parametrize("text", ["no list\n", LIST.replace("timezone", "zone"), LIST + '"torn,'])
def test_a_list_of_subscribers_that_cannot_be_read_is_found(plans, ports, text):
    plans.write("partners.csv", text)
    try:
        assert wrong(reached(plans, channels(plans, *ports))) == {"subscribers of partners": Permanent}
    finally:
        plans.write("partners.csv", LIST)
