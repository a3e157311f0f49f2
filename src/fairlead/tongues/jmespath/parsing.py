"""Text -> tree, as Kyverno's parser (go-jmespath) reads it: what it refuses is refused here too.

The grammar is PyPI `jmespath`'s; a literal that is no JSON is an error, as in Go, where the older library would guess a text.
Nothing is evaluated here.
"""

from __future__ import annotations

import json
from typing import Any

from jmespath import exceptions, lexer, parser

from fairlead.tongues.jmespath.kinds import BadExpression

_LONGEST = 200_000
"""Longer texts are refused: no policy has one."""


_AnyLexer: Any = lexer.Lexer
_AnyParser: Any = parser.Parser


class _Lexer(_AnyLexer):  # type: ignore[misc]  # the stubs leave out what is overridden
    def _consume_literal(self) -> dict[str, Any]:
        start = self._position
        lexeme = self._consume_until("`").replace("\\`", "`")
        try:
            value = json.loads(lexeme)
        except ValueError:
            raise exceptions.LexerError(
                lexer_position=start, lexer_value=lexeme, message=f"invalid JSON literal `{lexeme}`"
            ) from None
        return {"type": "literal", "value": value, "start": start, "end": self._position - start}


class _Parser(_AnyParser):  # type: ignore[misc]  # as above
    def _do_parse(self, expression: str) -> Any:
        self.tokenizer = _Lexer().tokenize(expression)
        self._tokens = list(self.tokenizer)
        self._index = 0
        parsed = self._expression(binding_power=0)
        if self._current_token() != "eof":
            token = self._lookahead_token(0)
            raise exceptions.ParseError(token["start"], token["value"], token["type"], "Unexpected token")
        return parsed


def parse(text: str) -> dict[str, Any]:
    """Return the tree of the expression. Raises BadExpression."""
    if len(text) > _LONGEST:
        raise BadExpression("the expression is too long")
    try:
        tree: dict[str, Any] = _Parser()._do_parse(text)  # noqa: SLF001  the public way keeps a cache of its own
    except exceptions.IncompleteExpressionError:
        raise BadExpression("SyntaxError: Incomplete expression", len(text)) from None
    except exceptions.LexerError as error:
        raise BadExpression(f"SyntaxError: {error.message}", error.lex_position) from None
    except exceptions.ParseError as error:
        said = f"SyntaxError: Unexpected token at the end of the expression: {error.token_value}"
        raise BadExpression(said, error.lex_position or 0) from None
    except exceptions.JMESPathError as error:
        raise BadExpression(f"SyntaxError: {error}") from None
    except RecursionError:
        raise BadExpression("SyntaxError: the expression is nested too deeply") from None
    except (
        ValueError,
        IndexError,
        TypeError,
    ) as error:  # numbers beyond what Python reads; texts that end in the middle
        raise BadExpression(f"SyntaxError: {error}") from None
    return tree
