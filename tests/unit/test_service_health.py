"""The health answer: the seed's shape, and which failure takes an instance out of service."""

import asyncio
import json
import time

import pytest

from infra.service.config import read_config
from infra.service.health import examine, report, status_code
from tasks.errors import Permanent

GOOD = {"status": "healthy", "response_time": 0.01, "details": "x"}
BAD = {"status": "unhealthy", "error": "e", "details": "x"}
CONFIG = {
    "listen": "127.0.0.1",
    "port": 8000,
    "site": "elsewhere",
    "database": {"host": "h", "port": 6432, "dbname": "d", "user": "u", "password_file": "p"},
    "redis": {"sentinels": ["h"], "sentinel_port": 26379, "master_name": "m", "password_file": "p"},
}


async def well() -> None:
    await asyncio.sleep(0.05)


async def refused() -> None:
    raise ConnectionRefusedError("nobody listens")


async def endless() -> None:
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("checks", "status", "code"),
    [
        ({"database": GOOD, "redis": GOOD}, "healthy", 200),
        ({"database": GOOD, "redis": BAD}, "unhealthy", 200),
        ({"database": GOOD, "redis": GOOD, "external_api": BAD}, "unhealthy", 200),
        ({"database": BAD, "redis": GOOD}, "unhealthy", 503),
    ],
)
def test_one_unhealthy_check_makes_it_unhealthy_but_only_the_database_stops_orders(checks, status, code):
    answer = report(checks, 1.5)
    assert answer == {"status": status, "timestamp": 1.5, "checks": checks}
    assert status_code(answer) == code


def test_the_shape_is_the_seeds_and_the_time_is_measured():
    answer = asyncio.run(examine({"database": well, "redis": refused}))
    assert list(answer) == ["status", "timestamp", "checks"]
    database = answer["checks"]["database"]
    assert database.pop("response_time") == pytest.approx(0.05, abs=0.04)
    assert database == {"status": "healthy", "details": "Database connection successful"}
    assert answer["checks"]["redis"] == {
        "status": "unhealthy",
        "error": "nobody listens",
        "details": "Redis connection failed",
    }


def test_checks_run_at_once_and_none_holds_the_answer_up(monkeypatch):
    monkeypatch.setattr("infra.service.health._DEADLINE", 0.2)
    started = time.monotonic()
    answer = asyncio.run(examine({"database": endless, "redis": endless, "external_api": well}))
    assert time.monotonic() - started < 0.4
    assert [check["status"] for check in answer["checks"].values()] == ["unhealthy", "unhealthy", "healthy"]
    assert answer["checks"]["database"]["error"] == "TimeoutError"


def test_a_configuration_is_read(tmp_path):
    path = tmp_path / "service.json"
    path.write_text(json.dumps(CONFIG))
    assert read_config(path).site == "elsewhere"
    assert read_config(path).external_api is None


@pytest.mark.parametrize(
    "text",
    ["{", "[]", json.dumps(CONFIG | {"password": "p"}), json.dumps(CONFIG | {"external_api": "file:///x"})],
)
def test_a_wrong_configuration_is_refused(tmp_path, text):
    path = tmp_path / "service.json"
    path.write_text(text)
    with pytest.raises(Permanent, match="is no configuration"):
        read_config(path)
