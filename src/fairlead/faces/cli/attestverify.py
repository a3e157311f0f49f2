"""What attestations are checked for on the command line: expressions in CEL, or policies in Rego or CUE, over what was attested.

CEL sees `predicate`, `predicateType` and `statement` and says true; Rego answers `data.sigstore.isCompliant`; CUE is what the statement fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairlead.faces.cli.problems import Problem
from fairlead.faces.cli.verifying import read_text


async def unmet(path: str, statement: Mapping[str, Any]) -> str:
    """Return why a statement does not comply with the file's policy, "" where it does. Raises Problem for a file that cannot be used."""
    from datetime import UTC, datetime

    from fairlead.dialects.imagepolicy.compliance import compile_policy
    from fairlead.judge.surroundings import Surroundings
    from fairlead.keep.kinds import Catalogue
    from fairlead.reactor.judging import Answerer, asking
    from fairlead.reactor.kindnames import KindNames
    from fairlead.reactor.verifying import vet
    from fairlead.words import Snapshot

    ending, text = path.rpartition(".")[2], read_text(path, "--check")
    if ending == "cel":
        return _cel(path, text, statement)
    if ending not in {"rego", "cue"}:
        raise Problem(
            f"--check {path}: what it is written in is not known", "name it .cel, .rego or .cue", code=2
        )
    made = compile_policy(ending, text)
    if made.fault:
        raise Problem(f"--check {path}: {made.fault}", code=2)
    around = Surroundings(view=Snapshot(), now=datetime.now(UTC), kinds=KindNames(Catalogue()))
    return await asking(
        lambda seen: made.judge(dict(statement), seen), around, Answerer(providers={"cue.vet": vet}).answer
    )


def _cel(path: str, text: str, statement: Mapping[str, Any]) -> str:
    from fairlead.tongues import cel

    environment = cel.Environment(
        variables=("predicate", "predicateType", "statement"), libraries=cel.kubernetes.LIBRARIES
    )
    try:
        program = environment.compile(text.strip())
    except cel.BadExpression as error:
        raise Problem(f"--check {path}: {error}", code=2) from error
    bindings = {
        "statement": dict(statement),
        "predicate": statement.get("predicate"),
        "predicateType": statement.get("predicateType"),
    }
    try:
        said = program(bindings)
    except cel.Failed as error:
        return f"{path}: {error}"
    return "" if said is True else f"{path}: the expression is {cel.to_json(said)!r}, and true is wanted"
