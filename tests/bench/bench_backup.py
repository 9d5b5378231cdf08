"""`make bench-backup`: our backups, restores and copies against the tools people use, in one run, in turns.

Every figure is a ratio of ours over theirs; the medians, CPU seconds and peak memory behind it stand beside.
"""

from bench_backup_database import measure as measure_database
from bench_replication import measure as measure_replication
from rich.console import Console
from rich.table import Table
from shared import Bench, write_results

_LIMITS = {
    "backup_vs_pgbackrest": 1.05,
    "restore_vs_pgbackrest": 1.05,
    "backup_vs_pg_basebackup_gzip": 0.5,
    "backup_vs_pg_basebackup_zstd": 1.3,
    "small_objects_cpu_vs_rclone": 1.0,
    "small_objects_wall_vs_rclone": 1.0,
    "no_change_wall_vs_rclone": 1.0,
    "memory_1m_vs_200k": 1.3,
}


def main() -> None:
    """Measure both halves, print the table, write build/bench-backup.json."""
    with Bench() as bench:
        bench.dr("lab", "down")
        bench.dr("lab", "up")
        database = measure_database(bench.home)
    replication = measure_replication()
    ratios = {**database["ratios"], **replication["ratios"]}
    results = {"ratios": {name: round(ratios[name], 3) for name in _LIMITS}}
    results |= {"database": database, "replication": replication}
    write_results("bench-backup.json", results)
    table = Table("ours over theirs", "ratio", "at most", "")
    for name, limit in _LIMITS.items():
        verdict = "within" if ratios[name] <= limit else "OVER"
        table.add_row(name, f"{ratios[name]:.3f}", f"{limit:g}", verdict)
    Console().print(table)


if __name__ == "__main__":
    main()
