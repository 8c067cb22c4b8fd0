package faults

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/xferd/xferd/test/needs"
)

// lasting are the system calls that change what lasts, by node.
var lasting = [2][]string{
	{"pwrite64", "fdatasync", "fsync", "ftruncate", "mkdirat", "fallocate", "renameat"},
	{"pwrite64", "fdatasync", "fsync", "ftruncate", "mkdirat", "fallocate", "renameat", "renameat2", "unlinkat", "linkat", "symlinkat", "fchmod", "utimensat", "syncfs", "fchmodat"},
}

// TestP1P2P3ReleaseIsKilledInSystemCalls does what TestP1P2P3P4P5P6EveryCrash does to
// the program as it is released: strace kills it in a system call. That reaches the
// inside of a transaction of the database as well.
func TestP1P2P3ReleaseIsKilledInSystemCalls(t *testing.T) {
	needs.Program(t, "strace")
	e := newEnumeration(t)
	defer e.told()
	all, most := scenarios(), 3 // strace counts the calls of each thread
	if *full {
		most = 16
	}
	var jobs []job
	for _, name := range []string{"copy", "sync"} {
		for i, calls := range lasting {
			for _, call := range calls {
				for when := 1; when <= most; when++ {
					p := plan{}
					p.inject[i] = fmt.Sprintf("%s:signal=KILL:when=%d", call, when)
					jobs = append(jobs, job{all[name], p})
				}
			}
		}
	}
	e.all("system calls", sample(rand.New(rand.NewPCG(e.seed(), 1)), jobs, 15, 0), nil)
}
