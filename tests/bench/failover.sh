#!/bin/bash
# The failover by hand: the same acts as the flow, with the servers' own tools, for bench_failover.py.
# Its environment names the servers and holds the passwords (PGPASSWORD, REDISCLI_AUTH, PATRONI_PASSWORD);
# it prints each step with the seconds since its start. No journal, no epoch, no retries, no report.
set -euo pipefail

tell() { local us=$((${EPOCHREALTIME/./} - began)); printf "%d.%06d %s\n" $((us / 1000000)) $((us % 1000000)) "$1"; }
began=${EPOCHREALTIME/./}

write() { # NODE NOTE: the proof that a node takes writes
    PGCONNECT_TIMEOUT=2 psql -qAt -h "$1" -U postgres -d "$DATABASE" -c \
        "insert into naas_dr.heartbeat values (1, '$2', clock_timestamp())
         on conflict (id) do update set note = excluded.note, at = excluded.at" >/dev/null 2>&1
}
order() { # URL: place an order and read it back
    local id
    read -r id </proc/sys/kernel/random/uuid
    curl -sf -m 3 -o /dev/null -H 'content-type: application/json' \
        -d "{\"id\": \"$id\", \"item\": \"script\", \"quantity\": 1}" "$1/orders" &&
        curl -sf -m 3 -o /dev/null "$1/orders/$id"
}
endpoint() { # COMMAND: one command to HAProxy's runtime API
    exec 3<>"/dev/tcp/$ENDPOINT/$ADMIN_PORT"
    echo "$1" >&3
    cat <&3 >/dev/null
    exec 3>&-
}

# Fence: the old scope becomes a standby cluster that may not rewind, then its leader key must go.
patronictl -d "etcd3://${ETCD%%,*}" edit-config "$OLD_SCOPE" --force --quiet \
    -s standby_cluster.host="${NEW_NODES// /,}" -s standby_cluster.port=5432 \
    -s standby_cluster.primary_slot_name="$OLD_SLOT" -s postgresql.use_pg_rewind=false >/dev/null
tell "the old scope is a standby cluster"
while [ -n "$(ETCDCTL_API=3 etcdctl --endpoints="$ETCD" get --print-value-only "/service/$OLD_SCOPE/leader")" ]; do
    sleep 0.1
done
tell "its leader key is gone"
for node in $OLD_NODES; do
    if write "$node" "is it alive"; then echo "$node still takes writes" >&2; exit 1; fi
done
tell "no old node takes writes"

# Promote PostgreSQL; a write is the proof.
for node in $NEW_NODES; do
    if curl -sf -m 3 -o /dev/null "http://$node:8008/standby-leader"; then leader=$node; fi
done
curl -sf -m 5 -o /dev/null -X PATCH -K <(echo "user = \"patroni:$PATRONI_PASSWORD\"") \
    -d '{"standby_cluster": null}' "http://$leader:8008/config"
until write "$leader" "promoted"; do sleep 0.05; done
tell "PostgreSQL takes writes"

# Promote Redis, and let its Sentinels watch it.
redis-cli -h "$NEW_REDIS" config set replica-priority 100 >/dev/null
redis-cli -h "$NEW_REDIS" replicaof no one >/dev/null
for sentinel in $NEW_SENTINELS; do
    env -u REDISCLI_AUTH redis-cli -h "$sentinel" -p 26379 >/dev/null <<EOF
sentinel remove $REDIS_MASTER
sentinel monitor $REDIS_MASTER $NEW_REDIS 6379 $QUORUM
sentinel set $REDIS_MASTER auth-pass $REDISCLI_AUTH
sentinel set $REDIS_MASTER down-after-milliseconds 5000
EOF
done
tell "Redis takes writes"

# Traffic: only to a site that serves.
until order "http://$GATEWAY:8080"; do sleep 0.1; done
tell "the gateway serves"
endpoint "set server sites/$OLD_SITE state maint"
endpoint "set server sites/$NEW_SITE state ready"
endpoint "set server sites/$NEW_SITE health up"
endpoint "shutdown sessions server sites/$OLD_SITE"
until order "$PUBLIC_URL"; do sleep 0.1; done
tell "users are served"
