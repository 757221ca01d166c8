"""EDN, the notation of Jepsen's histories: reading values and writing them."""

import base64
import re
from collections.abc import Mapping
from typing import Any

from jepsen_like.check.frozen import frozen
from jepsen_like.check.unreadable import Unreadable

DEEPEST = 100  # levels of nesting; no history needs ten


class Keyword(str):
    """An EDN keyword. It equals the text without its colon, so `:a` and "a" are the same value to every checker."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f":{self}"


_TOKEN = re.compile(
    r"""[\s,]*(?:
        (?P<comment>;[^\n]*)
      | (?P<open>\#\{|[\[({])
      | (?P<close>[\])}])
      | (?P<string>"[^"\\]*(?:\\.[^"\\]*)*")
      | (?P<discard>\#_)
      | (?P<tag>\#(?=[A-Za-z])[^\s,()\[\]{}";]+)
      | (?P<character>\\(?:[a-z]{3,}|u[0-9A-Fa-f]{4}|.))
      | (?P<atom>[^\s,()\[\]{}";]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_SPACE = re.compile(r"[\s,]*")
_INTEGER = re.compile(r"[+-]?\d+N?")
_FLOAT = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?M?")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\", "/": "/"}
_CHARACTERS = {
    "newline": "\n",
    "space": " ",
    "tab": "\t",
    "return": "\r",
    "formfeed": "\f",
    "backspace": "\b",
}
_CLOSING = {"[": "]", "(": ")", "{": "}", "#{": "}"}
_CONSTANTS: dict[str, Any] = {
    "nil": None,
    "true": True,
    "false": False,
    "##NaN": float("nan"),
    "##Inf": float("inf"),
    "##-Inf": float("-inf"),
}


class _Open:
    """A collection whose end has not come yet."""

    __slots__ = ("at", "discards", "items", "opening")

    def __init__(self, opening: str, at: int) -> None:
        self.opening = opening
        self.at = at
        self.items: list[Any] = []
        self.discards = 0

    def add(self, value: Any) -> None:
        if self.discards:
            self.discards -= 1
        else:
            self.items.append(value)


def read_edn(text: str) -> list[tuple[int, Any]]:
    """All values in `text`, each with the number of the line (from 0) that it begins on.

    Lists and vectors become lists, maps dicts, sets frozensets, keywords `Keyword`, other symbols text. Tags are
    dropped: a tagged value stands for itself. Raises `Unreadable`.
    """
    return _Reader(text).values()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._atoms: dict[str, Any] = dict(_CONSTANTS)
        self._found: list[tuple[int, Any]] = []
        self._line = 0
        self._counted = 0

    def values(self) -> list[tuple[int, Any]]:
        text, match = self._text, _TOKEN.match
        top = _Open("", 0)
        stack = [top]
        at = 0
        began = 0
        while (token := match(text, at)) is not None:
            kind, at = token.lastgroup, token.end()
            assert kind is not None, "every alternative of a token has a name"
            word, start = token[kind], token.start(kind)
            if len(stack) == 1:
                began = start
            match kind:
                case "comment" | "tag":
                    continue
                case "discard":
                    stack[-1].discards += 1
                    continue
                case "open":
                    if len(stack) > DEEPEST:
                        raise self._wrong(start, f"expected at most {DEEPEST} levels of nesting")
                    stack.append(_Open(word, start))
                    continue
                case "close":
                    closed = stack.pop() if len(stack) > 1 else None
                    if closed is None or _CLOSING[closed.opening] != word:
                        expected = "no" if closed is None else _CLOSING[closed.opening]
                        raise self._wrong(start, f"expected {expected} closing bracket here, found {word}")
                    value = self._collected(closed)
                case "atom":
                    value = self._atom(word, start)
                case "string":
                    value = self._string(word, start)
                case _:
                    value = self._character(word, start)
            stack[-1].add(value)
            if len(stack) == 1 and top.items:
                self._found.append((self._line_of(began), top.items.pop()))
        self._finish(at, stack)
        return self._found

    def _finish(self, at: int, stack: list[_Open]) -> None:
        rest = _SPACE.match(self._text, at)
        assert rest is not None, "an empty match always succeeds"
        if rest.end() < len(self._text):
            raise self._wrong(rest.end(), f"expected a value, found {_short(self._text[rest.end() :])}")
        if len(stack) > 1:
            raise self._wrong(
                stack[-1].at, f"expected the {stack[-1].opening} opened here to be closed before the end"
            )

    def _collected(self, closed: _Open) -> Any:
        items = closed.items
        if closed.opening == "#{":
            return frozenset(map(frozen, items))
        if closed.opening != "{":
            return items
        if len(items) % 2:
            raise self._wrong(closed.at, f"expected a map of pairs, found {len(items)} forms")
        return {
            key if isinstance(key, str) else frozen(key): value
            for key, value in zip(items[::2], items[1::2], strict=True)
        }

    def _atom(self, word: str, at: int) -> Any:
        found = self._atoms.get(word, self)
        if found is self:
            found = self._atoms[word] = self._read_atom(word, at)
        return found

    def _read_atom(self, word: str, at: int) -> Any:
        if word.startswith(":") and len(word) > 1:
            return Keyword(word[1:])
        if _INTEGER.fullmatch(word):
            if len(word) > 1000:
                raise self._wrong(at, f"expected a number of at most 1000 digits, found {len(word)}")
            return int(word.rstrip("N"))
        if _FLOAT.fullmatch(word):
            return float(word.rstrip("M"))
        if word[0].isdigit() or not word.isprintable() or word[0] in "#:^@`~'":
            raise self._wrong(at, f"expected a value, found {_short(word)}")
        return word

    def _string(self, word: str, at: int) -> str:
        inside = word[1:-1]
        if "\\" not in inside:
            return inside
        return _ESCAPE.sub(lambda escape: self._unescaped(escape[1], at), inside)

    def _unescaped(self, escape: str, at: int) -> str:
        if len(escape) == 5:
            return chr(int(escape[1:], 16))
        if escape not in _ESCAPES:
            raise self._wrong(at, f"expected an escape such as \\n or \\u0041 in this text, found \\{escape}")
        return _ESCAPES[escape]

    def _character(self, word: str, at: int) -> str:
        name = word[1:]
        if len(name) == 5 and name[0] == "u":
            return chr(int(name[1:], 16))
        if len(name) > 1 and name not in _CHARACTERS:
            raise self._wrong(at, f"expected a character such as \\a or \\newline, found {_short(word)}")
        return _CHARACTERS.get(name, name)

    def _line_of(self, at: int) -> int:
        """The line of a place; asked in rising order, except for errors."""
        if at < self._counted:
            return self._text.count("\n", 0, at)
        self._line += self._text.count("\n", self._counted, at)
        self._counted = at
        return self._line

    def _wrong(self, at: int, sentence: str) -> Unreadable:
        return Unreadable(f"line {self._line_of(at) + 1}", sentence)


def _short(text: str) -> str:
    return ascii(text if len(text) <= 20 else text[:20] + "...")


def edn(value: Any) -> str:
    """The value in EDN. Bytes become base64 text; the members of sets stand in the order of their notation."""
    match value:
        case None:
            return "nil"
        case bool():
            return "true" if value else "false"
        case Keyword():
            return f":{value}"
        case str():
            return _quoted(value)
        case bytes():
            return _quoted(base64.b64encode(value).decode())
        case int() | float():
            return repr(value)
        case list() | tuple():
            return "[" + " ".join(map(edn, value)) + "]"
        case set() | frozenset():
            return "#{" + " ".join(sorted(map(edn, value))) + "}"
        case Mapping():
            return "{" + ", ".join(f"{edn(key)} {edn(each)}" for key, each in value.items()) + "}"
        case _:
            raise TypeError(f"EDN has no notation for {type(value).__name__}: {value!r}")


def _quoted(text: str) -> str:
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        text = text.replace(plain, escaped)
    return f'"{text}"'
