"""What a report means, in sentences for people who have not read the documentation."""

import shlex
from collections.abc import Mapping

from jepsen_like.check import Verdict
from jepsen_like.cluster.trial import Report, Trial
from jepsen_like.workloads.workload import Judged

PROMISES: Mapping[str, str] = {
    "kv": "every key is linearizable: reads see the newest write, in one order that all agree on",
    "set-full": "nothing that was added is lost, and no read goes back",
    "list-append": "transactions are strictly serializable",
    "bank": "every read shows the same total, and nobody owes",
    "fenced-lock": "tokens of a lock only grow, and what comes with an old one is refused",
    "total-queue": "what went in comes out once, and nothing else does",
    "counter-bounds": "every addition counts once",
    "log": "the nodes' logs on disk agree, and hold each command as often as clients were told",
}
"""By checker."""

OUTCOMES: Mapping[str, str] = {
    "passed": "All promises were kept.",
    "failed": "A promise was broken.",
    "invalid": "This run says nothing: too little was done, or it could not be judged.",
}

VERDICTS: Mapping[Verdict, str] = {
    Verdict.VALID: "kept",
    Verdict.INVALID: "broken",
    Verdict.UNKNOWN: "nobody knows",
}


def promise(judged: Judged) -> str:
    """What this checker holds a run to."""
    return PROMISES.get(judged.checker, judged.checker)


def title(trial: Trial) -> str:
    """`register under kill`."""
    return (
        f"{trial.workload} under {trial.schedule}"
        if trial.schedule != "none"
        else f"{trial.workload}, no faults"
    )


def setting(trial: Trial) -> str:
    """The trial in one line."""
    broken = f", the build {trial.broken}, which is wrong on purpose" if trial.broken else ""
    return (
        f"seed {trial.seed}, {trial.nodes} nodes, {trial.clients} clients with {trial.rate:g} operations a second each,"
        f" {trial.seconds} seconds under load{broken}"
    )


def outcome(report: Report) -> str:
    """One sentence."""
    if report.trial.broken and report.outcome == "failed":
        return "Caught: this build is wrong on purpose, and the run shows it."
    if report.outcome == "failed" and not any(each.verdict is Verdict.INVALID for each in report.judged):
        return "No promise was broken, but the cluster did not come back as it must."
    return OUTCOMES[report.outcome]


def again(trial: Trial) -> str:
    """The command that does the same again: the same questions and faults. What real processes make of them differs."""
    words = ["--workload", trial.workload, "--schedule", trial.schedule, "--first-seed", str(trial.seed)]
    words += ["--nodes", str(trial.nodes), "--seconds", str(trial.seconds)]
    words += ["--clients", str(trial.clients), "--rate", f"{trial.rate:g}"]
    if trial.broken:
        words += ["--broken", trial.broken]
    return shlex.join(["python", "-m", "jepsen_like", "real", *words, "--dir", "runs-again"])
