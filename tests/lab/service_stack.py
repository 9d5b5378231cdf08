"""The service's real servers for a test, all on one loopback address."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import redis
from waiting import until

ROOT = Path(__file__).parents[2]
BIN = "/usr/lib/postgresql/15/bin"
ACCOUNT = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
SUPERUSER, SERVICE, REDIS = "superuser-secret", "service-secret", "redis-secret"


class Stack:
    """The servers of one test run, on a loopback address of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.address = f"127.9.{os.getpid() >> 8 & 255}.{os.getpid() & 127 | 128}"
        self.url = f"http://{self.address}:8000"
        self.processes = {}
        for name, text in self._files().items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o644)

    def _files(self):
        a, folder = self.address, self.folder
        return {
            "superuser_password": SUPERUSER,
            "database_password": SERVICE,
            "redis_password": REDIS,
            "pgbouncer.ini": f"""
[databases]
naas = host={a} port=5432 dbname=naas
[pgbouncer]
listen_addr = {a}
listen_port = 6432
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/userlist.txt
pool_mode = transaction
server_login_retry = 1
""",
            "userlist.txt": f'"naas_service" "{SERVICE}"\n',
            "redis.conf": f'bind {a}\nport 6379\nrequirepass {REDIS}\nsave ""\n',
            "service.json": json.dumps(self._config(8000)),
        }

    def _config(self, port, **more):
        def password(name):
            return str(self.folder / name)

        return {
            "listen": self.address,
            "port": port,
            "site": "east",
            "database": {
                "host": self.address,
                "port": 6432,
                "dbname": "naas",
                "user": "naas_service",
                "password_file": password("database_password"),
            },
            "redis": {
                "sentinels": [self.address],
                "sentinel_port": 26379,
                "master_name": "naas-redis",
                "password_file": password("redis_password"),
            },
            **more,
        }

    def initialise(self):
        options = ["-A", "scram-sha-256", "-U", "postgres", f"--pwfile={self.folder}/superuser_password"]
        self.call(f"{BIN}/initdb", "-D", self.data, "--no-sync", *options)
        with (self.data / "pg_hba.conf").open("a") as file:
            file.write("host all all 127.9.0.0/16 scram-sha-256\n")
        self.start_postgres()
        with self.superuser("postgres") as connection:
            connection.execute("create database naas")
        for _ in range(2):  # the schema is idempotent
            with self.superuser() as connection:
                connection.execute((ROOT / "infra/service/schema.sql").read_text())
        with self.superuser() as connection:
            connection.execute(f"alter role naas_service password '{SERVICE}'")

    @property
    def data(self):
        return self.folder / "data"

    def call(self, *argv):
        subprocess.run(argv, check=True, capture_output=True, timeout=30, cwd=self.folder, **ACCOUNT)

    def start(self, name, *argv, **account):
        with (self.folder / f"{name}.log").open("ab") as log:
            options = {"stdout": log, "stderr": log, "cwd": self.folder, **account}
            self.processes[name] = subprocess.Popen(argv, **options)

    def stop(self, name, number=signal.SIGKILL):
        process = self.processes.pop(name)
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        return process.wait(10)

    def start_postgres(self):
        options = ["-c", f"listen_addresses={self.address}", "-c", "unix_socket_directories="]
        self.start("postgres", f"{BIN}/postgres", "-D", self.data, *options, **ACCOUNT)
        until(self.accepts_sql)

    def accepts_sql(self):
        try:
            with self.superuser("postgres"):
                return True
        except psycopg.OperationalError:
            return False

    def start_pgbouncer(self):
        self.start("pgbouncer", "pgbouncer", self.folder / "pgbouncer.ini", **ACCOUNT)

    def start_redis(self):
        self.start("redis", "redis-server", self.folder / "redis.conf", **ACCOUNT)

    def start_sentinel(self):
        path, name, a = self.folder / "sentinel.conf", "naas-redis", self.address
        path.write_text(
            f"bind {a}\nport 26379\nsentinel monitor {name} {a} 6379 1\nsentinel auth-pass {name} {REDIS}\n"
        )
        shutil.chown(path, *([ACCOUNT["user"]] if ACCOUNT else [os.geteuid()]))
        self.start("sentinel", "redis-sentinel", path, **ACCOUNT)

    def start_service(self):
        self.start("service", sys.executable, "-m", "infra.service", self.folder / "service.json")

    @contextmanager
    def another_service(self, **more):
        path = self.folder / "another.json"
        path.write_text(json.dumps(self._config(8001, **more)))
        self.start("another", sys.executable, "-m", "infra.service", path)
        try:
            yield f"http://{self.address}:8001"
        finally:
            self.stop("another")

    def superuser(self, dbname="naas"):
        return psycopg.connect(
            host=self.address,
            dbname=dbname,
            user="postgres",
            password=SUPERUSER,
            autocommit=True,
            connect_timeout=2,
        )

    def present(self):
        with self.superuser() as connection:
            return {str(row[0]) for row in connection.execute("select id from orders").fetchall()}

    def redis(self):
        return redis.Redis(host=self.address, password=REDIS, decode_responses=True)

    def settled(self):
        """Wait until the service is whole again, so that no test sees the one before it."""
        until(lambda: health(self.url)["status"] == "healthy")


def health(url):
    try:
        answer = httpx.get(f"{url}/health", timeout=4)
    except httpx.TransportError:
        return {"status": "away"}
    return answer.json() | {"code": answer.status_code}


@contextmanager
def running_stack():
    """A whole stack, ended and removed with the block."""
    folder = Path(tempfile.mkdtemp(prefix="naas-service-"))
    if ACCOUNT:
        shutil.chown(folder, ACCOUNT["user"])
    stack = Stack(folder)
    try:
        stack.start_redis()
        stack.start_sentinel()
        stack.start_pgbouncer()
        stack.start_service()  # before its database: it waits for it
        stack.initialise()
        stack.settled()
        yield stack
    finally:
        for name in list(stack.processes):
            stack.stop(name, signal.SIGQUIT if name == "postgres" else signal.SIGKILL)
        shutil.rmtree(folder)
