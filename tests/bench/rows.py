"""A table of any size that no vacuum has to write again."""

import shlex

from tasks.clients import patroni
from tasks.clients.psql import Psql
from tasks.plan.plan import Plan

_FILL_S, _ROW_BYTES = 1200, 180
_ROWS = """
select g, md5(g::text) || md5((g * 7)::text), repeat('order ' || g %% 97, 7) from generate_series(1, %d) g
"""
_FILL = """
set synchronous_commit = off;
begin;
create table bench_rows (id int, noise text, words text);
copy bench_rows from program $$SOURCE$$ with (freeze);
commit;
analyze bench_rows;
checkpoint;
"""


def fill(plan: Plan, site: str, megabytes: int) -> None:
    """Put rows into a site's primary; half of each is hexadecimal noise."""
    server, database = Psql(plan, site, patroni.leader(plan, site).name), plan.service.database
    rows = _ROWS % (megabytes * 10**6 // _ROW_BYTES)
    source = shlex.join([*server.command("psql"), "-d", database, "-c", f"copy ({rows}) to stdout"])
    server.query(_FILL.replace("SOURCE", source), database=database, timeout=_FILL_S)
