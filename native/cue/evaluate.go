package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/load"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"
	"cuelang.org/go/encoding/yaml"
	"cuelang.org/go/mod/modfile"
)

// Request is one evaluation. Contents of files follow in the frame's body, in the order of Files.
type Request struct {
	Files   []File            `json:"files"`
	Dir     string            `json:"dir"`     // of the package, within the files; "" is the root
	Root    string            `json:"root"`    // of the CUE module, within the files
	Package string            `json:"package"` // "_" for files without a package clause
	Entry   []string          `json:"entry"`   // files to load instead of the package in Dir
	Tags    map[string]string `json:"tags"`    // for @tag(key)
	Vars    map[string]string `json:"vars"`    // for @tag(key, var=name)
	Merge   *Merge            `json:"merge"`
	Inject  *Inject           `json:"inject"`
	Seek    []Seek            `json:"seek"`
}

// File is a file's path and size. A layer is no part of the package, but named by Merge.
type File struct {
	Path  string `json:"path"`
	Size  int    `json:"size"`
	Layer bool   `json:"layer"`
	// Holes says of a layer that a null in a list stands for the element below it.
	Holes bool `json:"holes"`
	// Support is what the user did not write and is not described.
	Support bool `json:"support"`
	// As is what messages call it, where that is not the path.
	As string `json:"as"`
}

// Seek asks for the value at a path. What must be there is concrete, final JSON; what is Optional is left out when it is not there or
// not whole. With Check it is validated and not given. With Partial what is concrete of it is given. With Fields its names and documentation are given (see describe.go).
type Seek struct {
	Path     string `json:"path"`
	Optional bool   `json:"optional"`
	Check    bool   `json:"check"`
	Partial  bool   `json:"partial"`
	Fields   bool   `json:"fields"`
}

// Found answers a Seek.
type Found struct {
	Path  string          `json:"path"`
	There bool            `json:"there"`
	JSON  json.RawMessage `json:"json,omitempty"`
	Rows  []Row           `json:"rows,omitempty"`
}

// Answer is what a request comes to: what was found, or what is wrong. It goes into the frame's body.
type Answer struct {
	Found    []Found   `json:"found"`
	Problems []Problem `json:"problems"`
	// Merged is the text of the file that Merge made.
	Merged string `json:"merged,omitempty"`
}

// warm builds something once, so that what the evaluator sets up lazily is there before the first request, and before confinement.
func warm() {
	cuecontext.New().CompileString(`import "strings", a: strings.MinRunes(1), a: "x"`)
}

// root is where the files of a request are said to be. There is no such folder, and nothing else of the machine can be opened.
const root = "/fairlead-cue/nowhere"

type work struct {
	request *Request
	context *cue.Context
	files   map[string]load.Source
	sources map[string][]byte // of files and layers, by path
	names   map[string]string // what messages call a file
	parsed  map[string]*ast.File
	support map[string]bool // by what messages call them
	holes   map[string]bool
}

func evaluate(request *Request, body []byte) (map[string]any, []byte) {
	w := &work{
		request: request,
		context: cuecontext.New(),
		files:   map[string]load.Source{},
		sources: map[string][]byte{},
		names:   map[string]string{},
		parsed:  map[string]*ast.File{},
		support: map[string]bool{},
		holes:   map[string]bool{},
	}
	answer := Answer{Found: []Found{}, Problems: []Problem{}}
	for _, file := range request.Files {
		if file.Size < 0 || file.Size > len(body) {
			return map[string]any{"fine": false, "error": "the files are not as long as they are said to be"}, nil
		}
		w.sources[file.Path] = body[:file.Size:file.Size]
		if file.As != "" {
			w.names[file.Path] = file.As
		}
		w.holes[file.Path] = file.Holes
		if file.Support {
			w.support[w.called(file.Path)] = true
		}
		if !file.Layer {
			w.put(file.Path, w.sources[file.Path])
		}
		body = body[file.Size:]
	}
	if err := w.run(&answer); err != nil {
		answer.Problems = w.problems(err)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return map[string]any{"fine": false, "error": err.Error()}, nil
	}
	return map[string]any{"fine": true}, text
}

// put makes a file part of the file system. Data that is loaded by name is loaded as CUE of the same content.
func (w *work) put(name string, data []byte) {
	for _, entry := range w.request.Entry {
		if entry == name && isData(name) {
			w.names[name+".cue"] = w.called(name)
			w.sources[name+".cue"] = data
			name += ".cue"
		}
	}
	w.add(name, data)
}

// add puts a file below the root. A name that is no path there is left out.
func (w *work) add(name string, data []byte) {
	if name == path.Join(w.request.Root, "cue.mod/module.cue") {
		data = current(data, name)
	}
	if fs.ValidPath(name) {
		w.files[path.Join(root, name)] = load.FromBytes(data)
	}
}

func isData(name string) bool {
	switch path.Ext(name) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

func (w *work) called(name string) string {
	if found := w.names[name]; found != "" {
		return found
	}
	return name
}

// current returns a module file as today's loader wants it: old ones do not say which version of the language they are written in.
func current(data []byte, name string) []byte {
	if _, err := modfile.Parse(data, name); err == nil {
		return data
	}
	fixed, err := modfile.FixLegacy(data, name)
	if err != nil {
		return data // the loader says what is wrong with it
	}
	if text, err := modfile.Format(fixed); err == nil {
		return text
	}
	return data
}

// below returns the path of a file as the request has it; what is called otherwise in messages stays as it is.
func below(name string) string {
	return strings.TrimPrefix(name, root+"/")
}

func (w *work) run(answer *Answer) error {
	if w.request.Merge != nil {
		text, err := w.merge(w.request.Merge)
		if err != nil {
			return err
		}
		answer.Merged = text
	}
	value, err := w.build()
	if err != nil {
		return err
	}
	for _, seek := range w.request.Seek {
		found, err := w.seek(value, seek)
		if err != nil {
			return err
		}
		answer.Found = append(answer.Found, found)
	}
	return nil
}

func (w *work) build() (cue.Value, error) {
	config := &load.Config{
		Overlay:             w.files,
		Dir:                 path.Join(root, w.request.Dir),
		ModuleRoot:          path.Join(root, w.request.Root),
		Package:             w.request.Package,
		AcceptLegacyModules: true,
		DataFiles:           true,
		ParseFile:           w.parse,
		Registry:            nowhere{},
		Env:                 []string{},
		TagVars:             map[string]load.TagVar{},
	}
	for key, value := range w.request.Vars {
		config.TagVars[key] = load.TagVar{Func: func() (ast.Expr, error) { return ast.NewString(value), nil }}
	}
	entries := []string{}
	for _, entry := range w.request.Entry {
		if isData(entry) {
			entry += ".cue"
		}
		entries = append(entries, path.Join(root, entry))
	}
	instances := w.load(entries, config)
	if len(instances) == 0 {
		return cue.Value{}, errors.Newf(token.NoPos, "there is nothing to build")
	}
	if err := instances[0].Err; err != nil {
		return cue.Value{}, err
	}
	value := w.context.BuildInstance(instances[0])
	return value, faults(value)
}

// faults returns everything that is wrong with a value, where something is.
func faults(value cue.Value) error {
	err := value.Err()
	if err == nil {
		return nil
	}
	if all := value.Validate(); all != nil {
		return all
	}
	return err
}

// load loads what is to be built. A tag that no file has is no mistake: the one that asks cannot know what there is.
func (w *work) load(entries []string, config *load.Config) []*build.Instance {
	unknown := map[string]bool{}
	for {
		config.Tags = nil
		for key, value := range w.request.Tags {
			if !unknown[key] {
				config.Tags = append(config.Tags, key+"="+value)
			}
		}
		sort.Strings(config.Tags)
		instances := load.Instances(entries, config)
		again := false
		for _, instance := range instances {
			for _, wrong := range errors.Errors(instance.Err) {
				for key := range w.request.Tags {
					if !unknown[key] && wrong.Error() == fmt.Sprintf("no tag for %q", key) {
						unknown[key], again = true, true
					}
				}
			}
		}
		if !again {
			return instances
		}
	}
}

// parse reads a file of the package. The loader calls it for each, also at the same time from several goroutines, and it changes nothing
// that is shared.
func (w *work) parse(name string, source any, config parser.Config) (*ast.File, error) {
	key := below(name)
	if ready := w.parsed[key]; ready != nil {
		return ready, nil
	}
	called := w.called(key)
	original := strings.TrimSuffix(key, ".cue")
	var file *ast.File
	var err error
	if data, known := w.sources[key]; known && original != key && isData(original) {
		file, err = yaml.Extract(called, data) // JSON is YAML too, with its positions
	} else {
		file, err = parser.ParseFile(called, source, config)
	}
	if err != nil {
		return file, err
	}
	if w.request.Inject != nil && !strings.HasPrefix(key, "cue.mod/") {
		err = inject(file, w.request.Inject)
	}
	return file, err
}

func (w *work) seek(value cue.Value, seek Seek) (Found, error) {
	found := Found{Path: seek.Path}
	at := value
	if seek.Path != "" {
		parsed := cue.ParsePath(seek.Path)
		if err := parsed.Err(); err != nil {
			return found, err
		}
		at = value.LookupPath(parsed)
	}
	if !at.Exists() {
		if seek.Optional {
			return found, nil
		}
		return found, errors.Newf(token.NoPos, "there is no %s", seek.Path)
	}
	if seek.Fields {
		found.There = true
		found.Rows = w.describe(at)
		return found, nil
	}
	if seek.Partial {
		text, err := json.Marshal(partial(at, 0))
		found.There, found.JSON = err == nil, text
		return found, err
	}
	if err := at.Validate(cue.Concrete(true), cue.Final()); err != nil {
		if seek.Optional {
			return found, nil
		}
		return found, err
	}
	found.There = true
	if seek.Check {
		return found, nil
	}
	text, err := at.MarshalJSON()
	if err != nil {
		if seek.Optional {
			found.There = false
			return found, nil
		}
		return found, err
	}
	found.JSON = text
	return found, nil
}
