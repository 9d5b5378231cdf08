-- The service's schema; run as a superuser in its database, as often as wanted.
-- The role's password is set by whoever runs this.
do $$
begin
    if not exists (select from pg_roles where rolname = 'naas_service') then
        create role naas_service login;
    end if;
end
$$;

-- On the role, because PgBouncer in transaction pooling mode carries no session settings.
alter role naas_service set statement_timeout = '1s';
alter role naas_service set idle_in_transaction_session_timeout = '5s';

create table if not exists orders (
    id uuid primary key,
    item text not null,
    quantity int not null check (quantity > 0),
    created_at timestamptz not null default clock_timestamp()
);

create index if not exists orders_created_at on orders (created_at desc);

grant select, insert on orders to naas_service;

-- Their order need not be here: a failover may have lost it, and a note must not wait for ever for that.
create table if not exists order_notes (
    id uuid primary key,
    order_id uuid not null,
    note text not null,
    accepted_at timestamptz not null,
    position bigint not null generated always as identity
);

create index if not exists order_notes_of_order on order_notes (order_id, position);

grant select, insert on order_notes to naas_service;
