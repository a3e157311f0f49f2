package main

import (
	"fmt"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/ast/astutil"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"
)

// Inject replaces the value of each field with an attribute `@Attribute(Kind:TYPE:NAME)` by the value of that name, where there is
// one; other fields stay. TYPE is string, number or bool.
type Inject struct {
	Attribute string            `json:"attribute"`
	Kind      string            `json:"kind"`
	Values    map[string]string `json:"values"`
}

func inject(file *ast.File, wanted *Inject) error {
	var failed errors.Error
	changed := false
	ast.Walk(file, func(node ast.Node) bool {
		field, is := node.(*ast.Field)
		if !is {
			return true
		}
		for _, attribute := range field.Attrs {
			key, text := attribute.Split()
			parts := strings.Split(text, ":")
			if key != wanted.Attribute || len(parts) != 3 || parts[0] != wanted.Kind {
				continue
			}
			value, there := wanted.Values[parts[2]]
			if !there {
				continue
			}
			expression, err := typed(parts[1], value)
			if err != nil {
				failed = errors.Append(failed, errors.Newf(field.Pos(), "@%s(%s): %s", key, text, err))
				continue
			}
			mark(expression, field.Value.Pos())
			field.Value, changed = expression, true
		}
		return true
	}, nil)
	if failed != nil {
		return failed
	}
	if changed {
		resolve(file)
	}
	return nil
}

// resolve finds anew what names refer to: the parser has bound them to the values that are no longer there. What is not found is for the
// build to say, as it may be in another file.
func resolve(file *ast.File) {
	ast.Walk(file, func(node ast.Node) bool {
		if name, is := node.(*ast.Ident); is {
			name.Node, name.Scope = nil, nil
		}
		return true
	}, nil)
	file.Unresolved = nil
	astutil.Resolve(file, func(token.Pos, string, ...any) {})
}

// typed returns a value as the literal of a type. What it is is never part of the message: it may be secret.
func typed(kind, value string) (ast.Expr, error) {
	switch kind {
	case "string":
		return ast.NewString(value), nil
	case "number":
		var number literal.NumInfo
		if err := literal.ParseNum(value, &number); err != nil {
			return nil, fmt.Errorf("value must be a number")
		}
		if number.IsInt() {
			return ast.NewLit(token.INT, value), nil
		}
		return ast.NewLit(token.FLOAT, value), nil
	case "bool":
		if value != "true" && value != "false" {
			return nil, fmt.Errorf("value must be 'true' or 'false'")
		}
		return ast.NewBool(value == "true"), nil
	}
	return nil, fmt.Errorf("unknown type '%s' must be string, number or bool", kind)
}
