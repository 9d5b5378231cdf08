"""`site_stopped.py SITE`: as a provider tells of a site's machines; exit 0 if all of them are stopped.

The lab is that of the plan which DR_PLAN names.
"""

import os
import sys
from pathlib import Path

from infra.lab.processes import running

site = sys.argv[1]
alive = sorted(key for key in running(Path(os.environ["DR_PLAN"]).parent) if key.startswith(f"{site}/"))
sys.stdout.write(f"{len(alive)} programs of {site} run\n")
sys.exit(1 if alive else 0)
