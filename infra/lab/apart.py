"""What the lab's plan starts in the quarterly drill: `python -m infra.lab.apart HOME SITE`.

One instance of the service, configured as the site's first one, but for the database of the drill.
"""

import json
import os
import sys
from pathlib import Path

from infra.lab.home import Home, program

_HERE, _PORT = "127.0.0.1", 8000


def configuration(home: Home, site: str, port: int) -> str:
    """An instance's configuration: it listens and asks where nothing leads in or out."""
    host = next(iter(home.plan().sites[site].running("service")))
    told = json.loads((home.root(site, host) / "etc/service/service.json").read_text())
    told |= {"listen": _HERE, "port": _PORT}
    told["database"] |= {"host": _HERE, "port": port}
    return json.dumps(told)


def main(directory: str, site: str) -> None:
    """Become the instance."""
    file = Path(os.environ["DR_DRILL_FOLDER"]) / "service.json"
    file.write_text(configuration(Home(Path(directory)), site, int(os.environ["DR_DRILL_PORT"])))
    python = program("python")
    os.execv(python, [python, "-m", "infra.service", str(file)])  # noqa: S606 - our own


if __name__ == "__main__":
    main(*sys.argv[1:])
