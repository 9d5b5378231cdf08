"""A trial ends with its first task that does not pass, and keeps what every task came to."""

import pytest
from prefect.states import Completed, Failed

from tasks.errors import Permanent, Transient
from tasks.trying import Trying, ended_early


class Ending:
    """A task that ends so."""

    def __init__(self, name, found):
        self.name, self._found = name, found

    def __call__(self, *_, return_state):
        assert return_state
        return (Failed if isinstance(self._found, Exception) else Completed)(data=self._found)


@pytest.mark.parametrize(
    ("error", "outcome", "detail"),
    [
        (Permanent("it is damaged", "page 7"), "failed", "it is damaged: page 7"),
        (Transient("no answer"), "unknown", "no answer"),
        (ValueError("x"), "unknown", "ValueError('x')"),
    ],
)
def test_the_first_that_does_not_pass_ends_it(error, outcome, detail):
    trial, reached = Trying(), []
    with ended_early():
        reached.append(trial.do(Ending("choose", 7)))
        reached.append(trial.do(Ending("look", "all is well")))
        trial.do(Ending("restore", error))
        reached.append("beyond")
    assert reached == [7, "all is well"]
    told = [(act.name, act.outcome, act.detail) for act in trial.acts]
    assert told == [("choose", "passed", ""), ("look", "passed", "all is well"), ("restore", outcome, detail)]


def test_an_attempt_ends_nothing():
    trial = Trying()
    assert trial.attempt(Ending("put away", Transient("gone"))) is None
    assert trial.attempt(Ending("put away", 1)) == 1
    assert [act.outcome for act in trial.acts] == ["unknown", "passed"]
