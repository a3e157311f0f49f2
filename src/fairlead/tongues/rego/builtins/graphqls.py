"""GraphQL: queries and schemas parsed, and queries checked against schemas.

The syntax trees have the shape of github.com/vektah/gqlparser's, which OPA shows: without positions, nulls and empty lists. A
tree that a policy hands back is written as text and read again. Parsing and the rules are graphql-core's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import graphql
from graphql.language import ast as g

from fairlead.tongues.rego.values import to_json

from .graphql_texts import query_text, schema_text
from .kinds import Builtin, BuiltinError, Context, table, text, wrong

_LONGEST = 1 << 20
_MOST_TOKENS = 20_000
_VALUES: dict[type[g.Node], int] = {
    g.VariableNode: 0,
    g.IntValueNode: 1,
    g.FloatValueNode: 2,
    g.StringValueNode: 3,
    g.BooleanValueNode: 5,
    g.NullValueNode: 6,
    g.EnumValueNode: 7,
    g.ListValueNode: 8,
    g.ObjectValueNode: 9,
}
_KINDS: dict[type[g.Node], str] = {
    g.ScalarTypeDefinitionNode: "SCALAR",
    g.ObjectTypeDefinitionNode: "OBJECT",
    g.InterfaceTypeDefinitionNode: "INTERFACE",
    g.UnionTypeDefinitionNode: "UNION",
    g.EnumTypeDefinitionNode: "ENUM",
    g.InputObjectTypeDefinitionNode: "INPUT_OBJECT",
    g.ScalarTypeExtensionNode: "SCALAR",
    g.ObjectTypeExtensionNode: "OBJECT",
    g.InterfaceTypeExtensionNode: "INTERFACE",
    g.UnionTypeExtensionNode: "UNION",
    g.EnumTypeExtensionNode: "ENUM",
    g.InputObjectTypeExtensionNode: "INPUT_OBJECT",
}
_DEFINITIONS: dict[type[g.Node], type[g.TypeDefinitionNode]] = {
    g.ScalarTypeExtensionNode: g.ScalarTypeDefinitionNode,
    g.ObjectTypeExtensionNode: g.ObjectTypeDefinitionNode,
    g.InterfaceTypeExtensionNode: g.InterfaceTypeDefinitionNode,
    g.UnionTypeExtensionNode: g.UnionTypeDefinitionNode,
    g.EnumTypeExtensionNode: g.EnumTypeDefinitionNode,
    g.InputObjectTypeExtensionNode: g.InputObjectTypeDefinitionNode,
}
_INSIGNIFICANT = re.compile(r"#[^\r\n]*|[\s,\ufeff]+")
_ROOTLESS = "Query root type must be provided."


def _error(error: graphql.GraphQLError, what: str = "GraphQL string") -> BuiltinError:
    place = error.locations[0] if error.locations else None
    line, column = (place.line, place.column) if place is not None else (0, 0)
    said = error.message.removeprefix("Syntax Error: ").rstrip(".")
    return BuiltinError(f"{said} in {what} at location {line}:{column}")


@lru_cache(maxsize=64)
def parse(source: str) -> g.DocumentNode:
    """Return the syntax tree of a text. Raises BuiltinError with the place of what is wrong."""
    if len(source) > _LONGEST:
        raise BuiltinError("the GraphQL text is too long")
    if not _INSIGNIFICANT.sub("", source):
        return g.DocumentNode(definitions=())
    try:
        return graphql.parse(source, max_tokens=_MOST_TOKENS)
    except graphql.GraphQLError as error:
        raise _error(error) from None
    except RecursionError:
        raise BuiltinError("the GraphQL text is too deep") from None


def _pruned(**fields: Any) -> dict[str, Any]:
    """Return an object without nulls and empty lists."""
    return {name: value for name, value in fields.items() if value or type(value) in {bool, int, str}}


def _name(node: Any) -> str:
    return node.name.value if node.name is not None else ""


def _said(node: Any) -> str:
    return node.description.value if getattr(node, "description", None) is not None else ""


def _value(node: Any) -> dict[str, Any]:
    kind = _VALUES[type(node)]
    raw = ""
    children: list[dict[str, Any]] = []
    if isinstance(node, g.VariableNode):
        raw = node.name.value
    elif isinstance(node, g.ListValueNode):
        children = [_pruned(Name="", Value=_value(one)) for one in node.values]
    elif isinstance(node, g.ObjectValueNode):
        children = [_pruned(Name=one.name.value, Value=_value(one.value)) for one in node.fields]
    elif isinstance(node, g.BooleanValueNode):
        raw = "true" if node.value else "false"
    elif isinstance(node, g.NullValueNode):
        raw = "null"
    else:
        raw = node.value
        kind = 4 if isinstance(node, g.StringValueNode) and node.block else kind
    return _pruned(Raw=raw, Children=children, Kind=kind, ExpectedTypeHasDefault=False)


def _type(node: Any) -> dict[str, Any]:
    needed = isinstance(node, g.NonNullTypeNode)
    inner = node.type if needed else node
    if isinstance(inner, g.ListTypeNode):
        return _pruned(NamedType="", Elem=_type(inner.type), NonNull=needed)
    return _pruned(NamedType=inner.name.value, NonNull=needed)


def _arguments(nodes: Any) -> list[dict[str, Any]]:
    return [_pruned(Name=node.name.value, Value=_value(node.value)) for node in nodes or ()]


def _directives(nodes: Any) -> list[dict[str, Any]]:
    return [
        _pruned(Name=node.name.value, Arguments=_arguments(node.arguments), Location="")
        for node in nodes or ()
    ]


def _selections(node: Any) -> list[dict[str, Any]]:
    return [_selection(one) for one in node.selections] if node is not None else []


def _selection(node: Any) -> dict[str, Any]:
    directives = _directives(node.directives)
    if isinstance(node, g.FieldNode):
        name = node.name.value
        return _pruned(
            Alias=node.alias.value if node.alias is not None else name,
            Name=name,
            Arguments=_arguments(node.arguments),
            Directives=directives,
            SelectionSet=_selections(node.selection_set),
        )
    if isinstance(node, g.FragmentSpreadNode):
        return _pruned(Name=node.name.value, Directives=directives)
    condition = node.type_condition
    return _pruned(
        TypeCondition=condition.name.value if condition is not None else "",
        Directives=directives,
        SelectionSet=_selections(node.selection_set),
    )


def _variables(nodes: Any) -> list[dict[str, Any]]:
    return [
        _pruned(
            Variable=node.variable.name.value,
            Type=_type(node.type),
            DefaultValue=_value(node.default_value) if node.default_value is not None else None,
            Directives=_directives(node.directives),
            Used=False,
        )
        for node in nodes or ()
    ]


def query_tree(document: g.DocumentNode) -> dict[str, Any]:
    """Return the tree of a query document."""
    operations: list[dict[str, Any]] = []
    fragments: list[dict[str, Any]] = []
    for node in document.definitions:
        if isinstance(node, g.OperationDefinitionNode):
            operations.append(
                _pruned(
                    Operation=node.operation.value,
                    Name=_name(node),
                    VariableDefinitions=_variables(node.variable_definitions),
                    Directives=_directives(node.directives),
                    SelectionSet=_selections(node.selection_set),
                )
            )
        elif isinstance(node, g.FragmentDefinitionNode):
            fragments.append(
                _pruned(
                    Name=node.name.value,
                    TypeCondition=node.type_condition.name.value,
                    Directives=_directives(node.directives),
                    SelectionSet=_selections(node.selection_set),
                )
            )
        else:
            raise BuiltinError("Unexpected definition in GraphQL string: a query was expected")
    return _pruned(Operations=operations, Fragments=fragments)


def _field(node: Any) -> dict[str, Any]:
    """Return a field, an argument or an input field."""
    default = getattr(node, "default_value", None)
    return _pruned(
        Description=_said(node),
        Name=node.name.value,
        Arguments=[_field(one) for one in getattr(node, "arguments", None) or ()],
        DefaultValue=_value(default) if default is not None else None,
        Type=_type(node.type),
        Directives=_directives(node.directives),
    )


def _definition(node: Any) -> dict[str, Any]:
    return _pruned(
        Kind=_KINDS[type(node)],
        Description=_said(node),
        Name=node.name.value,
        Directives=_directives(node.directives),
        Interfaces=[one.name.value for one in getattr(node, "interfaces", None) or ()],
        Fields=[_field(one) for one in getattr(node, "fields", None) or ()],
        Types=[one.name.value for one in getattr(node, "types", None) or ()],
        EnumValues=[
            _pruned(Description=_said(one), Name=one.name.value, Directives=_directives(one.directives))
            for one in getattr(node, "values", None) or ()
        ],
        BuiltIn=False,
    )


def _schema_definition(node: Any) -> dict[str, Any]:
    return _pruned(
        Description=_said(node),
        Directives=_directives(node.directives),
        OperationTypes=[
            _pruned(Operation=one.operation.value, Type=one.type.name.value)
            for one in node.operation_types or ()
        ],
    )


def schema_tree(document: g.DocumentNode) -> dict[str, Any]:
    """Return the tree of a schema document."""
    found: dict[str, list[dict[str, Any]]] = {}
    for node in document.definitions:
        if isinstance(node, g.SchemaDefinitionNode):
            found.setdefault("Schema", []).append(_schema_definition(node))
        elif isinstance(node, g.SchemaExtensionNode):
            found.setdefault("SchemaExtension", []).append(_schema_definition(node))
        elif isinstance(node, g.DirectiveDefinitionNode):
            found.setdefault("Directives", []).append(
                _pruned(
                    Description=_said(node),
                    Name=node.name.value,
                    Arguments=[_field(one) for one in node.arguments or ()],
                    Locations=[one.value for one in node.locations],
                    IsRepeatable=node.repeatable,
                )
            )
        elif type(node) in _DEFINITIONS:
            found.setdefault("Extensions", []).append(_definition(node))
        elif type(node) in _KINDS:
            found.setdefault("Definitions", []).append(_definition(node))
        else:
            raise BuiltinError("Unexpected definition in GraphQL string: a schema was expected")
    return found


def _whole(document: g.DocumentNode) -> g.DocumentNode:
    """Return the document with the first extension of a type that nobody defines as its definition."""
    known = {node.name.value for node in document.definitions if isinstance(node, g.TypeDefinitionNode)}
    nodes: list[g.DefinitionNode] = []
    for node in document.definitions:
        made = _DEFINITIONS.get(type(node))
        if made is not None and isinstance(node, g.TypeExtensionNode) and node.name.value not in known:
            known.add(node.name.value)
            fields = {name: getattr(node, name) for name in made.keys if hasattr(node, name)}
            nodes.append(made(**fields))
        else:
            nodes.append(node)
    return g.DocumentNode(definitions=tuple(nodes))


@lru_cache(maxsize=32)
def _schema(source: str) -> graphql.GraphQLSchema:
    """Return the schema of a text, with the types that every schema has. Raises BuiltinError."""
    document = parse(source)
    schema_tree(document)
    try:
        found = graphql.build_ast_schema(_whole(document))
        errors = [error for error in graphql.validate_schema(found) if error.message != _ROOTLESS]
    except graphql.GraphQLError as error:
        raise _error(error) from None
    except (TypeError, ValueError) as error:
        raise BuiltinError(f"Error in schema: {error}") from None
    except RecursionError:
        raise BuiltinError("the GraphQL text is too deep") from None
    if errors:
        raise _error(errors[0])
    found._validation_errors = []  # noqa: SLF001  # a schema without queries is one here
    return found


def _texts(value: Any, place: int, write: Callable[[Any], str]) -> str:
    """Return the text of an operand: itself, or that of a tree."""
    if type(value) is str:
        return value
    if type(value) is not dict:
        raise wrong(place, value, "string", "object")
    try:
        return write(to_json(value))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise BuiltinError(f"the object is no GraphQL syntax tree: {error}") from None
    except RecursionError:
        raise BuiltinError("the GraphQL tree is too deep") from None


def _checked(query: Any, schema: Any) -> tuple[g.DocumentNode, g.DocumentNode]:
    """Return both documents, the query being valid by the schema. Raises BuiltinError."""
    asked = parse(_texts(query, 0, query_text))
    query_tree(asked)
    source = _texts(schema, 1, schema_text)
    found = _schema(source)
    errors = graphql.validate(found, asked) if asked.definitions else []
    if errors:
        raise _error(errors[0], "GraphQL query string")
    return asked, parse(source)


def parse_both(_: Context, query: Any, schema: Any) -> list[Any]:
    """Return the trees of a query and a schema, when the one is valid by the other."""
    asked, known = _checked(query, schema)
    return [query_tree(asked), schema_tree(known)]


def parse_and_verify(_: Context, query: Any, schema: Any) -> list[Any]:
    """Return [true, query, schema], or [false, {}, {}]."""
    try:
        asked, known = _checked(query, schema)
    except BuiltinError:
        return [False, {}, {}]
    return [True, query_tree(asked), schema_tree(known)]


def _holds(check: Callable[..., Any]) -> Callable[..., bool]:
    def call(_: Context, *operands: Any) -> bool:
        try:
            check(*operands)
        except BuiltinError:
            return False
        return True

    return call


BUILTINS = table(
    Builtin("graphql.parse", 2, parse_both),
    Builtin("graphql.parse_and_verify", 2, parse_and_verify),
    Builtin("graphql.parse_query", 1, lambda _, value: query_tree(parse(text(value, 1)))),
    Builtin("graphql.parse_schema", 1, lambda _, value: schema_tree(parse(text(value, 1)))),
    Builtin("graphql.is_valid", 2, _holds(_checked)),
    Builtin("graphql.schema_is_valid", 1, _holds(lambda value: _schema(_texts(value, 1, schema_text)))),
)
