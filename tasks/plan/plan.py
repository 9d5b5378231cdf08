"""The whole plan: the service's description and the seed's blocks, frozen."""

from tasks.plan.base import Block
from tasks.plan.sites import Access, Name, Recovery, Role, Secrets, Service, Site


class Plan(Block):
    """One service over three regions; everything else is rendered or scheduled from it."""

    service: Service
    sites: dict[Name, Site]
    secrets: Secrets
    access: Access
    recovery: Recovery

    def site_of(self, role: Role) -> str:
        """The name of the site that the plan gives a role."""
        return next(name for name, site in self.sites.items() if site.role == role)
