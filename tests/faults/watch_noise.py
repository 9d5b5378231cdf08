"""24 simulated hours of noise, and the loss of a site at every phase: what the watch declares of which.

`python tests/faults/watch_noise.py [SEEDS]` in the repository's root. Policy and agreement are the
product's; sites, links, etcd, Prefect and the clocks are simulated. Noise never lasts longer than 60 s at a
time: links cut (one by one, and all of the primary's at once), sites and hosts that restart, vantages that
restart, questions that are answered late or not, elections. None of it may be declared; a real loss must be
told within the plan's detection_timeout, and declared `confirm` later. Beside it stands what simpler policies
would have declared of the same noise: a simulation in which they are right as well would prove nothing.
"""

import logging
import random
import sys
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from watch_simulation import VANTAGES, Simulation, Story
from watch_world import ARCHIVE, DR, HOSTS, PLAN, PRIMARY, RULE, WORLD, Fault, isolation, loss

DAY_S = 86_400
LONGEST_S = 60.0
CONTROLS = ("one look", "one vantage", "no confirmation")
DETECTION_S = PLAN.high_availability.failover.detection_timeout.total_seconds()
# A judgement is made every second while a loss lasts, and takes a moment.
TICK_S = 2.0
Row = tuple[object, ...]


def noise(seed: int, until: float = DAY_S) -> list[Fault]:
    """A day's faults."""
    chance = random.Random(seed)  # noqa: S311 -- repeatable, not secret
    faults: list[Fault] = []
    for a, b in combinations((PRIMARY, DR, ARCHIVE, WORLD), 2):
        faults += [Fault(*span, "cut", f"{a} {b}") for span in spans(chance, until, every=1800)]
    for span in spans(chance, until, every=5400, shortest=10):
        faults += isolation(*span)
    faults += [Fault(*span, "dead", PRIMARY) for span in spans(chance, until, every=10_800, shortest=10)]
    for site, host, _ in HOSTS:
        every = 14_400 if site == PRIMARY else 28_800
        faults += [Fault(*span, "host", host) for span in spans(chance, until, every=every)]
    for vantage in VANTAGES:
        faults += [Fault(*span, "vantage", vantage) for span in spans(chance, until, every=7200)]
        faults += [Fault(*span, "slow", vantage) for span in spans(chance, until, every=3600)]
    faults += [Fault(*span, "etcd", "election") for span in spans(chance, until, every=3600, longest=5)]
    return faults


def spans(
    chance: random.Random, until: float, *, every: float, shortest: float = 1, longest: float = LONGEST_S
) -> Iterator[tuple[float, float]]:
    """Times at which something is out: `every` seconds on average, for `longest` at most."""
    at = chance.expovariate(1 / every)
    while at < until:
        end = at + chance.uniform(shortest, longest)
        yield at, end
        # Two minutes apart: two that touch would be one that is longer.
        at = end + 2 * LONGEST_S + chance.expovariate(1 / every)


def day(seed: int) -> Row:
    """One day of noise; nothing that lasted for `LONGEST_S` at most may be declared."""
    began, faults = time.process_time(), noise(seed)
    story = Simulation(faults, seed).run(DAY_S)
    wrong = [key for key in story.declared if story.isolated_s[key] <= LONGEST_S]
    took = time.process_time() - began
    longer = len(story.declared) - len(wrong)
    controls = (story.controls[it] for it in CONTROLS)
    return seed, len(faults), story.looks, *controls, len(wrong), longer, f"{took:.1f}"


def losses(count: int) -> list[Row]:
    """Real losses at random moments; the site refuses or is silent, and etcd is quick or slow."""
    rows: list[Row] = []
    for refuses, exchange_s in ((True, 0.3), (False, 0.3), (False, 4.0)):
        stories = [lost(seed, refuses=refuses, exchange_s=exchange_s) for seed in range(count)]
        told, declared = (sorted(each[it] for each in stories) for it in (0, 1))
        within = sum(each <= DETECTION_S for each in told)
        sure = sum(b - a <= RULE.confirm + TICK_S + exchange_s for a, b in stories)
        how = "refuses" if refuses else "is silent"
        rows.append(
            (
                f"the site {how}, etcd takes {exchange_s:g} s",
                *(f"{each:.1f}" for each in (told[0], told[count // 2], told[-1])),
                f"{within}/{count}",
                f"{declared[-1]:.1f}",
                f"{sure}/{count}",
            )
        )
    return rows


def lost(seed: int, *, refuses: bool, exchange_s: float) -> tuple[float, float]:
    """Seconds from a loss until it is told, and until it is declared."""
    at = 120 + random.Random(seed).uniform(0, 4 * RULE.interval)  # noqa: S311 -- as above
    story: Story = Simulation([loss(at)], seed, refuses=refuses, exchange_s=exchange_s).run(at + 200)
    never = float("inf")
    return min(story.suspected, default=never) - at, min(story.declared.values(), default=never) - at


def table(head: Row, rows: list[Row]) -> None:
    """Print a table."""
    widths = [max(len(str(row[column])) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        cells = (str(cell).rjust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(cells) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run it all; exit 1 where anything was declared wrongly, or a loss was told or declared too late."""
    logging.disable(logging.CRITICAL)
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    days = [day(seed) for seed in range(seeds)]
    sys.stdout.write(
        f"declared in 24 hours of faults of {LONGEST_S:g} s at most; longer: where some touched\n"
    )
    table(("seed", "faults", "looks", *CONTROLS, "the watch", "longer", "CPU s"), days)
    count = 200
    found = losses(count)
    sys.stdout.write(f"\n{count} losses of the site each, in seconds from the loss:\n")
    table(("", "told", "median", "worst", f"in {DETECTION_S:g} s", "declared, worst", "in time"), found)
    wrong = sum(int(str(row[6])) for row in days)
    blunt = [control for at, control in enumerate(CONTROLS, 3) if not any(row[at] for row in days)]
    late = [row[0] for row in found if (row[4], row[6]) != (f"{count}/{count}",) * 2]
    told = f"declared wrongly: {wrong}; late: {late or 0}; controls that never erred: {blunt or 0}"
    sys.stdout.write(f"\n{told}\n")
    return 1 if wrong or late or blunt else 0


if __name__ == "__main__":
    sys.exit(main())
