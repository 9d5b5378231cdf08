import hashlib
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tasks.clients.infofile import identity, read_info
from tasks.errors import Permanent
from tasks.policy.long_term import chosen, full_backups, is_needed_wal, missing_wal, month_of, wal_folders

OLD, NEW = "20260101-020000F", "20260102-020000F"


def told(start, stop, error="false", kind="full"):
    return (
        f'{{"backrest-format":5,"backup-archive-start":"{start}","backup-archive-stop":"{stop}",'
        f'"backup-error":{error},"backup-timestamp-stop":1767232800,"backup-type":"{kind}","db-id":1}}'
    )


INFO = f"""[backrest]
backrest-format=5

[backup:current]
{OLD}={told("000000010000000000000002", "000000010000000100000001")}
{OLD}_20260101-060000I={told("000000010000000000000009", "000000010000000000000009", kind="incr")}
{NEW}={told("000000010000000100000004", "000000010000000100000005")}
20260103-020000F={told("000000010000000100000006", "000000010000000100000006", error="true")}

[cipher]
cipher-pass="a passphrase of its own"

[db:history]
1={{"db-catalog-version":202209061,"db-control-version":1300,"db-system-id":7569000000000000001,"db-version":"15"}}
"""


def segment(name):
    return f"pgbackrest/archive/main/15-1/{name[:16]}/{name}-{'a' * 40}.zst"


def test_the_good_full_backups_are_read_with_the_wal_that_they_need():
    old, new = full_backups(INFO)
    assert (old.label, old.archive, new.label) == (OLD, "15-1", NEW)
    assert (new.start, new.stop) == ("000000010000000100000004", "000000010000000100000005")
    assert old.stopped_at == datetime.fromtimestamp(1767232800, UTC)


@pytest.mark.parametrize(("begun", "label"), [([], NEW), ([OLD], OLD), (["20250101-000000F"], NEW)])
def test_a_broken_off_run_goes_on_with_its_backup_while_that_is_there(begun, label):
    assert chosen(full_backups(INFO), begun).label == label


def test_nothing_is_chosen_of_nothing():
    assert chosen((), []) is None


def test_wal_is_needed_from_the_start_to_the_stop_of_the_backup_across_folders():
    old = full_backups(INFO)[0]
    folders = [f"a/15-1/{name}" for name in ("0000000100000000", "0000000100000001", "0000000100000002")]
    assert wal_folders(old, folders) == folders[:2]
    needed = ("000000010000000000000002", "0000000100000000000000FF", "000000010000000100000001")
    assert all(is_needed_wal(old, segment(name)) for name in needed)
    other = ("000000010000000000000001", "000000010000000100000002", "000000020000000000000002")
    assert not any(is_needed_wal(old, segment(name)) for name in other)
    assert not is_needed_wal(old, segment(needed[0]).replace("-aa", ".partial-aa"))


def test_a_missing_end_of_the_wal_is_named():
    old = full_backups(INFO)[0]
    assert missing_wal(old, [segment(old.start)]) == [old.stop]
    assert missing_wal(old, [segment(old.start), segment(old.stop)]) == []


def test_the_month_is_utc():
    assert month_of(datetime.fromisoformat("2026-12-01T00:30:00+02:00")) == "2026-11"


def sealed(text, password, salt=b"12345678"):
    """As `openssl enc -aes-256-cbc -md sha1` writes it."""
    derived, block = b"", b""
    while len(derived) < 48:
        block = hashlib.sha1(block + password.encode() + salt, usedforsecurity=False).digest()
        derived += block
    padder = padding.PKCS7(128).padder()
    cipher = Cipher(algorithms.AES(derived[:32]), modes.CBC(derived[32:48])).encryptor()
    return (
        b"Salted__"
        + salt
        + cipher.update(padder.update(text.encode()) + padder.finalize())
        + cipher.finalize()
    )


def test_an_encrypted_info_file_is_read_with_its_cipher_and_no_other():
    assert read_info(sealed(INFO, "right"), "right") == INFO
    assert read_info(INFO.encode(), "") == INFO
    with pytest.raises(Permanent, match="cannot be read"):
        read_info(sealed(INFO, "right"), "wrong")


def test_a_flipped_bit_of_an_encrypted_info_file_is_seen_wherever_it_is():
    data = sealed(INFO, "right")
    seen = 0
    for at in range(8, len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1
        try:
            seen += read_info(bytes(flipped), "right") != INFO
        except Permanent:
            seen += 1
    assert seen == len(data) - 8


def test_two_repositories_of_one_cluster_are_told_apart_by_the_cipher_of_their_files():
    assert identity(INFO) == identity(INFO.replace(OLD, NEW))
    assert not identity(INFO) <= identity(INFO.replace("of its own", "of another"))
    assert not identity(INFO) <= identity(INFO.replace("7569", "7570"))
