"""The list of invariants: what each says, and which of them wait for a feature."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invariant:
    """One row; `absent` names the feature it waits for, and is empty when it is checked."""

    name: str
    says: str
    absent: str = ""


INVARIANTS: tuple[Invariant, ...] = (
    Invariant("I1", "at most one leader per term, over the whole run including restarts"),
    Invariant(
        "I2",
        "term and vote never go back; the vote of a term never changes, across crash and restart",
    ),
    Invariant("I3", "the same (index, term) means the same entry and the same prefix"),
    Invariant("I4", "a new leader holds every entry committed in earlier terms"),
    Invariant("I5", "no two nodes apply different entries at one index; digests per index are equal"),
    Invariant("I6", "committed entries never change; the commit index never falls and stays within the log"),
    Invariant("I7", "committed means durable on a quorum of the membership in force"),
    Invariant(
        "I8", "base <= snapshot <= applied <= min(committed, durable), durable <= last, committed <= last"
    ),
    Invariant("I9", "match is at most what the follower has durably; it never falls; next > match"),
    Invariant("I10", "an entry (index, term) is created once, by the leader of that term"),
    Invariant("I11", "nothing that promises durability leaves a node before its sync completed"),
    Invariant("I12", "the membership in force is the newest one in log or snapshot"),
    Invariant("I13", "a snapshot ends with a decided entry and has the digest and membership of its index"),
    Invariant("I14", "a linearizable read reflects every write acknowledged before it began"),
    Invariant("I15", "one (client, sequence) takes effect once"),
    Invariant(
        "I16", "while a lease is valid by any clock within the drift bound, nobody else leads", "leases"
    ),
    Invariant("R1", "a leader commits by counting an entry of its own term only"),
    Invariant("M1", "a leader changes the membership only after an entry of its own term is decided"),
    Invariant("M2", "a membership is made only of a decided one"),
    Invariant("M7", "a joint membership is left only once it is decided"),
    Invariant("M10", "voters change through a joint membership with the voters before"),
    Invariant(
        "E16", "only voters ask for votes: of the newest membership, or of one since the newest decided"
    ),
    Invariant("E22", "an answer carries the term its sender is in"),
    Invariant("D8", "log time never falls along a log"),
    Invariant("W4", "who has lost entries gives no vote before it has what was decided before its loss"),
)
"""In the order of reports. From R1 on they are no rows of that list but are checked at every step as well."""
