"""Damage at rest: changes what a disk had synced, where the log promises to notice, or its snapshots."""

from collections.abc import Callable
from typing import NamedTuple

from jepsen_like.sim.node.images import found, snapshots_on
from raftlog.storage.disk import SECTOR
from raftlog.storage.format import Position, segment_sequence
from raftlog.storage.recovery import Examined
from raftlog.testing.platter import Platter


def damage(platter: Platter, how: str, place: float) -> str | None:
    """Damage one place of the log, a fraction of what is promised to be noticed; in words, or None if there is nothing.

    Promised is what lies below the end of the last completed sync that the log itself knows of. A flip in the very last
    batch, when the crash came before its mark, may pass for a torn write (see the failure model in ARCHITECTURE.md).
    """
    log = found(platter)
    sectors = list(_covered(platter, log))
    if not sectors:
        return None
    name, at = sectors[min(int(place * len(sectors)), len(sectors) - 1)]
    return _WAYS[how](platter, name, at, sectors, place)


def _covered(platter: Platter, log: Examined) -> "list[tuple[str, int]]":
    """The sectors of whole batches that a later batch covers, empty ones left out."""
    limit: Position = log.last.synced_to
    sectors = []
    for name in sorted(platter.names):
        sequence = segment_sequence(name)
        if sequence is None or not log.first <= sequence <= limit.segment or sequence in log.broken:
            continue
        content = platter.names[name].cache
        end = limit.offset if sequence == limit.segment else len(content)
        sectors += [(name, at) for at in range(0, end, SECTOR) if any(content[at : at + SECTOR])]
    return sectors


class Scar(NamedTuple):
    """What was done to a snapshot."""

    file: str
    words: str


def damage_snapshot(platter: Platter, how: str, place: float) -> Scar | None:
    """Damage one file of a snapshot, or lose it; None if there is nothing to damage.

    The content of the newest snapshot's parts is spared, but for its loss: a node that comes upon damage there while it
    restores its state says so and applies nothing until somebody helps it.
    """
    sound = snapshots_on(platter)
    files = [kept.manifest.name for kept in sound]
    for kept in sound if how == "lose" else sound[:-1]:
        files += kept.manifest.part_names
    if not files:
        return None
    name = files[min(int(place * len(files)), len(files) - 1)]
    sectors = range(0, len(platter.names[name].cache), SECTOR)
    at = sectors[int(place * 7_919) % len(sectors)]
    match how:
        case "lose":
            platter.lose(name)
            return Scar(name, f"{name} is gone")
        case "flip":
            words = _flip(platter, name, at, [], place)
        case "zero":
            length = len(platter.names[name].cache) - at
            platter.replace(name, at, bytes(min(SECTOR, length)))
            words = f"the sector at {at} of {name} is zeros"
        case _:
            raise ValueError(f"a snapshot cannot be damaged by {how!r}")
    return None if words is None else Scar(name, words)


def _flip(platter: Platter, name: str, at: int, sectors: list[tuple[str, int]], place: float) -> str | None:
    content = platter.names[name].cache
    used = max(1, len(bytes(content[at : at + SECTOR]).rstrip(b"\0")))
    bit = at * 8 + int(place * 7_919) % (used * 8)
    platter.flip(name, bit)
    return f"bit {bit} of {name} is turned"


def _zero(platter: Platter, name: str, at: int, sectors: list[tuple[str, int]], place: float) -> str | None:
    platter.replace(name, at, bytes(SECTOR))
    return f"the sector at {at} of {name} is zeros"


def _misdirect(
    platter: Platter, name: str, at: int, sectors: list[tuple[str, int]], place: float
) -> str | None:
    content = platter.names[name].cache
    here = bytes(content[at : at + SECTOR])
    others = [
        other for file, other in sectors if file == name and bytes(content[other : other + SECTOR]) != here
    ]
    if not others:
        return None
    other = others[int(place * 7_919) % len(others)]
    there = bytes(content[other : other + SECTOR])
    platter.replace(name, at, there)
    platter.replace(name, other, here)
    return f"the sectors at {at} and {other} of {name} have changed places"


_WAYS: dict[str, Callable[[Platter, str, int, list[tuple[str, int]], float], str | None]] = {
    "flip": _flip,
    "zero": _zero,
    "misdirect": _misdirect,
}
