"""Rule files read as Falco reads them: appended to, overridden, with exceptions; what is wrong is told with its place and the rest runs."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.dialects import falco
from fairlead.dialects.falco import Loaded, compiling
from fairlead.sense.rules import Rule
from fairlead.tongues import conditions
from fairlead.words import Severity

RULE = "- {rule: R, desc: d, output: o, priority: WARNING, condition: evt.type=open and proc.name=a}\n"


def load(*texts: str, **how: object) -> Loaded:
    return falco.load([(f"{number}.yaml", dedent(text)) for number, text in enumerate(texts)], **how)  # type: ignore[arg-type]


def only(loaded: Loaded) -> Rule:
    assert [finding for finding in loaded.findings if finding.severity is not Severity.INFO] == []
    (rule,) = loaded.rules
    return rule


def condition(*texts: str) -> str:
    tree = only(load(*texts)).condition
    return conditions.show(tree)


def told(*texts: str, severity: Severity | None = None) -> list[tuple[str, str]]:
    """The findings that are more than remarks, each with its place."""
    return [
        (finding.message, str(finding.where))
        for finding in load(*texts).findings
        if (finding.severity is severity if severity else finding.severity is not Severity.INFO)
    ]


def test_a_rule_as_the_engine_wants_it() -> None:
    rule = only(
        load(
            """
            - required_engine_version: 0.31.0
            - list: shells
              items: [bash, "a b"]
            - macro: shell
              condition: proc.name in (shells)
            - rule: Shell
              desc: >
                A shell
                ran.
              condition: evt.type = execve and shell
              output: "shell (%proc.name)"
              priority: info
              tags: [container, T1059]
            """,
        )
    )
    assert (rule.key, rule.name, rule.dialect, rule.description) == (
        "falco/Shell",
        "Shell",
        "falco",
        "A shell ran.",
    )
    assert (rule.severity, rule.priority, rule.tags, rule.enabled) == (
        Severity.INFO,
        "Informational",
        ("container", "T1059"),
        True,
    )
    assert (rule.where.file, rule.where.line, rule.where.path) == ("0.yaml", 7, "[3]")
    assert rule.condition == conditions.parse('evt.type = execve and proc.name in ("bash", "a b")')


@pytest.mark.parametrize(
    ("priority", "severity"),
    [("Emergency", "critical"), ("ALERT", "critical"), ("critical", "critical"), ("ERROR", "warning"), ("WARNING", "warning"), ("Notice", "info"),
     ("INFO", "info"), ("INFORMATIONAL", "info"), ("DEBUG", "info")],
)  # fmt: skip
def test_priorities(priority: str, severity: str) -> None:
    assert only(load(RULE.replace("WARNING", priority))).severity == severity


def test_the_least_priority_that_runs() -> None:
    text = "".join(
        RULE.replace("R,", f"{name},").replace("WARNING", name) for name in ("ERROR", "WARNING", "NOTICE")
    )
    assert [rule.name for rule in load(text, minimum="warning").rules if rule.enabled] == ["ERROR", "WARNING"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            "- {rule: R, append: true, condition: and proc.pname=b}",
            "evt.type = open and proc.name = a and proc.pname = b",
        ),
        (
            "- {rule: R, condition: or evt.type=dup, override: {condition: append}}",
            "evt.type = open and proc.name = a or evt.type = dup",
        ),
        ("- {rule: R, condition: evt.type=dup, override: {condition: replace}}", "evt.type = dup"),
        ("- {rule: R, desc: d, output: o, priority: WARNING, condition: evt.type=close}", "evt.type = close"),
        (
            "- {rule: R, exceptions: [{name: e, fields: proc.pname, values: [x, y z]}], override: {exceptions: append}}",
            '(evt.type = open and proc.name = a) and not proc.pname in (x, "y z")',
        ),
    ],
)
def test_later_files_change_earlier_rules(more: str, expected: str) -> None:
    again = condition(RULE, more)
    assert conditions.parse(again) == conditions.parse(expected)


def test_overrides_of_everything() -> None:
    rule = only(
        load(
            RULE,
            """
            - rule: R
              desc: new
              output: more %proc.name
              priority: ALERT
              enabled: false
              tags: [t]
              warn_evttypes: false
              skip-if-unknown-filter: true
              override: {desc: replace, output: append, priority: replace, enabled: replace, tags: append, warn_evttypes: replace, skip-if-unknown-filter: replace}
            """,
            suggested=False,
        )
    )
    assert (rule.description, rule.priority, rule.enabled, rule.tags) == ("new", "Alert", False, ("t",))
    assert rule.detail.output.text == "o more %proc.name"


def test_enabled() -> None:
    assert only(load(RULE, "- {rule: R, enabled: false}")).enabled is False
    assert only(load(RULE.replace("desc", "enabled: false, desc"))).enabled is False
    assert only(load(RULE.replace("desc", "enabled: no, desc"), enabled={"R": True})).enabled is True


def test_macros_and_lists_are_appended_to_and_redefined() -> None:
    base = """
        - {list: l, items: [a]}
        - {list: all, items: [l, c]}
        - {macro: m, condition: proc.name in (all)}
        - {rule: R, desc: d, output: o, priority: INFO, condition: evt.type=open and m}
        """
    assert conditions.parse(condition(base)) == conditions.parse(
        'evt.type = open and proc.name in ("a", "c")'
    )
    more = "- {list: l, append: true, items: [b]}\n- {macro: m, condition: or proc.pname=x, override: {condition: append}}"
    assert conditions.parse(condition(base, more)) == conditions.parse(
        'evt.type = open and (proc.name in ("a", "b", "c") or proc.pname = x)'
    )
    assert conditions.parse(condition(base, "- {list: all, items: [z]}")) == conditions.parse(
        'evt.type = open and proc.name in ("z")'
    )
    assert conditions.parse(condition(base, "- {macro: m, condition: proc.name exists}")) == conditions.parse(
        "evt.type = open and proc.name exists"
    )


@pytest.mark.parametrize(
    ("exceptions", "expected"),
    [
        ("[{name: e, fields: [proc.name, fd.name], values: [[a, /b], [c, d e]]}]", "((proc.name = a and fd.name = /b) or (proc.name = c and fd.name = 'd e'))"),
        ("[{name: e, fields: [proc.name, fd.name], comps: [in, startswith], values: [[[a, b], /c], ['(x, y)', /d], [z, /e]]}]",
         "((proc.name in (a, b) and fd.name startswith /c) or (proc.name in (x, y) and fd.name startswith /d) or (proc.name in (z) and fd.name startswith /e))"),
        ("[{name: e, fields: fd.name, comps: pmatch, values: [/a, /b/*]}]", "(fd.name pmatch (/a, /b/*))"),
        ("[{name: e, fields: fd.name, values: [shells]}]", "(fd.name in ('bash', 'sh'))"),
        ("[{name: e, fields: [fd.name], comps: ['contains anyof'], values: [[[a, b]]]}]", "(fd.name contains anyof (a, b))"),
        ("[{name: e, fields: fd.name}, {name: f, fields: [proc.name], values: []}]", None),
    ],
)  # fmt: skip
def test_exceptions(exceptions: str, expected: str | None) -> None:
    text = f"- {{list: shells, items: [bash, sh]}}\n- {{rule: R, desc: d, output: o, priority: INFO, condition: evt.type=open or evt.type=close, exceptions: {exceptions}}}"
    whole = "(evt.type=open or evt.type=close)" + (f" and not {expected}" if expected else "")
    rule = next(iter(load(text).rules))
    assert conditions.simplify(rule.condition) == conditions.simplify(conditions.parse(whole))


def test_values_are_appended_to_exceptions() -> None:
    base = RULE.replace("}", ", exceptions: [{name: e, fields: [proc.name, fd.name], values: [[a, b]]}]}")
    more = "- rule: R\n  exceptions: [{name: e, values: [[c, d]]}, {name: f, fields: fd.num, values: [3]}]\n  override: {exceptions: append}"
    assert condition(base, more) == (
        "(evt.type = open and proc.name = a) and not ((proc.name = a and fd.name = b) or (proc.name = c and fd.name = d)) and not fd.num in (3)"
    )


@pytest.mark.parametrize(
    ("text", "message", "where"),
    [
        ("{", "not YAML: did not find expected node content", "0.yaml:2"),
        ("a: b", "Rules content is not yaml array of objects", "0.yaml:1"),
        ("text", "Rules content is not yaml", "0.yaml:1"),
        ("- 5", "Unexpected element type. Each element should be a yaml associative array.", "0.yaml:1 [0]"),
        ("- {x: 1}", "Unknown top level item", "0.yaml:1 [0]"),
        ("- list: l", "Item has no mapping for key 'items'", "0.yaml:1 [0]"),
        ("- {list: l, items: 5}", "Value is not a sequence", "0.yaml:1 [0].items"),
        ("- {list: l, items: [[a]]}", "sequence value is not scalar", "0.yaml:1 [0].items[0]"),
        ("- {list: l, items: [a, ~]}", "sequence value is not scalar", "0.yaml:1 [0].items[1]"),
        ("- {list: l, items: [a, '']}", "item '': expected a string value", "0.yaml:1 [0].items[1]"),
        ("- {list: l, items: [a, b(]}", "item 'b(': unexpected token", "0.yaml:1 [0].items[1]"),
        ("- list: l\n  items:\n    - 5\n    - x\n" + RULE.replace("proc.name=a", "fd.num in (l)"), "'x' is not a valid number", "0.yaml:4 [0].items[1]"),
        ("- {list: 'a b', items: []}", "List has an invalid name", "0.yaml:1 [0].list"),
        ("- {list: l, items: [], append: true}", "no list by that name already exists", "0.yaml:1 [0]"),
        ("- {macro: m, condition: a.b, append: yes}", "no macro by that name already exists", "0.yaml:1 [0]"),
        ("- {macro: m, condition: }", "Mapping for key 'condition' is empty", "0.yaml:1 [0].condition"),
        ("- {macro: m, condition: evt.num=1, override: {condition: drop}}", "Invalid override operation for key 'condition': 'drop'", "0.yaml:1 [0].override.condition"),
        ("- {macro: m, condition: evt.num=1, override: {desc: append}}", "Key 'desc' cannot be appended to", "0.yaml:1 [0].override.desc"),
        ("- {macro: m, condition: 'evt.num=1', append: true, override: {condition: append}}", "cannot be used together", "0.yaml:1 [0].append"),
        ("- {rule: R, desc: d, output: o, priority: WARNING}", "Item has no mapping for key 'condition'", "0.yaml:1 [0]"),
        ("- {rule: R, condition: evt.type=open, output: o, desc: d, priority: SEVERE}", "Invalid priority", "0.yaml:1 [0].priority"),
        ("- {rule: R, condition: evt.type=open, output: o, desc: d, priority: INFO, enabled: maybe}", "Can't decode YAML scalar value", "0.yaml:1 [0].enabled"),
        ("- {rule: R, condition: evt.type=open, output: o, desc: d, priority: INFO, colour: red}", "the key 'colour' is not supported", "0.yaml:1 [0].colour"),
        ("- {rule: R, condition: evt.type=open, output: o, desc: d, priority: INFO, source: moon}", "Unknown source moon, skipping", "0.yaml:1 [0]"),
        ("- {rule: R, condition: evt.type=open, output: 'x %', desc: d, priority: INFO}", "formatting cannot end with a %", "0.yaml:1 [0].output"),
        ("- {rule: R, condition: evt.type=open, output: '%no.such', desc: d, priority: INFO}", "invalid formatting token no.such", "0.yaml:1 [0].output"),
        ("- {rule: R, append: true}", "no rule by that name already exists", "0.yaml:1 [0]"),
        ("- {rule: R, enabled: true}", "Rule has 'enabled' key but no rule by that name already exists", "0.yaml:1 [0]"),
        ("- {rule: R, desc: x, override: {desc: replace}}", "no rule by that name already exists", "0.yaml:1 [0]"),
        (RULE + "- {rule: R, desc: x, tags: [a], override: {desc: replace}}", "Unexpected key 'tags': no corresponding entry under 'override' is defined.", "0.yaml:2 [1].tags"),
        (RULE + "- {rule: R, override: {desc: replace}}", "An replace override for 'desc' was specified but 'desc' is not defined", "0.yaml:2 [1].override"),
        (RULE + "- {rule: R, source: k8s_audit, desc: d, output: o, priority: INFO, condition: ka.verb=get}", "Rule has been re-defined with a different source", "0.yaml:2 [1]"),
        ("- required_engine_version: 0.999.0", "Rules require engine version 0.999.0", "0.yaml:1 [0].required_engine_version"),
        ("- required_engine_version: soon", "Unable to parse engine version 'soon' as a semver string", "0.yaml:1 [0].required_engine_version"),
        ("- required_plugin_versions: [{name: moon, version: 1.0.0}]", "Plugin requirement not satisfied: moon 1.0.0", "0.yaml:1 [0].required_plugin_versions[0]"),
        ("- required_plugin_versions: [{name: json, version: x}]", "Invalid required version 'x' for plugin 'json'", "0.yaml:1 [0].required_plugin_versions[0].version"),
        (RULE.replace("proc.name=a", "proc.name=(a)"), "expected a string value", "0.yaml:1 [0].condition"),
        (RULE.replace("proc.name=a", "unheard"), "Undefined macro 'unheard' used in filter.", "0.yaml:1 [0].condition"),
        (RULE.replace("evt.type=open and", ""), "Rule matches too many evt.type values.", "0.yaml:1 [0]"),
        (RULE.replace("evt.type=open", "evt.type!=open"), "Rule matches too many evt.type values.", "0.yaml:1 [0]"),
        (RULE.replace("proc.name=a", "fd.num=x"), "'x' is not a valid number", "0.yaml:1 [0].condition"),
        ("- {rule: R, desc: d, output: o, priority: INFO, source: k8s_audit, condition: ka.verb=<NA>}", "comparing 'ka.verb' with <NA>", "0.yaml:1 [0]"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(text: str, message: str, where: str) -> None:
    ((said, place),) = told(text)
    assert message in said
    assert place == where


@pytest.mark.parametrize(
    ("exceptions", "message", "path"),
    [
        ("5", "Rule exceptions must be a sequence", ".exceptions"),
        ("[5]", "every entry must be a mapping", ".exceptions[0]"),
        ("[{fields: a.b}]", "Item has no mapping for key 'name'", ".exceptions[0]"),
        ("[{name: e}]", "Rule exception item must have fields property", ".exceptions[0]"),
        (
            "[{name: e, fields: [a.b], comps: [in, in]}]",
            "Fields and comps lists must have equal length",
            ".exceptions[0].comps",
        ),
        (
            "[{name: e, fields: [proc.name], comps: [like]}]",
            "'like' is not a supported comparison operator",
            ".exceptions[0].comps[0]",
        ),
        (
            "[{name: e, fields: proc.name, comps: startswith}]",
            "comps must be one of (in, pmatch, intersects)",
            ".exceptions[0].comps",
        ),
        (
            "[{name: e, fields: proc.name, values: 5}]",
            "Rule exception values must be a sequence",
            ".exceptions[0].values",
        ),
        (
            "[{name: e, fields: proc.name, values: [[a]]}]",
            "Expected values array to contain a list of strings",
            ".exceptions[0].values[0]",
        ),
        (
            "[{name: e, fields: [proc.name], values: [[a, b]]}]",
            "Fields and values lists must have equal length",
            ".exceptions[0].values[0]",
        ),
        (
            "[{name: e, fields: proc.name, values: [a], why: x}]",
            "the key 'why' is not supported",
            ".exceptions[0].why",
        ),
        (
            "[{name: e, fields: proc.nonsense, values: [a]}]",
            "unknown field 'proc.nonsense'",
            ".exceptions[0]",
        ),
    ],
)
def test_what_is_wrong_with_exceptions(exceptions: str, message: str, path: str) -> None:
    ((said, place),) = told(RULE.replace("}", f", exceptions: {exceptions}}}"))
    assert message in said
    assert place == f"0.yaml:1 [0]{path}"


def test_places_within_folded_quoted_and_appended_texts() -> None:
    text = """
        - macro: folded
          condition: >
            evt.type=open and
            (proc.name = a
             or proc.nonsense = b)
        - macro: literal
          condition: |
            evt.num=1 and

            evt.foo = 1
        - macro: plain
          condition: evt.num=1 and
            evt.num = 2 and
            evt.bar = 1
        - macro: quoted
          condition: "evt.num=1 and
            evt.baz = 1"
        - rule: R
          desc: d
          output: o
          priority: INFO
          condition: folded and literal and plain and quoted and
            evt.last = 1
        """
    more = """
        - rule: R
          condition: >
            and evt.num=1
            and evt.later=1
          override: {condition: append}
        """
    assert {(message.split("'")[1], place) for message, place in told(text, more)} == {
        ("proc.nonsense", "0.yaml:6 [0].condition"), ("evt.foo", "0.yaml:11 [1].condition"), ("evt.bar", "0.yaml:15 [2].condition"),
        ("evt.baz", "0.yaml:18 [3].condition"), ("evt.last", "0.yaml:24 [4].condition"), ("evt.later", "1.yaml:5 [0].condition"),
    }  # fmt: skip


def test_one_wrong_rule_leaves_the_others() -> None:
    loaded = load(
        RULE.replace("R,", "Bad,").replace("proc.name=a", "proc.nonsense=a") + "- oops\n" + RULE,
        "- {",
        RULE.replace("R,", "Other,"),
    )
    assert [rule.name for rule in loaded.rules] == ["R", "Other"]
    assert [finding.rule for finding in loaded.findings] == ["falco.field", "falco.item", "falco.yaml"]
    assert loaded.findings[0].subject.name == "Bad"


def test_a_file_for_a_newer_engine_is_left_out() -> None:
    loaded = load("- required_engine_version: 1.0.0\n" + RULE, RULE.replace("R,", "Other,"))
    assert [rule.name for rule in loaded.rules] == ["Other"]
    assert only(load("- required_engine_version: 13\n" + RULE)).name == "R"


def test_plugins_and_their_alternatives() -> None:
    text = "- required_plugin_versions: [{name: moon, version: 1.0.0, alternatives: [{name: json, version: 0.1.0}]}]\n"
    assert only(load(text + RULE)).name == "R"


def test_skip_if_unknown_filter() -> None:
    text = RULE.replace("proc.name=a", "proc.nonsense=a").replace(
        "desc", "skip-if-unknown-filter: true, desc"
    )
    loaded = load(text)
    assert loaded.rules == ()
    assert [(finding.rule, finding.severity) for finding in loaded.findings] == [("falco.field", "info")]


def test_macros_see_what_was_there_when_they_were_written() -> None:
    early = "- {macro: m, condition: later}\n- {macro: later, condition: evt.type=open}\n" + RULE.replace(
        "proc.name=a", "m"
    )
    assert told(early) == [
        ("Undefined macro 'later' used in filter.", "0.yaml:1 [0].condition"),
        ("macro 'm' is wrong", "0.yaml:3 [2].condition"),
    ]
    assert only(load(early, "- {macro: m, condition: later}")).name == "R"


def test_macros_that_contain_themselves() -> None:
    text = "- {macro: a, condition: evt.num=1}\n- {macro: b, condition: a}\n" + RULE.replace(
        "proc.name=a", "b"
    )
    assert [message for message, _ in told(text, "- {macro: a, condition: evt.num=2 and b}")] == [
        "reference loop in macro 'a'",
        "macro 'b' is wrong",
        "macro 'b' is wrong",
    ]


def test_remarks() -> None:
    text = (
        "- {list: l, items: [a]}\n- {macro: m, condition: evt.num=1}\n"
        + RULE
        + RULE.replace("output: o", "output: o %container.info")
    )
    assert sorted((finding.rule, finding.where.line) for finding in load(text).findings) == [
        ("falco.deprecated", 4), ("falco.twice", 4), ("falco.unused", 1), ("falco.unused", 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("evt.type in (open, close)", {"open", "close"}),
        ("evt.type=open or proc.name=a", None),
        ("evt.type=open and proc.name=a", {"open"}),
        ("not evt.type=open", None),
        ("not evt.type!=open", {"open"}),
        ("evt.type in (a, b, c) and not evt.type in (b)", {"a", "c"}),
        ("not (evt.type!=a and evt.type!=b)", {"a", "b"}),
        ("not (not evt.type=a or proc.name=x)", {"a"}),
        ("proc.name=a", None),
        ("not proc.name=a and (evt.type=a or (evt.type=b and proc.name=c))", {"a", "b"}),
        ("evt.type=a and evt.type=b", set()),
    ],
)
def test_kinds_of_events(text: str, kinds: set[str] | None) -> None:
    assert compiling.kinds(conditions.parse(text)) == kinds


def test_names_of_events_that_nobody_knows() -> None:
    text = RULE.replace("evt.type=open and proc.name=a", "'evt.type in (open, opennat, container)'")
    assert told(text) == [("unknown event type 'opennat': no event is called so", "0.yaml:1 [0].condition")]
    assert len(load(text).rules) == 1


@pytest.mark.parametrize("text", ["[" * 200_000, "- " * 100_000 + "a", "{a: " * 100_000, "- &a [*a]\n- *b"])
def test_deep_and_circular_files_are_refused(text: str) -> None:
    assert told(text)


def test_anchors_and_aliases() -> None:
    assert (
        condition(
            "- &r {rule: R, desc: d, output: o, priority: INFO, condition: &c evt.type=open}\n- {macro: m, condition: *c}\n- *r"
        )
        == "evt.type = open"
    )


@pytest.mark.corpus
def test_published_rules_load_without_a_finding(corpus: Path) -> None:
    files = [(path.name, path.read_text()) for path in sorted((corpus / "falco").glob("*.yaml"))]
    loaded = falco.load(files)
    assert [finding for finding in loaded.findings if finding.severity is not Severity.INFO] == []
    written = [
        item["rule"]
        for _, text in files
        for item in yaml.load(text, Loader=yaml.CSafeLoader)
        if "rule" in item
    ]
    assert {rule.name for rule in loaded.rules} | {rule.model.rule for rule in loaded.auditor.rules} == set(
        written
    )


KEYS = st.sampled_from(["rule", "macro", "list", "items", "condition", "output", "desc", "priority", "exceptions", "override", "append", "tags", "source",
                        "enabled", "required_engine_version", "required_plugin_versions", "name", "fields", "comps", "values", "alternatives", "version"])  # fmt: skip
LEAVES = st.sampled_from(
    [
        "R",
        "m",
        "l",
        "evt.type=open",
        "m and l",
        "INFO",
        "true",
        "append",
        "replace",
        "in",
        "proc.name",
        "",
        "~",
        "5",
        "%",
        "(",
        "k8s_audit",
        "0.1.0",
    ]
)
JUNK = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(KEYS, JUNK, max_size=6), max_size=5))
@settings(max_examples=150, deadline=None)
def test_reading_never_raises(items: list[dict[str, object]]) -> None:
    falco.load([("junk.yaml", yaml.safe_dump(items))])


@given(st.text(alphabet="- {}[]:,&*a\n\"'>|%\t", max_size=60))
@settings(max_examples=150, deadline=None)
def test_garbage_is_told_of(text: str) -> None:
    falco.load([("junk.yaml", text)])
