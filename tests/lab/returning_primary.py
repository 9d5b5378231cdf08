"""`returning_primary.py CONFIG`: Patroni's own code takes its leader key as it remembers it.

A process of its own, because Patroni changes the umask and its watching thread never ends.
"""

import json
import sys

from patroni.dcs import Leader, Member, get_dcs

OLD_SESSION = "7587"

config = json.loads(sys.argv[1])
believed = get_dcs(config)
remembered = Leader("1", OLD_SESSION, Member("1", config["name"], OLD_SESSION, {}))
sys.stdout.write("took it\n" if believed._update_leader(remembered) else "refused\n")
sys.stdout.flush()
