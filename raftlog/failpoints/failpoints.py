"""What a node carries to its failpoints: the rules that are armed, and how often each place was reached."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable
from random import Random
from typing import Final, Never, TypeAlias

from raftlog.core.ids import Micros
from raftlog.failpoints.points import ALL
from raftlog.failpoints.rules import Action, BadRule, Crash, Delay, Fail, Rule, parse

OnHit: TypeAlias = Callable[[str, Action | None], None]
"""Told of each failpoint that is reached, before anything happens there, and of the action that a rule asks for."""


class FailpointCrash(BaseException):
    """The process has crashed at a failpoint; what still runs of it only unwinds. No `except Exception` holds it up."""

    def __init__(self, name: str) -> None:
        super().__init__(f"crashed at the failpoint {name}")
        self.name = name


class FailpointError(Exception):
    """A rule asked for an error at a failpoint whose surroundings expect none: as good as a defect there."""


def _kill_process(name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stall_process(micros: Micros) -> None:
    time.sleep(micros / 1e6)


class Failpoints:
    """The failpoints of one process start of one node; a simulation makes one for each start of each host.

    A place in the code looks at `armed`, and that is all it costs while nothing is armed:

        if self._failpoints.armed:
            await self._failpoints.hit("wal.append.before_write", DiskError)

    Invariants: `armed` whenever there is a rule or somebody watches, until a crash: what is unwound after it passes
    every place unseen. Each place uses one of `hit`, `hit_now` and `fails`, as its `Failpoint.waits` and `error` say.
    """

    def __init__(
        self,
        rules: str | Iterable[Rule] = (),
        *,
        on_hit: OnHit | None = None,
        crash: Callable[[str], None] = _kill_process,
        stall: Callable[[Micros], None] = _stall_process,
        random: Random | None = None,
    ) -> None:
        """Arm the rules.

        Args:
            rules: see `raftlog.failpoints.rules`.
            on_hit: see `OnHit`; once there is one, everything reached is reported and counted.
            crash: ends the process (SIGKILL by default). In a simulation it takes the disk's power and the network
                away before it returns, and ends the host soon: FailpointCrash is raised at the place right after.
            stall: lets time pass for the whole process (sleeps by default).
            random: draws whether rules with a chance fire.

        Raises:
            BadRule: a text is no rule, or a rule has a chance and there is no `random`.
        """
        self.armed = False
        self.hits: dict[str, int] = {}
        """How often each place was reached while armed."""
        self._fired: dict[str, int] = {}
        self._rules: dict[str, Rule] = {}
        self._on_hit = on_hit
        self.crashed = False
        """Whether a rule has ended the process."""
        self._crash = crash
        self._stall = stall
        self._random = random
        self.arm(rules)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What is armed, in the order it was."""
        return tuple(self._rules.values())

    @property
    def fired(self) -> dict[str, int]:
        """How often a rule has struck, by failpoint."""
        return dict(self._fired)

    def arm(self, rules: str | Iterable[Rule]) -> None:
        """Add rules; one for a failpoint that has one replaces it. Hits and times are counted from now.

        Raises:
            BadRule: a text is no rule, or a rule has a chance and there is no `random`.
        """
        new = parse(rules) if isinstance(rules, str) else tuple(rules)
        for rule in new:
            if rule.chance < 1 and self._random is None:
                raise BadRule(f"{rule}: there is nothing here that draws lots")
        for rule in new:
            assert self is not INERT, "the inert failpoints belong to everybody: make your own"
            self._rules[rule.name] = rule
            self.hits.pop(rule.name, None)
            self._fired.pop(rule.name, None)
        self._decide()

    def disarm(self, name: str) -> None:
        """Drop the rule of a failpoint, if it has one."""
        self._rules.pop(name, None)
        self._decide()

    def has_rule(self, name: str) -> bool:
        """Whether a rule names it: for places that only exist if somebody looks."""
        return name in self._rules

    def _decide(self) -> None:
        self.armed = not self.crashed and (bool(self._rules) or self._on_hit is not None)

    # -- what the places in the code call; only while `armed`

    async def hit(self, name: str, error: Callable[[str], Exception]) -> None:
        """Reach a place where waiting is possible.

        Raises:
            FailpointCrash: the process has ended.
            Exception: `error` of a sentence, because a rule asks for it.
        """
        assert ALL[name].waits, f"nothing can wait at {name}"
        match self._reach(name):
            case Crash():
                self._end(name)
            case Delay(micros):
                await asyncio.sleep(micros / 1e6)
            case Fail():
                raise error(_sentence(name))
            case None:
                pass

    def hit_now(self, name: str) -> None:
        """Reach a place in the midst of things; a delay stands still with the whole process.

        Raises:
            FailpointCrash: the process has ended.
            FailpointError: a rule asks for it.
        """
        if self.fails(name):
            raise FailpointError(_sentence(name))

    def fails(self, name: str) -> bool:
        """The same where an error is something that the place itself knows how to do; whether it shall.

        Raises:
            FailpointCrash: the process has ended.
        """
        assert not ALL[name].waits, f"{name} is awaited"
        match self._reach(name):
            case Crash():
                self._end(name)
            case Delay(micros):
                self._stall(micros)
            case Fail():
                return True
            case None:
                pass
        return False

    def _reach(self, name: str) -> Action | None:
        """Count, tell, and find what is to be done."""
        number = self.hits[name] = self.hits.get(name, 0) + 1
        rule = self._rules.get(name)
        action = rule.action if rule is not None and self._strikes(rule, number) else None
        if action is not None:
            self._fired[name] = self._fired.get(name, 0) + 1
        if self._on_hit is not None:
            self._on_hit(name, action)
        return action

    def _strikes(self, rule: Rule, number: int) -> bool:
        if number < rule.first or (rule.times is not None and self._fired.get(rule.name, 0) >= rule.times):
            return False
        if rule.chance >= 1:
            return True
        assert self._random is not None, f"{rule} was armed without lots"
        return self._random.random() < rule.chance

    def _end(self, name: str) -> Never:
        self.crashed = True
        self._decide()
        self._crash(name)
        raise FailpointCrash(name)


def _sentence(name: str) -> str:
    return f"injected at the failpoint {name}"


INERT: Final = Failpoints()
"""What every component has that was given nothing else. Never armed."""
