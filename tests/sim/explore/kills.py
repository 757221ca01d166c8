"""Which planted bug is found in which scope, in how many states: `python -m tests.sim.explore.kills [NAME ...]`."""

import sys
import time
from dataclasses import dataclass

from jepsen_like.mutants.plant import planted
from jepsen_like.mutants.table import find, read
from jepsen_like.sim.explore.scope import SCOPES
from jepsen_like.sim.explore.search import Report, Search


@dataclass(frozen=True, slots=True)
class Kill:
    """A bug, and where it must be found."""

    mutant: str
    """Its name in the table of mutants."""
    scope: str
    oracle: str
    """The law that it breaks first."""
    states: int = 100_000
    """Before so many states."""
    deep: bool = False
    """It takes more than ten thousand."""


KILLS = (
    Kill("late_grant_counts", "three-nodes-elections", "I1"),
    Kill("duplicate_grant_counts", "four-nodes", "I1", deep=True),
    Kill("index_alone_is_compared", "three-nodes-stale-tail", "I4"),
    Kill("logs_are_not_compared", "three-nodes-stale-tail", "I4"),
    Kill("term_and_index_must_both_be_higher", "three-nodes-stale-tail", "liveness"),
    Kill("refused_pre_vote_is_ignored", "three-nodes-tails", "liveness"),
    Kill("half_is_a_majority", "four-nodes", "I1"),
    Kill("pre_candidate_ignores_its_leader", "two-nodes", "E21"),
    Kill("answers_carry_the_old_term", "two-nodes", "E22"),
    Kill("earlier_term_commits_by_counting", "figure-8", "I4", deep=True),
    Kill("commit_stops_at_an_earlier_term", "three-nodes-tails", "liveness"),
    Kill("unsorted_matches", "three-nodes-replication", "I7"),
    Kill("joint_half_is_forgotten", "joint-3", "I7"),
    Kill("incoming_half_is_forgotten", "joint-3", "I7"),
    Kill("one_step_before_an_entry_of_the_own_term", "four-nodes-changes", "I7"),
    Kill("majority_of_the_union", "joint-3", "I7"),
    Kill("commit_beyond_the_message", "three-nodes-stale-tail", "I6"),
    Kill("heartbeat_commits_everything", "three-nodes-stale-tail", "I6"),
    Kill("hint_beyond_the_durable_log", "three-nodes-crashes", "I8", deep=True),
    Kill("rejection_goes_back_below_match", "three-nodes-tails", "assertion"),
    Kill("gap_is_accepted", "three-nodes-replication", "assertion"),
    Kill("previous_term_is_not_checked", "three-nodes-stale-tail", "I6"),
    Kill("restarted_leader_goes_on_in_its_term", "three-nodes-replication", "I10"),
    Kill("proposal_after_stepping_down", "three-nodes-replication", "I10"),
    Kill("acknowledgement_of_an_earlier_term", "three-nodes-crashes", "I9", deep=True),
    Kill("heartbeat_answer_acknowledges", "two-nodes", "I9"),
    Kill("lost_answer_pauses_for_ever", "three-nodes-crashes", "liveness"),
    Kill("alone_without_its_disk", "three-nodes-crashes", "I7"),
    Kill("reads_without_proof", "three-nodes-stale-reads", "I14", deep=True),
    Kill("read_at_another_index", "three-nodes-reads", "I14"),
    Kill("acknowledged_before_the_sync", "three-nodes-crashes", "I11"),
    Kill("vote_leaves_before_the_sync", "three-nodes-crashes", "I11"),
    Kill("vote_is_forgotten_at_restart", "three-nodes-crashes", "assertion"),
    Kill("second_vote_in_a_term", "three-nodes-crashes", "assertion"),
)


def hunt(kill: Kill) -> Report:
    """Explore the scope with the bug in place."""
    mutant = read(find(None)).named(kill.mutant)
    with planted(mutant):
        # A continuation may stumble over a broken law of safety as well, on a path that is not the shortest.
        recover_each = 100 if kill.oracle == "liveness" else 0
        return Search(SCOPES[kill.scope], recover_each=recover_each).run(max_states=kill.states)


def line(kill: Kill) -> str:
    """One line of the table, in Markdown."""
    began = time.process_time()
    report, mutant = hunt(kill), read(find(None)).named(kill.mutant)
    spent, found = time.process_time() - began, report.finding
    end = f"survived to depth {report.depth} |" if found is None else f"{found.oracle} | {len(found.path)}"
    return f"| {mutant.row} | {mutant.what} | {kill.scope} | {end} | {report.states:,} | {spent:.1f} |\n"


def main(names: list[str]) -> None:
    """Print the table."""
    sys.stdout.write("| Row | Planted bug | Scope | Broken | Actions | States | CPU s |\n")
    sys.stdout.write("| --- | --- | --- | --- | ---: | ---: | ---: |\n")
    for kill in KILLS:
        if not names or kill.mutant in names:
            sys.stdout.write(line(kill))
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
