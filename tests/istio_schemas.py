"""Istio's schemas, as models of its custom resource definitions, and what of a manifest does not fit them."""

from cloudcoil.models.istio.networking import v1
from pydantic import BaseModel, ValidationError


def misfits(manifest):
    """What Istio would refuse, drop or no longer explain in a manifest, each with its place; none is well.

    The models drop what they do not know, so what they read is compared with what was written.
    """
    try:
        read = getattr(v1, manifest["kind"]).model_validate(manifest, strict=True)
    except ValidationError as error:
        return sorted(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    kept = read.model_dump(by_alias=True, exclude_unset=True)
    return [*_dropped(manifest, kept), *_unexplained(read)]


def _dropped(written, kept, place=""):
    if isinstance(written, dict) and isinstance(kept, dict):
        for key, value in written.items():
            below = f"{place}.{key}" if place else key
            yield from _dropped(value, kept[key], below) if key in kept else [f"{below}: unknown"]
    elif isinstance(written, list) and isinstance(kept, list) and len(written) == len(kept):
        for number, (one, other) in enumerate(zip(written, kept, strict=True)):
            yield from _dropped(one, other, f"{place}.{number}")
    elif written != kept:
        yield f"{place}: read as {kept!r}"


def _unexplained(read, place=""):
    """Values of the specification that Istio keeps for old manifests only: it has no word about them."""
    if isinstance(read, list):
        for number, each in enumerate(read):
            yield from _unexplained(each, f"{place}.{number}")
    if not isinstance(read, BaseModel):
        return
    for name in read.model_fields_set:
        value, alias = getattr(read, name), type(read).model_fields[name].alias
        below = f"{place}.{alias or name}".lstrip(".")
        yield from _unexplained(value, below)
        told = type(value).__module__ == v1.__name__ or getattr(type(read).Builder, name).__doc__
        if below.startswith("spec.") and not told:
            yield f"{below}: not explained any more"
