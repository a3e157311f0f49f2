package main

import (
	"fmt"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/format"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"
	"cuelang.org/go/encoding/yaml"
)

// Merge replaces File by one whose field Path is the file's own with those of the layers laid over it, later ones last. Only data is
// merged like this: what is in a layer wins, field by field; lists are merged element by element where they are of one length, and
// replaced otherwise.
type Merge struct {
	File    string   `json:"file"`
	Path    string   `json:"path"`
	Package string   `json:"package"`
	Layers  []string `json:"layers"`
}

func (w *work) merge(wanted *Merge) (string, error) {
	field := cue.ParsePath(wanted.Path)
	if err := field.Err(); err != nil {
		return "", err
	}
	sheets := []sheet{{w.context.CompileString("{}"), false}}
	if source, there := w.sources[wanted.File]; there {
		file := w.context.CompileBytes(source, cue.Filename(wanted.File))
		if err := file.Err(); err != nil {
			return "", err
		}
		if found := file.LookupPath(field); found.Exists() {
			sheets = append(sheets, sheet{found, false})
		}
	}
	for _, name := range wanted.Layers {
		layer, err := w.layer(name, field)
		if err != nil {
			return "", err
		}
		if layer.IncompleteKind() != cue.StructKind {
			return "", errors.Newf(layer.Pos(), "%s of %s is no struct", wanted.Path, w.called(name))
		}
		sheets = append(sheets, sheet{layer, w.holes[name]})
	}
	value, err := lay(sheets)
	if err != nil {
		return "", err
	}
	file := &ast.File{Filename: wanted.File, Decls: []ast.Decl{
		&ast.Package{Name: ast.NewIdent(wanted.Package)},
		&ast.Field{Label: ast.NewString(wanted.Path), Value: value},
	}}
	resolve(file)
	text, err := format.Node(file)
	if err != nil {
		return "", err
	}
	w.add(wanted.File, text)
	w.parsed[wanted.File] = file
	return string(text), nil
}

// layer reads a file of values: CUE that has the field, or YAML or JSON that has it or is it.
func (w *work) layer(name string, field cue.Path) (cue.Value, error) {
	source, there := w.sources[name]
	if !there {
		return cue.Value{}, errors.Newf(token.NoPos, "there is no layer %s", name)
	}
	var value cue.Value
	if isData(name) {
		file, err := yaml.Extract(w.called(name), source)
		if err != nil {
			return cue.Value{}, err
		}
		value = w.context.BuildFile(file)
	} else {
		value = w.context.CompileBytes(source, cue.Filename(w.called(name)))
	}
	if err := faults(value); err != nil {
		return cue.Value{}, err
	}
	found := value.LookupPath(field)
	switch {
	case found.Exists() && isData(name) && found.IncompleteKind() == cue.NullKind:
		return w.context.CompileString("{}"), nil
	case found.Exists():
		return found, found.Err()
	case isData(name) && value.IncompleteKind() == cue.StructKind:
		return value, nil
	case isData(name) && (value.IncompleteKind() == cue.NullKind || value.IncompleteKind() == cue.TopKind):
		return w.context.CompileString("{}"), nil // an empty document
	}
	return cue.Value{}, errors.Newf(value.Pos(), "%s has no field %s", w.called(name), field)
}

// sheet is a value that others are laid over. With holes a null in its lists is none.
type sheet struct {
	value cue.Value
	holes bool
}

func (s sheet) is(kind cue.Kind) bool { return s.value.IncompleteKind() == kind }

// lay returns the expression of values that lie over each other, the last one uppermost. Each part keeps the position that it has where it
// comes from, so that what is wrong with it is said to be wrong there.
func lay(sheets []sheet) (ast.Expr, error) {
	top := sheets[len(sheets)-1]
	kind := top.value.IncompleteKind()
	if kind != cue.StructKind && kind != cue.ListKind {
		return leaf(top.value)
	}
	lowest := len(sheets) - 1
	for lowest > 0 && sheets[lowest-1].is(kind) {
		lowest--
	}
	if kind == cue.ListKind {
		return layLists(top.value.Pos(), sheets[lowest:])
	}
	return layStructs(top.value.Pos(), sheets[lowest:])
}

func layStructs(at token.Pos, sheets []sheet) (ast.Expr, error) {
	names := []string{}
	found := map[string][]sheet{}
	for _, each := range sheets {
		fields, err := each.value.Fields()
		if err != nil {
			return nil, err
		}
		for fields.Next() {
			name := fields.Selector().Unquoted()
			if found[name] == nil {
				names = append(names, name)
			}
			found[name] = append(found[name], sheet{fields.Value(), each.holes})
		}
	}
	out := &ast.StructLit{Lbrace: at}
	for _, name := range names {
		value, err := lay(found[name])
		if err != nil {
			return nil, err
		}
		label := ast.NewString(name)
		mark(label, found[name][len(found[name])-1].value.Pos())
		out.Elts = append(out.Elts, &ast.Field{Label: label, Value: value})
	}
	return out, nil
}

func layLists(at token.Pos, sheets []sheet) (ast.Expr, error) {
	stacks := [][]sheet{}
	for index, each := range sheets {
		items, err := each.value.List()
		if err != nil {
			return nil, err
		}
		above := []sheet{}
		for items.Next() {
			above = append(above, sheet{items.Value(), each.holes})
		}
		if index == 0 || !each.holes && len(above) != len(stacks) {
			stacks = nil
		}
		for at, item := range above {
			switch {
			case at >= len(stacks):
				stacks = append(stacks, []sheet{item})
			case !each.holes || !item.is(cue.NullKind):
				stacks[at] = append(stacks[at], item)
			}
		}
	}
	out := &ast.ListLit{Lbrack: at}
	for _, stack := range stacks {
		value, err := lay(stack)
		if err != nil {
			return nil, err
		}
		out.Elts = append(out.Elts, value)
	}
	return out, nil
}

// leaf returns a value that has no parts as CUE would print it, with its place.
func leaf(value cue.Value) (ast.Expr, error) {
	expression, err := parser.ParseExpr("", fmt.Sprintf("%v", value))
	if err != nil {
		return nil, err
	}
	mark(expression, value.Pos())
	return expression, nil
}

func mark(node ast.Node, at token.Pos) {
	if !at.IsValid() {
		return
	}
	ast.Walk(node, func(part ast.Node) bool {
		switch found := part.(type) {
		case *ast.BasicLit:
			found.ValuePos = at
		case *ast.Ident:
			found.NamePos = at
		case *ast.UnaryExpr:
			found.OpPos = at
		case *ast.BinaryExpr:
			found.OpPos = at
		case *ast.StructLit:
			found.Lbrace = at
		case *ast.ListLit:
			found.Lbrack = at
		}
		return true
	}, nil)
}
