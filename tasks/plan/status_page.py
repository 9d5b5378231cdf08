"""Seed, "Status Page": the public page that says whether the service is available."""

from typing import Annotated

from pydantic import Field

from tasks.plan.base import Block
from tasks.plan.values import Name, Sentence, matching

PageAddress = Annotated[
    str, matching(r"https://[^\s/@?#]+(/[^\s@?#]*)?", "https://HOST or https://HOST/PATH, nothing after it")
]


class StatusPage(Block):
    """What the public page is called, and where people know it to be.

    It lies in the status bucket of every site (`sites.SITE.storage.status_bucket`).

    Attributes:
        title: the page's headline.
        address: where people find it; what stands before the buckets (DNS, a CDN) is yours.
        contact: whom a reader can ask.
        components: what it speaks of, each with what it is; the plan's services where empty.
    """

    title: Sentence
    address: PageAddress
    contact: Sentence
    components: dict[Name, Sentence] = Field(default_factory=dict)
