"""What the service does beside its requests goes on, whatever it meets."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisClusterException

from infra.service import config
from infra.service.redis_master import RedisMaster
from infra.service.repeating import repeat
from tasks.clients.flag_settings import parsed
from tasks.errors import Transient


@pytest.fixture
def cluster(tmp_path):
    (tmp_path / "password").write_text("none")
    return RedisMaster(
        config.Redis(
            nodes=("127.0.0.1",),
            port=9,
            master_name="none",
            sentinel_port=9,
            password_file=tmp_path / "password",
        )
    )


@pytest.mark.parametrize(
    "error", [NoConnection("refused"), RedisClusterException("no node answers"), OSError()]
)
def test_a_cluster_that_cannot_be_used_is_unavailable(cluster, error):
    async def asks():
        async with cluster.asked():
            raise error

    with pytest.raises(Transient, match="redis is unavailable"):
        asyncio.run(asks())


def test_a_cluster_whose_nodes_are_all_gone_stays_unavailable_and_no_more(cluster):
    async def asks():
        for _ in range(3):
            with suppress(Transient):
                async with cluster.asked() as master:
                    await master.hgetall("flags")
        await cluster.close()

    asyncio.run(asks())


def test_a_loop_goes_on_after_what_nobody_foresaw():
    acts = iter([Transient("away"), TypeError("a mistake"), None])
    seen = []

    async def act():
        failure = next(acts, None)
        seen.append(failure)
        if failure:
            raise failure

    async def for_a_while():
        with suppress(TimeoutError):
            await asyncio.wait_for(repeat(act, 0.01), 0.3)

    asyncio.run(for_a_while())
    assert len(seen) > 3


@pytest.mark.parametrize(
    ("until", "counts"), [("2026-11-23T12:00:00+00:00", True), ("2026-11-23T12:00:00", False)]
)
def test_a_flag_whose_end_has_no_time_zone_has_its_default(until, counts):
    known = {"on": True, "by": "somebody", "why": "a test", "at": "2026-11-23T11:00:00Z", "until": until}
    setting = parsed(json.dumps(known))
    assert (setting is not None) is counts
    if setting:
        assert not setting.holds(datetime.now(UTC))
