"""The story language: blocks of commands, a line `---`, and the record of what they did.

A file opens with a comment: one sentence saying what it shows. Then come blocks, apart by blank lines. A block is one
command per line (`#` begins a comment), then `---`, then what happened, which `pytest --rewrite` writes anew. Lines
that begin with `expect` say what must be true there in any case; they are commands and are never rewritten.

The commands are the methods of `tests.cranked.commands.Commands`, which documents each of them.
"""

from dataclasses import dataclass, field
from pathlib import Path

from tests.cranked.commands import Commands

RULE = "---"


class StoryFailed(AssertionError):
    """A command or an expectation failed; the message opens with file and line."""


@dataclass(slots=True)
class Block:
    """Commands with the line number of each, and the record below them."""

    commands: list[tuple[int, str]] = field(default_factory=list)
    record: list[str] = field(default_factory=list)


def parse(text: str) -> list[Block]:
    """The blocks of a story."""
    blocks, block, recording = [Block()], None, False
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            block, recording = None, False
            continue
        if block is None:
            block = Block()
            blocks.append(block)
        if line == RULE and not recording:
            recording = True
        elif recording:
            block.record.append(line)
        else:
            block.commands.append((number, line))
    return [block for block in blocks if block.commands]


def run(text: str, *, name: str = "story") -> str:
    """Play a story and return it with its record as it came out.

    Raises:
        StoryFailed: an expectation or an invariant does not hold, or a line cannot be understood.
    """
    commands, written = Commands(), []
    for block in parse(text):
        for number, line in block.commands:
            try:
                commands.run(line)
            except (AssertionError, ValueError, KeyError, IndexError) as problem:
                raise StoryFailed(
                    f"{name}:{number}: {line}\n  {type(problem).__name__}: {problem}"
                ) from problem
        said = commands.take_said()
        lines = [line for _, line in block.commands]
        written.append("\n".join([*lines, RULE, *said] if said else lines))
    return "\n\n".join(written) + "\n"


def title(text: str) -> str:
    """The sentence a story opens with."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").rstrip())
    return " ".join(lines)


def play(path: Path) -> str:
    """Play the story of a file."""
    return run(path.read_text(encoding="utf-8"), name=path.name)
