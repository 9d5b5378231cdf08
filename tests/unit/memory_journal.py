"""The records of incidents in memory; the lab's tests have real stores."""

from tasks.errors import Transient


class Journal:
    """What `tasks.clients.journal` does, without a store."""

    def __init__(self):
        self.records = {}
        self.down = set()

    def write(self, _plan, _failed_site, incident, name, data):
        self.records[incident, name] = data

    def read(self, _plan, incident, name, _failed_site=""):
        if incident in self.down:
            raise Transient("no store answers")
        return self.records.get((incident, name))

    def copies(self, plan, incident, name):
        return [text for text in [self.read(plan, incident, name)] if text is not None]

    def read_all(self, _plan, incident, prefix):
        found = {key: text for key, text in self.records.items() if key[0] == incident}
        return [found[key] for key in sorted(found) if key[1].startswith(prefix)]

    def incidents(self, _plan, having=""):
        return sorted({incident for incident, name in self.records if name == having})
