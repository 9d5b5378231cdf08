"""Who is not let in at a database was refused by it; whoever got no such answer knows nothing."""

from pathlib import Path

import psycopg
import pytest

from tasks.clients import intruder
from tasks.errors import Transient
from tasks.plan.load import load_plan

PLAN = Path(__file__).parents[2] / "deployments" / "plan.yaml"
AT = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '
RIGHT = "the right one"


class Attempt:
    """A server that takes the right password, and answers any other in its own words."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, *, password, **_):
        if password == RIGHT or self.answer is None:
            return self
        raise self.answer

    def close(self):
        """Nothing was opened."""


@pytest.fixture
def tried(monkeypatch):
    plan = load_plan(PLAN)
    monkeypatch.setattr(type(plan), "secret", lambda *_: RIGHT)

    def at(answer):
        monkeypatch.setattr(psycopg, "connect", Attempt(answer))
        return set(intruder.at_pgbouncer(plan, "127.0.0.1").values())

    return at


@pytest.mark.parametrize(
    "words",
    [
        "fe_sendauth: no password supplied",
        'FATAL:  password authentication failed for user "naas"',
        "FATAL:  SASL authentication failed",
        'FATAL:  no pg_hba.conf entry for host "127.0.0.1", user "naas", database "naas", no encryption',
        'FATAL:  pg_hba.conf rejects connection for host "127.0.0.1", user "naas", no encryption',
    ],
)
def test_a_refusal_in_the_databases_words_keeps_the_door_shut(tried, words):
    assert tried(psycopg.OperationalError(AT + words)) == {False}


def test_a_refusal_by_its_state_keeps_the_door_shut_in_any_language(tried):
    assert tried(psycopg.errors.InvalidPassword("Passwort-Authentifizierung fehlgeschlagen")) == {False}


def test_a_door_that_opens_is_told(tried):
    assert tried(None) == {True}


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError(f"{AT}Connection refused"),
        psycopg.OperationalError(f"{AT}FATAL:  the database system is shutting down"),
        psycopg.OperationalError(f"{AT}FATAL:  sorry, too many clients already"),
        psycopg.errors.ConnectionTimeout("connection timeout expired"),
        psycopg.errors.CannotConnectNow("the database system is starting up"),
    ],
)
def test_what_is_no_refusal_repels_nobody(tried, error):
    with pytest.raises(Transient, match="neither lets") as raised:
        tried(error)
    assert raised.value.detail == str(error)
