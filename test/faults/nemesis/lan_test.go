package nemesis

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// lan is some network namespaces, each with one interface, on a bridge in a namespace of
// its own: nothing of the host's network is touched or in the way.
type lan struct {
	name  string
	hosts []*host
}

// host is where one node runs.
type host struct {
	ns      string
	address string

	mu    sync.Mutex
	rules []string // what its kernel does to packets that come in; see wound
}

// Names of namespaces are prefix, process and a number, so that what a killed test
// left can be found.
const prefix = "xnem"

var lans atomic.Uint32

// run runs a command of the system.
func run(input string, line ...string) error {
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stdin = strings.NewReader(input)
	// An interrupt of the terminal is for the test, which cleans up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s%s", strings.Join(line, " "), err, out, input)
	}
	return nil
}

func inside(ns string, line ...string) []string {
	return append([]string{"ip", "netns", "exec", ns}, line...)
}

// usable tries what every test needs, once.
var usable = sync.OnceValue(func() error {
	ns := fmt.Sprintf("%s%d-try", prefix, os.Getpid())
	defer removeNamespace(ns)
	return errors.Join(
		run("", "ip", "netns", "add", ns),
		run("", "ip", "-n", ns, "link", "add", "name", "va", "type", "veth", "peer", "name", "vb"),
		run("", "ip", "-n", ns, "link", "add", "name", "bridge0", "type", "bridge"),
		run("", inside(ns, "tc", "qdisc", "add", "dev", "va", "root", "tbf", "rate", "1mbit", "burst", "64kb", "latency", "50ms")...),
		run(table+"add rule inet nemesis in numgen random mod 100 < 10 drop\nadd rule inet nemesis in tcp dport 1 reject with tcp reset\n", inside(ns, "nft", "-f", "-")...),
	)
})

func newLAN(t *testing.T, n int) *lan {
	t.Helper()
	l := &lan{name: fmt.Sprintf("%s%d-%d", prefix, os.Getpid(), lans.Add(1))}
	hub := l.name + "-hub"
	t.Cleanup(func() {
		for _, h := range l.hosts {
			removeNamespace(h.ns)
		}
		removeNamespace(hub)
	})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(run("", "ip", "netns", "add", hub))
	must(run("", "ip", "-n", hub, "link", "add", "name", "bridge0", "type", "bridge"))
	must(run("", "ip", "-n", hub, "link", "set", "bridge0", "up"))
	for i := range n {
		h := &host{ns: fmt.Sprintf("%s-n%d", l.name, i+1), address: fmt.Sprintf("10.99.0.%d", i+1)}
		l.hosts = append(l.hosts, h)
		port := fmt.Sprintf("p%d", i+1)
		must(run("", "ip", "netns", "add", h.ns))
		must(run("", "ip", "-n", hub, "link", "add", "name", port, "type", "veth", "peer", "name", "eth0", "netns", h.ns))
		must(run("", "ip", "-n", hub, "link", "set", port, "master", "bridge0", "up"))
		must(run("", "ip", "-n", h.ns, "link", "set", "lo", "up"))
		must(run("", "ip", "-n", h.ns, "address", "add", h.address+"/24", "dev", "eth0"))
		must(run("", "ip", "-n", h.ns, "link", "set", "eth0", "up"))
		must(h.apply())
		must(h.rate(base))
	}
	return l
}

// base is the rate of a host that is well. It makes transfers last long enough to be
// hit, and leaves the processors for the tests.
const base = "200mbit"

// rate bounds what a host sends.
func (h *host) rate(r string) error {
	return run("", inside(h.ns, "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", r, "burst", "64kb", "latency", "200ms")...)
}

// move gives the host another address.
func (h *host) move(address string) error {
	old := h.address
	h.address = address
	return errors.Join(
		run("", "ip", "-n", h.ns, "address", "del", old+"/24", "dev", "eth0"),
		run("", "ip", "-n", h.ns, "address", "add", address+"/24", "dev", "eth0"),
	)
}

const table = "add table inet nemesis\nadd chain inet nemesis in { type filter hook input priority 0; policy accept; }\nflush chain inet nemesis in\n"

// wound adds rules for packets that come in; the function that is returned takes them
// away.
func (h *host) wound(rules ...string) (heal func() error, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rules = append(h.rules, rules...)
	return func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, r := range rules {
			for i, have := range h.rules {
				if have == r {
					h.rules = append(h.rules[:i:i], h.rules[i+1:]...)
					break
				}
			}
		}
		return h.apply()
	}, h.apply()
}

// apply writes the rules into the kernel, in one step.
func (h *host) apply() error {
	text := table
	for _, r := range h.rules {
		text += "add rule inet nemesis in " + r + "\n"
	}
	return run(text, inside(h.ns, "nft", "-f", "-")...)
}

// reset ends the TCP connections of the host that have that port at either end, as a
// machine does that forgot them; port 0 is any.
func (h *host) reset(port int) error {
	line := inside(h.ns, "ss", "-K", "-t", "-n", "state", "established")
	if port != 0 {
		line = append(line, "(", "dport", "=", strconv.Itoa(port), "or", "sport", "=", strconv.Itoa(port), ")")
	}
	return run("", line...)
}

func removeNamespace(ns string) {
	// Whatever is still in it holds its devices.
	out, _ := exec.Command("ip", "netns", "pids", ns).Output()
	for _, f := range strings.Fields(string(out)) {
		if pid, err := strconv.Atoi(f); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_ = exec.Command("ip", "netns", "del", ns).Run()
}

func namespaces() (list []string) {
	found, _ := filepath.Glob("/run/netns/" + prefix + "*")
	for _, f := range found {
		list = append(list, filepath.Base(f))
	}
	return list
}

// removeAll removes every namespace of this process.
func removeAll() {
	for _, ns := range namespaces() {
		if strings.HasPrefix(ns, fmt.Sprintf("%s%d-", prefix, os.Getpid())) {
			removeNamespace(ns)
		}
	}
}

// sweep removes namespaces of tests that were killed.
func sweep() {
	for _, ns := range namespaces() {
		of, _, _ := strings.Cut(strings.TrimPrefix(ns, prefix), "-")
		if pid, err := strconv.Atoi(of); err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			removeNamespace(ns)
		}
	}
}
