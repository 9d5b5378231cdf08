"""Keep Prefect's UI from calling its analytics service, which it does whatever the server's settings say."""

from pathlib import Path

from infra.control import Control

_HEAD = "<head>"


def seal_ui(control: Control) -> None:
    """Forbid the UI's pages every connection but those to its own server.

    Prefect copies its UI anew when its version changes, so this follows each start of the server; the
    same again changes nothing.

    Args:
        control: the control plane, whose server has answered already.
    """
    server = f"{control.address}:{control.port}"
    allowed = f"connect-src 'self' http://{server} ws://{server}"
    policy = f'<meta http-equiv="Content-Security-Policy" content="{allowed}">'
    for page in _pages(control):
        text = page.read_text(encoding="utf-8")
        if policy not in text:
            page.write_text(text.replace(_HEAD, _HEAD + policy, 1), encoding="utf-8")


def _pages(control: Control) -> list[Path]:
    return [page for page in (control.ui / name / "index.html" for name in ("v1", "v2")) if page.exists()]
