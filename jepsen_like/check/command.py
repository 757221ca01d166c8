"""`python -m jepsen_like check`: recorded histories, and whether they keep the promise of a model."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from jepsen_like.check.formats import FORMATS, read_edn_at
from jepsen_like.check.history import EventType, History, Malformed, Value
from jepsen_like.check.judgement import JUDGES, Judgement
from jepsen_like.check.misused import Misused
from jepsen_like.check.models import WITHOUT_INITIAL
from jepsen_like.check.unreadable import Unreadable
from jepsen_like.check.verdict import Verdict

_EXITS = {Verdict.VALID: 0, Verdict.INVALID: 1, Verdict.UNKNOWN: 2}
_UNREADABLE = 3
_PATIENCE = 300  # seconds; a search may take longer than anybody lives


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--format",
    "format_name",
    type=click.Choice(list(FORMATS)),
    required=True,
    help="How the files are written.",
)
@click.option(
    "--model", type=click.Choice(list(JUDGES)), required=True, help="What the clients were promised."
)
@click.option(
    "--initial", metavar="VALUE", help="The value before the first operation, in the notation of the format."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=_PATIENCE,
    show_default=True,
    metavar="SECONDS",
    help="Give up on a file after this time; inf: never.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file and line.")
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    help="Draw what is invalid into files there.",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.pass_context
def check(
    context: click.Context,
    format_name: str,
    model: str,
    initial: str | None,
    timeout: float,
    as_json: bool,
    html: Path | None,
    files: tuple[str, ...],
) -> None:
    """Check histories against a model.

    Exit codes: 0 all are valid; 1 some history is invalid; 2 none is, but some verdict is unknown (the time was too
    short); 3 a file cannot be read as the given format, or bad usage.
    """
    task = _Task(format_name, model, _initial(initial, format_name, model), timeout, html)
    codes = []
    for file in files:
        outcome = task.outcome(file)
        click.echo(outcome.line() if as_json else outcome.text())
        if outcome.error is not None:
            click.echo(f"{file}: {outcome.error}", err=True)
        sys.stdout.flush()
        codes.append(_UNREADABLE if outcome.judgement is None else _EXITS[outcome.judgement.verdict])
    context.exit(next(code for code in (3, 1, 2, 0) if code in codes))


def _initial(text: str | None, format_name: str, model: str) -> Value:
    """The value that the user wrote: in JSON for jsonl, else in EDN; nothing at all is the empty text."""
    if text is None:
        return "" if format_name == "kv-edn" and model == "kv" else None
    value = _value(text, format_name)
    if model in WITHOUT_INITIAL and value:
        raise click.BadParameter(f"a {model} always begins empty, not with {text}", param_hint="--initial")
    if model == "multi-register" and not isinstance(value, dict | None):
        raise click.BadParameter(
            f"expected a map of registers such as {{:x 0}}, found {text}", param_hint="--initial"
        )
    if model == "counter" and not isinstance(value, int | None):
        raise click.BadParameter(f"expected a whole number, found {text}", param_hint="--initial")
    return value


def _value(text: str, format_name: str) -> Value:
    if not text.strip():
        return ""
    if format_name == "jsonl" or text.strip() == "null":
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            pass  # people write nil and bare words here, too: EDN knows both
    try:
        values = read_edn_at(text, "--initial")
    except Unreadable as error:
        raise click.BadParameter(str(error), param_hint="--initial") from error
    if len(values) != 1:
        raise click.BadParameter(f"expected one value, found {len(values)}", param_hint="--initial")
    return values[0]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one file: a judgement, or the error that prevented it."""

    file: str
    seconds: float
    operations: int
    judgement: Judgement | None
    error: str | None

    def line(self) -> str:
        """The line for scripts."""
        fields: dict[str, Value] = {
            "file": self.file,
            "verdict": "error" if self.judgement is None else self.judgement.verdict.value,
            "ops": self.operations,
            "first_bad_event": None if self.judgement is None else self.judgement.first_bad_event,
            "seconds": round(self.seconds, 3),
        }
        if self.error is not None:
            fields["error"] = self.error
        return msgspec.json.encode(fields).decode()

    def text(self) -> str:
        """The lines for people."""
        verdict = "error" if self.judgement is None else self.judgement.verdict.value
        first = f"{verdict:8} {self.file}  {self.operations} operations  {self.seconds:.2f} s"
        details = () if self.judgement is None else self.judgement.sentences
        return "\n".join([first, *(f"         {sentence}" for sentence in details)])


@dataclass(frozen=True, slots=True)
class _Task:
    """What is asked about every file."""

    format_name: str
    model: str
    initial: Value
    timeout: float
    html: Path | None

    def outcome(self, file: str) -> _Outcome:
        """Read and judge a file."""
        started = time.monotonic()
        history = History()
        judgement, error = None, None
        try:
            history = FORMATS[self.format_name](Path(file).read_bytes())
            judgement = self._judged(history, started)
            self._draw(file, history, judgement)
        except Malformed as problem:
            error = f"{_place(self.format_name, history, problem.position)}: {problem}"
        except (Unreadable, Misused) as problem:
            error = str(problem)
        except OSError as problem:
            error = problem.strerror or str(problem)
        except (RecursionError, TypeError, ValueError, OverflowError) as problem:
            # A model met values it was not made for, such as text where it adds numbers.
            error = f"expected values that a {self.model} can hold, found others: {problem}"
        operations = sum(event.type is EventType.INVOKE for event in history.events)
        return _Outcome(file, time.monotonic() - started, operations, judgement, error)

    def _judged(self, history: History, started: float) -> Judgement:
        deadline = started + self.timeout
        judge = JUDGES[self.model]
        return judge(
            history,
            self.initial,
            self.format_name == "edn",
            lambda: time.monotonic() >= deadline,
        )

    def _draw(self, file: str, history: History, judgement: Judgement) -> None:
        if self.html is not None and judgement.picture is not None:
            self.html.mkdir(parents=True, exist_ok=True)
            target = self.html / f"{Path(file).name}.html"
            target.write_text(judgement.picture(file), encoding="utf-8")
            click.echo(f"drawn: {target}", err=True)


def _place(format_name: str, history: History, position: int) -> str:
    index = history.events[position].index
    return f"line {index + 1}" if format_name != "edn" else f"event {index}"
