"""The edge refuses what the real third parties refuse, and Amazon's calls are right by moto's account too."""

import base64
import json
import threading
from urllib.parse import urlencode

import boto3
import httpx
import pytest
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from public_parties import DOWN, LINK, NUMBER, SUBSCRIBER, by_ses, channels
from third_parties import ADDRESS
from werkzeug.serving import make_server

from infra.edge.addresses import HTTPS_PORT, SMTP_PORT, our_public_channels, secret_of
from infra.edge.edge import serving
from infra.edge.inbox import messages
from infra.lab.secrets import EDGE, certificate_paths, make_secrets
from tasks.clients.channels.trust import trusted
from tasks.clients.public import mail, sms, x
from tasks.plan.communication import Notifications
from tasks.plan.public_channels import PublicChannels

AWS = "AWS4-HMAC-SHA256 Credential=a/20261127/eu-west-1/{}/aws4_request, SignedHeaders=host, Signature=b"
SIGNED_SES, SIGNED_SNS = ({"Authorization": AWS.format(service)} for service in ("ses", "sns"))
SEND = "/v2/email/outbound-emails"
PAGE = "/v1/pages/p/incidents"
KEY = {"Authorization": "OAuth k"}
POSTER = {"Authorization": "Bearer t", "LinkedIn-Version": "202611"}
POST = {
    "author": "a",
    "commentary": "c",
    "visibility": "PUBLIC",
    "distribution": {"feedDistribution": "MAIN_FEED"},
    "lifecycleState": "PUBLISHED",
}
SMS = {"Action": "Publish", "PhoneNumber": NUMBER, "Message": "m"}


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    return tmp_path_factory.mktemp("edge") / "inbox.jsonl"


@pytest.fixture(scope="module")
def ports(plans, box):
    with serving(ADDRESS, (0, 0), plans.tls, box) as found:
        yield found


@pytest.fixture
def ask(plans, ports):
    tls = trusted(plans.plan)

    def asked(method, path, headers=None, **content):
        url = f"https://{ADDRESS}:{ports[0]}{path}"
        return httpx.request(method, url, headers=headers, verify=tls, trust_env=False, **content)

    return asked


def raw(text):
    return {"Content": {"Raw": {"Data": base64.b64encode(text).decode()}}}


SES = {**raw(b"From: a@b.c\nTo: d@e.f\n\nhi"), "Destination": {"ToAddresses": ["d@e.f"]}}


WRONG = [
    (404, "POST", "/2/likes", {}, {"json": {}}),
    (404, "GET", "/2/tweets", {}, {}),
    (404, "GET", "/", {}, {}),
    (413, "POST", "/2/tweets", {}, {"content": b"x" * (512 * 1024 + 1)}),
    (401, "POST", "/2/tweets", {}, {"json": {"text": "t"}}),
    (401, "POST", "/2/tweets", {"Authorization": "Bearer t"}, {"json": {"text": "t"}}),
    (401, "GET", PAGE, {}, {}),
    (401, "POST", PAGE, {"Authorization": "k"}, {"json": {"incident": {"name": "n"}}}),
    (400, "POST", PAGE, KEY, {"content": b"{"}),
    (422, "POST", PAGE, KEY, {"json": {}}),
    (422, "POST", PAGE, KEY, {"json": {"incident": {"name": " "}}}),
    (422, "POST", PAGE, KEY, {"json": {"incident": {"name": "n", "status": "gone"}}}),
    (422, "POST", PAGE, KEY, {"json": {"incident": {"name": "n", "metadata": {"a": "b"}}}}),
    (422, "POST", PAGE, KEY, {"json": {"incident": {"name": "n", "components": {"c": "odd"}}}}),
    (422, "POST", PAGE, KEY, {"json": {"incident": {"name": "n", "body": "b" * 25_001}}}),
    (404, "PATCH", f"{PAGE}/none", KEY, {"json": {"incident": {"body": "b"}}}),
    (401, "POST", "/rest/posts", {}, {"json": POST}),
    (400, "POST", "/rest/posts", {"Authorization": "Bearer t"}, {"json": POST}),
    (400, "POST", "/rest/posts", POSTER, {"content": b"[]"}),
    (422, "POST", "/rest/posts", POSTER, {"json": POST | {"author": ""}}),
    (400, "POST", "/rest/posts", POSTER, {"json": POST | {"commentary": "c" * 3001}}),
    (403, "POST", SEND, {}, {"json": SES}),
    (400, "POST", SEND, SIGNED_SES, {"content": b"{"}),
    (400, "POST", SEND, SIGNED_SES, {"json": {}}),
    (400, "POST", SEND, SIGNED_SES, {"json": SES | raw(b"Subject: from nobody\n\nhi")}),
    (400, "POST", SEND, SIGNED_SES, {"json": SES | {"Destination": {"ToAddresses": []}}}),
    (403, "POST", "/", {}, {"content": urlencode(SMS)}),
    (400, "POST", "/", SIGNED_SNS, {"content": urlencode({"Action": "Odd"})}),
    (400, "POST", "/", SIGNED_SNS, {"content": urlencode(SMS | {"PhoneNumber": "030"})}),
    (400, "POST", "/", SIGNED_SNS, {"content": urlencode(SMS | {"Message": "m" * 1601})}),
]


def test_the_edge_refuses_what_the_real_ones_refuse(ask, box):
    answers = [
        ask(method, path, headers, **content).status_code for _, method, path, headers, content in WRONG
    ]
    assert answers == [status for status, *_ in WRONG]
    assert list(messages(box)) == []


def test_the_edge_takes_the_same_when_it_is_right(ask):
    assert ask("POST", PAGE, KEY, json={"incident": {"name": "n"}}).status_code == 201
    assert ask("POST", "/rest/posts", POSTER, json=POST).headers["x-restli-id"].startswith("urn:li:share:")
    assert ask("POST", SEND, SIGNED_SES, json=SES).json()["MessageId"]
    assert "<MessageId>" in ask("POST", "/", SIGNED_SNS, content=urlencode(SMS)).text


def test_linkedin_ends_a_post_at_what_is_not_escaped(ask, box):
    ask("POST", "/rest/posts", POSTER, json=POST | {"commentary": r"shown \(all\) (not"})
    assert [line["text"] for line in messages(box)][-1] == "shown (all) "


def test_x_weighs_a_post_itself(plans, ports, box, monkeypatch):
    settings = channels(plans, *ports).x
    full = "あ" * 140
    monkeypatch.setattr("tasks.clients.public.x.checked", lambda words: words.text)
    monkeypatch.setattr("tasks.clients.public.x.shortened", lambda text, _: text)
    words = type("Raw", (), {"text": f"{full}あ"})
    with pytest.raises(Exception, match="too long"):
        x.publish(plans.plan, settings, words)
    words.text = full
    assert x.publish(plans.plan, settings, words)


def test_the_lab_gets_credentials_that_the_edge_knows(plans, tmp_path):
    notifications = plans.plan.notifications.model_dump(mode="json")
    notifications["pagerduty"]["routing_key"] = "file:secrets/x"
    plan = plans.plan.model_copy(update={"notifications": Notifications.model_validate(notifications)})
    make_secrets(plan, tmp_path)
    keys = json.loads((tmp_path / "secrets/x").read_text())
    assert keys["consumer_secret"] == secret_of(keys["consumer_key"])
    assert keys["access_token_secret"] == secret_of(keys["access_token"])


def test_every_channel_of_a_lab_leads_to_the_edge():
    written = {
        "statuspage": {"page": "p", "component": "c", "api_key": "env:KEY"},
        "email": {"sender": "a@b.c", "ses": {"region": "eu-west-1", "credentials": "env:PAIR"}},
        "sms": {"region": "eu-west-1", "credentials": "env:PAIR", "endpoint": "https://elsewhere"},
        "x": {"credentials": "env:X"},
        "linkedin": {"author": "urn:li:organization:1", "token": "env:TOKEN", "version": "202611"},
    }
    moved = PublicChannels.model_validate(our_public_channels(written, ADDRESS))
    web = f"https://{ADDRESS}:{HTTPS_PORT}"
    others = (moved.statuspage, moved.x, moved.linkedin, moved.sms, moved.email.ses)
    assert [each.endpoint for each in others] == [web] * 5
    login = {"smarthost": "mail.example.org:587", "user": "u", "password": "env:P"}
    written["email"] = {"sender": "a@b.c", "smtp": login}
    smtp = PublicChannels.model_validate(our_public_channels(written, ADDRESS)).email.smtp
    assert (smtp.smarthost, smtp.user) == (f"{ADDRESS}:{SMTP_PORT}", None)
    assert our_public_channels({"x": None}, ADDRESS) == {}


@pytest.fixture
def moto(plans):
    """moto's SNS and SES over TLS, with the edge's certificate; yields its port."""
    certificate = tuple(map(str, certificate_paths(plans.folder, EDGE)))
    server = make_server(
        ADDRESS, 0, DomainDispatcherApplication(create_backend_app), threaded=True,
        request_handler=MotoRequestHandler, ssl_context=certificate,
    )  # fmt: skip
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_amazons_calls_are_right_by_motos_account(plans, moto):
    settings = channels(plans, moto)
    told = sms.send(plans.plan, settings.sms, DOWN, NUMBER)
    backend = get_backend("sns")[DEFAULT_ACCOUNT_ID]["eu-west-1"]
    assert backend.sms_messages[told] == (NUMBER, f"{DOWN.subject}\n{DOWN.text}")

    ses = by_ses(plans, moto)
    made = boto3.client(
        "sesv2", "eu-west-1", endpoint_url=ses.ses.endpoint, aws_access_key_id="a", aws_secret_access_key="b",
        verify=str(plans.plan.secret_path("ca_certificate")),
    )  # fmt: skip
    made.create_email_identity(EmailIdentity=ses.sender)
    made.close()
    told = mail.send(plans.plan, ses, DOWN, SUBSCRIBER)
    [kept] = get_backend("ses")[DEFAULT_ACCOUNT_ID]["eu-west-1"].sent_messages
    # moto counts the mail's own To as well.
    assert (kept.id, set(kept.destinations)) == (told, {SUBSCRIBER})
    assert LINK in kept.raw_data
