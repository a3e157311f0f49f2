"""Sprig's functions over paths, URLs and regular expressions. Expressions are RE2's, so no text can make them slow.

Must never look at a file or a host. Source: github.com/Masterminds/sprig/v3, go.dev/pkg/path, go.dev/pkg/net/url, go.dev/pkg/regexp.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from fairlead.tongues import regexes
from fairlead.tongues.gotemplate.kinds import Function, GoError, NilList, Strings, kind_name, octets, textual
from fairlead.tongues.gotemplate.printing import quoted
from fairlead.tongues.gotemplate.states import State

# Paths


def _base(path: str) -> str:
    if not path:
        return "."
    return path.rstrip("/").rpartition("/")[2] or "/"


def clean(path: str) -> str:
    """Return the shortest path that means the same (path.Clean)."""
    cleaned = posixpath.normpath(path) if path else "."
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _dir(path: str) -> str:
    return clean(path[: path.rfind("/") + 1])


def _ext(path: str) -> str:
    name = path[path.rfind("/") + 1 :]
    return name[name.rfind(".") :] if "." in name else ""


# Regular expressions


def _compiled(pattern: str, must: bool) -> Any:
    try:
        return regexes.compile(pattern)
    except regexes.BadPattern as fault:
        message = f"error parsing regexp: {_said(str(fault))}"
        raise GoError(message if must else f"regexp: Compile({_backquoted(pattern)}): {message}") from None


_WORDS: Final = {
    "missing ]": "missing closing ]",
    "missing )": "missing closing )",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "trailing \\": "trailing backslash at end of expression",
    "bad escape": "invalid escape sequence",
    "invalid repetition size": "invalid repeat count",
}


def _said(fault: str) -> str:
    """What Go says where C++ says this."""
    words, colon, part = fault.partition(": ")
    return _WORDS.get(words, words) + (f": {_backquoted(part)}" if colon else "")


def _backquoted(text: str) -> str:
    return f"`{text}`" if "`" not in text and text.isprintable() else quoted(text)


def _match(must: bool) -> Callable[[str, str], bool]:
    def match(pattern: str, text: str) -> bool:
        try:
            return _compiled(pattern, True).search(text) is not None
        except GoError:
            if must:
                raise
            return False

    return match


def _spans(pattern: str, text: str, must: bool) -> list[Any]:
    """All matches, as Go finds them: an empty one right behind another does not count."""
    found, end = [], -1
    for match in _compiled(pattern, must).finditer(text):
        if match.start() == match.end() == end:
            continue
        end = match.end()
        found.append(match)
    return found


def _find_all(must: bool) -> Callable[[str, str, int], list[str]]:
    def find_all(pattern: str, text: str, most: int) -> list[str]:
        found = Strings(match.group() for match in _spans(pattern, text, must))
        chosen = found if most < 0 else Strings(found[:most])
        return chosen or NilList()

    return find_all


def _find(must: bool) -> Callable[[str, str], str]:
    def find(pattern: str, text: str) -> str:
        match = _compiled(pattern, must).search(text)
        return str(match.group()) if match is not None else ""

    return find


_GROUP = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))")


def _replace_all(must: bool, literal: bool) -> Callable[[State, str, str, str], str]:
    def replace_all(state: State, pattern: str, text: str, replacement: str) -> str:
        parts: list[str] = []
        end = 0
        plain = literal or "$" not in replacement
        for match in _spans(pattern, text, must):
            made = replacement if plain else _filled(replacement, match)
            state.charge(len(made) + match.start() - end)
            parts += (text[end : match.start()], made)
            end = match.end()
        return "".join(parts) + text[end:]

    return replace_all


def _filled(replacement: str, match: Any) -> str:
    return _GROUP.sub(lambda name: _group(name, match), replacement)


def _group(name: re.Match[str], match: Any) -> str:
    dollar, braced, bare = name.groups()
    if dollar:
        return "$"
    word = braced or bare
    try:
        found = match.group(int(word) if word.isdigit() else word)
    except (IndexError, KeyError):
        return ""
    return str(found) if found is not None else ""


def _split(must: bool) -> Callable[[str, str, int], list[str]]:
    def split(pattern: str, text: str, most: int) -> list[str]:
        if most == 0:
            return NilList()
        parts, begin, end = Strings(), 0, 0
        if pattern and not text:
            return Strings([""])
        for match in _spans(pattern, text, must):
            if most > 0 and len(parts) == most - 1:
                break
            end = match.start()
            if match.end() != 0:
                parts.append(text[begin:end])
            begin = match.end()
        if end != len(text):
            parts.append(text[begin:])
        return parts

    return split


# URLs

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2}).{0,2}", re.DOTALL)
_PATH_SAFE: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~$&+,/:;=@!'()*[]"


def _unescaped(text: str) -> str:
    bad = _ESCAPE.search(text)
    if bad is not None:
        raise GoError(f"invalid URL escape {quoted(bad.group())}")
    return textual(
        re.sub(rb"%([0-9a-fA-F]{2})", lambda match: bytes([int(match.group(1), 16)]), octets(text))
    )


def _escaped(text: str, safe: str) -> str:
    return "".join(
        chr(octet) if octet < 128 and chr(octet) in safe else f"%{octet:02X}" for octet in octets(text)
    )


def _url_parse(text: str) -> dict[str, Any]:
    try:
        return _parsed(text)
    except GoError as fault:
        raise GoError(f"unable to parse url: parse {quoted(text)}: {fault}") from None


def _parsed(text: str) -> dict[str, Any]:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise GoError("net/url: invalid control character in URL")
    rest, _, fragment = text.partition("#")
    made = dict.fromkeys(
        ("fragment", "host", "hostname", "opaque", "path", "query", "scheme", "userinfo"), ""
    )
    made["fragment"] = _unescaped(fragment)
    if rest.startswith(":"):
        raise GoError("missing protocol scheme")
    scheme = _SCHEME.match(rest)
    if scheme is not None:
        made["scheme"], rest = scheme.group(1).lower(), rest[scheme.end() :]
    rest, _, made["query"] = rest.partition("?")
    if not rest.startswith("/"):
        if made["scheme"]:
            made["opaque"] = rest
            return made
        if ":" in rest.partition("/")[0]:
            raise GoError("first path segment in URL cannot contain colon")
    if rest.startswith("//") and (made["scheme"] or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        user, at, host = authority.rpartition("@")
        if at:
            name, colon, password = user.partition(":")
            made["userinfo"] = _userinfo(_unescaped(name), _unescaped(password) if colon else None)
        made["host"], made["hostname"] = _host(host)
    made["path"] = _unescaped(rest)
    return made


def _userinfo(name: str, password: str | None) -> str:
    safe = _PATH_SAFE.translate(str.maketrans("", "", "/:@!'()*[]"))
    return _escaped(name, safe) + ("" if password is None else f":{_escaped(password, safe)}")


def _host(host: str) -> tuple[str, str]:
    name, port = host, ""
    if host.startswith("["):
        end = host.rfind("]")
        if end < 0:
            raise GoError("missing ']' in host")
        name, port = host[1:end], host[end + 1 :]
    elif ":" in host:
        name, _, digits = host.rpartition(":")
        port = f":{digits}"
    if port and not re.fullmatch(r":[0-9]*", port):
        raise GoError(f"invalid port {quoted(port)} after host")
    if " " in host:
        raise GoError('invalid character " " in host name')
    return _unescaped(host), _unescaped(name)


def _url_join(parts: dict[str, Any]) -> str:
    words = {}
    for key in ("scheme", "host", "path", "query", "opaque", "fragment", "userinfo"):
        value = parts.get(key, "")
        if type(value) is not str:
            raise GoError(f"unable to parse {key} key, must be of type string, but {kind_name(value)} found")
        words[key] = value
    text = f"{words['scheme']}:" if words["scheme"] else ""
    if words["opaque"]:
        text += words["opaque"]
    else:
        user = words["userinfo"]
        if user:
            try:
                user = _parsed(f"proto://{user}@host")["userinfo"]
            except GoError as fault:
                raise GoError(f"unable to parse userinfo in dict: {fault}") from None
        path = _escaped(words["path"], _PATH_SAFE)
        if words["scheme"] or words["host"] or user:
            if words["host"] or words["path"] or user:
                text += "//"
            text += f"{user}@" if user else ""
            text += _escaped(words["host"], _PATH_SAFE.replace("/", "").replace("@", "") + '<>"')
        if path and path[0] != "/" and words["host"]:
            text += "/"
        if not text and ":" in path.partition("/")[0]:
            text += "./"
        text += path
    text += f"?{words['query']}" if words["query"] else ""
    return text + (f"#{_escaped(words['fragment'], _PATH_SAFE + '?')}" if words["fragment"] else "")


def _quoted_meta(text: str) -> str:
    return re.sub(r"[\\.+*?()|\[\]{}^$]", lambda match: f"\\{match.group()}", text)


_PATHS: Final = {
    "base": _base,
    "clean": clean,
    "dir": _dir,
    "ext": _ext,
    "isAbs": lambda path: path.startswith("/"),
}
ADDRESSES: Final[Mapping[str, Function]] = {
    **{name: Function(run, "s") for name, run in _PATHS.items()},
    **{f"os{name[0].upper()}{name[1:]}": Function(run, "s") for name, run in _PATHS.items()},
    "getHostByName": Function(lambda _: "", "s"),
    "mustRegexFind": Function(_find(True), "ss"),
    "mustRegexFindAll": Function(_find_all(True), "ssi"),
    "mustRegexMatch": Function(_match(True), "ss"),
    "mustRegexReplaceAll": Function(_replace_all(True, False), "sss", state=True),
    "mustRegexReplaceAllLiteral": Function(_replace_all(True, True), "sss", state=True),
    "mustRegexSplit": Function(_split(True), "ssi"),
    "regexFind": Function(_find(False), "ss"),
    "regexFindAll": Function(_find_all(False), "ssi"),
    "regexMatch": Function(_match(False), "ss"),
    "regexQuoteMeta": Function(_quoted_meta, "s"),
    "regexReplaceAll": Function(_replace_all(False, False), "sss", state=True),
    "regexReplaceAllLiteral": Function(_replace_all(False, True), "sss", state=True),
    "regexSplit": Function(_split(False), "ssi"),
    "urlJoin": Function(_url_join, "m"),
    "urlParse": Function(_url_parse, "s"),
}
"""The functions by name."""
