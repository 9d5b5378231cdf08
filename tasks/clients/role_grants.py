"""What the database's roles are, and what they may do.

Source: PostgreSQL manual, "pg_roles", "Access Privilege Inquiry Functions", "Predefined Roles".
"""

from dataclasses import dataclass

from tasks.clients.postgres import connected
from tasks.plan.plan import Plan

_ROLES = """
select rolname as name, rolsuper as superuser, rolcreaterole or rolcreatedb as creates, rolcanlogin as login,
       rolreplication as replicates, rolbypassrls as bypasses,
       array(select granted.rolname::text from pg_roles granted
             where granted.oid <> role.oid and pg_has_role(role.oid, granted.oid, 'member')
             order by 1) as member_of
from pg_roles role where rolname !~ '^pg_'
"""
# Superusers hold every privilege and are members of every role: their own finding is enough.
_GRANTS = """
select namespace.nspname || '.' || relation.relname as relation,
       array(select privilege
             from unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger'])
                  as privilege
             where has_table_privilege(%(role)s, relation.oid, privilege)
                or (privilege in ('select', 'insert', 'update', 'references')
                    and has_any_column_privilege(%(role)s, relation.oid, privilege))
             order by privilege) as privileges
from pg_class relation join pg_namespace namespace on namespace.oid = relation.relnamespace
where relation.relkind in ('r', 'p', 'v', 'm', 'f')
  and (namespace.nspname !~ '^pg_' and namespace.nspname <> 'information_schema'
       or namespace.nspname = 'pg_catalog' and relation.relname = any(%(closed)s))
order by 1
"""
# Catalogues that tell passwords, files of the server, or what others wrote.
_CLOSED = [
    "pg_authid", "pg_shadow", "pg_user_mapping", "pg_statistic", "pg_largeobject",
    "pg_file_settings", "pg_hba_file_rules", "pg_ident_file_mappings",
    "pg_config", "pg_backend_memory_contexts",
]  # fmt: skip
_CREATES = """
select array_remove(array[
    case when has_schema_privilege(%(role)s, 'public', 'create') then 'create in schema public' end,
    case when has_database_privilege(%(role)s, current_database(), 'create') then 'create schemas' end
], null) as may
"""


@dataclass(frozen=True)
class Role:
    """One role of the database.

    Attributes:
        name: the role.
        superuser: whether nothing is forbidden to it.
        creates: whether it makes roles or databases.
        login: whether it can connect.
        replicates: whether it can stream or copy the whole cluster.
        bypasses: whether row security does not bind it.
        member_of: the roles whose privileges it has or may take.
    """

    name: str
    superuser: bool
    creates: bool
    login: bool
    replicates: bool
    bypasses: bool
    member_of: tuple[str, ...]


@dataclass(frozen=True)
class Grants:
    """What a role may do in the service's database.

    Attributes:
        tables: its privileges by table, catalogues that are closed to users included; none where it has none.
        creates: what it may make.
    """

    tables: dict[str, tuple[str, ...]]
    creates: tuple[str, ...]


def roles(plan: Plan, address: str) -> tuple[Role, ...]:
    """The database's own roles.

    Raises:
        Transient, Permanent: see `connected`.
    """
    with connected(plan, address) as connection:
        rows = connection.execute(_ROLES).fetchall()
    return tuple(Role(**{**row, "member_of": tuple(row["member_of"])}) for row in rows)


def grants(plan: Plan, address: str, role: str) -> Grants:
    """What a role may do with the tables of the service's database.

    Raises:
        Transient, Permanent: see `connected`; Permanent also where there is no such role.
    """
    with connected(plan, address) as connection:
        rows = connection.execute(_GRANTS, {"role": role, "closed": _CLOSED}).fetchall()
        creates = connection.execute(_CREATES, {"role": role}).fetchone() or {"may": []}
    tables = {row["relation"]: tuple(row["privileges"]) for row in rows if row["privileges"]}
    return Grants(tables, tuple(creates["may"]))
