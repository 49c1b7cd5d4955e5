"""What one action and one trigger kind are, as data: the schema, the checks, retries, mocks and docs derive from it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class ErrorType(msgspec.Struct, frozen=True):
    """One type of error that a step can fail with. `name` is dotted and may hold `*`; the most specific name wins.

    retryable: an attempt that fails with it is tried again where the step's `retry` does not say otherwise.
    unknown: the attempt may have taken effect all the same, unless the error itself says more (`ActionError.effect`).
    """

    name: str
    retryable: bool = False
    unknown: bool = False


class ActionSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One action of the language.

    name: the key of a step.
    schema: JSON Schema of the value under that key. It may refer to the common `$defs` of the definition's schema.
    definitions: `$defs` that only this action refers to.
    beside: keys that may stand beside it on the step, each with its schema.
    needs: those of `beside` that have to be there.
    fixed: keys, beside it or inside its value, that take no expression.
    secrets: keys of the step, its own or those beside it, whose values may hold `${{ secrets.X }}`.
    texts: keys, beside it or inside its value, where a plain number or boolean is the text as it is written (`3.10`), with how
        many levels of lists and mappings that holds for.
    streams: keys of its parameters that take a large output as a reference to its file; elsewhere its content is put in.
    performer: who carries it out: an engine, through the object that `implementation` makes, or the interpreter itself.
    implementation: `package.module:function`; called with an `ActionContext`, it returns the `Action`.
    is_supported: False for an action that this version knows and cannot run.
    is_instant: it neither waits nor touches the world, so that it is performed in the turn that starts it.
    is_pure: a test never mocks it: it does what it does to the run alone.
    is_mockable: a test can say what a step of it comes to.
    can_be_allowed: a test can let it really run (`allow`).
    errors: the types of errors it fails with, beside `errors.COMMON`.
    """

    name: str
    schema: dict[str, Any]
    definitions: dict[str, Any] = {}
    beside: dict[str, Any] = {}
    needs: tuple[str, ...] = ()
    fixed: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()
    texts: dict[str, int] = {}
    streams: frozenset[str] = frozenset()
    performer: Literal["engine", "interpreter"] = "engine"
    implementation: str = ""
    is_supported: bool = True
    is_instant: bool = False
    is_pure: bool = False
    is_mockable: bool = False
    can_be_allowed: bool = False
    errors: tuple[ErrorType, ...] = ()


class TriggerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of trigger.

    name: its key.
    schema: JSON Schema of the value under that key.
    keys: its other keys, each with its schema, but for `if` and `input`.
    settings: the struct that `model.Trigger.settings` converts to; its fields are `keys`, with their defaults.
    component: `package.module:function` of an installed package; called with a `TriggerContext`, it returns the part of `serve`
        that watches for it.
    has_event: a run that it starts has an event, so that `if` and `input` may stand beside it.
    """

    name: str
    schema: dict[str, Any]
    keys: dict[str, Any] = {}
    settings: type[msgspec.Struct]
    component: str = ""
    has_event: bool = False
