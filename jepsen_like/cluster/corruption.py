"""Damage at rest: something a process had synced comes back wrong after it died."""

from pathlib import Path

from raftlog.storage.disk import SECTOR

SUFFIXES = (".seg",)


def corrupt(directory: Path, how: str, place: float) -> str:
    """Damage the log's newest file that holds anything; what was done, in words, empty when there is nothing.

    Args:
        directory: of a node that does not run.
        how: `flip` one bit, `zero` a sector, `misdirect`: two neighbouring sectors change places.
        place: the fraction of the file's written part.
    """
    for path in sorted(directory.iterdir(), reverse=True):
        if path.suffix not in SUFFIXES:
            continue
        content = bytearray(path.read_bytes())
        written = len(content.rstrip(b"\0"))
        if written <= 2 * SECTOR:
            continue
        at = SECTOR + int((written - 2 * SECTOR) * place)
        _spoil(content, at, how)
        path.write_bytes(content)
        return f"{how} at {at} of {path.name}"
    return ""


def _spoil(content: bytearray, at: int, how: str) -> None:
    start = at - at % SECTOR
    match how:
        case "flip":
            content[at] ^= 1 << at % 8
        case "zero":
            content[start : start + SECTOR] = bytes(SECTOR)
        case "misdirect":
            here, there = content[start - SECTOR : start], content[start : start + SECTOR]
            content[start - SECTOR : start + SECTOR] = there + here
        case _:
            raise ValueError(f"nobody damages a file by {how!r}: flip, zero or misdirect")
