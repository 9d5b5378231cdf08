"""The one subprocess door: what a program says is read, whatever bytes it says it in."""

import pytest

from tasks.clients.command import run
from tasks.errors import Permanent


def test_a_name_in_another_encoding_is_told():
    assert run(["printf", r"caf\351 caf\303\251"], timeout=10) == "caf\\xe9 caf\xe9"


def test_a_failure_is_told_in_any_encoding():
    with pytest.raises(Permanent, match=r"cannot read caf\\xe9"):
        run(["sh", "-c", r"printf 'cannot read caf\351' >&2; exit 3"], timeout=10)
