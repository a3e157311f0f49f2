package main

import (
	"fmt"
	"syscall"
	"unsafe"
)

// Numbers that are the same on every machine, and of the kernel's own headers (landlock.h, prctl.h, seccomp.h).
const (
	landlockCreate   = 444
	landlockRestrict = 446
	landlockVersion  = 1
	noNewPrivileges  = 38
	prSetSeccomp     = 22
	seccompFilter    = 2
	limitData        = 2
	limitFileSize    = 1
	limitCore        = 4
	landlockFilesABI = 1
)

type ruleset struct {
	files, ports, scopes uint64
}

// rights returns what a version of Landlock can take: files, TCP ports, scopes, and the size of the structure that says so.
func rights(abi uintptr) (ruleset, uintptr) {
	taken, size := ruleset{files: 1<<13 - 1}, uintptr(8)
	for _, more := range []struct{ since, right uint64 }{{2, 1 << 13}, {3, 1 << 14}, {5, 1 << 15}} {
		if uint64(abi) >= more.since {
			taken.files |= more.right
		}
	}
	if abi >= 4 {
		taken.ports, size = 3, 16
	}
	if abi >= 6 {
		// Abstract sockets only: a scope of signals would keep Go's threads, each with a domain of its own, from preempting each other.
		taken.scopes, size = 1, 24
	}
	return taken, size
}

type program struct {
	length uint16
	filter unsafe.Pointer
}

// confine takes from every thread of this process, for good: other identities, files, ports, memory beyond the limit, and the system
// calls that the parent's filter names. It returns what this kernel could not take.
func confine(welcome Welcome) ([]string, error) {
	lacking := []string{}
	for resource, most := range map[int]uint64{limitFileSize: 0, limitCore: 0, limitData: welcome.Data} {
		if resource == limitData && most == 0 {
			continue
		}
		if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
			return nil, fmt.Errorf("the limit %d: %w", resource, err)
		}
	}
	if welcome.User > 0 {
		if err := become(welcome.User); err != nil { // in a container whose root may not: the rest holds
			lacking = append(lacking, "another identity: "+err.Error())
		}
	}
	if _, _, failed := syscall.AllThreadsSyscall(syscall.SYS_PRCTL, noNewPrivileges, 1, 0); failed != 0 {
		return nil, fmt.Errorf("no new privileges: %w", failed)
	}
	abi, _, failed := syscall.Syscall(landlockCreate, 0, 0, landlockVersion)
	if failed != 0 || abi < landlockFilesABI {
		lacking = append(lacking, "files and TCP ports: the kernel has no Landlock")
	} else {
		taken, size := rights(abi)
		rules, _, failed := syscall.Syscall(landlockCreate, uintptr(unsafe.Pointer(&taken)), size, 0)
		if failed != 0 {
			return nil, fmt.Errorf("a Landlock ruleset: %w", failed)
		}
		if _, _, failed := syscall.AllThreadsSyscall(landlockRestrict, rules, 0, 0); failed != 0 {
			return nil, fmt.Errorf("Landlock: %w", failed)
		}
		if err := syscall.Close(int(rules)); err != nil {
			return nil, err
		}
	}
	if len(welcome.Filter) == 0 || len(welcome.Filter)%8 != 0 {
		return append(lacking, "system calls: no filter for this machine"), nil
	}
	code := program{uint16(len(welcome.Filter) / 8), unsafe.Pointer(&welcome.Filter[0])}
	if _, _, failed := syscall.AllThreadsSyscall(syscall.SYS_PRCTL, prSetSeccomp, seccompFilter, uintptr(unsafe.Pointer(&code))); failed != 0 {
		return nil, fmt.Errorf("seccomp: %w", failed)
	}
	return lacking, nil
}

func become(user int) error {
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("groups: %w", err)
	}
	if err := syscall.Setresgid(user, user, user); err != nil {
		return fmt.Errorf("group: %w", err)
	}
	if err := syscall.Setresuid(user, user, user); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	return nil
}
