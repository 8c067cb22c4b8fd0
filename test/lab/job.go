package lab

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The environment of a command in the lab, beside what [Job.Env] adds.
const (
	EnvRole   = "XFER_LAB_ROLE"   // A or B
	EnvDevice = "XFER_LAB_DEVICE" // the first RDMA device, rxe0
	EnvNetdev = "XFER_LAB_NETDEV" // the network device under it
	EnvAddr   = "XFER_LAB_ADDR"   // its IPv4 address
	EnvPeer   = "XFER_LAB_PEER"   // that of the other machine; with one machine, its own
	EnvOut    = "XFER_LAB_OUT"    // a directory of the host, writable, the same for both machines
)

// Job is what the lab is to do. The zero values of all but Cmd are defaults.
type Job struct {
	// VMs is the number of machines, 1 or 2. The first is A, the second B.
	VMs int
	// Cmd is the program and its arguments. It runs as root; a name without a
	// slash is looked up in the guest's PATH, which is the host's usual one and
	// that of the lab's own helpers (see docs/lab.md).
	Cmd []string
	// CmdB is what machine B runs; nil means Cmd.
	CmdB []string
	// Dir is the working directory, one of the host that the guest can see; empty
	// means that of this process.
	Dir string
	// Env is added to the environment, as KEY=value.
	Env []string
	// Links is the number of RDMA devices of each machine, rxe0 and up; 1 by
	// default. With two machines, device N of one is wired to device N of the
	// other; with one, each lies on a veth pair.
	Links int
	// MTU of the network devices; 9000 by default, 1500 is a packet of 1024 bytes.
	MTU int
	// MemoryMiB is the memory of each machine; 4096 by default. Half of it can
	// hold files.
	MemoryMiB int
	// Timeout bounds the run from the start of QEMU to the end of the last
	// command; 5 minutes by default. Waiting for another run of the lab on this
	// computer, and the first preparation, do not count.
	Timeout time.Duration
	// Output gets what the commands print, both streams, as it comes. With two
	// machines each line begins with "A| " or "B| ". Writes come from one
	// goroutine at a time.
	Output io.Writer
	// OutDir is a directory of the host that the commands can write to, as
	// XFER_LAB_OUT; empty means one that is gone after the run.
	OutDir string
}

// Result is how a job ended.
type Result struct {
	// ExitCode is that of A's command, or B's where A's is 0. A program that a
	// signal ended has 128 plus the signal. It is -1 where none was learned.
	ExitCode int
	Machines []MachineResult
	// Waited is the time spent until no other run held the lab.
	Waited time.Duration
}

// MachineResult is how it ended on one machine.
type MachineResult struct {
	Role     string
	ExitCode int    // -1 when the machine ended before its command
	Output   []byte // what the command printed
	Boot     time.Duration
	Total    time.Duration
	Phases   []Phase
	// Kernel is the guest's kernel log, and Trouble the lines of it that tell of
	// oopses, warnings, lock-ups and hung tasks.
	Kernel  string
	Trouble []string
}

// Phase is a step of the boot: when it was reached, since the start of QEMU, by
// the host's clock.
type Phase struct {
	Name string
	At   time.Duration
}

const (
	defaultTimeout = 5 * time.Minute
	maxLinks       = 8
)

// withDefaults checks a job and fills in what it leaves out.
func (j Job) withDefaults(cwd string) (Job, error) {
	if j.VMs == 0 {
		j.VMs = 1
	}
	if j.Links == 0 {
		j.Links = 1
	}
	if j.MTU == 0 {
		j.MTU = 9000
	}
	if j.MemoryMiB == 0 {
		j.MemoryMiB = 4096
	}
	if j.Timeout == 0 {
		j.Timeout = defaultTimeout
	}
	if j.Dir == "" {
		j.Dir = cwd
	}
	if j.CmdB == nil {
		j.CmdB = j.Cmd
	}
	switch {
	case j.VMs != 1 && j.VMs != 2:
		return j, fmt.Errorf("the lab has 1 or 2 machines, not %d", j.VMs)
	case j.Links < 1 || j.Links > maxLinks:
		return j, fmt.Errorf("a machine has 1 to %d links, not %d", maxLinks, j.Links)
	case len(j.Cmd) == 0 || len(j.CmdB) == 0:
		return j, errors.New("no command to run in the lab")
	}
	for _, path := range []string{j.Dir, j.Cmd[0], j.CmdB[0]} {
		if filepath.IsAbs(path) && hidden(path) {
			return j, fmt.Errorf("%s is not visible in the lab: the guest has a /dev, /proc, /run and /sys of its own", path)
		}
	}
	for _, kv := range j.Env {
		if name, _, ok := strings.Cut(kv, "="); !ok || !isName(name) {
			return j, fmt.Errorf("the environment has %q, which is not NAME=value", kv)
		}
	}
	return j, nil
}

// hidden says whether the guest has something else at a path of the host.
func hidden(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(filepath.Clean(path), "/"), "/")
	return slices.Contains([]string{"dev", "proc", "run", "sys"}, first)
}

func isName(s string) bool {
	for i, r := range s {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// script is the shell script that a machine runs as its command.
func (j Job) script(role string) string {
	cmd := j.Cmd
	if role == "B" {
		cmd = j.CmdB
	}
	var b strings.Builder
	for _, kv := range j.Env {
		name, value, _ := strings.Cut(kv, "=")
		fmt.Fprintf(&b, "export %s=%s\n", name, quote(value))
	}
	fmt.Fprintf(&b, "cd %s || exit 125\nexec", quote(j.Dir))
	for _, arg := range cmd {
		b.WriteString(" " + quote(arg))
	}
	b.WriteString("\n")
	return b.String()
}

// quote makes a word of the shell out of any bytes but NUL.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// settings are the lines that the guest's scripts source.
func (j Job) settings(role, token string, im images) string {
	own, peer := 1, 1
	if j.VMs == 2 {
		peer = 2
		if role == "B" {
			own, peer = 2, 1
		}
	}
	var b strings.Builder
	for _, kv := range [][2]string{
		{"token", token}, {"role", role}, {"machines", fmt.Sprint(j.VMs)}, {"links", fmt.Sprint(j.Links)},
		{"mtu", fmt.Sprint(j.MTU)}, {"own", fmt.Sprint(own)}, {"peer", fmt.Sprint(peer)}, {"modules", im.modules}, {"ip", im.ip},
	} {
		fmt.Fprintf(&b, "lab_%s=%s\n", kv[0], quote(kv[1]))
	}
	return b.String()
}
