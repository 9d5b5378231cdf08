"""The database's backup and restore against bare pgBackRest and pg_basebackup, in one run, interleaved.

Ours are the backup flow, and the restore task within a flow, run by Prefect with the lab's server in a warm
process. Theirs is what a careful administrator types: pgBackRest with the same configuration, from the same
standby; pg_basebackup streamed to the same store, compressed by the client or by the server. Needs a lab that
is up; ROUNDS (6) rounds over MEGABYTES (3000) of rows that compress about 2:1. Ratios are ours over theirs;
against pgBackRest the median over the pairs.
"""

import asyncio
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from shared import paired_ratio

from infra.lab.control import client_settings
from infra.lab.home import Home, default_directory, program
from tasks.clients import patroni, pgbackrest
from tasks.clients.layout import Layout
from tasks.clients.objects import Bucket
from tasks.clients.pgbackrest_command import own_repository
from tasks.clients.private import PrivateServer
from tasks.clients.psql import Psql
from tasks.errors import Permanent
from tasks.plan.plan import Plan
from tasks.policy.database_backup import choose_standby

ROUNDS, MEGABYTES = int(os.environ.get("ROUNDS", "6")), int(os.environ.get("MEGABYTES", "3000"))
BASE_ROUNDS = 2
TIMEOUT_S = 1200
ROW_BYTES = 180
# Half of each row is hexadecimal noise, half is what real rows are full of.
FILL = """
set synchronous_commit = off;
drop table if exists bench_rows;
create table bench_rows as
select g as id, md5(g::text) || md5((g * 7)::text) as noise, repeat('order ' || g %% 97, 7) as words
from generate_series(1, %d) g;
-- What would be written to every page later, in the middle of a backup.
vacuum (freeze, analyze) bench_rows;
checkpoint;
"""


class Sides:
    """What is measured, on one lab."""

    def __init__(self, home: Home) -> None:
        self.plan: Plan = home.plan()
        self.site = self.plan.site_of("primary")
        members = patroni.members(self.plan, self.site)
        self.leader = next(member.name for member in members if member.leads)
        self.standby = choose_standby(members) or self.leader
        self.copy = Layout.of(self.plan, self.site, self.standby).data_dir.with_name("dr-bench")
        self.child = subprocess.Popen(
            [sys.executable, __file__, "--ours"],
            env=os.environ | client_settings(home, self.plan),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def fill(self, megabytes: int) -> None:
        """Make the rows, and wait until the standby has them."""
        server = Psql(self.plan, self.site, self.leader)
        server.query(FILL % (megabytes * 10**6 // ROW_BYTES), database=self.plan.service.database)
        deadline = time.monotonic() + TIMEOUT_S
        while choose_standby(patroni.members(self.plan, self.site)) is None:
            if time.monotonic() > deadline:
                raise Permanent("no standby catches up")
            time.sleep(1)

    def ours(self, what: str) -> None:
        """Have the warm process run one of our flows."""
        assert self.child.stdin
        self.child.stdin.write(f"{what} {self.copy} {self.standby}\n")
        self.child.stdin.flush()
        self._hear("done", what)

    def warm(self) -> None:
        """Wait until the warm process has imported what it runs."""
        self._hear("ready", "start")

    def _hear(self, word: str, what: str) -> None:
        assert self.child.stdout
        if self.child.stdout.readline().strip() != word:
            raise Permanent(f"our {what} failed")

    def bare_backup(self) -> None:
        pgbackrest.backup(self.plan, self.site, self.leader, "full", timeout=TIMEOUT_S, standby=self.standby)

    def bare_restore(self) -> None:
        arguments = [f"--pg1-path={self.copy}", "--archive-mode=off", "restore"]
        own_repository(self.plan, self.site, self.standby).run(arguments, timeout=TIMEOUT_S)

    def base_backup(self, *compression: str) -> None:
        """pg_basebackup to the same store; any part of the pipe that fails, fails."""
        address = self.plan.sites[self.site].hosts[self.leader].address
        base = [f"{self.plan.access.postgres_bin}/pg_basebackup", "-h", str(address), "-U", "replicator"]
        base += ["-D", "-", "-Ft", "-X", "fetch", "-c", "fast", *compression]
        bucket = self.plan.sites[self.site].storage.bucket
        upload = [program("rclone"), "rcat", "--s3-no-check-bucket", f"s3:{bucket}/bench/base.tar"]
        line = f"set -o pipefail; {shlex.join(base)} | {shlex.join(upload)}"
        done = subprocess.run(
            ["bash", "-c", line], env=self._environment(), capture_output=True, text=True, timeout=TIMEOUT_S,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise Permanent("pg_basebackup failed", done.stderr[-500:])

    def _environment(self) -> dict[str, str]:
        storage = self.plan.sites[self.site].storage
        key = self.plan.credentials(storage.owner)
        return os.environ | {
            "PGPASSWORD": self.plan.secret("database_replication"),
            "RCLONE_CONFIG_S3_TYPE": "s3",
            "RCLONE_CONFIG_S3_PROVIDER": "Other",
            "RCLONE_CONFIG_S3_ENDPOINT": storage.endpoint,
            "RCLONE_CONFIG_S3_REGION": self.site,
            "RCLONE_CONFIG_S3_ACCESS_KEY_ID": key.access_key,
            "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY": key.secret_key,
            "RCLONE_CA_CERT": str(self.plan.secret_path("ca_certificate")),
        }

    def clear(self) -> None:
        PrivateServer(self.plan, self.site, self.standby, self.copy).stop(remove=True)

    def end(self) -> None:
        """Leave the lab as it was, but for its newest full backup."""
        if self.child.stdin:
            self.child.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.child.wait(timeout=30)
        self.child.kill()
        self.clear()
        Bucket.owned(self.plan, self.site).delete("bench/base.tar")
        server = Psql(self.plan, self.site, self.leader)
        server.query("drop table if exists bench_rows", database=self.plan.service.database)


def measure(home: Home | None = None, *, rounds: int = ROUNDS, megabytes: int = MEGABYTES) -> dict[str, Any]:
    """Run everything; the result holds `seconds` (medians by way), `runs` and `ratios`, ours over theirs."""
    sides = Sides(home or Home(default_directory().resolve()))
    ways: dict[str, Callable[[], None]] = {
        "our backup": lambda: sides.ours("backup"),
        "pgbackrest backup": sides.bare_backup,
        "pg_basebackup gzip": lambda: sides.base_backup("-z"),
        "pg_basebackup zstd": lambda: sides.base_backup("--no-manifest", "--compress=server-zstd:workers=2"),
        "our restore": lambda: sides.ours("restore"),
        "pgbackrest restore": sides.bare_restore,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    try:
        sides.fill(megabytes)
        sides.warm()
        sides.bare_backup()  # not counted: it waits for the standby to have the rows
        for name in _order(rounds):
            sides.clear()
            os.sync()  # nobody pays for what the one before left to be written
            began = time.monotonic()
            ways[name]()
            seconds[name].append(time.monotonic() - began)
            print(f"{name}: {seconds[name][-1]:.2f} s", file=sys.stderr, flush=True)  # noqa: T201 - progress
    finally:
        sides.end()
    median = {name: statistics.median(each) for name, each in seconds.items()}
    ratios = {
        "backup_vs_pgbackrest": paired_ratio(seconds["our backup"], seconds["pgbackrest backup"]),
        "restore_vs_pgbackrest": paired_ratio(seconds["our restore"], seconds["pgbackrest restore"]),
        "backup_vs_pg_basebackup_gzip": median["our backup"] / median["pg_basebackup gzip"],
        "backup_vs_pg_basebackup_zstd": median["our backup"] / median["pg_basebackup zstd"],
    }
    return {
        "megabytes": megabytes, "rounds": rounds, "seconds": median, "runs": seconds, "ratios": ratios,
    }  # fmt: skip


def _order(rounds: int) -> list[str]:
    """What runs after what: pairs of ours and pgBackRest's, every other one the other way round.

    Backups, then base backups, then restores: what one kind leaves to the disk would slow another kind down.
    Restores are short and run twice as often; base backups take minutes, are far away, and run twice.
    """
    pairs = {what: [f"our {what}", f"pgbackrest {what}"] for what in ("backup", "restore")}
    order = [name for number in range(rounds) for name in pairs["backup"][:: 1 - number % 2 * 2]]
    order += ["pg_basebackup gzip", "pg_basebackup zstd"] * BASE_ROUNDS
    return order + [name for number in range(2 * rounds) for name in pairs["restore"][:: 1 - number % 2 * 2]]


def serve_ours() -> None:
    """Run our flows one after the other, as they are asked for by standard input."""
    # Prefect reads its settings when it is imported: after the environment is there, in this process only.
    from prefect import flow  # noqa: PLC0415

    from flows.backup_database import backup_database  # noqa: PLC0415
    from tasks.current import current_plan  # noqa: PLC0415
    from tasks.restore_database import choose_place, restore_files  # noqa: PLC0415

    @flow(persist_result=False)
    async def restore_only(into: str, host: str) -> None:
        plan = current_plan()
        now = datetime.now(UTC)
        place = choose_place(plan, plan.site_of("primary"), host, into, keep=True, now=now)
        restore_files(plan, place)

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        what, into, host = line.split()
        if what == "backup":
            asyncio.run(backup_database(kind="full"))
        else:
            asyncio.run(restore_only(into, host))
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if "--ours" in sys.argv:
        serve_ours()
    else:
        print(json.dumps(measure(), indent=2))  # noqa: T201
