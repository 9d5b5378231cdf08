"""The metrics that rules and dashboards rest on: a contract with what exports them.

The control plane exports the `dr_` metrics on EXPORTER_PORT; Patroni, etcd, HAProxy, Prefect and Alertmanager
export their own; hosts and Redis have exporters. Our ages are measured by the thing itself (objects listed,
LSN advanced, a row read back), never by a tool's opinion of it.
"""

EXPORTER_PORT = 9469
NOTICES_PORT = 4300
PATRONI_PORT = 8008
PREFECT_PORT = 4200
ETCD_PORT = 2379

# What deployments/exporter.py measures; it exports nothing else.
MEASURED = {
    "dr_backup_last_success_timestamp_seconds": "when the newest good one was taken; by backup, asset, site",
    "dr_backup_size_bytes": "its size in the repository; by backup, asset, site",
    "dr_backup_points": "how many good points there are; by asset, site",
    "dr_catalogue_state": "1 for the state an asset is in, 0 for the others; by asset, site, state",
    "dr_verified_timestamp_seconds": "when its copies were last verified; by asset, site",
    "dr_verified_damages": "how much that verification found; by asset, site",
    "dr_coverage_findings": "assets that are not covered, or not for long; by severity",
    "dr_expiry_frozen": "1 where nothing may be removed now: an incident is open, or nobody can tell",
    "dr_wal_last_arrival_timestamp_seconds": "when the site's repository last held all archived WAL; by site",
    "dr_replication_lag_seconds": "how far the DR site's database is behind the primary's commits; by site",
    "dr_recovery_point_age_seconds": "age of the newest commit that would survive the primary site now",
    "dr_replication_last_success_timestamp_seconds": "when all last arrived; by source, target, repository",
    "dr_replication_objects": "how many objects that pass copied; by source, target, repository",
    "dr_replication_conflicts": "what may never change, and did; by source, target, repository",
    "dr_wal_check_timestamp_seconds": "when check_wal_archiving last told",
    "dr_wal_check_red": 'its critical and unknown findings; by site, or "primary" for the archiver',
    "dr_wal_waiting_segments": "how many segments waited to be archived then",
    "dr_wal_disk_full_seconds": "in how long the disk would be full then, if nothing were archived any more",
    "dr_readiness": "1 for the standing of the last evaluation, 0 for the others; by standing",
    "dr_readiness_check": "the same of each check; by check, standing",
    "dr_readiness_timestamp_seconds": "when that was",
    "dr_drill_last_success_timestamp_seconds": "end of the last drill that passed; by drill",
    "dr_recovery_duration_seconds": "RTO that the last recovery measured",
    "dr_recovery_loss_seconds": "RPO that the last recovery measured",
    "dr_site_healthy": "1 where each program answers somewhere and the active site serves, else 0; by site",
    "dr_certificate_expiry_timestamp_seconds": "until when the certificate of a store is valid; by site",
    "dr_probe_success": "1 where the last request through the public endpoint was answered well, else 0",
    "dr_probe_duration_seconds": "how long that request took",
    "dr_watch_last_look_timestamp_seconds": "when a vantage last looked at the active site; by vantage",
    "dr_schedule_late_seconds": "how long ago the run that waits longest should have begun; 0 for none",
    "dr_schedule_runs_ahead": "how many runs Prefect has planned",
    "dr_incident_told_timestamp_seconds": "when the newest incident was first told of; by site, channel",
    "dr_planned_move_timestamp_seconds": "when the service was last moved by plan; by site",
    "dr_pgbouncer_clients": "how many clients each PgBouncer has; by site, host, state (served, waiting)",
    "dr_exporter_last_success_timestamp_seconds": "when a part of these was last measured; by part",
}
EXPORTED_BY_OTHERS = {
    "up",
    "patroni_primary",
    "patroni_postgres_running",
    "etcd_server_has_leader",
    "alertmanager_notification_requests_failed_total",
    "node_cpu_seconds_total",
    "node_load1",
    "node_memory_MemAvailable_bytes",
    "node_filesystem_avail_bytes",
    "node_filesystem_size_bytes",
    "node_disk_io_time_seconds_total",
    "node_netstat_IpExt_InOctets",
    "node_netstat_IpExt_OutOctets",
    "node_netstat_Tcp_RetransSegs",
    "haproxy_frontend_http_requests_total",
    "haproxy_frontend_current_sessions",
    "haproxy_backend_active_servers",
    "pg_up",
    "pg_stat_activity_count",
    "pg_stat_database_xact_commit",
    "pg_database_size_bytes",
    "redis_up",
    "redis_connected_slaves",
    "redis_memory_used_bytes",
    "redis_commands_processed_total",
    "process_cpu_seconds_total",
}
