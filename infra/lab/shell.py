"""The lab's remote shell: what `ssh` is between real hosts, with a host that can be gone."""

import shlex
from pathlib import Path

from infra.lab.home import Home, program
from infra.lab.processes import MARK, as_account
from tasks.plan.plan import Plan

_SCRIPT = """\
#!/bin/sh
# on ADDRESS COMMAND: runs a command on a lab host, under the account of the database servers.
address=$1
shift
case $address in
{cases}
*) echo "no host has the address $address" >&2; exit 255 ;;
esac
if [ -e {unreachable}/"$site" ]; then
    echo "connect to host $address port 22: connection refused" >&2
    exit 255
fi
cd "$root" && exec env -i PATH="$PATH" HOME="$root" LANG=C.UTF-8 {mark}="${mark}" $prefix {account} sh -c "$*"
"""
# What stands for ssh between two hosts of one site, which is never cut in two: the account and the network
# of the servers are the caller's already.
_PEER_SCRIPT = """\
#!/bin/sh
# ssh [OPTION...] [USER@]ADDRESS COMMAND: runs a command on another lab host of the same site.
while :; do
    case $1 in
    -[bcDeFIiJLlmOopQRSWw]) shift 2 ;;
    -*) shift ;;
    *) break ;;
    esac
done
address=${{1#*@}}
shift
case $address in
{cases}
*) echo "no host has the address $address" >&2; exit 255 ;;
esac
cd "$root" && exec env -i PATH="$PATH" HOME="$root" LANG=C.UTF-8 {mark}="${mark}" sh -c "$*"
"""
# What stands for systemd, and for a provisioner.
_PROGRAMS = {
    "site": "infra.lab.site_commands",
    "activate": "infra.lab.activation",
    "apart": "infra.lab.apart",
}
_PROGRAM_SCRIPT = """\
#!/bin/sh
cd {home} && exec {python} -m {module} "$@"
"""


def write_shell(home: Home, plan: Plan) -> None:
    """Write `bin/on`, which reaches the plan's hosts and refuses those of a broken or cut site.

    Beside it `bin/ssh`, by which a host reaches another one of its site; `bin/site` starts servers,
    `bin/activate` brings a site up, `bin/apart` starts the service where no network leads to.
    """
    network, cases = home.network(), []
    for site_name, site in plan.sites.items():
        prefix = shlex.join(network.prefix(site_name))
        for host_name, host in site.hosts.items():
            root = home.root(site_name, host_name)
            cases.append(f"{host.address}) site={site_name} root={root} prefix={shlex.quote(prefix)} ;;")
    words = {
        "cases": "\n".join(cases),
        "mark": MARK,
        "unreachable": home.directory / "unreachable",
        "account": shlex.join(as_account()),
    }
    (home.directory / "bin").mkdir(exist_ok=True)
    _write_script(home.directory / "bin" / "on", _SCRIPT.format(**words))
    _write_script(home.directory / "bin" / "ssh", _PEER_SCRIPT.format(**words))
    for name, module in _PROGRAMS.items():
        words = {"python": program("python"), "home": Path(__file__).parents[2], "module": module}
        _write_script(home.directory / "bin" / name, _PROGRAM_SCRIPT.format(**words))


def _write_script(path: Path, script: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(script)
    partial.chmod(0o755)
    partial.rename(path)
