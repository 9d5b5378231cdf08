"""Kill `dr lab up` at random moments: the lab test of that name, COUNT times (10), from SEED (random)."""

import os
import sys
from pathlib import Path

import pytest

LAB_TESTS = Path(__file__).parents[1] / "lab" / "test_lab.py"

if __name__ == "__main__":
    os.environ.setdefault("COUNT", "10")
    sys.exit(pytest.main(["-s", "-k", "killed_at_random_moments", str(LAB_TESTS)]))
