"""What an archive has beyond a standby, and bringing it to another archive, between real SeaweedFS stores."""

import hashlib

import pytest
from bucket_stores import STANZA, contents
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from repositories import ARCHIVE, segment

from tasks.clients.archive_ahead import look, read_history
from tasks.clients.walnames import SEGMENT_SIZE, Segment, Switch
from tasks.copying import Rules, pull_wal_files
from tasks.errors import Permanent, Transient

pytestmark = pytest.mark.lab

ROOT = f"{ARCHIVE}/15-1"
HISTORY = f"{ROOT}/00000002.history"
FOLDER = 256 * SEGMENT_SIZE
INFO = '[cipher]\ncipher-pass="of the files"\n\n[db]\ndb-id=1\ndb-system-id=7000000000000000001\n'


def archived(bucket, *numbers, content=b"wal", info=b"info 1"):
    for number in numbers:
        bucket.put(segment(number), content)
    for name in ("archive.info", "archive.info.copy"):
        bucket.put(f"{ARCHIVE}/{name}", info)


def names(*numbers):
    return [Segment(1, number).name() for number in numbers]


def wanted(bucket, *numbers):
    files = look(bucket, STANZA, 0).files
    return [files[name] for name in names(*numbers)]


def pull(source, target, *numbers):
    return pull_wal_files(source, target, STANZA, Rules(), wanted(source, *numbers))


def sealed(text, password, salt=b"12345678"):
    """As pgBackRest encrypts a file."""
    derived, block = b"", b""
    while len(derived) < 48:
        block = hashlib.sha1(block + password.encode() + salt, usedforsecurity=False).digest()
        derived += block
    padder = padding.PKCS7(128).padder()
    cipher = Cipher(algorithms.AES(derived[:32]), modes.CBC(derived[32:48])).encryptor()
    return b"Salted__" + salt + cipher.update(padder.update(text.encode()) + padder.finalize())


def test_the_archive_is_listed_from_the_folder_of_the_position_on(north):
    archived(north, 254, 255, 256, 600)
    north.put(f"{ROOT}/0000000200000002/notes", b"no WAL")
    north.put(HISTORY, b"1\t0/5000000\tno recovery target specified\n")
    assert sorted(look(north, STANZA, FOLDER + 5).segments) == names(256, 600)
    assert sorted(look(north, STANZA, FOLDER - 1).files) == [*names(254, 255, 256, 600), "00000002.history"]


def test_without_an_archive_there_is_nothing(north):
    assert look(north, STANZA, 0).files == {}


def test_the_incomplete_end_of_a_timeline_and_what_is_there_twice_are_nothing_to_replay(north):
    archived(north, 1, 2, 3)
    north.put(segment(2).replace("a" * 40, "b" * 40), b"another content of the same segment")
    north.put(segment(4).replace("-aaa", ".partial-aaa"), b"half a segment")
    assert sorted(look(north, STANZA, 0).segments) == names(1, 3)


def test_a_history_is_read_with_the_cipher_of_the_files(north):
    text = "1\t0/5000000\tno recovery target specified\n2\t0/7000100\tno recovery target specified\n"
    archived(north, 1, info=sealed(INFO, "of the repository"))
    north.put(HISTORY, sealed(text, "of the files"))
    entry = look(north, STANZA, 0).files["00000002.history"]
    read = read_history(north, STANZA, entry, "of the repository")
    assert read == (Switch(1, 0x5000000), Switch(2, 0x7000100))
    with pytest.raises(Permanent, match="cannot be read"):
        read_history(north, STANZA, entry, "another")
    north.put(HISTORY, sealed("nothing of the kind", "of the files"))
    with pytest.raises(Permanent, match="is no history"):
        read_history(north, STANZA, entry, "of the repository")


def test_just_what_is_wanted_is_brought_with_what_names_the_archive(north, south):
    archived(north, 1, 2, 3, 4)
    done = pull(north, south, 2, 3)
    assert set(contents(south)) == {
        segment(2), segment(3), f"{ARCHIVE}/archive.info", f"{ARCHIVE}/archive.info.copy"
    }  # fmt: skip
    assert (done.objects, done.conflicts) == (4, ())
    assert south.get(segment(2)) == b"wal"


def test_what_the_target_has_of_its_own_is_neither_overwritten_nor_deleted(north, south):
    archived(south, 1, 2, 9, content=b"its own")
    archived(north, 2, 3)
    done = pull(north, south, 2, 3)
    assert done.conflicts == (segment(2),)
    assert south.get(segment(2)) == south.get(segment(9)) == b"its own"
    assert south.get(segment(3)) == b"wal"


def test_wal_of_another_database_is_not_brought(north, south):
    archived(north, 1, info=INFO.replace("7000000000000000001", "7000000000000000002").encode())
    archived(south, 9, info=INFO.encode())
    before = contents(south)
    assert pull(north, south, 1).conflicts
    assert contents(south) == before


def test_a_segment_that_expired_since_it_was_listed_is_an_error(north, south):
    archived(north, 1)
    listed = wanted(north, 1)
    north.delete(segment(1))
    with pytest.raises(Transient, match="changed while it was copied"):
        pull_wal_files(north, south, STANZA, Rules(), listed)
    assert segment(1) not in contents(south)
