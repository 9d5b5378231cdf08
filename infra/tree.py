"""Every rendered file below one folder: the hosts' own, the public endpoint's, and those around them."""

from pathlib import Path

from infra.platform.render import platform_files, platform_secrets
from infra.render import Files, Rendered, endpoint_config, host_files
from infra.units import unit_files, unit_secrets
from tasks.plan.plan import Plan
from tasks.plan.references import read_secret


def write_all(plan: Plan, folder: Path, *, secrets: bool) -> int:
    """Write every configuration file of the plan below a folder.

    Args:
        plan: the plan.
        folder: hosts' files go to `hosts/SITE/HOST/`, the public endpoint's to `edge/`, the rest beside.
        secrets: whether to resolve secrets and write the files that hold them.

    Returns:
        how many files were written.
    """
    active = plan.site_of("primary")
    files: Files = {path: Rendered(text) for path, text in platform_files(plan).items()}
    if secrets:
        for path, reference in platform_secrets(plan).items():
            files[path] = Rendered(read_secret(plan.folder, reference), secret=True)
    if plan.service.endpoint.driver == "haproxy":
        files["edge/etc/haproxy/haproxy.cfg"] = Rendered(endpoint_config(plan, active))
    for site_name, site in plan.sites.items():
        for host_name in site.hosts:
            below = host_files(plan, site_name, host_name, active=active, secrets=secrets)
            below |= _units(plan, site_name, host_name, secrets=secrets)
            files |= {f"hosts/{site_name}/{host_name}/{path}": each for path, each in below.items()}
    for path, rendered in files.items():
        _put(folder / path, rendered)
    return len(files)


def _units(plan: Plan, site: str, host: str, *, secrets: bool) -> Files:
    files = {path: Rendered(text) for path, text in unit_files(plan, site, host).items()}
    hidden = unit_secrets(plan, site, host) if secrets else {}
    return files | {path: Rendered(text, secret=True) for path, text in hidden.items()}


def _put(target: Path, rendered: Rendered) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(mode=rendered.mode)
    if rendered.secret or rendered.program:  # the file may have been there before it was one
        target.chmod(rendered.mode)
    target.write_text(rendered.text, encoding="utf-8")
