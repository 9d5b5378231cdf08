"""Sealing: opened by the age program with the escrowed key alone, by nothing else; no error repeats a key."""

import io
import os
import subprocess
import tracemalloc
from pathlib import Path

import pytest
from pyrage import x25519

from infra.lab.home import DEFAULT_PLAN
from tasks.clients import sealing
from tasks.errors import Permanent
from tasks.plan.load import load_plan

MIB = 1024 * 1024


@pytest.fixture
def plan(tmp_path):
    """The shipped plan with a recovery key of its own."""
    file = tmp_path / "plan.yaml"
    file.write_text(DEFAULT_PLAN.read_text())
    (tmp_path / "secrets").mkdir()
    keep(tmp_path, x25519.Identity.generate())
    return load_plan(file)


def keep(folder: Path, *identities):
    (folder / "secrets/recovery_key").write_text(f"# created: today\n{identities[0]}\n")
    lines = [str(identity.to_public()) for identity in identities]
    (folder / "secrets/recovery_recipients").write_text("# escrow\n\n" + "\n".join(lines) + "\n")


@pytest.mark.parametrize("content", [b"", b"a secret", os.urandom(65536), os.urandom(200_001)])
def test_what_was_sealed_opens(plan, content, tmp_path):
    sealed = sealing.seal_bytes(plan, content)
    assert not content or content not in sealed
    assert sealing.open_bytes(plan, sealed) == content
    key = tmp_path / "secrets/recovery_key"
    opened = subprocess.run(
        ["age", "-d", "-i", key], input=sealed, capture_output=True, check=True, timeout=30
    )
    assert opened.stdout == content


def test_the_age_program_seals_what_we_open(plan, tmp_path):
    argv = ["age", "-R", tmp_path / "secrets/recovery_recipients"]
    sealed = subprocess.run(argv, input=b"by hand", capture_output=True, check=True, timeout=30).stdout
    assert sealing.open_bytes(plan, sealed) == b"by hand"


def test_every_recipient_opens_it_alone(plan, tmp_path):
    first, second = x25519.Identity.generate(), x25519.Identity.generate()
    keep(tmp_path, first, second)
    sealed = sealing.seal_bytes(plan, b"for both")
    keep(tmp_path, second)
    assert sealing.open_bytes(plan, sealed) == b"for both"


def test_files_and_streams_are_sealed_alike(plan, tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    for content in (tmp_path / "file", iter([b"con", b"", b"tent"])):
        into = io.BytesIO()
        sealing.seal(plan, content, into)
        assert sealing.open_bytes(plan, iter([into.getvalue()])) == b"content"


def test_a_large_stream_needs_little_memory(plan):
    class Count:
        size = 0

        def write(self, data):
            self.size += len(data)

    def pieces():
        yield from (bytes(MIB) for _ in range(64))

    tracemalloc.start()
    sealing.seal(plan, pieces(), into := Count())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert into.size > 64 * MIB
    assert peak < 8 * MIB


def test_any_flipped_bit_and_any_cut_is_seen(plan):
    sealed = sealing.seal_bytes(plan, b"something to keep" * 10)
    for byte in range(len(sealed)):
        for harmed in (sealed[:byte], sealed[:byte] + bytes([sealed[byte] ^ 16]) + sealed[byte + 1 :]):
            with pytest.raises(Permanent, match="cannot be opened"):
                sealing.open_bytes(plan, harmed)


def test_a_wrong_key_opens_nothing(plan, tmp_path):
    sealed = sealing.seal_bytes(plan, b"secret")
    keep(tmp_path, x25519.Identity.generate())
    with pytest.raises(Permanent, match="No matching keys"):
        sealing.open_bytes(plan, sealed)


@pytest.mark.parametrize("text", ["nonsense-secret", "AGE-SECRET-KEY-1QQQ", "two\nlines"])
def test_a_malformed_key_is_not_repeated(plan, tmp_path, text):
    sealed = sealing.seal_bytes(plan, b"secret")
    (tmp_path / "secrets/recovery_key").write_text(text)
    with pytest.raises(Permanent, match="is not an age identity") as told:
        sealing.open_bytes(plan, sealed)
    assert text.splitlines()[0] not in str(told.value)


@pytest.mark.parametrize("text", ["# none\n", "age1nonsense\n", "AGE-SECRET-KEY-1\n"])
def test_malformed_recipients_are_refused(plan, tmp_path, text):
    (tmp_path / "secrets/recovery_recipients").write_text(text)
    with pytest.raises(Permanent, match="no recipient"):
        sealing.seal_bytes(plan, b"secret")


def test_what_a_stream_raises_comes_out(plan):
    def broken():
        yield b"begun"
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        sealing.seal(plan, broken(), io.BytesIO())

    class Full:
        def write(self, _data):
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        sealing.seal(plan, b"content", Full())
