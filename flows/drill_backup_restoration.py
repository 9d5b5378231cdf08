"""The monthly drill: everything comes back from every copy. Source: the seed's "Testing Procedures"."""

from pathlib import Path

from prefect import flow

from tasks.current import current_plan
from tasks.drill import (
    alive,
    look_again,
    look_at_production,
    put_copy_away,
    require_calm,
    require_files,
    require_in_time,
    require_rows,
    scratch_folder,
    sweep_leftovers,
)
from tasks.drill_begin import begin_drill
from tasks.drill_report import require_passed, write_drill_report
from tasks.facts.drill import Drill, DrillReport, Trial, Variant
from tasks.facts.rehearsal import Reference
from tasks.files import restore_snapshot
from tasks.plan.plan import Plan
from tasks.progress import shown
from tasks.redis_backup import restore_redis_point
from tasks.rehearse import (
    check_invariants,
    choose_database,
    choose_stored,
    compare_rows,
    take_reference,
)
from tasks.restore_configuration import choose_point, restore_point
from tasks.restore_database import open_restored, restore_files
from tasks.secrets_backup import restore_secret
from tasks.trying import Trying, ended_early

_VARIANTS: tuple[Variant, ...] = ("newest", "random")


@flow(persist_result=False)
def drill_backup_restoration(
    reason: str = "started by hand", assets: list[str] | None = None, sites: list[str] | None = None
) -> DrillReport:
    """Restore every asset from every site's copy apart from production, look at it, and remove it again.

    Args:
        reason: who wants it, and why; it stands in the report.
        assets: only these, such as "database", "files/uploads"; all where empty.
        sites: only these sites' copies; all where empty.

    Returns:
        the report; the run fails where the drill did not pass.
    """
    plan, course = current_plan(), Trying()
    drill = begin_drill(plan, reason, assets, sites)
    course.attempt(sweep_leftovers, plan)
    before = course.attempt(look_at_production, plan)
    with alive(plan, drill), shown(drill.id) as told:
        reference = course.attempt(take_reference, plan, drill) if _has_database(drill) else None
        trials = list[Trial]()
        for asset, site in drill.copies:
            for variant in _VARIANTS:
                trials.append(_tried(plan, drill, asset, site, variant, reference))
                told(len(trials), len(_VARIANTS) * len(drill.copies))
    course.attempt(sweep_leftovers, plan)
    with alive(plan, drill):
        after = course.attempt(look_again, plan, drill, before)
        report = write_drill_report(plan, drill, trials, course.acts, before, after)
    require_passed(report)
    return report


def _has_database(drill: Drill) -> bool:
    return any(asset == "database" for asset, _ in drill.copies)


def _tried(  # noqa: PLR0913 -- what is tried, and against what
    plan: Plan, drill: Drill, asset: str, site: str, variant: Variant, reference: Reference | None
) -> Trial:
    trial = Trying()
    with ended_early():
        trial.do(require_calm, plan, drill)
        if asset == "database":
            _database(plan, drill, trial, site, variant, reference)
        else:
            with scratch_folder() as folder:
                _stored(plan, drill, trial, asset, site, variant, folder)
        trial.do(require_in_time, drill, trial.took_s)
    return Trial(
        name=f"{asset} from {site}, {variant}",
        severity="critical" if variant == "newest" else "major",
        point=trial.point,
        acts=tuple(trial.acts),
        took_s=round(trial.took_s, 3),
        lost_s=trial.lost_s,
        # The others come back as of their schedules.
        of_rpo=asset == "database" and variant == "newest",
    )


def _database(  # noqa: PLR0913 -- as above
    plan: Plan, drill: Drill, trial: Trying, site: str, variant: Variant, reference: Reference | None
) -> None:
    target = trial.do(choose_database, plan, drill, site, variant, reference)
    trial.point, trial.lost_s = target.point, target.lost_s
    try:
        trial.do(restore_files, plan, target.place, None, target.at, target.lsn)
        trial.took_s = trial.acts[-1].seconds
        restored = trial.do(open_restored, plan, target.place)
        trial.took_s += restored.recover_s
        # At a moment of long ago there may have been none yet.
        rows_now = reference.rows if reference and target.lsn else 0
        trial.do(require_rows, restored.rows, len(restored.digests), rows_now)
        if target.lsn:
            trial.do(compare_rows, plan, target, reference)
        trial.do(check_invariants, plan, target)
    finally:
        trial.attempt(put_copy_away, plan, (target.place.site, target.place.host), drill)


def _stored(  # noqa: PLR0913 -- as above
    plan: Plan, drill: Drill, trial: Trying, asset: str, site: str, variant: Variant, folder: Path
) -> None:
    point = trial.do(choose_stored, plan, drill, asset, site, variant)
    trial.point, trial.lost_s = point.name, (drill.began - point.at).total_seconds()
    kind, _, name = asset.partition("/")
    into = folder / "restored"
    if kind == "redis":
        trial.do(restore_redis_point, plan, site, point.name, None, None)
    elif kind == "files":
        trial.do(restore_snapshot, plan, point, into)
    elif kind == "configuration":
        chosen = trial.do(choose_point, plan, name, site, None, point.name)
        trial.do(restore_point, plan, name, chosen, into)
    else:
        trial.do(restore_secret, plan, site, asset, point.name, None, into)
    trial.took_s = trial.acts[-1].seconds
    if kind != "redis":
        trial.do(require_files, into)
