"""What the content of an object must be, as its repository itself says."""

import hashlib
import json
import threading
from collections import OrderedDict

from tasks.clients.copies import Corrupt
from tasks.clients.objects import Bucket, Entry, Missing

_MANIFEST, _SUFFIX = "manifest.json", ".age"
_KNOWN = 64


class ManifestPromises:
    """The SHA-256 that a sealed point's manifest gives each of its objects; each manifest is read once."""

    def __init__(self, bucket: Bucket) -> None:
        """Nothing is read yet."""
        self._bucket = bucket
        self._known: OrderedDict[str, dict[str, str]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, entry: Entry) -> str | None:
        """The promise for an object; None for what the manifest does not name, and for itself.

        Raises:
            Corrupt: the manifest is damaged.
            Transient: the store does not answer.
        """
        folder, _, name = entry.key.rpartition("/")
        return self._of(folder).get(name)

    def _of(self, folder: str) -> dict[str, str]:
        with self._lock:
            if folder not in self._known:
                self._known[folder] = read_promises(self._bucket, folder)
                while len(self._known) > _KNOWN:
                    self._known.popitem(last=False)
            return self._known[folder]


def read_promises(bucket: Bucket, folder: str) -> dict[str, str]:
    """The SHA-256 of every object of a point, by the last part of its key; empty where there is no manifest.

    Raises:
        Corrupt: the manifest is damaged.
        Transient: the store does not answer.
    """
    key = f"{folder}/{_MANIFEST}"
    try:
        document = json.loads(bucket.get(key))
        digest = document.pop("digest", None)
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        promises = {f"{name}{_SUFFIX}": str(each["sha256"]) for name, each in document["objects"].items()}
    except Missing:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(f"{key} in {bucket.name} is no manifest", str(error)) from error
    if digest is not None and digest != hashlib.sha256(canonical).hexdigest():
        raise Corrupt(f"{key} in {bucket.name} is damaged", "its own SHA-256 differs")
    return promises
