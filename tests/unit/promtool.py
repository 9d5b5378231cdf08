"""Prometheus' own program over the rendered rules: what is measured, and what must fire then.

Source: Prometheus documentation, "Unit testing for rules".
"""

import re
import subprocess

import yaml

HOUR, DAY = 3600, 24 * 3600
STEP_MIN = 15
LONG_AGO, NOW = f"-{400 * DAY}x110", f"0+{60 * STEP_MIN}x110"
"""Each for longer than a day, as all values here: one every STEP_MIN minutes."""
HEALTHY = {
    "dr_certificate_expiry_timestamp_seconds": f"{90 * DAY}x110",
    r".*_timestamp_seconds": NOW,
    r"dr_(site_healthy|probe_success|schedule_runs_ahead)|up|etcd_server_has_leader": "1x110",
    r"dr_wal_disk_full_seconds": f"{30 * DAY}x110",
}
"""By what a metric is called; zero is healthy for all others."""


def tool(*argv, folder):
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def measured(folder):
    """Every series that a rule rests on, as it is where all is well."""
    text = (folder / "rules.yml").read_text()
    names = {*re.findall(r"absent\((\w+(?:\{[^}]*\})?)\)", text), 'up{job="dr"}'}
    names -= {"etcd_server_has_leader", "dr_watch_last_look_timestamp_seconds"}
    names |= {f'etcd_server_has_leader{{site="{number}"}}' for number in range(3)}
    return {name: healthy(name.partition("{")[0]) for name in names}


def healthy(metric):
    return next((values for name, values in HEALTHY.items() if re.fullmatch(name, metric)), "0x110")


def verdict(folder, series, minutes, firing):
    """What promtool says of the alerts that should fire by then, each as its labels, and no others."""
    alerts = [{"labels": f'ALERTS{{alertstate="firing",{labels}}}', "value": 1} for labels in firing]
    expected = {"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{minutes}m", "exp_samples": alerts}
    test = {
        "interval": f"{STEP_MIN}m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [expected],
    }
    tests = {"rule_files": ["rules.yml"], "evaluation_interval": f"{STEP_MIN}m", "tests": [test]}
    (folder / "tests.yml").write_text(yaml.safe_dump(tests))
    return tool("promtool", "test", "rules", "tests.yml", folder=folder)


def alert(name, severity, **labels):
    named = {"alertname": name, "severity": severity, **labels}
    return ",".join(f'{key}="{value}"' for key, value in named.items())


def both(name, **labels):
    return [alert(name, "warning", **labels), alert(name, "critical", **labels)]


def aging(seconds):
    """A moment that always lies so many seconds back."""
    return f"{-seconds}+{60 * STEP_MIN}x110"
