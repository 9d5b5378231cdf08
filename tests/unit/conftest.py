"""What the tests of channels share: a plan whose third parties are receivers on loopback."""

import pytest
from third_parties import Plans


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    return Plans(tmp_path_factory.mktemp("plan"))


@pytest.fixture
def box(tmp_path):
    """Where a receiver notes what it was told."""
    return tmp_path / "inbox.jsonl"
