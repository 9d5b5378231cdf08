"""As much of each repository as replication and comparison look at."""

import hashlib
import json

from bucket_stores import STANZA

ARCHIVE = f"pgbackrest/archive/{STANZA}"
BACKUP = f"pgbackrest/backup/{STANZA}"
FULL = f"{BACKUP}/20260101-020000F"


def segment(number, database="15-1"):
    name = f"00000001{number // 256:08X}{number % 256:08X}"
    return f"{ARCHIVE}/{database}/{name[:16]}/{name}-{'a' * 40}.zst"


def write_repository(bucket, segments):
    for number in range(segments):
        bucket.put(segment(number), b"x")
    bucket.put(f"{FULL}/pg_data/base/1.zst", b"data")
    bucket.put(f"{FULL}/backup.manifest", b"manifest")
    for info in (f"{ARCHIVE}/archive.info", f"{BACKUP}/backup.info"):
        bucket.put(info, b"info 1")
        bucket.put(f"{info}.copy", b"info 1")


def write_restic(bucket, config=b"one", damaged=False):
    """As much of restic's repository as its names tell: every one is the SHA-256 of the content."""
    bucket.put("restic/config", config)
    for folder in ("keys", "index", "snapshots", "data/ab"):
        content = folder.encode()
        name = hashlib.sha256(content).hexdigest()
        bucket.put(f"restic/{folder}/{name}", b"flipped" if damaged and folder == "data/ab" else content)
    bucket.put("restic/locks/1", b"lock")


def write_point(bucket, asset="redis", promised=None, stamp="20260101T000000Z"):
    folder = f"points/{asset}/{stamp}"
    bucket.put(f"{folder}/rdb.age", b"sealed")
    sha = promised or hashlib.sha256(b"sealed").hexdigest()
    bucket.put(
        f"{folder}/manifest.json", json.dumps({"objects": {"rdb": {"sha256": sha, "size": 6}}}).encode()
    )
    return folder
