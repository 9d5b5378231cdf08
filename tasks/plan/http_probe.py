"""One request to the protected service, and the two by which a recovery proves itself.

In paths, bodies and fields `{id}` is a fresh UUID.
"""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tasks.plan.base import Block
from tasks.plan.values import Duration, Integer, matching, refusal

RequestPath = Annotated[str, matching(r"/\S*", "a path below the public endpoint, such as '/health'")]
FieldPath = Annotated[str, matching(r"[^\s.]+(\.[^\s.]+)*", "a JSON field, with dots between levels")]
_ID = "{id}"


class HttpProbe(Block):
    """One request through the public endpoint.

    `fields` are what the JSON answer must hold, by dotted path; where the answer is a list, what one of its
    items must hold. The answer must come `within`.
    """

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    path: RequestPath
    body: dict[str, Any] | None = None
    status: Annotated[Integer, Field(ge=100, le=599)] = 200
    fields: dict[str, Any] = Field(default_factory=dict)
    within: Duration = timedelta(seconds=5)


class Proof(Block):
    """That users are served: something is written as a user writes it, and read back.

    `write` carries the id that `read` asks for. `served_by` is the field of the write's JSON answer that
    names the site that took it.
    """

    write: HttpProbe
    read: HttpProbe
    served_by: FieldPath = "site"

    @model_validator(mode="after")
    def _of_one_thing(self) -> Self:
        if self.write.method not in {"POST", "PUT", "PATCH"} or self.read.method != "GET":
            raise refusal("not a write and its reading", "write by POST, PUT or PATCH, read by GET")
        if _ID not in f"{self.write.path} {self.write.body}" or _ID not in self.read.path:
            allowed = f"{_ID} in the write's path or body, and in the read's path"
            raise refusal("what is read is not what was written", allowed)
        return self
