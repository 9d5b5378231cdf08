"""What drills left on the database hosts."""

import psutil

from tasks.clients.drill_ground import MARK
from tasks.clients.layout import Layout


def left(plan):
    """Directories and marks as paths, processes by their pid."""
    folders = {
        Layout.of(plan, site, host).data_dir.parent
        for site, each in plan.sites.items()
        for host in each.running("postgres")
    }
    files = {path for folder in folders for path in folder.glob("dr-drill-*")}
    return files | {process.pid for process in psutil.process_iter() if _of_a_drill(process)}


def _of_a_drill(process):
    """Nothing of one that is gone."""
    try:
        if MARK in process.environ():
            return True
        return process.name() == "postgres" and any("dr-drill-" in word for word in process.cmdline())
    except psutil.Error:
        return False
