"""What readers of histories raise when a file is not what it was said to be."""


class Unreadable(ValueError):
    """A file that cannot be read as a history: `place` says where (lines count from 1), the text what is wrong."""

    def __init__(self, place: str, sentence: str) -> None:
        super().__init__(f"{place}: {sentence}")
        self.place = place
