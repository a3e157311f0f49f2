"""Text -> tree, by Falco's grammar. Reads names of macros and lists without resolving them; knows no fields.

The grammar is that of the filters of falcosecurity/libs (userspace/libsinsp/filter/parser.h). It differs in two points: a backslash that is
itself escaped does not escape the quote after it, and nesting is limited in fact, to MOST_NESTED levels.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from fairlead.tongues.conditions.trees import (
    LIST_OPERATORS,
    MODIFIERS,
    NUMBER_OPERATORS,
    TRANSFORMERS,
    And,
    BadCondition,
    Call,
    Check,
    Exists,
    FieldRef,
    Group,
    Name,
    Not,
    Operand,
    Or,
    Place,
    Tree,
    Value,
    Values,
)  # fmt: skip

MOST_NESTED = 100
MOST_TEXT = 1 << 20
"""Characters of one condition."""

_BLANK = re.compile(r"[ \t\b\r\n]*")
_NOT = re.compile(r"not[ \t\b\r\n]+")
_IDENTIFIER = re.compile(r"[a-zA-Z]+[a-zA-Z0-9_]*")
_FIELD = re.compile(r"[a-zA-Z]+[a-zA-Z0-9_]*(?:\.[a-zA-Z]+[a-zA-Z0-9_]*)+")
_ARGUMENT = re.compile(r"[^ \t\b\r\n\v\f\[\]\"']+")
_NUMBER = re.compile(r"0[xX][0-9a-zA-Z]+|[+-]?[0-9]+\.?[0-9]*(?:[eE][+-][0-9]+)?")
_BARE = re.compile(r"[^ \t\b\r\n\v\f()\"'=,]+")
_TRANSFORMER = re.compile("(" + "|".join(TRANSFORMERS) + r")\(")
_MODIFIER = re.compile("(" + "|".join(MODIFIERS) + r")[ \t\b\r\n]*(?=\()")
_SYMBOLS = (("==", "="), ("=", "="), ("!=", "!="))
_WORDS = (
    "glob",
    "iglob",
    "contains",
    "icontains",
    "bcontains",
    "startswith",
    "bstartswith",
    "endswith",
    "regex",
)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", " ": "\\", "\\": "\\", "/": "/"}
_OPERATORS = "'exists', '<=', '<', '>=', '>', '=', '!=', " + ", ".join(
    f"'{word}'" for word in (*_WORDS, *LIST_OPERATORS)
)


def read(text: str, line: int = 1) -> Tree:
    """Return the tree of a condition, with the names of macros and lists as they stand. Raises BadCondition.

    `line` is the number of its first line.
    """
    reader = _Reader(text, line)
    tree = reader.either()
    reader.end()
    return tree


def items(text: str, line: int = 1) -> tuple[Value, ...]:
    """Return the values in the text of a list's item: one, as a rule; words with blanks in them need no quotes. Raises BadCondition."""
    if not text or text.isspace():
        raise BadCondition("expected a string value", line)
    if (" " in text or "\t" in text or "\n" in text) and text[0] not in "\"'":
        return (Value(text, quoted=True, at=(line, 1)),)
    reader = _Reader(text, line)
    found = reader.values_until_end()
    reader.end()
    return found


def reference(text: str) -> FieldRef | Call:
    """Return the field, or the transformer over fields, that is all of the text. Raises BadCondition."""
    reader = _Reader(text)
    found = reader.subject()
    if found is None:
        raise reader.wrong("expected a field")
    reader.blank()
    reader.end()
    return found


def leading_reference(text: str, at: int) -> tuple[FieldRef | Call, int] | None:
    """Return the field or transformer that begins at an index and where it ends, or None. Raises BadCondition when it is cut off."""
    reader = _Reader(text)
    reader.index = at
    found = reader.subject()
    return None if found is None else (found, reader.index)


class _Reader:
    """A cursor over the text, and a function for each rule of the grammar."""

    def __init__(self, text: str, line: int = 1) -> None:
        if len(text) > MOST_TEXT:
            raise BadCondition(f"longer than {MOST_TEXT} characters", line)
        self.text = text
        self.first = line
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.index = 0
        self.depth = 0
        self.last = ""

    def place(self, index: int | None = None) -> Place:
        at = self.index if index is None else index
        line = bisect_right(self.starts, at)
        return self.first + line - 1, at - self.starts[line - 1] + 1

    def wrong(self, message: str, index: int | None = None) -> BadCondition:
        return BadCondition(message, *self.place(index))

    def blank(self) -> bool:
        match = _BLANK.match(self.text, self.index)
        assert match is not None
        found = match.end() > self.index
        self.index = match.end()
        return found

    def word(self, text: str) -> bool:
        if self.text.startswith(text, self.index):
            self.index += len(text)
            self.last = text
            return True
        return False

    def token(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self.text, self.index)
        if match is None:
            return None
        self.index = match.end()
        self.last = match.group()
        return self.last

    def end(self) -> None:
        if self.index < len(self.text):
            raise self.wrong(f"unexpected token after {self.last!r}, expecting 'or', 'and'")

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MOST_NESTED:
            raise self.wrong(f"nested deeper than {MOST_NESTED} levels")

    def either(self) -> Tree:
        self.blank()
        at = self.place()
        found = [self.all()]
        while self.word("or"):
            found.append(self.all(self.joined("or")))
        return found[0] if len(found) == 1 else Or(tuple(found), at)

    def all(self, first: Tree | None = None) -> Tree:
        self.blank()
        at = self.place()
        found = [first if first is not None else self.negated()]
        self.blank()
        # What directly follows `or(` ... `)` is joined to what comes after it by the grammar's `or`, not by an `and` of its own.
        while first is None and self.word("and"):
            found.append(self.joined("and") or self.negated())
            self.blank()
        return found[0] if len(found) == 1 else And(tuple(found), at)

    def joined(self, by: str) -> Tree | None:
        """What stands in parentheses directly after `and` or `or`; None where a blank follows, and a term is still to be read."""
        if self.blank():
            return None
        if self.word("("):
            return self.enclosed()
        raise self.wrong(f"expected blank or '(' after '{by}'")

    def negated(self) -> Tree:
        self.blank()
        at = self.place()
        turned = False
        while self.token(_NOT) is not None:
            turned = not turned
        if self.word("not("):
            turned = not turned
            tree = self.enclosed()
        else:
            tree = self.check()
        return Not(tree, at) if turned else tree

    def enclosed(self) -> Tree:
        self.deeper()
        tree = self.either()
        self.blank()
        if not self.word(")"):
            raise self.wrong("expected a ')' token")
        self.depth -= 1
        return tree

    def check(self) -> Tree:
        at = self.place()
        if self.word("("):
            return self.enclosed()
        left = self.subject()
        if left is not None:
            return self.comparison(left, at)
        name = self.token(_IDENTIFIER)
        if name is None:
            raise self.wrong("expected a '(' token, a field check, or an identifier")
        return Name(name, at)

    def subject(self) -> FieldRef | Call | None:
        """A field, or a transformer with its arguments."""
        at = self.place()
        match = _TRANSFORMER.match(self.text, self.index)
        if match is not None:
            self.index = match.end()
            return self.call(match.group(1), at)
        return self.field(at)

    def field(self, at: Place) -> FieldRef | None:
        name = self.token(_FIELD)
        if name is None:
            return None
        if not self.word("["):
            return FieldRef(name, None, at)
        argument = self.quoted()
        if argument is None:
            argument = self.token(_ARGUMENT)
        if argument is None:
            raise self.wrong("expected a valid field argument: a quoted string or a bare string")
        if not self.word("]"):
            raise self.wrong("expected a ']' token")
        return FieldRef(name, argument, at)

    def call(self, name: str, at: Place) -> Call:
        self.deeper()
        args = [self.operand(within=False)]
        self.blank()
        while self.word(","):
            args.append(self.operand(within=False))
            self.blank()
        if not self.word(")"):
            raise self.wrong("expected a ')' token closing the transformer")
        self.depth -= 1
        return Call(name, tuple(args), at)

    def operand(self, *, within: bool) -> Operand:
        """An argument of a transformer; `within` a group there is no further group."""
        self.blank()
        at = self.place()
        number = self.token(_NUMBER)
        if number is not None:
            return Value(number, quoted=False, at=at)
        text = self.quoted()
        if text is not None:
            return Value(text, quoted=True, at=at)
        if not within and self.word("("):
            return self.group(at)
        found = self.subject()
        if found is None:
            raise self.wrong(
                "expected field transformer argument: field, transformer, quoted string, number, or transformer list"
            )
        return found

    def group(self, at: Place) -> Group:
        self.blank()
        found: list[Operand] = []
        while not self.word(")"):
            if found and not self.word(","):
                raise self.wrong("expected ')'")
            found.append(self.operand(within=True))
            self.blank()
        return Group(tuple(found), at)

    def comparison(self, left: FieldRef | Call, at: Place) -> Check | Exists:
        self.blank()
        if self.word("exists"):
            return Exists(left, at)
        for op in NUMBER_OPERATORS:
            if self.word(op):
                return Check(left, op, self.computed() or self.number(), "", at)
        op = self.text_operator()
        if op:
            self.blank()
            mod = _MODIFIER.match(self.text, self.index)
            if mod is not None:
                self.index = mod.end()
                return Check(left, op, self.values(), mod.group(1), at)
            return Check(left, op, self.computed() or self.value(), "", at)
        for op in LIST_OPERATORS:
            if self.word(op):
                return Check(left, op, self.listed(), "", at)
        raise self.wrong(f"expected a valid check operator: one of {_OPERATORS}")

    def text_operator(self) -> str:
        for symbol, op in _SYMBOLS:
            if self.word(symbol):
                return op
        for word in _WORDS:
            if self.word(word):
                if not self.blank():
                    raise self.wrong(f"expected blank after '{word}'")
                return word
        return ""

    def computed(self) -> FieldRef | Call | None:
        """A transformer, or `val(field)`."""
        self.blank()
        at = self.place()
        if self.word("val("):
            self.blank()
            field = self.field(self.place())
            if field is None:
                raise self.wrong("expected a field within 'val' transformer")
            self.blank()
            if not self.word(")"):
                raise self.wrong("expected a ')' token closing the transformer")
            return field
        match = _TRANSFORMER.match(self.text, self.index)
        if match is None:
            return None
        self.index = match.end()
        return self.call(match.group(1), at)

    def number(self) -> Value:
        at = self.place()
        number = self.token(_NUMBER)
        if number is None:
            raise self.wrong("expected a number value or a field with a valid transformer")
        return Value(number, quoted=False, at=at)

    def value(self) -> Value:
        self.blank()
        at = self.place()
        text = self.quoted()
        if text is not None:
            return Value(text, quoted=True, at=at)
        text = self.token(_BARE)
        if text is None:
            raise self.wrong("expected a string value")
        return Value(text, quoted=False, at=at)

    def listed(self) -> Value | Values | FieldRef | Call:
        self.blank()
        if self.text.startswith("(", self.index):
            return self.values()
        computed = self.computed()
        if computed is not None:
            return computed
        at = self.place()
        name = self.token(_IDENTIFIER)
        if name is None:
            raise self.wrong("expected a list, an identifier, or a field with a valid transformer")
        return Value(name, quoted=False, at=at)

    def values(self) -> Values:
        at = self.place()
        self.word("(")
        self.blank()
        if self.word(")"):
            return Values((), at)
        found = self.some_values()
        if not self.word(")"):
            raise self.wrong("expected a ')' token")
        return Values(found, at)

    def values_until_end(self) -> tuple[Value, ...]:
        return self.some_values()

    def some_values(self) -> tuple[Value, ...]:
        found = [self.value()]
        self.blank()
        while self.word(","):
            found.append(self.value())
            self.blank()
        return tuple(found)

    def quoted(self) -> str | None:
        """The text in quotes here, unescaped, or None."""
        start = self.index
        quote = self.text[start : start + 1]
        if quote not in {"'", '"'}:
            return None
        parts: list[str] = []
        index = start + 1
        while index < len(self.text):
            char = self.text[index]
            if char == quote:
                self.index = index + 1
                self.last = self.text[start : self.index]
                return "".join(parts)
            if char == "\\":
                index += 1
                after = self.text[index : index + 1]
                if after in {"'", '"'} and after != quote:
                    raise self.wrong(f"invalid \\{after} escape in {quote}-quoted string", index - 1)
                if after != quote and after not in _ESCAPES:
                    raise self.wrong(f"unsupported string escape sequence: \\{after}", index - 1)
                char = _ESCAPES.get(after, after)
            parts.append(char)
            index += 1
        raise self.wrong("expected a closing quote", start)
