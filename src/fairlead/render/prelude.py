"""What every file of a native module sees without a load, in Starlark: what values are described with, and what builds are made of.

`PRELUDE` is evaluated once for each set of definitions, on top of prelude_checks.py. `FUNCTIONS` says what each name is for: the reference
in docs/modules.md is made from it. Must never offer what differs between two runs: no clock, no random number.
"""

from __future__ import annotations

from typing import Final

LOADS: Final = """
load("@fairlead/checks", "oops", "made", "said", "loose", "linked", "kind", "make", "ordered", "proven")
load("@fairlead/types", "TYPES", "KINDS")
"""

VALUES: Final = r'''
def described(sort, default, doc, more):
    """A description of a value, as data: what is not said is left out."""
    out = {"type": sort}
    if default != None:
        out["default"] = loose(default, (None, "default"))
    if doc:
        if type(doc) != "string":
            oops((None, "doc"), "`doc` must be a text, is %s" % said(doc))
        out["doc"] = doc
    for k, v in more.items():
        if v == None or v == False:
            continue
        if k == "of":
            if type(v) != "dict" or "type" not in v:
                oops((None, "of"), "`of` must be a type such as text(), is %s" % said(v))
                continue
            out[k] = v
        else:
            out[k] = loose(v, (None, k))
    out["where"] = call_stack()
    return out

def text(default = None, doc = "", *, pattern = None, min_length = None, max_length = None, enum = None, required = False, nullable = False, deprecated = None, examples = None):
    return described("text", default, doc, dict(pattern = pattern, min_length = min_length, max_length = max_length, enum = enum, required = required, nullable = nullable, deprecated = deprecated, examples = examples))

def integer(default = None, doc = "", *, minimum = None, maximum = None, multiple_of = None, enum = None, required = False, nullable = False, deprecated = None, examples = None):
    return described("integer", default, doc, dict(minimum = minimum, maximum = maximum, multiple_of = multiple_of, enum = enum, required = required, nullable = nullable, deprecated = deprecated, examples = examples))

def number(default = None, doc = "", *, minimum = None, maximum = None, multiple_of = None, required = False, nullable = False, deprecated = None, examples = None):
    return described("number", default, doc, dict(minimum = minimum, maximum = maximum, multiple_of = multiple_of, required = required, nullable = nullable, deprecated = deprecated, examples = examples))

def boolean(default = None, doc = "", *, required = False, nullable = False, deprecated = None):
    return described("boolean", default, doc, dict(required = required, nullable = nullable, deprecated = deprecated))

def choice(*options, default = None, doc = "", required = False, nullable = False, deprecated = None):
    if len(options) == 1 and type(options[0]) in ("list", "tuple"):
        options = options[0]
    return described("choice", default, doc, dict(enum = list(options), required = required, nullable = nullable, deprecated = deprecated))

def listing(of = None, default = None, doc = "", *, min_items = None, max_items = None, unique = None, required = False, nullable = False, deprecated = None, examples = None):
    return described("listing", default, doc, dict(of = of, min_items = min_items, max_items = max_items, unique = unique, required = required, nullable = nullable, deprecated = deprecated, examples = examples))

def mapping(of = None, default = None, doc = "", *, keys = None, min_items = None, max_items = None, required = False, nullable = False, deprecated = None, examples = None):
    return described("mapping", default, doc, dict(of = of, keys = keys, min_items = min_items, max_items = max_items, required = required, nullable = nullable, deprecated = deprecated, examples = examples))

def quantity(default = None, doc = "", *, minimum = None, maximum = None, measures = None, required = False, nullable = False, deprecated = None, examples = None):
    return described("quantity", default, doc, dict(minimum = minimum, maximum = maximum, measures = measures, required = required, nullable = nullable, deprecated = deprecated, examples = examples))

def port(default = None, doc = "", *, minimum = None, maximum = None, required = False, nullable = False, deprecated = None, examples = None):
    return described("port", default, doc, dict(minimum = minimum, maximum = maximum, required = required, nullable = nullable, deprecated = deprecated, examples = examples))

def duration(default = None, doc = "", *, minimum = None, maximum = None, required = False, nullable = False, deprecated = None, examples = None):
    return described("duration", default, doc, dict(minimum = minimum, maximum = maximum, required = required, nullable = nullable, deprecated = deprecated, examples = examples))

def secret_text(default = None, doc = "", *, pattern = None, min_length = None, max_length = None, required = False, nullable = False, deprecated = None):
    return described("secret_text", default, doc, dict(pattern = pattern, min_length = min_length, max_length = max_length, required = required, nullable = nullable, deprecated = deprecated))

def image_ref(default = None, doc = "", *, required = False, nullable = False, deprecated = None, examples = None):
    return described("image_ref", default, doc, dict(required = required, nullable = nullable, deprecated = deprecated, examples = examples))

def anything(default = None, doc = "", *, required = False, nullable = False, deprecated = None, examples = None):
    return described("anything", default, doc, dict(required = required, nullable = nullable, deprecated = deprecated, examples = examples))

def group(doc_or_fields = None, /, **fields):
    """Values that belong together: group("What they are for", name = text(...), ...)."""
    out = {"type": "group", "fields": fields}
    if type(doc_or_fields) == "string":
        out["doc"] = doc_or_fields
    elif type(doc_or_fields) == "dict":
        out["fields"] = doc_or_fields | fields
    elif doc_or_fields != None:
        oops(None, "a group has a documentation and fields, is given %s" % said(doc_or_fields))
    for name, field in out["fields"].items():
        if type(field) != "dict" or "type" not in field:
            sort = {"int": "integer", "string": "text", "bool": "boolean", "float": "number"}.get(type(field))
            value = json.encode(field) if type(field) == "string" else str(field)
            oops((None, name), "the value `%s` must be described by a function such as text() or integer(), is %s" % (name, said(field)), "write %s(%s)" % (sort, value) if sort else "")
    out["where"] = call_stack()
    return out

def open_group(doc_or_fields = None, /, **fields):
    """A group that lets other keys pass as they are."""
    return group(doc_or_fields, **fields) | {"open": True}
'''

PIECES: Final = r'''
def require(holds, message, hint = ""):
    """Tell a mistake unless a condition holds; the build goes on, so that all of them are told at once."""
    if not holds:
        oops(None, str(message), str(hint))
    return holds

def stage(name, objects, *, wait = True, checks = [], moments = None, one_off = False, cleanup = []):
    if type(name) != "string" or not name:
        oops((None, "name"), "a stage needs a name, is given %s" % said(name))
        name = "main"
    for m in moments or []:
        if m not in ("install", "upgrade", "rollback", "delete", "test"):
            oops((None, "moments"), "a moment is install, upgrade, rollback, delete or test, not %s" % said(m))
    for c in cleanup:
        if c not in ("before", "succeeded", "failed"):
            oops((None, "cleanup"), "a clean-up happens before, or when it has succeeded or failed, not %s" % said(c))
    if cleanup and not one_off:
        oops((None, "cleanup"), "only a stage with one_off = True has a `cleanup`")
    return struct(**{"": "fairlead.Stage", "name": name, "objects": objects, "wait": wait, "checks": checks,
        "moments": moments, "one_off": one_off, "cleanup": cleanup, "stack": call_stack()})

def test(*objects, name = "test"):
    """A stage that is applied by `fairlead test` only: jobs that must complete."""
    return struct(**{"": "fairlead.Stage", "name": name, "objects": objects, "wait": True, "checks": [],
        "moments": ["test"], "one_off": True, "cleanup": ["before"], "stack": call_stack()})

def health(what, kind = "", *, namespace = "", name = "", current = "", failed = "", in_progress = ""):
    """When an object counts as healthy: of an object of this module, or of a kind (`apps/v1`, `Deployment`)."""
    api = what
    if type(what) in ("struct", "dict"):
        get = (lambda k, d: getattr(what, k, d)) if type(what) == "struct" else (lambda k, d: what.get(k, d))
        api, kind = get("apiVersion", ""), get("kind", "")
        meta = get("metadata", {})
        name = (getattr(meta, "name", "") if type(meta) == "struct" else meta.get("name", ""))
        namespace = (getattr(meta, "namespace", "") if type(meta) == "struct" else meta.get("namespace", "")) or ""
    elif type(what) != "string" or not kind:
        oops((None, "kind"), 'health() needs an object, or an apiVersion and a kind such as "apps/v1", "Deployment"')
    if not current and not failed and not in_progress:
        oops(None, "health() says nothing: write current, failed or in_progress, each an expression in CEL")
    for field, expression in (("current", current), ("failed", failed), ("in_progress", in_progress)):
        if expression:
            fault = cel_fault(expression)
            if fault:
                oops((None, field), "`%s` is no expression in CEL: %s" % (field, fault))
    return struct(**{"": "fairlead.Check", "api_version": api, "kind": kind, "namespace": namespace, "name": name,
        "current": current, "failed": failed, "in_progress": in_progress})

def meta_of(name, namespace, labels, annotations):
    return {"name": name, "namespace": namespace, "labels": labels, "annotations": annotations}

def is_mapping(field, value):
    if type(value) == "dict":
        return True
    oops((None, field), "`%s` must be a mapping, is %s" % (field, said(value)))
    return False

def hashed(name, data):
    return "%s-%s" % (name, content_hash(json.encode(data)))

def config_map(name, data = {}, *, binary = {}, namespace = None, labels = None, annotations = None, immutable = True, hashed_name = True):
    """A ConfigMap whose name ends with a hash of what it holds, so that whoever refers to it starts anew when that changes."""
    if not is_mapping("data", data) or not is_mapping("binary", binary):
        data, binary = {}, {}
    texts = {k: v if type(v) == "string" else loose(v, (None, k)) for k, v in data.items()}
    coded = {k: base64_encoded(v) for k, v in binary.items()}
    full = hashed(name, [texts, coded]) if hashed_name else name
    given = {"metadata": meta_of(full, namespace, labels, annotations), "data": texts or None, "binaryData": coded or None, "immutable": True if immutable else None}
    return kind(TYPES["io.k8s.api.core.v1.ConfigMap"], given)

def secret(name, data = {}, *, type = "Opaque", namespace = None, labels = None, annotations = None, immutable = True, hashed_name = True):
    """A Secret of texts, which are encoded here; named as config_map() names."""
    coded = {}
    for k, v in data.items() if is_mapping("data", data) else []:
        fault = not_text(v)
        if fault:
            oops(((None, "data"), k), "`%s` must be a text, is %s" % (k, said(v)))
        else:
            coded[k] = base64_encoded(v)
    full = hashed(name, [coded, type]) if hashed_name else name
    given = {"metadata": meta_of(full, namespace, labels, annotations), "type": type, "data": coded or None, "immutable": True if immutable else None}
    return kind(TYPES["io.k8s.api.core.v1.Secret"], given)

def not_text(v):
    return type(v) != "string"

def image(repository, tag = "", digest = ""):
    """The reference of an image, put together from its parts: repository (which may have a tag and a digest already), tag, digest."""
    for field, v in (("repository", repository), ("tag", tag), ("digest", digest)):
        if v != None and type(v) != "string":
            oops((None, field), "`%s` must be a text, is %s" % (field, said(v)), 'write "%s", in quotes' % v if type(v) in ("int", "float") else "")
            return "none"
    found = image_of(repository or "", tag or "", digest or "")
    if found[1]:
        oops((None, found[0]), found[1], found[2])
        return "none"
    return found[0]

def labels(context, component = "", *, version = "", part_of = "", **more):
    """The labels that Kubernetes recommends, for an instance of this module."""
    out = selector_labels(context, component)
    if version or context.version:
        out["app.kubernetes.io/version"] = version or context.version
    if part_of:
        out["app.kubernetes.io/part-of"] = part_of
    out["app.kubernetes.io/managed-by"] = "fairlead"
    return out | more

def selector_labels(context, component = ""):
    """The labels that select an instance's pods: those that never change."""
    out = {"app.kubernetes.io/name": context.module, "app.kubernetes.io/instance": context.name}
    if component:
        out["app.kubernetes.io/component"] = component
    return out

def data_of(value):
    """A value as plain data: mappings and lists, whatever constructor made it."""
    t = type(value)
    if t == "struct":
        return {k: data_of(getattr(value, k)) for k in dir(value) if k and getattr(value, k) != None}
    if t == "dict":
        return {k: data_of(v) for k, v in value.items()}
    if t == "list" or t == "tuple":
        return [data_of(v) for v in value]
    return value

def merged(*values):
    """Mappings laid over each other, field by field; None takes a field away. Later ones win."""
    out = {}
    for value in values:
        if value != None:
            plain = data_of(value)
            if type(plain) == "dict":
                out = laid_over(out, plain)
            else:
                oops(None, "merged() wants mappings, is given %s" % said(value))
    return out

def laid_over(under, over):
    out = dict(under)
    for k, v in over.items():
        if v == None:
            out.pop(k, None)
        elif type(v) == "dict":
            below = out.get(k)
            out[k] = laid_over(below if type(below) == "dict" else {}, v)
        else:
            out[k] = v
    return out

def changed(value, changes):
    """An object of a constructor with changes laid over it, checked again."""
    name = made(value) if type(value) == "struct" else ""
    t = TYPES.get(name)
    if t == None:
        oops(None, "changed() wants what a constructor made, is given %s" % said(value))
        return value
    result = merged(value, changes)
    if t.kind:
        return kind(t, result)
    return make(t, result, None)

def yaml_encode(value):
    return yaml_text(json.encode(data_of(value)))

yaml = struct(encode = yaml_encode)
base64 = struct(encode = lambda value: base64_encoded(value), decode = lambda value: base64_decoded(value))
quantities = struct(
    total = lambda *amounts: quantity_total([str(a) for a in amounts]),
    times = lambda amount, factor: quantity_times(str(amount), factor),
    compare = lambda left, right: compare_quantities(str(left), str(right)),
    whole = lambda amount: quantity_whole(str(amount)),
)
durations = struct(seconds = lambda value: duration_seconds(value))

def sha256(value):
    return sha256_hex(value)
'''

FINISH: Final = r'''
def opened(value, description):
    """Values as a build reads them: groups with dots, mappings and lists as they are."""
    if value == None:
        return None
    sort = description.get("type")
    if sort == "group" and type(value) == "dict":
        fields = description["fields"]
        return struct(**{k: opened(v, fields.get(k, {})) for k, v in value.items()})
    if sort == "listing" and type(value) == "list":
        return [opened(v, description.get("of", {})) for v in value]
    if sort == "mapping" and type(value) == "dict":
        return {k: opened(v, description.get("of", {})) for k, v in value.items()}
    return value

def asked_by(context):
    served = {api: True for api in context["serves"]}
    major, minor = context["kubernetes"]
    return struct(
        name = context["name"],
        namespace = context["namespace"],
        revision = context["revision"],
        moment = context["moment"],
        module = context["module"],
        version = context["version"],
        kubernetes = struct(version = context["kubernetes_version"], major = major, minor = minor),
        serves = lambda api: api in served,
    )

def flat(objects, out, depth = 0):
    if objects == None:
        return out
    if type(objects) in ("list", "tuple"):
        if depth > 50:
            fail("lists of objects are nested too deeply")
        for item in objects:
            flat(item, out, depth + 1)
        return out
    out.append(objects)
    return out

def built(build, context, values, description, types, kinds):
    """Run a build and return what it makes: stages of plain objects, as JSON, and for each object where it was made."""
    result = build(asked_by(context), opened(values, description))
    parts = flat(result, [])
    stages = []
    bare = []
    for part in parts:
        if type(part) == "struct" and made(part) == "fairlead.Stage":
            stages.append(part)
        else:
            bare.append(part)
    if result == None:
        oops(None, "build() returns nothing", "write: return [stage(...), ...]")
    if bare and stages:
        oops(None, "build() returns objects beside stages", "put them into a stage")
    if bare:
        stages.append(stage("main", bare))
    if len(stages) > 1000:
        fail("build() returns %d stages, more than 1000" % len(stages))
    seen = {}
    out = []
    places = []
    spoiled = told_any()
    for part in stages:
        if part.name in seen:
            mistake_at(part.stack, "two stages are named %s" % json.encode(part.name), "each must be another one")
        seen[part.name] = True
        objects, untyped = [], []
        for item in flat(part.objects, []):
            final, stack, typed = finished(item, part, types, kinds, spoiled)
            if final != None:
                objects.append(final)
                places.append(stack)
                untyped.append(not typed)
        checks = []
        for check in flat(part.checks, []):
            if type(check) != "struct" or made(check) != "fairlead.Check":
                mistake_at(part.stack, "the checks of a stage are made by health(), %s is none" % said(check), "")
            else:
                checks.append({k: getattr(check, k) for k in dir(check) if k})
        told = json.encode({"name": part.name, "wait": part.wait, "moments": part.moments, "one_off": part.one_off,
            "cleanup": part.cleanup, "checks": checks, "untyped": untyped})
        out.append(told[:-1] + ',"objects":[' + ",".join(objects) + "]}")
    return struct(stages = "[" + ",".join(out) + "]", places = places)

def finished(item, part, types, kinds, spoiled):
    t = type(item)
    if t == "struct":
        mark = getattr(item, "", None)
        if type(mark) == "tuple":
            if spoiled:  # what is wrong has been told, with its line
                return None, "", True
            known = types.get(mark[0]) or TYPES.get(mark[0])
            return proven(known, item, None), mark[1], True
        if made(item):
            mistake_at(part.stack, "%s is no object of its own: it belongs into one" % said(item), "")
            return None, "", True
        item = data_of(item)
    elif t != "dict":
        mistake_at(part.stack, "a stage holds objects, %s is none" % said(item), "")
        return None, "", True
    api, name = item.get("apiVersion"), item.get("kind")
    if type(api) != "string" or type(name) != "string":
        mistake_at(part.stack, "an object needs `apiVersion` and `kind`, each a text", "")
        return None, "", True
    known = kinds.get(api + " " + name) or KINDS.get(api + " " + name)
    if known == None:
        own = [key.split(" ")[1] for key in KINDS if key.startswith(api + " ")]
        if own:
            unknown_kind(api, name, own, part.stack)
            return None, "", True
        meta = item.get("metadata")
        if type(meta) != "dict" or type(meta.get("name")) != "string" or not meta["name"]:
            mistake_at(part.stack, "%s of %s needs a name" % (name, api), 'write metadata = {"name": ...}')
            return None, "", True
        return json.encode(in_order(loose(item, None))), part.stack, False
    return proven(known, kind(known, item), None), part.stack, True

def in_order(item):
    return {k: item[k] for k in ordered(item.keys())}
'''

PRELUDE: Final = LOADS + VALUES + PIECES + FINISH

AMBIENT: Final = (
    *(
        "text",
        "integer",
        "number",
        "boolean",
        "choice",
        "listing",
        "mapping",
        "group",
        "open_group",
        "quantity",
        "port",
        "duration",
    ),
    *("secret_text", "image_ref", "anything"),
    *("stage", "test", "health", "require", "config_map", "secret", "image", "labels", "selector_labels"),
    *("merged", "changed", "data_of", "yaml", "base64", "quantities", "durations", "sha256"),
)
"""What every file sees without a load, beside what Starlark has of its own (len, range, struct, json, fail, ...)."""
