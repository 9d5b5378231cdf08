"""The templates of every rendered file."""

from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


@cache
def templates() -> Environment:
    """The environment in which they are rendered; a name that is missing is an error."""
    return Environment(
        # A program of a host is rendered as it is.
        loader=ChoiceLoader([PackageLoader("infra", "templates"), PackageLoader("infra", "replicas")]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 -- configuration files, not HTML
    )
