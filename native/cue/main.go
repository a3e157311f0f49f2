// Command fairlead-cue evaluates CUE for fairlead: files in, JSON out, over standard input and output.
//
// It knows nothing of what the CUE is for. It is confined before it reads anything foreign (see confine_linux.go): no files, no network,
// no other programs; time is kept by the parent, which ends the process. It answers one request after another and ends when its
// input ends. It must never read a path, a variable of the environment or a clock on behalf of a request.
//
// A frame is two lengths of four bytes, big-endian (header, body), then a header of JSON and a body of bytes, as the other side has it,
// fairlead/drivers/cue.py.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	largestHeader = 4 << 20
	largestBody   = 256 << 20
	largestStack  = 64 << 20
)

// Welcome is the first frame: what the process gives up before it hears a request. Memory is what it may use and Data what the kernel
// lets it map, both in bytes.
type Welcome struct {
	Filter []byte `json:"filter"`
	User   int    `json:"user"`
	Memory uint64 `json:"memory"`
	Data   uint64 `json:"data"`
}

type frame struct {
	header []byte
	body   []byte
}

func read(from io.Reader) (*frame, error) {
	var lengths [8]byte
	if _, err := io.ReadFull(from, lengths[:]); err != nil {
		return nil, err
	}
	header, body := binary.BigEndian.Uint32(lengths[:4]), binary.BigEndian.Uint32(lengths[4:])
	if header > largestHeader || body > largestBody {
		return nil, fmt.Errorf("a frame of %d and %d bytes is too large", header, body)
	}
	found := &frame{make([]byte, header), make([]byte, body)}
	if _, err := io.ReadFull(from, found.header); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(from, found.body); err != nil {
		return nil, err
	}
	return found, nil
}

func say(to *bufio.Writer, header any, body []byte) {
	text, err := json.Marshal(header)
	if err != nil {
		fail(err)
	}
	var lengths [8]byte
	binary.BigEndian.PutUint32(lengths[:4], uint32(len(text)))
	binary.BigEndian.PutUint32(lengths[4:], uint32(len(body)))
	to.Write(lengths[:])
	to.Write(text)
	to.Write(body)
	if err := to.Flush(); err != nil {
		os.Exit(0) // the parent is gone, and with it the reason to be
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "fairlead-cue:", err)
	os.Exit(3)
}

// hear reads frames ahead, so that the end of the input ends the process even while it computes.
func hear(from io.Reader, frames chan<- *frame) {
	for {
		found, err := read(from)
		if err == io.EOF {
			os.Exit(0)
		}
		if err != nil {
			fail(err)
		}
		frames <- found
	}
}

// watch ends the process when it uses more memory than it may. What grows faster than it looks meets the kernel's limit, which is higher,
// and which the runtime does not always meet in good order.
func watch(most uint64) {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	for {
		time.Sleep(10 * time.Millisecond)
		metrics.Read(samples)
		if samples[0].Value.Uint64()-samples[1].Value.Uint64() > most {
			fail(errors.New("out of memory"))
		}
	}
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println(version())
		return
	}
	hears, says := bufio.NewReaderSize(os.Stdin, 1<<20), bufio.NewWriterSize(os.Stdout, 1<<16)
	first, err := read(hears)
	if err != nil {
		fail(err)
	}
	var welcome Welcome
	if err := json.Unmarshal(first.header, &welcome); err != nil {
		fail(err)
	}
	debug.SetMaxStack(largestStack)
	debug.SetGCPercent(200)
	if welcome.Memory > 0 {
		debug.SetMemoryLimit(int64(welcome.Memory - welcome.Memory/8))
		go watch(welcome.Memory)
	}
	warm()
	lacking, err := confine(welcome)
	if err != nil {
		fail(err)
	}
	say(says, map[string]any{"version": version(), "lacking": lacking}, nil)

	frames := make(chan *frame)
	go hear(hears, frames)
	for next := range frames {
		var request Request
		if err := json.Unmarshal(next.header, &request); err != nil {
			fail(err)
		}
		answer, body := evaluate(&request, next.body)
		say(says, answer, body)
	}
}

// version names the evaluator: the version of cuelang.org/go that this was built with.
func version() string {
	if info, found := debug.ReadBuildInfo(); found {
		for _, part := range info.Deps {
			if part.Path == "cuelang.org/go" {
				return part.Version
			}
		}
	}
	return "unknown"
}
