"""A task book's sections about changes: ``change:``, ``guard:``, ``state:``, ``modes:``.

The schema of ``change:`` and ``guard:`` (all other sections are documented on their classes)::

    change:
      clamp-scope:                          # name of the change; FixHint.change uses it
        summary: Widen the clamp to the VLAN of the access points
        params:                             # everything that its templates may use, typed
          table: {type: token}
          interfaces: {type: interface, many: true}
          mss: {type: integer, min: 536, max: 9000}
        apply:   {template: clamp-scope.j2, lines: 2}
        undo:    {template: clamp-scope.undo.j2, lines: 2}
        preview: {template: clamp-scope.preview.j2, lines: 1}     # optional: changes nothing
        persist: {template: clamp-scope.persist.j2, lines: 1}     # optional: saved state
        unsave:  {template: clamp-scope.unsave.j2, lines: 1}      # optional: takes persist back
        read_back: [nft-json, nft-text]     # ids of passive commands that show the result
        guard: detached-restore             # entry of guard: below
        cost: none                          # none | link-flap | reboot | ha-pair-reboot
        touches_management: false
        basis: device                       # device | sample | document, never unconfirmed
        leaves: what stays behind, in words # optional
        timeout_s: 20                       # per line, optional
    guard:
      detached-restore:
        method: detached-restore            # algorithm in mtughost.change, chosen by name
        params:
          token: {type: run-token}          # 16 hex digits, or the mark that stands for them
          window_s: {type: integer, min: 180, max: 3600}
          undo: {type: script}              # RenderedChange.undo; arrives quoted for the shell
        arm:       {template: guard-arm.j2, lines: 3}
        read_back: {template: guard-read-back.j2, lines: 1}
        confirm:   {template: guard-confirm.j2, lines: 1}
        cancel:    {template: guard-cancel.j2, lines: 1}
        revert:    {template: guard-revert.j2, lines: 1}          # restore now
        clean:     {template: guard-clean.j2, lines: 1}           # remove what arming made
        survives: [tool-death, session-loss, hang-up]             # not: device-reboot
        reboot_reverts: true                # because nothing was saved yet
        cost: none                          # what a revert costs
        timeout_s: 20
        basis: device

On command lines, ``modes:`` names the prompts, ``state:`` says how the configuration is read, and
every template that leaves the mode of the login says where each of its lines leads
(``modes: [config, config-sub, config-sub, exec]``). Methods of guards there:

* ``device-timer``: ``arm`` starts a timer on the device, ``read_back`` shows it (``pending`` and
  ``idle`` say how), ``confirm`` and ``cancel`` end it, ``revert`` goes back at once (the change's
  undo lines where it is left out).
* ``confirmed-commit``: ``enter``, the change's lines, ``check``, then ``commit`` arms the undo and
  applies the change in one step, ``leave``. ``revert`` is ``enter``, the undo lines, ``keep``,
  ``leave``.
* ``tool-inverse``: no timer at all; the tool takes the change back by its undo lines. Only with
  ``accept_no_autorevert``.

Templates live in ``templates/<platform>/``. A template is Jinja2 text; each line that is not
blank after rendering becomes one command, and their number must equal ``lines``. Values are typed
and can hold neither line ends, control characters nor anything a shell acts on; only the type
``script`` carries whole lines (of commands rendered before), and those arrive quoted as one word
each. No other function, filter with side effects or global is available to a template.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from mtughost.content.book_parts import (
    Cost,
    Name,
    Params,
    ProvenBasis,
    Seconds,
    Section,
    TemplateName,
)


class ModeSpec(Section):
    """One mode of a command line; see :class:`mtughost.wire.profile.Mode`."""

    prompt: str = Field(min_length=1)
    above: str = ""
    asks: bool = False


class IdentitySpec(Section):
    """Who answers: commands, and where their answers hold what (regular expressions, group 1)."""

    commands: tuple[Name, ...] = Field(min_length=1)
    hostname: str = Field(min_length=1)
    version: str = Field(min_length=1)
    serial: str = Field(min_length=1)


class BootSpec(Section):
    """When the device started: a text that changes at every boot, or its uptime.

    Attributes:
        mark: Regular expression, group 1.
        uptime: Regular expression with some of the groups ``years``, ``weeks``, ``days``,
            ``hours``, ``minutes``, ``seconds``.
    """

    command: Name
    mark: str = ""
    uptime: str = ""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if bool(self.mark) == bool(self.uptime):
            raise ValueError("give either mark or uptime")
        return self


class StateSpec(Section):
    """How a command line's whole configuration is read, before and after a change.

    Attributes:
        form: How it is written, a name of ``mtughost.remedy.forms``.
        running: Shows the running configuration.
        saved: Shows what a boot loads; left out where a change saves itself.
        complete: Regular expression that must be found in both: the whole was shown.
        hide: Regular expressions of flat lines that change by themselves or that arming makes.
        native: Show the device's own words for what a change did; kept in the journal.
    """

    form: Name
    running: Name
    saved: Name | None = None
    complete: str = Field(min_length=1)
    hide: tuple[str, ...] = ()
    native: tuple[Name, ...] = ()
    identity: IdentitySpec
    boot: BootSpec

    @property
    def command_ids(self) -> tuple[str, ...]:
        """The commands it needs."""
        saved = (self.saved,) if self.saved else ()
        return (self.running, *saved, *self.native, *self.identity.commands, self.boot.command)


class LinesSpec(Section):
    """A template and how many lines it must render to.

    Attributes:
        modes: On command lines: where each line leads; empty means that all stay where a login
            begins.
    """

    template: TemplateName
    lines: int = Field(ge=1, le=64)
    modes: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _one_mode_each(self) -> Self:
        if self.modes and len(self.modes) != self.lines:
            raise ValueError("modes must name one mode for each line")
        return self


class ChangeSpec(Section):
    """One change: see the module's text for an example.

    Attributes:
        apply: What does it, on running state only.
        undo: What takes it back exactly.
        preview: What shows what would be done and changes nothing.
        persist: What writes it to saved state, sent after confirm only.
        unsave: What puts the old saved state back.
        read_back: Passive commands whose answers show the result.
        guard: Entry of ``guard:``; ``None`` means that the platform has no guard for it.
        other_guards: Further entries of ``guard:`` that an operator may ask for by name.
        needs: Versions from which on it exists, ``""`` for all.
        cost: What the change itself costs.
        touches_management: Whether it can affect the path on which we log in.
    """

    summary: str = Field(min_length=1)
    params: Params = Field(default_factory=dict)
    apply: LinesSpec
    undo: LinesSpec
    preview: LinesSpec | None = None
    persist: LinesSpec | None = None
    unsave: LinesSpec | None = None
    read_back: tuple[Name, ...] = ()
    guard: Name | None = None
    other_guards: tuple[Name, ...] = ()
    needs: str = ""
    cost: Cost
    touches_management: bool
    basis: ProvenBasis
    leaves: str = ""
    timeout_s: Seconds = 20.0


class ConditionSpec(Section):
    """What a device's configuration must or must not hold for a guard to work.

    Attributes:
        pattern: Regular expression, searched in each flat line of the running configuration.
        holds: Whether it must be found.
        why: What is wrong where it is not as it must be.
        todo: What to do about it.
    """

    pattern: str = Field(min_length=1)
    holds: bool
    why: str = Field(min_length=1)
    todo: str = ""


class GuardSpec(Section):
    """How an undo is armed before a change: see the module's text for an example.

    Attributes:
        method: The algorithm in ``mtughost.change`` that drives these lines.
        arm: The only lines that may be sent before the undo is armed.
        revert: Restores at once.
        clean: Removes what arming made, once it is settled.
        enter: ``confirmed-commit``: opens the candidate.
        check: Checks the candidate; nothing is active yet.
        commit: Arms the undo and makes the candidate active, in one step.
        keep: Makes the candidate active for good, for taking a change back.
        leave: Closes the candidate.
        pending: Regular expression that ``read_back`` holds while the timer runs; the group
            ``minutes`` or ``seconds`` is the window where the device shows it.
        idle: What it holds while none runs. Neither of both is an error.
        unit_s: The window is a multiple of this.
        limits: What it does not protect from, in words, for the approver.
        conditions: What the device's configuration must be like for it to work.
        survives: What does not stop the armed undo.
        reboot_reverts: Whether a reboot inside the window restores the state before.
        cost: What a revert costs.
    """

    method: Literal["detached-restore", "device-timer", "confirmed-commit", "tool-inverse"]
    params: Params = Field(default_factory=dict)
    arm: LinesSpec | None = None
    read_back: LinesSpec | None = None
    confirm: LinesSpec | None = None
    cancel: LinesSpec | None = None
    revert: LinesSpec | None = None
    clean: LinesSpec | None = None
    enter: LinesSpec | None = None
    check: LinesSpec | None = None
    commit: LinesSpec | None = None
    keep: LinesSpec | None = None
    leave: LinesSpec | None = None
    pending: str = ""
    idle: str = ""
    unit_s: int = Field(default=1, ge=1, le=60)
    limits: str = ""
    conditions: tuple[ConditionSpec, ...] = ()
    survives: tuple[Literal["tool-death", "session-loss", "hang-up", "device-reboot"], ...]
    reboot_reverts: bool
    cost: Cost
    timeout_s: Seconds = 20.0
    basis: ProvenBasis

    @model_validator(mode="after")
    def _has_its_lines(self) -> Self:
        needed = {
            "detached-restore": ("arm", "read_back", "confirm", "cancel", "revert", "clean"),
            "device-timer": ("arm", "read_back", "confirm", "cancel", "pending", "idle"),
            "confirmed-commit": (
                *("enter", "check", "commit", "keep", "leave"),
                *("read_back", "confirm", "pending", "idle"),
            ),
            "tool-inverse": (),
        }[self.method]
        missing = [name for name in needed if not getattr(self, name)]
        if missing:
            raise ValueError(f"a guard of method {self.method} needs {', '.join(missing)}")
        return self
