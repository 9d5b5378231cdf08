"""Kill -9 each backup flow at COUNT (10) random moments, then run it again: nothing is left unusable.

`FLOW` takes some of them: names, separated by commas. Every second kill takes what the flow had started on
the hosts along.
"""

import sys
import time

from campaign import COUNT, FLOWS, Campaign, asked, campaign, kill, tell


def main() -> None:
    """Every flow, then the proof over all repositories: verified, and restored by the drills' own flows."""
    wanted = [name for name in FLOWS if asked("FLOW", name)]
    with campaign() as lab:
        seconds = lab.protect()
        failures = [line for name in wanted for line in crash(lab, name, seconds[name])]
        failures += lab.proof()
    tell(f"{len(wanted)} flows, {COUNT} kills each, {len(failures)} failures")
    sys.exit("\n".join(failures) if failures else 0)


def crash(lab: Campaign, name: str, seconds: float) -> list[str]:
    """Kill one flow again and again; after each kill the next run must succeed."""
    failures = []
    for number in range(COUNT):
        moment = lab.chance.uniform(0.0, seconds)
        process = lab.start_flow(name)
        time.sleep(moment)
        killed = process.poll() is None
        kill(process, everything=number % 2 == 0)
        process.communicate()
        again = lab.flow(name)
        fate = "killed" if killed else "had ended"
        tell(f"{name} {number + 1}: {fate} at {moment:.1f} s, again: {again.code}")
        if again.code:
            failures.append(f"{name} after a kill at {moment:.1f} s: {again.told[-1500:]}")
    return failures


if __name__ == "__main__":
    main()
