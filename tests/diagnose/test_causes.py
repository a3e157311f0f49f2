"""The graph of causes: few roots, every symptom under one; rings, alternatives and suppositions included."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from fairlead.diagnose.causes import Fact, Key, Ledger, roots
from fairlead.words import Evidence, Ref, Severity


def ref(name: str) -> Ref:
    return Ref("", "Thing", "here", name)


def fact(name: str, *because: str, **more: object) -> Fact:
    keys = tuple(("r", ref(one), "") for one in because)
    return Fact(rule="r", subject=ref(name), message=f"{name} is wrong", because=keys, **more)  # type: ignore[arg-type]


def told(facts: list[Fact]) -> dict[str, list[str]]:
    return {one.subject.name: [symptom.subject.name for symptom in one.symptoms] for one in roots(facts)}


def test_a_chain_has_one_root() -> None:
    assert told([fact("c", "b"), fact("b", "a"), fact("a")]) == {"a": ["b", "c"]}


def test_an_explanation_that_does_not_hold_explains_nothing() -> None:
    assert told([fact("b", "a")]) == {"b": []}


def test_a_symptom_of_two_roots_hangs_under_the_nearest() -> None:
    assert told([fact("a"), fact("b"), fact("b2", "b"), fact("c", "b2", "a")]) == {"a": ["c"], "b": ["b2"]}


def test_at_equal_distance_a_symptom_hangs_under_the_most_certain_then_the_gravest() -> None:
    facts = [fact("a", confidence="likely"), fact("b"), fact("c", "a", "b")]
    assert told(facts) == {"a": [], "b": ["c"]}
    facts = [fact("a", severity=Severity.WARNING), fact("b"), fact("c", "a", "b", severity=Severity.WARNING)]
    assert told(facts) == {"b": ["c"], "a": []}


def test_a_ring_has_one_root_the_gravest() -> None:
    facts = [
        fact("a", "b", severity=Severity.WARNING),
        fact("b", "a"),
        fact("c", "a", severity=Severity.INFO),
    ]
    assert told(facts) == {"b": ["a", "c"]}


def test_weak_facts_are_never_roots_and_explain_only_what_a_root_explains_through_them() -> None:
    assert told([fact("a", weak=True)]) == {}
    assert told([fact("a", weak=True), fact("b", "a")]) == {"b": []}
    assert told([fact("a", weak=True), fact("c", "a", weak=True), fact("b", "c")]) == {"b": []}
    assert told([fact("r"), fact("a", "r", weak=True), fact("b", "a")]) == {"r": ["a", "b"]}


def test_a_ring_of_weak_facts_is_not_told() -> None:
    assert told([fact("a", "b", weak=True), fact("b", "a", weak=True)]) == {}


def test_a_ring_that_explains_another_has_the_only_root() -> None:
    facts = [
        fact("a", "b", severity=Severity.WARNING),
        fact("b", "a", severity=Severity.WARNING),
        fact("c", "a", "d"),
        fact("d", "c"),
    ]
    assert told(facts) == {"a": ["b", "c", "d"]}
    (found,) = roots(facts)
    assert found.confidence == "likely"  # the ring does not say where it began


def test_each_symptom_says_its_rule_and_what_it_follows_from() -> None:
    (found,) = roots([fact("c", "b"), fact("b", "a"), fact("a"), fact("d", "b", "a")])
    assert [(one.subject.name, one.rule, one.after and one.after.name) for one in found.symptoms] == [
        ("b", "r", "a"), ("d", "r", "a"), ("c", "r", "b"),
    ]  # fmt: skip


def test_what_follows_from_a_blamed_object_follows_from_what_people_are_told_of() -> None:
    absent = Fact(rule="r", subject=ref("config"), message="absent", blame=ref("deployment"))
    (found,) = roots([absent, fact("pod", "config"), fact("deployment", "pod")])
    assert found.subject == ref("deployment")
    assert [(one.subject.name, one.after) for one in found.symptoms] == [("pod", ref("deployment"))]


def test_an_object_with_several_facts_follows_from_what_is_nearest() -> None:
    facts = [
        fact("a"),
        Fact(rule="near", subject=ref("x"), message="vague", because=(("r", ref("a"), ""),), vague=True),
        Fact(rule="r", subject=ref("y"), message="y", because=(("near", ref("x"), ""),)),
        Fact(rule="far", subject=ref("x"), message="telling", because=(("r", ref("y"), ""),)),
    ]
    (found,) = roots(facts)
    assert [(one.subject.name, one.rule, one.after) for one in found.symptoms] == [
        ("x", "far", ref("a")), ("y", "r", ref("x")),
    ]  # fmt: skip


def test_a_supposition_is_believed_when_it_explains_two_facts_that_nothing_else_explains() -> None:
    guess = fact("dns", supposed=True, confidence="likely")
    assert told([guess]) == {}
    assert told([guess, fact("a", "dns")]) == {"a": []}
    assert told([guess, fact("a", "dns"), fact("b", "dns")]) == {"dns": ["a", "b"]}
    assert told([guess, fact("a", "dns"), fact("b", "dns", "c"), fact("c")]) == {"a": [], "c": ["b"]}


def test_the_fewest_suppositions_are_believed() -> None:
    facts = [
        fact("one", supposed=True), fact("two", supposed=True), fact("all", supposed=True, confidence="possible"),
        fact("a", "one", "all"), fact("b", "one", "all"), fact("c", "two", "all"), fact("d", "two", "all"),
    ]  # fmt: skip
    assert told(facts) == {"all": ["a", "b", "c", "d"]}


def test_a_supposition_behind_suppositions() -> None:
    facts = [
        fact("node", supposed=True), fact("registry1", "node", supposed=True), fact("registry2", "node", supposed=True),
        fact("image1", "registry1"), fact("image2", "registry2"),
    ]  # fmt: skip
    assert told(facts) == {"node": ["registry1", "registry2", "image1", "image2"]}
    assert told(facts[1:]) == {"image1": [], "image2": []}


def test_a_supposition_that_something_seen_explains_is_believed_for_one_fact() -> None:
    facts = [fact("node"), fact("registry", "node", supposed=True), fact("image", "registry")]
    assert told(facts) == {"node": ["registry", "image"]}


def test_a_note_about_an_object_explains_only_where_it_is_named() -> None:
    note = Fact(rule="n", subject=ref("service"), message="a note", severity=Severity.INFO)
    other = Fact(rule="o", subject=ref("pod"), message="down", because=(ref("service"),))
    named = Fact(rule="o", subject=ref("pod"), message="down", because=(("n", ref("service"), ""),))
    assert told([note, other]) == {"pod": [], "service": []}
    assert told([note, named]) == {"service": ["pod"]}


def test_any_fact_about_an_object_explains() -> None:
    service = Fact(rule="s", subject=ref("service"), message="no endpoints", because=(ref("pod"),))
    pod = Fact(rule="p", subject=ref("pod"), message="crashes")
    assert told([service, pod]) == {"pod": ["service"]}


def test_facts_of_one_name_fold_and_keep_all_evidence() -> None:
    one = fact("a", evidence=(Evidence("log", ref("a"), "x"),), severity=Severity.WARNING)
    other = fact("a", evidence=(Evidence("log", ref("a"), "y"),))
    (found,) = roots([one, other])
    assert [item.text for item in found.evidence] == ["y", "x"]  # the gravest first
    assert found.severity == Severity.CRITICAL


def test_a_root_is_as_grave_as_what_it_leads_to() -> None:
    (found,) = roots([fact("a", severity=Severity.WARNING), fact("b", "a")])
    assert found.severity == Severity.CRITICAL


def test_the_id_does_not_hang_on_evidence() -> None:
    (one,) = roots([fact("a")])
    (other,) = roots([fact("a", evidence=(Evidence("log", ref("a"), "x"),), cause="y")])
    assert one.id == other.id


THINGS = st.integers(0, 9)


@st.composite
def webs(draw: st.DrawFn) -> list[Fact]:
    because: dict[int, list[Key | Ref]] = {}
    for effect, cause, whole in draw(st.lists(st.tuples(THINGS, THINGS, st.booleans()), max_size=25)):
        target = ref(str(cause))
        because.setdefault(effect, []).append(target if whole else ("r", target, ""))
    return [
        Fact(
            rule="r",
            subject=ref(str(number)),
            detail=draw(st.sampled_from(["", "", "x"])),
            message=draw(st.sampled_from(["one", "other"])),
            severity=draw(st.sampled_from(list(Severity))),
            confidence=draw(st.sampled_from(["certain", "likely", "possible"])),
            because=tuple(because.get(number, ())),
            weak=draw(st.integers(0, 3)) == 0,
            supposed=draw(st.integers(0, 3)) == 0,
            vague=draw(st.booleans()),
            evidence=(Evidence("log", ref(str(number)), draw(st.sampled_from("xyz"))),),
        )
        for number in draw(st.lists(THINGS, max_size=14))
    ]


def explains(facts: list[Fact], fact: Fact) -> set[Key]:
    """What the rules take for explanations, said plainly."""
    notes = {one.key for one in facts} - {one.key for one in facts if one.severity is not Severity.INFO}
    return {
        one.key
        for one in facts
        for because in fact.because
        if one.key != fact.key and (one.key == because or (one.subject == because and one.key not in notes))
    }


@given(webs(), st.randoms(use_true_random=False))
def test_the_roots_explain_everything_and_are_as_few_as_can_be(facts: list[Fact], rng: random.Random) -> None:
    found = roots(facts)
    shuffled = list(facts)
    rng.shuffle(shuffled)
    assert roots(shuffled) == found  # the order decides nothing

    told_of = {one.subject for one in found} | {item.subject for one in found for item in one.symptoms}
    strong = {one.subject for one in facts if not one.weak and not one.supposed}
    assert strong <= told_of  # each is a root, or a symptom of one

    for one in found:  # each symptom is reached from its root, step by step
        follows = {item.subject: item.after for item in one.symptoms}
        for subject in follows:
            seen = set()
            at: Ref | None = subject
            while at != one.subject:
                assert at is not None
                assert at not in seen
                seen.add(at)
                at = follows[at]

    # No root has an explanation that holds: what is told of, and is not in a ring with it.
    whole = [Fact(rule=one.rule, subject=one.subject, message="", because=one.because) for one in facts]
    causes: dict[Ref, set[Ref]] = {}
    for fact in whole:
        causes.setdefault(fact.subject, set()).update(key[1] for key in explains(facts, fact))
    for one in found:
        above = reach(one.subject, causes)
        for cause in above & {other.subject for other in found} - {one.subject}:
            assert one.subject in reach(cause, causes) or single(facts, one.subject, cause)


def single(facts: list[Fact], *subjects: Ref) -> bool:
    """Whether an object has several facts: then its being told of does not say which of them holds."""
    return any(len({one.detail for one in facts if one.subject == subject}) > 1 for subject in subjects)


def reach(start: Ref, causes: dict[Ref, set[Ref]]) -> set[Ref]:
    seen: set[Ref] = set()
    queue = [start]
    for one in queue:
        for cause in causes.get(one, ()):
            if cause not in seen:
                seen.add(cause)
                queue.append(cause)
    return seen


@given(webs(), st.lists(st.tuples(st.integers(0, 3), webs()), max_size=6))
def test_a_ledger_says_what_all_that_is_told_last_says(
    first: list[Fact], later: list[tuple[int, list[Fact]]]
) -> None:
    ledger = Ledger()
    told_last: dict[int, list[Fact]] = {}
    for asker, facts in [(0, first), *later]:
        told_last[asker] = facts
        ledger.tell(asker, facts)
        assert ledger.findings() == roots([fact for said in told_last.values() for fact in said])
