package main

import (
	"context"
	"fmt"
	"strings"

	"cuelang.org/go/cue/errors"
	"cuelang.org/go/mod/modfile"
	"cuelang.org/go/mod/module"
)

const (
	mostProblems   = 40
	longestMessage = 2000
)

// Problem is one thing that CUE finds wrong: its words, the path of the value, and the places that it comes from, the first first.
type Problem struct {
	Message string  `json:"message"`
	Path    string  `json:"path"`
	Places  []Place `json:"places"`
}

// Place is a position in a file; lines and columns count from 1.
type Place struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

func (w *work) problems(err error) []Problem {
	out := []Problem{}
	all := errors.Errors(errors.Sanitize(errors.Promote(err, "")))
	for _, each := range all {
		if len(out) == mostProblems {
			out = append(out, Problem{Message: fmt.Sprintf("and %d more", len(all)-mostProblems), Places: []Place{}})
			break
		}
		problem := Problem{Path: strings.Join(each.Path(), "."), Places: []Place{}}
		message := strings.TrimPrefix(each.Error(), problem.Path+": ")
		if strings.ContainsAny(problem.Path, ":/") {
			problem.Path = "" // of a package, which the message names
		}
		for _, position := range errors.Positions(each) {
			if !position.IsValid() {
				continue
			}
			at := position.Position()
			place := Place{w.called(below(at.Filename)), at.Line, at.Column}
			problem.Places = append(problem.Places, place)
			message = strings.ReplaceAll(message, fmt.Sprintf("%s:%d:%d: ", at.Filename, at.Line, at.Column), "")
		}
		message = strings.ReplaceAll(message, root+"/", "")
		if len(message) > longestMessage {
			message = strings.ToValidUTF8(message[:longestMessage], "") + " ..."
		}
		problem.Message = message
		out = append(out, problem)
	}
	return out
}

// nowhere is the registry of CUE modules for code that must not fetch anything.
type nowhere struct{}

func (nowhere) refuse(what string) error {
	return fmt.Errorf("%s is not among the files, and nothing is fetched while CUE is evaluated: vendor it below cue.mod/pkg", what)
}

// ModFile is of modconfig.Registry.
func (n nowhere) ModFile(_ context.Context, wanted module.Version) (*modfile.File, error) {
	return nil, n.refuse("module " + wanted.String())
}

// Fetch is of modconfig.Registry.
func (n nowhere) Fetch(_ context.Context, wanted module.Version) (module.SourceLoc, error) {
	return module.SourceLoc{}, n.refuse("module " + wanted.String())
}

// ModuleVersions is of modconfig.Registry.
func (nowhere) ModuleVersions(context.Context, string) ([]string, error) {
	return nil, nil
}
