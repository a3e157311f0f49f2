"""What the typed constructors do when they are called, in Starlark: every field is looked up, checked and kept, or told.

Starlark and not Python, since a call across costs a hundred times what a call inside does. A check returns the value to keep, or None
after it has told what is wrong; so one call tells all that is wrong with it, and what is kept is always well formed.
Text only; must never be changed without its table in constructors.py, which names these functions.
"""

from __future__ import annotations

from typing import Final

CHECKS: Final = r'''
LOWER = "abcdefghijklmnopqrstuvwxyz"
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
LABEL = LOWER + DIGITS + "-"
SUBDOMAIN = LABEL + "."
WORD = LOWER + UPPER + DIGITS + "-_."
IMAGE = LOWER + DIGITS + "./-"
ALNUM = LOWER + UPPER + DIGITS
SUFFIXES = {"": 1, "m": 1, "k": 1, "M": 1, "G": 1, "T": 1, "P": 1, "E": 1, "n": 1, "u": 1,
            "Ki": 1, "Mi": 1, "Gi": 1, "Ti": 1, "Pi": 1, "Ei": 1}

def keys_of(at):
    out = []
    for _ in range(1000):
        if at == None:
            break
        out.append(at[1])
        at = at[0]
    return out

def oops(at, message, hint = ""):
    """Tell what is wrong at a place: ((((None, "spec"), "ports"), 0), "port")."""
    report(keys_of(at), message, hint, call_stack())

def short(text):
    return text if len(text) <= 60 else text[:57] + "..."

def a(name):
    return ("an " if name[0] in "AEIOUaeiou" else "a ") + name

def said(v):
    t = type(v)
    if t == "string":
        return "the text " + json.encode(short(v))
    if t == "int" or t == "float":
        return "the number " + short(str(v))
    if t == "bool":
        return "true" if v else "false"
    if t == "list" or t == "tuple":
        return "a list"
    if t == "dict":
        return "a mapping"
    if t == "struct":
        name = made(v)
        return a(name.rpartition(".")[2]) if name else "a group of values"
    if t == "function":
        return "a function that is not called"
    return "None" if v == None else "a " + t

def made(v):
    """The type that a value was made as by a constructor, or "". Kinds also carry where they were made."""
    mark = getattr(v, "", "")
    name = mark if type(mark) == "string" else mark[0]
    return name.removeprefix("!")

def named(at, key):
    """What to call a field in a message."""
    if type(key) == "int":
        for _ in range(100):
            if at == None:
                return "the item"
            if type(at[1]) == "string":
                return "item %d of `%s`" % (key, at[1])
            at = at[0]
    return "`%s`" % key

def wrong(at, key, wanted, v, hint = ""):
    oops((at, key), "%s must be %s, is %s" % (named(at, key), wanted, said(v)), hint)
    return None

# --- leaves: (shape, value, at, key) -> the value, or None

def text(shape, v, at, key):
    if type(v) != "string":
        t = type(v)
        hint = ""
        if t == "int" or t == "float":
            hint = 'write "%s", in quotes' % v
        elif t == "bool":
            hint = 'write "%s", in quotes' % ("true" if v else "false")
        return wrong(at, key, "a text", v, hint)
    form = shape[1]
    if form != None and not form(v, at, key):
        return None
    return v

def matching(shape, v, at, key):
    if type(v) != "string":
        return text((text, None), v, at, key)
    if shape[2] != None and len(v) < shape[2]:
        return wrong(at, key, "a text of at least %d characters" % shape[2], v)
    if shape[3] != None and len(v) > shape[3]:
        return wrong(at, key, "a text of at most %d characters" % shape[3], v)
    if shape[1] and not matches(shape[1], v):
        return wrong(at, key, "a text that matches %s" % shape[1], v)
    if shape[4] != None and not shape[4](v, at, key):
        return None
    return v

def one_of(shape, v, at, key):
    if type(v) != "string":
        return wrong(at, key, "a text", v)
    if v not in shape[1]:
        unknown_word(keys_of((at, key)), named(at, key), v, shape[1].keys(), call_stack())
        return None
    return v

def integer(shape, v, at, key):
    if type(v) != "int":
        hint = ""
        if type(v) == "string" and v and not v.strip(DIGITS):
            hint = "write %s, without quotes" % v
        elif type(v) == "float" and v == int(v):
            hint = "write %d" % int(v)
        return wrong(at, key, "an integer", v, hint)
    if (shape[1] != None and v < shape[1]) or (shape[2] != None and v > shape[2]):
        low, high = shape[1], shape[2]
        if low != None and high != None:
            wanted = "must be between %d and %d" % (low, high)
        elif low != None:
            wanted = "must be at least %d" % low
        else:
            wanted = "must be at most %d" % high
        oops((at, key), "%s %s, is %s" % (named(at, key), wanted, short(str(v))))
        return None
    return v

def boolean(shape, v, at, key):
    if type(v) != "bool":
        hint = ""
        if v == "true" or v == "True" or v == "yes" or v == "on":
            hint = "write True, without quotes"
        elif v == "false" or v == "False" or v == "no" or v == "off":
            hint = "write False, without quotes"
        return wrong(at, key, "True or False", v, hint)
    return v

def number(shape, v, at, key):
    if type(v) == "float" and v - v != 0.0:
        return wrong(at, key, "a number", v)
    if type(v) != "int" and type(v) != "float":
        return wrong(at, key, "a number", v)
    if (shape[1] != None and v < shape[1]) or (shape[2] != None and v > shape[2]):
        oops((at, key), "%s is %s, which is out of its range%s%s" % (
            named(at, key), v, "" if shape[1] == None else ", at least %s" % shape[1], "" if shape[2] == None else ", at most %s" % shape[2]))
        return None
    return v

def quantity(shape, v, at, key):
    t = type(v)
    if t == "string":
        if v and v[0] in DIGITS and v.lstrip(DIGITS) in SUFFIXES:
            return v
        fault = quantity_fault(v)
        if not fault[0]:
            return v
        oops((at, key), "%s %s" % (named(at, key), fault[0]), fault[1])
        return None
    if t == "int" or t == "float":
        return v
    return wrong(at, key, 'an amount such as "100m" or "64Mi"', v)

def port_or_name(shape, v, at, key):
    if type(v) == "int":
        if v < 1 or v > 65535:
            oops((at, key), "%s must be a port between 1 and 65535, is %d" % (named(at, key), v))
            return None
        return v
    if type(v) == "string":
        if v and not v.strip(DIGITS):
            return wrong(at, key, "a port's number or name", v, "write %s, without quotes" % v)
        return v if port_name(v, at, key) else None
    return wrong(at, key, "a port's number or name", v)

def count_or_share(shape, v, at, key):
    if type(v) == "int":
        if v < 0:
            oops((at, key), "%s must not be negative, is %d" % (named(at, key), v))
            return None
        return v
    if type(v) == "string":
        if len(v) > 1 and v[-1] == "%" and not v[:-1].strip(DIGITS):
            return v
        hint = "write %s, without quotes" % v if v and not v.strip(DIGITS) else ""
        return wrong(at, key, 'a number or a share such as "25%"', v, hint)
    return wrong(at, key, 'a number or a share such as "25%"', v)

def int_or_text(shape, v, at, key):
    if type(v) == "int" or type(v) == "string":
        return v
    return wrong(at, key, "an integer or a text", v)

def anything(shape, v, at, key):
    return loose(v, (at, key))

def loose(v, at):
    """A copy of a value without a schema: what JSON can say."""
    t = type(v)
    if t == "string" or t == "bool":
        return v
    if t == "int":
        if v < -9223372036854775808 or v > 18446744073709551615:
            oops(at, "the number %s is larger than any object can hold" % short(str(v)))
            return None
        return v
    if t == "float":
        if v != v or v - v != 0.0:
            oops(at, "%s is no number that an object can hold" % v)
            return None
        return v
    if t == "list" or t == "tuple":
        return [loose(x, (at, i)) for i, x in enumerate(v)]
    if t == "dict":
        out = {}
        for k, x in v.items():
            if type(k) != "string":
                oops(at, "a key must be a text, is %s" % said(k))
            elif x != None:
                out[k] = loose(x, (at, k))
        return out
    if t == "struct":
        return {k: loose(getattr(v, k), (at, k)) for k in dir(v) if k and getattr(v, k) != None}
    if v != None:
        oops(at, "%s is not data: an object holds texts, numbers, lists and mappings" % said(v))
    return None

# --- branches

def as_list(item, v, key):
    """How to make a list of a value that is none."""
    if type(v) == "string":
        return "write " + json.encode(v.split(" ") if key in ("command", "args") else [v]) if len(v) < 60 else ""
    if type(v) == "dict" and item[0] == obj:
        for k in v:
            if k not in item[1].fields:
                return 'write [{"name": ..., "value": ...}]' if key == "env" else ""
    return "write [...] around it" if type(v) in ("dict", "struct", "int") else ""

def listing(shape, v, at, key):
    if type(v) != "list" and type(v) != "tuple":
        return wrong(at, key, "a list", v, as_list(shape[1], v, key))
    here = (at, key)
    item = shape[1]
    check = item[0]
    out = []
    fine = True
    i = 0
    for x in v:
        if x != None:
            kept = check(item, x, here, i)
            if kept != None:
                out.append(kept)
            else:
                fine = False
        i += 1
    if shape[3] != None and i < shape[3]:
        oops(here, "%s needs at least %d items, has %d" % (named(at, key), shape[3], i))
    if shape[4] != None and i > shape[4]:
        oops(here, "%s may have at most %d items, has %d" % (named(at, key), shape[4], i))
    keys = shape[2]
    if not fine:
        return None
    if keys != None and len(out) > 1:
        repeated(out, keys, here, key)
    return out

def repeated(items, keys, at, key):
    seen = {}
    if keys:
        for i, x in enumerate(items):
            mark = tuple([getattr(x, k, None) or ("TCP" if k == "protocol" else None) for k in keys])
            if mark in seen:
                first = mark[0]
                rest = "" if len(keys) < 2 else " (%s)" % ", ".join(["%s %s" % (k, m) for k, m in zip(keys[1:], mark[1:]) if m != None])
                oops((at, i), "two items of `%s` have the same %s %s%s: items %d and %d" % (
                    key, keys[0], json.encode(first) if type(first) == "string" else first, rest, seen[mark], i), "each must be another one")
            seen[mark] = i
    else:
        for i, x in enumerate(items):
            if x in seen:
                oops((at, i), "`%s` has %s twice: items %d and %d" % (key, said(x), seen[x], i))
            seen[x] = i

def mapping(shape, v, at, key):
    if type(v) != "dict":
        if type(v) == "struct" and not made(v):
            v = {k: getattr(v, k) for k in dir(v)}
        else:
            return wrong(at, key, "a mapping", v)
    here = (at, key)
    item = shape[1]
    check = item[0]
    form = shape[2]
    out = {}
    fine = True
    for k, x in v.items():
        if type(k) != "string":
            oops(here, "a key of %s must be a text, is %s" % (named(at, key), said(k)))
            fine = False
        elif x != None:
            kept = check(item, x, here, k) if form == None or form(k, here, k) else None
            if kept != None:
                out[k] = kept
            else:
                fine = False
    return out if fine else None

def obj(shape, v, at, key):
    t = type(v)
    if t == "struct":
        mark = getattr(v, "", "")
        if mark == shape[1].name:
            return v
        name = made(v)
        if name:
            if mark == "!" + shape[1].name:  # what is wrong with it has been told
                return None
            if name.rpartition(".")[2] != shape[1].short:
                return wrong(at, key, a(shape[1].short), v)
        return make(shape[1], {k: getattr(v, k) for k in dir(v) if k}, (at, key))
    if t == "dict":
        return make(shape[1], v, (at, key))
    if shape[1].short == "ServiceBackendPort" and t in ("int", "string"):
        return wrong(at, key, "a ServiceBackendPort", v, "write {%s: %s}" % ('"number"' if t == "int" else '"name"', json.encode(v)))
    hint = "write a mapping, or call %s(...)" % shape[1].short if t != "list" else "it is one, not a list of them"
    return wrong(at, key, a(shape[1].short), v, hint)

def filled(t, given, at):
    """Check what is given for a type. Returns the fields that are kept and whether all is well."""
    fields = t.fields
    out = {}
    meant = []
    fine = True
    for k, v in given.items():
        if v == None:
            continue
        shape = fields.get(k)
        if shape == None:
            bare = k[:-1] if type(k) == "string" and k.endswith("_") else ""
            shape = fields.get(bare) if bare else None
            if shape == None:
                if t.loose:
                    out[k] = loose(v, (at, k))
                else:
                    fine = False
                    meant.append(unknown_field(keys_of((at, k)), str(k), t.short, fields.keys(), call_stack()))
                continue
            k = bare
        kept = shape[0](shape, v, at, k)
        if kept == None:
            fine = False
        else:
            out[k] = kept
    for k in t.required:
        if k not in out and given.get(k) == None and given.get(k + "_") == None and k not in meant:
            fine = False
            oops(at, "%s needs `%s`" % (t.short, k), t.hints.get(k, ""))
    return out, fine

def make(t, given, at):
    """An inner object of a type; one that is wrong is nothing within another, and marked where a constructor was called for it."""
    out, fine = filled(t, given, at)
    if not fine:
        if at != None:
            return None
        out[""] = "!" + t.name
        return struct(**out)
    out[""] = t.name
    result = struct(**out)
    for rule in t.rules:
        rule(result, at)
    return result

def kind(t, given):
    """A whole object, with where it was made."""
    out, fine = filled(t, given, None)
    if t.name_form != None and fine:
        meta = out.get("metadata")
        name = getattr(meta, "name", None) if meta != None else None
        if name == None and (meta == None or not getattr(meta, "generateName", None)):
            oops((None, "metadata"), "%s needs a name" % t.short, 'write metadata = {"name": ...}')
        elif name != None:
            fine = t.name_form(name, (None, "metadata"), "name")
        space = getattr(meta, "namespace", None) if meta != None else None
        if space != None:
            fine = FORMS["dns-label"](space, (None, "metadata"), "namespace") and fine
    out[""] = (t.name, call_stack())
    out["apiVersion"] = t.api_version
    out["kind"] = t.kind
    final = struct(**out)
    if fine:
        for rule in t.rules:
            rule(final, None)
    return final

# --- the last look: everything once more, and as JSON without marks

def proven(t, v, at):
    """What a constructor made, as JSON. Structs cannot change; mappings and lists can, so they are checked as they are now.

    The text is put together here, since making data of it first and having that encoded takes three times as long.
    """
    if type(v) != "struct" or (getattr(v, "", "") != t.name and made(v) != t.name):
        v = obj((obj, t), v, at[0], at[1]) if at != None else None
        if v == None:
            return "{}"
    again = t.again
    out = []
    for k in dir(v) if at != None else ordered(dir(v)):
        if k:
            row = again.get(k)
            if row == None:  # the type takes any field
                out.append(json.encode(k) + ":" + json.encode(loose(getattr(v, k), (at, k))))
            elif row[1] == None:
                out.append(row[0] + json.encode(getattr(v, k)))
            else:
                out.append(row[0] + row[1](row[2], getattr(v, k), at, k))
    return "{" + ",".join(out) + "}"

def ordered(keys):
    """The fields of an object as people write them: apiVersion, kind, metadata, and the rest."""
    first = [k for k in ("apiVersion", "kind", "metadata") if k in keys]
    return first + [k for k in keys if k not in first]

def obj_again(shape, v, at, key):
    return proven(shape[1], v, (at, key))

def anything_again(shape, v, at, key):
    return json.encode(loose(v, (at, key)))

def listing_again(shape, v, at, key):
    if type(v) != "list":
        wrong(at, key, "a list", v)
        return "null"
    here = (at, key)
    item = shape[1]
    if shape[2] != None and len(v) > 1:
        repeated(v, shape[2], here, key)
    again = item[-1]
    if again != None:
        return "[" + ",".join([again(item, x, here, i) for i, x in enumerate(v)]) + "]"
    check = item[0]
    return "[" + ",".join([json.encode(check(item, x, here, i)) for i, x in enumerate(v)]) + "]"

def mapping_again(shape, v, at, key):
    if type(v) != "dict":
        wrong(at, key, "a mapping", v)
        return "null"
    here = (at, key)
    item = shape[1]
    form = shape[2]
    check = item[0]
    again = item[-1]
    out = []
    for k, x in v.items():
        if type(k) != "string":
            oops(here, "a key of %s must be a text, is %s" % (named(at, key), said(k)))
            continue
        if form != None:
            form(k, here, k)
        out.append(json.encode(k) + ":" + (again(item, x, here, k) if again != None else json.encode(check(item, x, here, k))))
    return "{" + ",".join(out) + "}"

# --- the table: JSON -> types

def shape_of(raw, types, more):
    sort = raw[0]
    if sort == "text":
        return (text, FORMS[raw[1]] if raw[1] else None, None)
    if sort == "object":
        return (obj, types.get(raw[1]) or more[raw[1]], obj_again)
    if sort == "list":
        return (listing, shape_of(raw[1], types, more), raw[2], raw[3], raw[4], listing_again)
    if sort == "map":
        return (mapping, shape_of(raw[1], types, more), FORMS[raw[2]] if raw[2] else None, mapping_again)
    if sort == "enum":
        return (one_of, {word: True for word in raw[1]}, None)
    if sort == "int":
        return (integer, raw[1], raw[2], None)
    if sort == "number":
        return (number, raw[1], raw[2], None)
    if sort == "bool":
        return (boolean, None)
    if sort == "quantity":
        return (quantity, None)
    if sort == "port":
        return (port_or_name, None)
    if sort == "share":
        return (count_or_share, None)
    if sort == "matching":
        return (matching, raw[1], raw[2], raw[3], FORMS[raw[4]] if raw[4] else None, None)
    if sort == "int-or-text":
        return (int_or_text, None)
    return (anything, anything_again)

def linked(text, more = {}):
    """The types of a table, by name, and the kinds among them by apiVersion and kind; `more` is what it refers to beyond itself."""
    table = json.decode(text)
    types = {
        name: struct(
            name = name,
            short = raw["short"],
            api_version = raw["api"],
            kind = raw["kind"],
            fields = {},
            again = {},
            required = raw["required"],
            loose = raw["loose"],
            hints = raw["hints"],
            name_form = FORMS[raw["name"]] if raw["name"] else None,
            rules = RULES.get(raw["short"], []) if raw["known"] else [],
        )
        for name, raw in table.items()
    }
    for name, raw in table.items():
        fields = types[name].fields
        for field, shape in raw["fields"].items():
            shape = shape_of(shape, types, more)
            fields[field] = shape
            types[name].again[field] = (json.encode(field) + ":", shape[-1], shape)
    return types, {raw["api"] + " " + raw["kind"]: types[name] for name, raw in table.items() if raw["kind"]}

def constructor(t):
    if t.kind:
        return lambda **fields: kind(t, fields)
    return lambda **fields: make(t, fields, None)
'''
