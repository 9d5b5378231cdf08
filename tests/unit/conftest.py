"""What the tests of channels share: a plan whose third parties are receivers on loopback."""

import pytest
from third_parties import ADDRESS, Plans

from infra.edge.edge import serving


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    return Plans(tmp_path_factory.mktemp("plan"))


@pytest.fixture
def box(tmp_path):
    """Where a receiver notes what it was told."""
    return tmp_path / "inbox.jsonl"


@pytest.fixture
def ports(plans, box):
    """An edge where everything works: its ports for HTTPS and SMTP."""
    with serving(ADDRESS, (0, 0), plans.tls, box) as found:
        yield found
