"""What a client holds and how long it waits."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one client; the defaults fill a gigabit link. Sizes in bytes, times in seconds.

    Invariants: `frame_bytes <= window_bytes`; `ping_after < patience`; `spread` is below the answers that a node keeps
    per session (8,192), or an early call that waits long could lose its answer to later ones.
    """

    window_calls: int = 4_096
    """Sent and not yet answered; the rest waits in the client."""
    window_bytes: int = 4 << 20
    """Of bodies sent and not yet answered, and one more body."""
    frame_bytes: int = 256 << 10
    """Of bodies in one frame, and one more body."""
    spread: int = 4_096
    """How far a sequence may run ahead of the earliest unanswered one."""
    ping_after: float = 1.0
    """With calls unanswered and nothing heard for this long, ask for a sign of life."""
    patience: float = 3.0
    """With calls unanswered and nothing heard for this long, try another node."""
    dial_patience: float = 2.0
    """For connecting to one address."""
    fruitless: float = 0.5
    """After this long with nothing but refusals, try another node."""
    avoid: float = 5.0
    """How long a node that answers is kept, although it names a leader, after that one could not be reached."""
    drain: float = 0.5
    """For the answers still due from a node that has named a better one."""

    def __post_init__(self) -> None:
        if not 0 < self.frame_bytes <= self.window_bytes:
            raise ValueError(
                f"frame_bytes {self.frame_bytes} must be positive and at most window_bytes {self.window_bytes}"
            )
        if not 0 < self.ping_after < self.patience:
            raise ValueError(
                f"ping_after {self.ping_after} s must be positive and below patience {self.patience} s"
            )
        if not 0 < self.spread <= 6_000 or self.window_calls <= 0:
            raise ValueError("spread must be 1 to 6,000, and window_calls positive")
