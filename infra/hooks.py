"""A git hook that tells Prefect of a change, so that a repository is backed up at once.

It never holds git up and never fails a commit: what Prefect was not told is caught up by the schedule.
"""

import shlex
from pathlib import Path

from tasks.errors import Refused

EVENT = "naas-dr.configuration.changed"
RESOURCE = "naas-dr.repository"

# What a repository that is worked in runs after a change, and what one that is pushed to does.
_HOOKS = ("post-commit", "post-merge", "post-rewrite", "post-receive")
_MARK = "# naas-dr: "
_SCRIPT = """\
#!/bin/sh
{mark}tells Prefect that this repository changed. The password travels by a pipe, never as an argument.
name={name} api={api} user={user} secret={secret}
id=$(cat /proc/sys/kernel/random/uuid 2>/dev/null || uuidgen)
at=$(date -u +%Y-%m-%dT%H:%M:%SZ)
body='[{{"id":"'$id'","occurred":"'$at'","event":"{event}",'
body=$body'"resource":{{"prefect.resource.id":"{resource}.'$name'"}},"payload":{{"repository":"'$name'"}}}}]'
{{
    password=$(sed 's/[\\\\"]/\\\\&/g' "$secret")
    printf 'user = "%s:%s"\\n' "$user" "$password" |
        curl --config - --silent --fail --max-time 5 -H 'Content-Type: application/json' \\
            --data "$body" "$api/events"
}} </dev/null >/dev/null 2>&1 &
"""


def install_hook(repository: Path, name: str, api: str, user: str, secret: Path) -> None:
    """Install the hook in a repository, bare or not; again is no change.

    Args:
        repository: its folder.
        name: what the plan calls it.
        api: Prefect's API, ending in /api.
        user: the user of the API's password.
        secret: the file of the password, readable by whoever commits.

    Raises:
        Refused: it is no repository, or has such a hook already, and it is not ours.
    """
    quoted = {key: shlex.quote(str(value)) for key, value in
              {"name": name, "api": api, "user": user, "secret": secret}.items()}  # fmt: skip
    script = _SCRIPT.format(mark=_MARK, event=EVENT, resource=RESOURCE, **quoted)
    place = repository / ".git" if (repository / ".git").is_dir() else repository
    if not (place / "HEAD").is_file():
        # In a hooks folder of a work tree, git would never look.
        raise Refused(f"{repository} is no git repository", hint="of a work tree, name its main repository")
    folder = place / "hooks"
    folder.mkdir(exist_ok=True)
    for hook in _HOOKS:
        path = folder / hook
        if path.exists() and _MARK not in path.read_text(encoding="utf-8", errors="replace"):
            raise Refused(f"{path} is there already", hint="call the naas-dr hook from it")
        path.write_text(script, encoding="utf-8")
        path.chmod(0o755)
