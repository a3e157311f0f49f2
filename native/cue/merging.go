package main

import (
	"fmt"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/errors"
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
	merged := w.context.CompileString("{}")
	laid := []cue.Value{}
	if source, there := w.sources[wanted.File]; there {
		file := w.context.CompileBytes(source, cue.Filename(wanted.File))
		if err := file.Err(); err != nil {
			return "", err
		}
		if found := file.LookupPath(field); found.Exists() {
			merged = found
			laid = append(laid, found)
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
		laid = append(laid, layer)
		merged = lay(layer, merged, w.holes[name])
		if err := merged.Err(); err != nil {
			return "", err
		}
	}
	text := fmt.Sprintf("package %s\n\n%s: %v\n", wanted.Package, wanted.Path, merged)
	file, err := parser.ParseFile(wanted.File, text, parser.ParseComments)
	if err != nil {
		return "", err
	}
	for _, declared := range file.Decls {
		if value, is := declared.(*ast.Field); is {
			locate(value.Value, laid, nil)
		}
	}
	w.add(wanted.File, []byte(text))
	w.parsed[wanted.File] = file
	return text, nil
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
	if err := value.Err(); err != nil {
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

func lay(over, base cue.Value, holes bool) cue.Value {
	switch kind := base.IncompleteKind(); {
	case kind == cue.StructKind && over.IncompleteKind() == cue.StructKind:
		out := base.Context().CompileString("{}")
		below, errBelow := base.Fields()
		above, errAbove := over.Fields()
		if errBelow != nil || errAbove != nil {
			return over
		}
		for below.Next() {
			at := cue.MakePath(below.Selector())
			value := below.Value()
			if found := over.LookupPath(at); found.Exists() {
				value = lay(found, value, holes)
			}
			out = out.FillPath(at, value)
		}
		for above.Next() {
			if at := cue.MakePath(above.Selector()); !base.LookupPath(at).Exists() {
				out = out.FillPath(at, above.Value())
			}
		}
		return out
	case kind == cue.ListKind && over.IncompleteKind() == cue.ListKind:
		above, below := elements(over), elements(base)
		if len(above) != len(below) && !holes {
			return over
		}
		items := []cue.Value{}
		for at := 0; at < len(above) || holes && at < len(below); at++ {
			switch {
			case at >= len(above) || holes && at < len(below) && above[at].IncompleteKind() == cue.NullKind:
				items = append(items, below[at])
			case at >= len(below):
				items = append(items, above[at])
			default:
				items = append(items, lay(above[at], below[at], holes))
			}
		}
		return base.Context().NewList(items...)
	}
	return over
}

func elements(list cue.Value) []cue.Value {
	found := []cue.Value{}
	items, err := list.List()
	for err == nil && items.Next() {
		found = append(found, items.Value())
	}
	return found
}

// locate gives each part of a merged value the position that it has in the layer that it comes from, so that what is wrong with it is
// said to be wrong there.
func locate(node ast.Expr, laid []cue.Value, path []cue.Selector) {
	switch found := node.(type) {
	case *ast.StructLit:
		for _, element := range found.Elts {
			field, is := element.(*ast.Field)
			if !is {
				continue
			}
			name, _, err := ast.LabelName(field.Label)
			if err != nil {
				continue
			}
			selector := cue.Str(name)
			if strings.HasPrefix(name, "#") {
				selector = cue.Def(name)
			}
			below := append(append([]cue.Selector{}, path...), selector)
			mark(field.Label, origin(laid, below))
			locate(field.Value, laid, below)
		}
		found.Lbrace = origin(laid, path)
	case *ast.ListLit:
		for at, element := range found.Elts {
			locate(element, laid, append(append([]cue.Selector{}, path...), cue.Index(at)))
		}
		found.Lbrack = origin(laid, path)
	default:
		mark(node, origin(laid, path))
	}
}

func origin(laid []cue.Value, path []cue.Selector) token.Pos {
	for at := len(laid) - 1; at >= 0; at-- {
		if found := laid[at].LookupPath(cue.MakePath(path...)); found.Exists() && found.Pos().IsValid() {
			return found.Pos()
		}
	}
	return token.NoPos
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
