package main

import (
	"encoding/json"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/format"
	"cuelang.org/go/cue/token"
)

const (
	deepest  = 12
	mostRows = 2000
)

// Row says what a field is for and what it may be: its path, its type as the source has it, its default as JSON, and its comments.
type Row struct {
	Path     []string `json:"path"`
	Type     string   `json:"type"`
	Kinds    []string `json:"kinds"`
	Default  string   `json:"default,omitempty"`
	Doc      string   `json:"doc,omitempty"`
	Optional bool     `json:"optional,omitempty"`
	Required bool     `json:"required,omitempty"`
	Hidden   bool     `json:"hidden,omitempty"` // by a comment `+nodoc`
	Place    Place    `json:"place"`
}

// describe lists the fields of a value that its own module declares, those of structs below them. Fields that only come from what is
// vendored are left out: their documentation is elsewhere.
func (w *work) describe(value cue.Value) []Row {
	rows := []Row{}
	w.walk(value, nil, &rows)
	return rows
}

func (w *work) walk(value cue.Value, path []string, rows *[]Row) {
	fields, err := value.Fields(cue.Optional(true))
	if err != nil || len(path) >= deepest {
		return
	}
	for fields.Next() {
		selector, field := fields.Selector(), fields.Value()
		if len(*rows) >= mostRows {
			return
		}
		own := w.own(field)
		if len(own) == 0 {
			continue
		}
		constraint := selector.ConstraintType()
		row := Row{
			Path:     append(append([]string{}, path...), selector.Unquoted()),
			Optional: constraint == cue.OptionalConstraint,
			Required: constraint == cue.RequiredConstraint,
			Type:     spelled(own, field),
			Kinds:    kinds(field.IncompleteKind()),
			Place:    w.place(field),
		}
		row.Doc, row.Hidden = w.comments(field)
		chosen, has := field.Default()
		whole := has || field.IsConcrete() && field.IncompleteKind() != cue.StructKind
		if whole && !row.Optional && chosen.Validate(cue.Concrete(true)) == nil {
			if text, err := chosen.MarshalJSON(); err == nil {
				row.Default = string(text)
			}
		}
		*rows = append(*rows, row)
		if field.IncompleteKind() == cue.StructKind && !has {
			w.walk(field, row.Path, rows)
		}
	}
}

// own returns the expressions, of those that make up a value, that the module itself wrote.
func (w *work) own(value cue.Value) []ast.Expr {
	found := []ast.Expr{}
	add := func(part cue.Value) {
		if !w.mine(part.Pos()) {
			return
		}
		switch source := part.Source().(type) {
		case *ast.Field:
			found = append(found, source.Value)
		case ast.Expr:
			found = append(found, source)
		}
	}
	if operator, parts := value.Expr(); operator == cue.AndOp {
		for _, part := range parts {
			add(part)
		}
		return found
	}
	add(value)
	return found
}

func (w *work) mine(at token.Pos) bool {
	name := below(at.Filename())
	return at.IsValid() && !strings.HasPrefix(name, "cue.mod/") && !w.support[name]
}

// place returns where the module itself says what a field is.
func (w *work) place(value cue.Value) Place {
	positions := []token.Pos{value.Pos()}
	if operator, parts := value.Expr(); operator == cue.AndOp {
		for _, part := range parts {
			positions = append(positions, part.Pos())
		}
	}
	for _, at := range positions {
		if w.mine(at) {
			found := at.Position()
			return Place{w.called(below(found.Filename)), found.Line, found.Column}
		}
	}
	return Place{}
}

// partial returns what of a value is concrete, for JSON: fields that are not are left out.
func partial(value cue.Value, depth int) any {
	out := map[string]any{}
	fields, err := value.Fields()
	if err != nil || depth > deepest {
		return out
	}
	for fields.Next() {
		field := fields.Value()
		if field.IncompleteKind() == cue.StructKind {
			out[fields.Selector().Unquoted()] = partial(field, depth+1)
			continue
		}
		if field.Validate(cue.Concrete(true)) != nil {
			continue
		}
		if text, err := field.MarshalJSON(); err == nil {
			out[fields.Selector().Unquoted()] = json.RawMessage(text)
		}
	}
	return out
}

func kinds(kind cue.Kind) []string {
	out := []string{}
	for _, each := range []cue.Kind{cue.NullKind, cue.BoolKind, cue.IntKind, cue.FloatKind, cue.StringKind, cue.BytesKind, cue.ListKind, cue.StructKind} {
		if kind&each != 0 {
			out = append(out, each.String())
		}
	}
	return out
}

// spelled writes the type as the source does, without defaults and without the fields of structs.
func spelled(parts []ast.Expr, value cue.Value) string {
	texts := []string{}
	for _, part := range parts {
		part = bare(part)
		if part == nil {
			continue
		}
		if _, literal := part.(*ast.BasicLit); literal {
			continue // a value that was given, and no type
		}
		text, err := format.Node(part, format.Simplify())
		line := strings.Join(strings.Fields(string(text)), " ")
		if err != nil || line == "" {
			continue
		}
		repeated := false
		for _, known := range texts {
			repeated = repeated || known == line
		}
		if !repeated {
			texts = append(texts, line)
		}
	}
	if len(texts) == 0 {
		return value.IncompleteKind().String()
	}
	return strings.Join(texts, " & ")
}

func bare(expression ast.Expr) ast.Expr {
	switch found := expression.(type) {
	case *ast.UnaryExpr:
		if found.Op == token.MUL {
			return nil
		}
	case *ast.ParenExpr:
		return bare(found.X)
	case *ast.StructLit:
		for _, element := range found.Elts {
			field, is := element.(*ast.Field)
			if !is {
				return nil
			}
			if _, is := field.Label.(*ast.ListLit); !is {
				return nil
			}
		}
	case *ast.BinaryExpr:
		if found.Op != token.OR && found.Op != token.AND {
			return expression
		}
		left, right := bare(found.X), bare(found.Y)
		switch {
		case left == nil:
			return right
		case right == nil:
			return left
		}
		return &ast.BinaryExpr{X: left, Op: found.Op, Y: right}
	}
	return expression
}

// comments returns what the module says of a field, and whether it asks for it to be left out.
func (w *work) comments(value cue.Value) (string, bool) {
	lines, hidden := []string{}, false
	for _, group := range value.Doc() {
		if !w.mine(group.Pos()) {
			continue
		}
		for _, line := range strings.Split(group.Text(), "\n") {
			line = strings.TrimSpace(line)
			switch line {
			case "+nodoc":
				hidden = true
			case "", "+optional", "+required":
			default:
				lines = append(lines, line)
			}
		}
	}
	return strings.Join(lines, " "), hidden
}
