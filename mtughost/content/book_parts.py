"""Parts that all sections of a task book share: names, typed parameters, strict sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

ReadRisk = Literal["passive", "active", "disruptive"]
ProvenBasis = Literal["device", "sample", "document"]
Cost = Literal["none", "link-flap", "reboot", "ha-pair-reboot"]
ParamType = Literal[
    "interface",
    "ipv4",
    "ipv6",
    "address",
    "network",
    "hostname",
    "port",
    "integer",
    "path",
    "token",
    "run-token",
    "script",
]

#: Names of commands, changes, parsers, platforms. Also safe as file names.
Name = Annotated[str, Field(pattern=r"\A[a-z0-9][a-z0-9_.-]{0,63}\z")]
#: A parser of the book's own platform, or ``<platform>/<parser>`` of another whose program it is.
ParserName = Annotated[
    str, Field(pattern=r"\A(?:[a-z0-9][a-z0-9_.-]{0,63}/)?[a-z0-9][a-z0-9_.-]{0,63}\z")
]
#: File name of a template inside ``templates/<platform>/``.
TemplateName = Annotated[str, Field(pattern=r"\A[a-z0-9][a-z0-9_.-]{0,63}\.j2\z")]
ParamName = Annotated[str, Field(pattern=r"\A[a-z][a-z0-9_]{0,31}\z")]
Line = Annotated[str, Field(min_length=1, max_length=4096)]
Seconds = Annotated[float, Field(gt=0, le=600)]
ExitCode = Annotated[int, Field(ge=0, le=255)]


class Section(BaseModel):
    """A mapping of the book: unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ParamSpec(Section):
    """One typed value that may be put into a command.

    Attributes:
        type: What it must be; see :mod:`mtughost.content.values`.
        min: Smallest integer, for ``integer`` only.
        max: Largest integer, for ``integer`` only.
        many: A list of 1 to 16 such values, written with Jinja's ``join``.
    """

    type: ParamType
    min: int | None = None
    max: int | None = None
    many: bool = False

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        bounded = self.min is not None and self.max is not None
        if self.type == "integer" and not bounded:
            raise ValueError("an integer needs min and max")
        if self.type != "integer" and (self.min is not None or self.max is not None):
            raise ValueError("min and max belong to the type integer only")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is greater than max")
        return self


Params = Mapping[ParamName, ParamSpec]
