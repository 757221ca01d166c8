"""Finds what runs a plan: each tier's own `run`, or another one by its place, such as `package.module:run`."""

import importlib
from typing import Protocol, cast

from jepsen_like.sim.coverage import Registry
from jepsen_like.sim.happening import Watch
from jepsen_like.sim.plan import Plan, Tier
from jepsen_like.sim.verdict import Run


class Simulate(Protocol):
    """Runs one plan to its end. Equal plans on equal builds give equal runs, watched or not."""

    def __call__(self, plan: Plan, *, watch: Watch | None = None) -> Run: ...


PLACES: dict[Tier, str] = {"core": "jepsen_like.sim.core:run", "node": "jepsen_like.sim.node:run"}
"""Where each tier is found. It is imported when it is used: a tier that is broken leaves the other one be."""

GATES = "jepsen_like.sim.gates:REGISTRY"
"""The gates of both tiers."""


class NoSuchPlace(Exception):
    """What should run a plan cannot be imported; the message says what and why."""


def simulator(place: str) -> Simulate:
    """What `module:name` names.

    Raises:
        NoSuchPlace: it cannot be imported.
    """
    return cast(Simulate, _named(place))


def gates(place: str) -> Registry:
    """The gates of a campaign: those of the tiers, or what a module of one's own calls `GATES`.

    Raises:
        NoSuchPlace: the gates cannot be imported.
    """
    own = place not in PLACES.values()
    return cast(Registry, _named(f"{place.partition(':')[0]}:GATES" if own else GATES))


def _named(place: str) -> object:
    module, _, name = place.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise NoSuchPlace(f"{place} cannot be imported: {error}") from error
