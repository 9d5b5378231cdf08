"""Plans to read and to spoil."""

import copy
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from deployments.plan_commands import app

HERE = Path(__file__).parent
SHIPPED = HERE.parents[2] / "deployments" / "plan.yaml"


@pytest.fixture(scope="session")
def _shipped():
    return yaml.safe_load(SHIPPED.read_text())


@pytest.fixture
def good(_shipped):
    """The shipped plan as plain data, to be spoilt."""
    return copy.deepcopy(_shipped)


@pytest.fixture
def check(tmp_path):
    """`dr plan check` on plain data or raw bytes: its exit code and its lines."""

    def run(content, *options):
        file = tmp_path / "plan.yaml"
        # By libyaml: hundreds of plans are checked.
        file.write_bytes(
            content
            if isinstance(content, bytes)
            else yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False).encode()
        )
        result = CliRunner().invoke(app, ["check", *options, str(file)])
        return result.exit_code, result.output.splitlines()

    return run


@pytest.fixture
def refused(check):
    """A plan is refused, and a line names the path and says the words."""

    def run(content, path, words):
        code, lines = check(content)
        assert code == 2
        assert any(line.startswith(f"{path}: ") and words in line for line in lines), lines

    return run
