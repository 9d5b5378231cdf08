"""The status page as people see it: in a browser, light and dark, on a desk and on a phone.

Pictures lie in `build/status` afterwards.
"""

from datetime import timedelta
from pathlib import Path

import pytest
from browser import BUILD, chromium
from status_notices import NOON, SETTINGS, minutes, notice, status

from tasks.plan.load import load_plan
from tasks.policy.status_page import page

pytestmark = [pytest.mark.lab, pytest.mark.long]
PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
NAMED = SETTINGS.model_copy(
    update={"components": {"naas-api": "Placing orders and reading them back", "console": "The web console"}}
)
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1200, "height": 900}
TEXT = """We are currently experiencing an issue with naas-api that began at 2026-11-27 11:48 UTC.

Impact: orders cannot be placed.
Current Status: we are moving to another region.
Next Update: 2026-11-27 12:30 UTC

We apologize for any inconvenience and are working to resolve this as quickly as possible."""
ARABIC = {"subject": "انقطاع الخدمة - naas-api", "text": "لا يمكن تقديم الطلبات.\nنحن ننتقل إلى منطقة أخرى."}
BROKEN = notice(
    subject={"en": "Service Disruption - naas-api", "de": "Störung - naas-api", "ar": ARABIC["subject"]},
    text={"en": TEXT, "de": "Bestellungen sind nicht möglich.", "ar": ARABIC["text"]},
    next_update=minutes(30),
)
UPDATE = notice(
    "inc-1/update", at=minutes(20), next_update=minutes(50), subject={"en": "Update - naas-api"},
    text={"en": "The other region serves the first orders. We are checking that everything is there."},
)  # fmt: skip
MENDED = notice(
    "inc-1/restored", at=minutes(41), subject={"en": "Service Restored - naas-api"},
    text={"en": "The issue with naas-api has been resolved as of 2026-11-27 12:41 UTC."},
)  # fmt: skip
PAST = [
    notice(
        f"inc-{days}/{phase}", at=NOON - timedelta(days=days, minutes=-later), subject={"en": "Slow answers"}
    )
    for days in (12, 30, 400)
    for phase, later in (("disrupted", 0), ("restored", 75))
]
TAKES = "</style><script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
WILD = notice(
    "inc-9/disrupted",
    at=minutes(1),
    subject={"en": "W" * 400, "ar": "\u202e" + ARABIC["subject"] + "x" * 300},
    text={"en": TAKES, "ar": "\u0628" * 500},
)
STATES = {
    "before": status(*PAST, as_of=NOON),
    "empty": status(as_of=NOON),
    "disrupted": status(*PAST, BROKEN, as_of=minutes(1)),
    "recovering": status(*PAST, BROKEN, UPDATE, as_of=minutes(21)),
    "late": status(*PAST, BROKEN, UPDATE, as_of=minutes(60)),
    "after": status(*PAST, BROKEN, UPDATE, MENDED, as_of=minutes(42)),
    "wild": status(WILD, BROKEN, as_of=minutes(2)),
}


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


class Sight:
    """A page in a browser, and what it asked for and complained of."""

    def __init__(self, browser, file, scheme, size):
        self.page = browser.new_page(viewport=size, color_scheme=scheme)
        self.asked, self.complaints = [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.goto(file.as_uri())

    def sees(self, script):
        return self.page.evaluate(script)


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_the_page_is_seen_whole_asks_for_nothing_and_runs_nothing(browser, tmp_path, state, scheme, size):
    file = tmp_path / "index.html"
    file.write_text(page(PLAN, NAMED, STATES[state]))
    sight = Sight(browser, file, scheme, size)
    for summary in sight.page.locator("details:not([open]) summary").all()[:1]:
        summary.click()
    (BUILD / "status").mkdir(parents=True, exist_ok=True)
    sight.page.screenshot(path=BUILD / f"status/{state}-{scheme}-{size['width']}.png", full_page=True)
    assert sight.asked == [file.as_uri()]
    assert sight.complaints == []
    assert sight.page.title().startswith("Naas status: ")
    assert sight.sees("document.documentElement.scrollWidth <= window.innerWidth")
    paper = sight.sees("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 27, 34)"}[scheme]
    sight.page.close()


@pytest.mark.parametrize(
    "planted",
    [
        "<script>document.title = 'taken'</script>",
        TAKES,
        "<style>h1 { display: none }</style>",
        "<h2 style='display: none'>a</h2>",
        "<script src='http://127.0.0.1:9/x.js'></script>",
    ],
)
def test_even_what_got_into_the_page_would_neither_run_nor_load(browser, tmp_path, planted):
    file = tmp_path / "index.html"
    file.write_text(page(PLAN, NAMED, STATES["after"]).replace("<main>", f"<main>{planted}"))
    sight = Sight(browser, file, "light", DESK)
    assert any("Content Security Policy" in each for each in sight.complaints)
    assert sight.page.title() == "Naas status: no disruption is reported"
    assert sight.page.locator("h1").is_visible()
    sight.page.close()


def test_a_page_without_that_policy_would_be_taken(browser, tmp_path):
    file = tmp_path / "index.html"
    text = page(PLAN, NAMED, STATES["after"]).replace("Content-Security-Policy", "x-nothing")
    file.write_text(text.replace("<main>", "<main><script>document.title = 'taken'</script>"))
    sight = Sight(browser, file, "light", DESK)
    assert sight.page.title() == "taken"
    sight.page.close()
