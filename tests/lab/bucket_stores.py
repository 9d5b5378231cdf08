"""Three sites' buckets in stores of their own, and as much of a plan as replication needs."""

from contextlib import ExitStack, contextmanager
from datetime import timedelta

import boto3
from seaweed import Authority, running

from tasks.clients.buckets import ensure_bucket
from tasks.clients.objects import Bucket
from tasks.plan.references import Credentials
from tasks.plan.sites import Storage

SITES = {"north": "primary", "south": "dr", "vault": "archive"}
STANZA = "main"
MIB = 1024 * 1024


class StoragePlan:
    """As much of a plan as a bucket needs, over the running stores."""

    def __init__(self, stores):
        self.stores = stores
        self.sites = {
            name: type("Site", (), {"role": role, "storage": _storage(name, stores[name])})
            for name, role in SITES.items()
        }

    def credentials(self, reference):
        name, role = reference.removeprefix("env:").split("_")
        pair = getattr(self.stores[name], role)
        return Credentials(pair.access_key, pair.secret_key)

    def secret(self, name):
        return self.secret_path(name).read_text()

    def secret_path(self, _name):
        return self.stores["north"].ca_certificate

    def control(self, site):
        """The control plane of a site's store, as the bucket's owner."""
        owner = self.credentials(self.sites[site].storage.owner)
        return boto3.client(
            "s3",
            endpoint_url=self.sites[site].storage.endpoint,
            region_name=site,
            aws_access_key_id=owner.access_key,
            aws_secret_access_key=owner.secret_key,
            verify=str(self.secret_path("ca_certificate")),
        )


def _storage(name, store):
    identities = {"owner": f"env:{name}_owner", "reader": f"env:{name}_reader"}
    lock = "30 days" if name == "vault" else None
    return Storage(endpoint=store.endpoint, bucket=store.bucket, object_lock=lock, **identities)


@contextmanager
def running_stores(folder):
    """The stores of all three sites, with their buckets; the archive's is locked."""
    authority = Authority(folder)
    with ExitStack() as stack:
        stores = {
            name: stack.enter_context(
                running(folder / name, authority, f"127.77.{at}.51", 18033 + 100 * at, f"test-{name}")
            )
            for at, name in enumerate(SITES)
        }
        plan = StoragePlan(stores)
        for site in SITES:
            ensure_bucket(plan, site)
        yield plan


def emptied(bucket):
    for entry in list(bucket.list()):
        bucket.delete(entry.key)
    return bucket


def contents(bucket, root="pgbackrest"):
    return {entry.key: bucket.get(entry.key) for entry in bucket.list(root)}


def owned(plan, site):
    return emptied(Bucket.owned(plan, site))


def days(number):
    return timedelta(days=number)
