"""`make leaks`: runs every backup flow through Prefect and looks for a secret wherever one could have gone.

Looked at: the argv of every process, all the time; every log of the lab; every artifact, log line and run of
Prefect, by a dump of its database; every record and report in the stores. A planted secret proves each look.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psutil
from campaign import campaign, tell

from deployments.trigger import Api, trigger, wait_for
from infra.lab.control import client_settings, control_of
from infra.lab.home import Home
from tasks.clients.objects import Bucket
from tasks.plan.plan import Plan

FLOWS: tuple[tuple[str, dict[str, object]], ...] = (
    ("backup-database", {"kind": "full"}),
    ("backup-database", {"kind": "incr"}),
    ("backup-files", {}),
    ("backup-redis", {}),
    ("backup-configuration", {}),
    ("backup-secrets", {}),
    ("replicate-backups", {}),
    ("check-wal-archiving", {}),
    ("verify-backups", {}),
    ("keep-long-term", {}),
    ("expire-backups", {"dry_run": False}),
    ("compare-backups", {}),
    ("catalogue-backups", {}),
)
# Records that flows write for people to read; the repositories themselves are ciphertext.
_RECORDS = ("incidents", "status", "verified", "evidence", "points", "long-term")
_SHORTEST = 12


def main() -> None:
    """Run everything on a fresh lab, look everywhere, exit 1 where a secret is found."""
    with campaign() as lab:
        lab.dr("deploy")
        found = look(lab.home, lab.plan)
    tell("\n".join(found) or "no secret was found anywhere")
    sys.exit(1 if found else 0)


def look(home: Home, plan: Plan) -> list[str]:
    """Every place where a secret's value was seen, named by the secret's reference, never its value."""
    secrets = secret_values(plan)
    with watching(secrets) as seen:
        run_flows(home, plan)
    return [
        *sorted(seen),
        *in_logs(home, secrets),
        *in_prefect(home, plan, secrets),
        *in_records(plan, secrets),
    ]


def secret_values(plan: Plan) -> dict[str, bytes]:
    """Every secret of the plan's folder, and one that is planted: name to value."""
    folder = plan.folder / "secrets"
    public = {plan.secret_path("ca_certificate"), folder / "recovery_recipients"}
    values: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path not in public and path.suffix != ".crt":
            name = str(path.relative_to(folder))
            values |= _parts(name, path.read_bytes().strip())
    return {name: value for name, value in values.items() if len(value) >= _SHORTEST}


def _parts(name: str, content: bytes) -> Mapping[str, bytes]:
    """A private key's lines and a pair's secret half count one by one: each alone would be enough."""
    if content.startswith(b"{"):
        return {name: json.loads(content)["secret_key"].encode()}
    lines = [line for line in content.splitlines() if line and not line.startswith(b"-----")]
    return {f"{name}:{number}": line for number, line in enumerate(lines)}


def run_flows(home: Home, plan: Plan) -> None:
    """Every backup flow, through the API, to its end; which end is not asked here."""
    settings = client_settings(home, plan)
    prefect = Api(settings["PREFECT_API_URL"], settings["PREFECT_API_AUTH_STRING"])
    for flow, parameters in FLOWS:
        state = wait_for(prefect, trigger(prefect, flow, parameters, str(uuid4())), 600)
        tell(f"{flow}: {state['name']}")


@contextmanager
def watching(secrets: Mapping[str, bytes]) -> Iterator[set[str]]:
    """Look at the argv of every process, again and again; a planted one proves that it works."""
    planted = uuid4().hex
    seen: set[str] = set()
    stop = threading.Event()
    watched = {**secrets, "planted": planted.encode()}
    looker = threading.Thread(target=_look_at_processes, args=(watched, seen, stop), daemon=True)
    looker.start()
    with subprocess.Popen(["sh", "-c", "sleep 3; :", planted]) as decoy:
        decoy.wait(10)
    yield seen
    stop.set()
    looker.join(10)
    if not any(place.endswith(" planted") for place in seen):
        raise AssertionError("the planted secret was not seen: the look is blind")
    seen.difference_update([place for place in seen if place.endswith(" planted")])


def _look_at_processes(secrets: Mapping[str, bytes], seen: set[str], stop: threading.Event) -> None:
    while not stop.is_set():
        for pid in psutil.pids():
            try:
                argv = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            for name, value in secrets.items():
                if value in argv:
                    seen.add(f"argv of {argv.split(bytes(1))[0].decode(errors='replace')}: {name}")
        time.sleep(0.02)


def in_logs(home: Home, secrets: Mapping[str, bytes]) -> list[str]:
    """Every log file of the lab, and whatever its servers left in their temporary directory."""
    found = []
    for path in (*home.directory.glob("**/var/log/**/*"), *(home.directory / "tmp").rglob("*")):
        # Prefect hands a run its environment in a file of its owner's only, which goes with the run.
        passing = any(part.startswith("prefect-workspace-attempt-") for part in path.parts)
        if path.is_file() and not path.is_symlink() and not passing:
            content = path.read_bytes()
            place = path.relative_to(home.directory)
            found += [f"{place}: {name}" for name, value in secrets.items() if value in content]
    return found


def in_prefect(home: Home, plan: Plan, secrets: Mapping[str, bytes]) -> list[str]:
    """A dump of Prefect's whole database: runs, parameters, logs, artifacts, events."""
    control = control_of(home, plan)
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD": plan.secret("prefect_database")}
    argv = [f"{plan.access.postgres_bin}/pg_dump", "-h", control.address, "-U", "prefect", "prefect"]
    dump = subprocess.run(argv, env=environment, capture_output=True, timeout=300, check=True).stdout
    if b"backup-database" not in dump:
        raise AssertionError("the dump does not hold the runs: the look is blind")
    return [f"Prefect's database: {name}" for name, value in secrets.items() if value in dump]


def in_records(plan: Plan, secrets: Mapping[str, bytes]) -> list[str]:
    """Every record in every store."""
    found, objects = [], 0
    for site in plan.sites:
        bucket = Bucket.owned(plan, site, 120)
        for folder in _RECORDS:
            for entry in bucket.list(folder):
                objects += 1
                content = bucket.get(entry.key)
                found += [
                    f"{site}: {entry.key}: {name}" for name, value in secrets.items() if value in content
                ]
    if not objects:
        raise AssertionError("no record was looked at: the look is blind")
    return found


if __name__ == "__main__":
    main()
