"""What is raised for operations that a model or a checker cannot make sense of."""

from jepsen_like.check.model import Model


class Misused(ValueError):
    """An operation that the chosen model does not know."""


def unknown(model: Model, f: str) -> Misused:
    """What to say of an operation that `model` does not know."""
    return Misused(f"a {type(model).__name__} knows {', '.join(model.knows)}, not {f}")
