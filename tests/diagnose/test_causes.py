"""The graph of causes: few roots, every symptom under one, rings and alternatives included."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fairlead.diagnose.causes import Fact, Key, roots
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


def test_one_symptom_of_two_roots_hangs_under_both() -> None:
    assert told([fact("a"), fact("b"), fact("c", "a", "b")]) == {"a": ["c"], "b": ["c"]}


def test_a_ring_has_one_root_the_gravest() -> None:
    facts = [
        fact("a", "b", severity=Severity.WARNING),
        fact("b", "a"),
        fact("c", "a", severity=Severity.INFO),
    ]
    assert told(facts) == {"b": ["a", "c"]}


def test_weak_facts_are_never_roots() -> None:
    assert told([fact("a", weak=True), fact("b", "a")]) == {}


def test_any_fact_about_an_object_explains() -> None:
    service = Fact(rule="s", subject=ref("service"), message="no endpoints", because=(ref("pod"),))
    pod = Fact(rule="p", subject=ref("pod"), message="crashes")
    assert told([service, pod]) == {"pod": ["service"]}


def test_facts_of_one_name_fold_and_keep_all_evidence() -> None:
    one = fact("a", evidence=(Evidence("log", ref("a"), "x"),), severity=Severity.WARNING)
    other = fact("a", evidence=(Evidence("log", ref("a"), "y"),))
    (found,) = roots([one, other])
    assert [item.text for item in found.evidence] == ["x", "y"]
    assert found.severity == Severity.CRITICAL


def test_a_root_is_as_grave_as_what_it_leads_to() -> None:
    (found,) = roots([fact("a", severity=Severity.WARNING), fact("b", "a")])
    assert found.severity == Severity.CRITICAL


def test_the_id_does_not_hang_on_evidence() -> None:
    (one,) = roots([fact("a")])
    (other,) = roots([fact("a", evidence=(Evidence("log", ref("a"), "x"),), cause="y")])
    assert one.id == other.id


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20))
def test_every_fact_is_reached_from_a_root(pairs: list[tuple[int, int]]) -> None:
    because: dict[int, list[Key]] = {index: [] for index in range(8)}
    for effect, cause in pairs:
        because[effect].append(("r", ref(str(cause)), ""))
    facts = [
        Fact(rule="r", subject=ref(str(index)), message="", because=tuple(keys))
        for index, keys in because.items()
    ]
    found = roots(facts)
    names = {one.subject.name for one in found} | {
        item.subject.name for one in found for item in one.symptoms
    }
    assert names == {str(index) for index in range(8)}
