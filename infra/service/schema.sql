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
