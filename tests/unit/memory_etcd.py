"""Leases and keys of an etcd in memory, for several processes; the lab's tests have a real one."""

import itertools

from tasks.clients.etcd import Entry
from tasks.errors import Transient


class Leases:
    """What `tasks.clients.etcd.Etcd` does of them."""

    def __init__(self):
        self.keys, self.leases, self.ids = {}, set(), itertools.count(1)
        self.down, self.renewed, self.asked = False, 0, 0

    def grant(self, _ttl_s):
        self._answer()
        self.leases.add(found := next(self.ids))
        return found

    def renew(self, lease):
        self._answer()
        self.renewed += 1
        return lease in self.leases

    def revoke(self, lease):
        self._answer()
        self.end(lease)

    def swap(self, key, value, revision, lease=0):
        self._answer()
        if (key in self.keys) == (revision == 0):
            return False
        self.keys[key] = Entry(value, 1, lease)
        return True

    def get(self, key):
        self._answer()
        return self.keys.get(key, Entry(None, 0))

    def end(self, lease):
        """It was not renewed in time."""
        self.leases.discard(lease)
        self.keys = {key: entry for key, entry in self.keys.items() if entry.lease != lease}

    def end_all(self):
        for lease in list(self.leases):
            self.end(lease)

    def _answer(self):
        self.asked += 1
        if self.down:
            raise Transient("etcd does not answer")


def etcd_of_speakers(monkeypatch):
    """Leases of which speakers have their places."""
    etcd = Leases()
    monkeypatch.setattr("tasks.speaker.etcd_of", lambda *_, **__: etcd)
    return etcd
