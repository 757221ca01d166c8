"""`python -m jepsen_like check`: verdicts, places and exit codes, as scripts rely on them."""

import json
from pathlib import Path

import pytest

from jepsen_like.cli import run

SAMPLES = Path(__file__).parent / "samples"


def _check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(["check", *arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.mark.parametrize(
    "name, form, model, initial, verdict, bad, ops",
    [
        ("stale-read.edn", "edn", "cas-register", "0", "invalid", 5, 3),
        ("lines.edn", "edn", "register", "nil", "valid", None, 2),
        ("etcd-style.log", "jepsen-log", "cas-register", None, "valid", None, 4),
        ("append.kv-edn", "kv-edn", "kv", None, "invalid", 5, 3),
        ("append.kv-edn", "kv-edn", "kv", "", "invalid", 5, 3),
        ("append.kv-edn", "kv-edn", "kv", '""', "invalid", 5, 3),
        ("register.jsonl", "jsonl", "register", None, "valid", None, 2),
        ("register.jsonl", "jsonl", "register", "nil", "valid", None, 2),
        ("register.jsonl", "jsonl", "register", "7", "valid", None, 2),
    ],
)
def test_every_format_has_a_line_for_scripts_and_an_exit_code(
    capsys: pytest.CaptureFixture[str],
    name: str,
    form: str,
    model: str,
    initial: str | None,
    verdict: str,
    bad: int | None,
    ops: int,
) -> None:
    file = str(SAMPLES / name)
    more = [] if initial is None else ["--initial", initial]
    code, out, _ = _check(capsys, "--format", form, "--model", model, *more, "--json", file)
    found = json.loads(out)
    assert found.pop("seconds") >= 0
    assert found == {"file": file, "verdict": verdict, "ops": ops, "first_bad_event": bad}
    assert code == (1 if verdict == "invalid" else 0)


def test_the_line_of_a_line_format_is_counted_with_noise_and_empty_lines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    log = tmp_path / "noisy.log"
    log.write_text(
        "noise\n"
        "INFO  jepsen.util - 0\t:invoke\t:write\t1\n"
        "INFO  jepsen.util - 0\t:ok\t:write\t1\n\n"
        "INFO  jepsen.util - 0\t:invoke\t:read\tnil\n"
        "noise\n"
        "INFO  jepsen.util - 0\t:ok\t:read\tnil\n"
    )
    code, out, _ = _check(capsys, "--format", "jepsen-log", "--model", "cas-register", "--json", str(log))
    assert (code, json.loads(out)["first_bad_event"]) == (1, 6)


def test_nil_is_an_unrecorded_read_where_it_can_be_no_value(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    history = tmp_path / "nil.edn"
    history.write_text(
        "{:process 0 :type :invoke :f :read :value nil}\n{:process 0 :type :ok :f :read :value nil}\n"
    )
    for model, initial, code in (("register", "0", 0), ("register", "nil", 0), ("cas-register", "0", 0)):
        assert (
            _check(capsys, "--format", "edn", "--model", model, "--initial", initial, str(history))[0] == code
        )
    history.write_text(
        "{:process 0 :type :invoke :f :write :value 1}\n{:process 0 :type :ok :f :write :value 1}\n"
        + history.read_text()
    )
    assert _check(capsys, "--format", "edn", "--model", "register", str(history))[0] == 1


def test_people_read_why(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = (
        "--format",
        "edn",
        "--model",
        "cas-register",
        "--initial",
        "0",
        "--html",
        str(tmp_path / "drawn"),
    )
    code, out, err = _check(capsys, *arguments, str(SAMPLES / "stale-read.edn"))
    assert code == 1
    assert out.startswith("invalid ")
    assert "event 5 is impossible: process 2: read None -> 1" in out
    assert "was one of: 2" in out
    drawn = tmp_path / "drawn" / "stale-read.edn.html"
    assert str(drawn) in err
    page = drawn.read_text()
    assert page.count("<g class=bad>") == 1
    assert page.count("<g class=ok>") == 2


def test_a_picture_tells_places_older_questions_and_nothing_from_other_objects(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = [
        ("old", "invoke", "put", 7, "k"),
        *(
            (0, kind, "put", number, key)
            for key, number in (("other", 99), *(("k", number) for number in range(20)))
            for kind in ("invoke", "ok")
        ),
        (1, "invoke", "put", 30, "k"),
        (2, "invoke", "get", None, "k"),
        (2, "ok", "get", "<wrong>", "k"),
    ]
    file = tmp_path / "keys.jsonl"
    fields = ("process", "type", "f", "value", "key")
    file.write_text("\n".join(json.dumps(dict(zip(fields, line, strict=True))) for line in lines))
    arguments = ("--format", "jsonl", "--model", "kv", "--html", str(tmp_path), str(file))
    assert _check(capsys, *arguments)[0] == 1
    page = (tmp_path / "keys.jsonl.html").read_text()
    assert "<code>process 2: get \u2192 &lt;wrong&gt; (key &#x27;k&#x27;)</code>" in page
    assert "never answered, may have happened since: put 7 (process old, event 0)." in page
    assert page.count("<g class=ok>") == 12
    assert page.count("<g class=info>") == 1
    assert "<tspan class=place>20 </tspan>put 19</text>" in page
    assert "put 99" not in page
    assert "<wrong>" not in page


def test_a_check_gives_up_in_the_end_unless_told_not_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert "default: 300" in _check(capsys, "--help")[1]
    valid = ("--format", "edn", "--model", "register", str(SAMPLES / "lines.edn"))
    assert _check(capsys, "--timeout", "inf", *valid)[0] == 0
    code, out, _ = _check(capsys, "--timeout", "0", *valid)
    assert (code, "--timeout SECONDS gives it more time" in out) == (2, True)


def test_the_worst_verdict_decides_the_exit_code(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    valid, invalid, broken = (
        str(SAMPLES / "lines.edn"),
        str(tmp_path / "invalid.edn"),
        str(tmp_path / "broken.edn"),
    )
    Path(invalid).write_text(
        "{:process 0 :type :invoke :f :read}\n{:process 0 :type :ok :f :read :value 9}\n"
    )
    Path(broken).write_text("{:process 0 :type")
    base = ("--format", "edn", "--model", "register")
    assert _check(capsys, *base, valid)[0] == 0
    assert _check(capsys, *base, valid, invalid)[0] == 1
    assert _check(capsys, *base, "--timeout", "0", valid)[0] == 2
    code, out, err = _check(capsys, *base, "--json", broken, valid, invalid)
    assert code == 3
    assert [json.loads(line)["verdict"] for line in out.splitlines()] == ["error", "valid", "invalid"]
    assert f"{broken}: line 1: expected the {{ opened here to be closed before the end" in err


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("--format", "edn", "--model", "tree", "x"), "tree"),
        (("--format", "xml", "--model", "register", "x"), "xml"),
        (("--model", "register", "x"), "--format"),
        (("--format", "edn", "--model", "register"), "FILE"),
        (("--format", "edn", "--model", "mutex", "--initial", "3", "x"), "always begins empty"),
        (("--format", "edn", "--model", "counter", "--initial", "[", "x"), "--initial"),
        (("--format", "edn", "--model", "register", "--timeout", "-1", "x"), "--timeout"),
        (("--format", "edn", "--model", "register", "/no/such/file"), "No such file"),
        (("--format", "edn", "--model", "register", "/"), "directory"),
    ],
)
def test_bad_usage_ends_with_three_and_a_sentence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    code, _, err = _check(capsys, *arguments)
    assert code == 3
    assert sentence in err


_ADD_TEXT = (
    '{"process": 0, "type": "invoke", "f": "add", "value": "x"}\n'
    '{"process": 0, "type": "ok", "f": "add", "value": "x"}'
)


@pytest.mark.parametrize(
    "text, model, sentence",
    [
        (
            '{"process": 0, "type": "ok", "f": "read"}',
            "register",
            "line 1: process 0 is answered (ok) without",
        ),
        ('{"process": 0, "type": "invoke", "f": "pop"}', "register", "knows read, write, not pop"),
        (
            '{"process": 0, "type": "invoke", "f": "cas", "value": 3}',
            "cas-register",
            "cas takes [old, new], not 3",
        ),
        ('{"process": 0, "type": "invoke", "f": "get"}', "kv", "needs a key"),
        (
            '{"process": 0, "type": "invoke", "f": "txn", "value": 1}',
            "list-append",
            "a transaction is a list",
        ),
        (_ADD_TEXT, "counter", "counter"),
    ],
)
def test_events_that_make_no_sense_end_with_three(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, model: str, sentence: str
) -> None:
    file = tmp_path / "odd.jsonl"
    file.write_text(text)
    code, _, err = _check(capsys, "--format", "jsonl", "--model", model, str(file))
    assert code == 3
    assert sentence in err


def test_other_checkers_are_models_of_the_command_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "ids.jsonl"
    lines = [
        {"process": 0, "type": kind, "f": "generate", "value": 7} for kind in ("invoke", "ok", "invoke", "ok")
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    code, out, _ = _check(capsys, "--format", "jsonl", "--model", "unique-ids", "--json", str(file))
    assert (code, json.loads(out)["first_bad_event"]) == (1, 3)
