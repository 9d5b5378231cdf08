"""A place on a host that no network leads to: for a drill's clone of the database, and the service on it.

Everything in it is started in a network namespace of its own, with a loopback and nothing else: what runs
there reaches nobody, and nobody it. Each process bears the drill's id in its environment, by which it is
found and ended, also by a sweeper. What is inside ends itself when its time is over.

Source: util-linux manual, "unshare", "nsenter"; PostgreSQL manual, "pg_basebackup".
"""

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.clients.drill_ground import ENDED, MARK, Ground
from tasks.clients.layout import REPLICATION_ROLE
from tasks.clients.private import PrivateServer
from tasks.clients.remote import run_on
from tasks.errors import Permanent, Transient

_LOCAL = "127.0.0.1"
_PATIENCE_S = 60
_OPEN = """
set -eu
cd /
export {mark}={drill} PATH="$PATH:/usr/sbin:/sbin"
exec </dev/null >{copy}/sandbox.log
setsid unshare --user --map-current-user --keep-caps --net -- sh -c {inner} 2>&1 &
end=$(($(date +%s) + 20))
until [ -e {copy}/sandbox.pid ]; do
    [ "$(date +%s)" -lt "$end" ] || {{ cat {copy}/sandbox.log >&2; exit 1; }}
    sleep 0.1
done
"""
_INNER = """
ip link set lo up
echo $$ >{copy}/sandbox.new && mv {copy}/sandbox.new {copy}/sandbox.pid
sleep {limit}
{binaries}/pg_ctl -D {copy} -m immediate stop
{ended}
"""
_ENTER = """
exec nsenter --target "$(cat {copy}/sandbox.pid)" --user --net --preserve-credentials -- "$@"
"""
_SERVE = """
mkdir -p {copy}/service
export {mark}={drill} DR_DRILL_PORT={port} DR_DRILL_FOLDER={copy}/service
setsid "$@" </dev/null >{copy}/service.log 2>&1 &
"""
_ALLOW = """
rm -f {copy}/standby.signal {copy}/recovery.signal
printf '%s\\n' 'local all postgres peer' 'host all all {local}/32 scram-sha-256' >{copy}/apart_hba.conf
"""
_LOG = "tail -n 15 {copy}/service.log"
_REACH = '</dev/tcp/"$0"/"$1"'


@dataclass(frozen=True)
class Sandbox:
    """One drill's, on one host.

    Attributes:
        ground: the host, and the directory of the clone.
    """

    ground: Ground

    @property
    def server(self) -> PrivateServer:
        """The clone's server: what runs beside it inside reaches it by TCP, nobody else does."""
        where = self.ground.directory
        settings = {"listen_addresses": _LOCAL, "hba_file": f"{where}/apart_hba.conf", "hot_standby": "on"}
        each = self.ground
        return PrivateServer(each.plan, each.site, each.host, where, settings, within=self._enter)

    def clone(self, *, timeout: float) -> None:
        """Copy the host's own standby, which goes on replaying meanwhile.

        Raises:
            Permanent: it cannot be copied.
            Transient: the host cannot be reached, or the time is over.
        """
        plan, where = self.ground.plan, str(self.ground.directory)
        argv = [f"{plan.access.postgres_bin}/pg_basebackup", "-D", where, "-h", self._address]
        argv += ["-U", REPLICATION_ROLE, "-X", "stream", "-c", "fast", "--no-password"]
        secret = {"PGPASSWORD": plan.secret("database_replication")}
        run_on(plan, self._address, argv, timeout=timeout, secrets=secret)
        self._shell(_ALLOW, local=_LOCAL)

    def open(self, limit_s: float) -> None:
        """Build the wall, and start the clone's server inside of it.

        Args:
            limit_s: seconds after which everything inside is ended.

        Raises:
            Permanent: the host allows no namespaces, or the server does not start.
            Transient: the host cannot be reached.
        """
        words = {**self._words(), "limit": int(limit_s), "ended": ENDED.format(name=self.ground.drill)}
        inner = shlex.quote(_INNER.format(binaries=self.ground.plan.access.postgres_bin, **words))
        self._shell(_OPEN, inner=inner)
        self.server.start(timeout=300)

    def serve(self, command: str, url: str) -> float:
        """Start the service inside, and wait until it answers there; the seconds that took.

        Raises:
            Permanent: it does not answer in time; the end of what it said is the detail.
            Transient: the host cannot be reached.
        """
        began = time.monotonic()
        inside = [*self._enter, "sh", "-c", command]
        script = _SERVE.format(**self._words(), port=self.server.psql.port)
        self._run(["sh", "-c", script, "sh", *inside])
        while True:
            try:
                self.ask("GET", url, None, 5)
            except Permanent as error:
                if time.monotonic() - began > _PATIENCE_S:
                    raise Permanent("the service does not answer", self._shell(_LOG)[-500:]) from error
            else:
                return time.monotonic() - began
            time.sleep(0.2)

    def ask(self, method: str, url: str, body: str | None, limit_s: float) -> tuple[int, str]:
        """Make a request from inside; the status and the text of the answer.

        Raises:
            Permanent: no answer.
            Transient: the host cannot be reached.
        """
        argv = ["curl", "-sS", "--noproxy", "*", "-m", f"{limit_s:g}", "-X", method, "-w", "\n%{http_code}"]
        if body is not None:
            argv += ["-H", "Content-Type: application/json", "--data-binary", "@-"]
        told = self._run([*self._enter, *argv, url], stdin=body or "", timeout=limit_s + 15)
        text, _, status = told.rpartition("\n")
        return int(status), text

    def reaches(self, address: str, port: int) -> bool:
        """Whether a connection from inside comes about.

        Raises:
            Transient: the host cannot be reached.
        """
        try:
            self._run([*self._enter, "timeout", "3", "bash", "-c", _REACH, address, str(port)])
        except Transient:
            raise
        except Permanent:
            return False
        return True

    @property
    def _enter(self) -> tuple[str, ...]:
        return ("sh", "-c", _ENTER.format(**self._words()), "sh")

    @property
    def _address(self) -> str:
        return str(self.ground.plan.sites[self.ground.site].hosts[self.ground.host].address)

    def _words(self) -> Mapping[str, str]:
        copy: Path = self.ground.directory
        return {"copy": shlex.quote(str(copy)), "drill": shlex.quote(self.ground.drill), "mark": MARK}

    def _shell(self, script: str, **words: object) -> str:
        return self._run(["sh", "-c", script.format(**self._words(), **words)])

    def _run(self, argv: list[str], *, stdin: str = "", timeout: float = 60) -> str:
        return run_on(self.ground.plan, self._address, argv, timeout=timeout, stdin=stdin)
