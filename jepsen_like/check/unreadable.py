"""What readers of histories raise when a file is not what it was said to be."""


class Unreadable(ValueError):
    """A file that cannot be read as a history: `line` counts from 0, the sentence says what was expected there."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(sentence)
        self.line = line
