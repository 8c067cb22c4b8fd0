package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// order is one part of a plan: what is done at the n-th passing of a point.
type order struct {
	name string // "*": of any point
	n    int
	hold string // a file to make, and to wait for somebody to remove it; "": die
	// panics says that the goroutine which passes panics, instead of a death.
	panics bool
}

// set is what a process does at its points.
type set struct {
	trace *os.File // or nil
	die   func()

	mu     sync.Mutex
	orders []order
	counts map[string]int
	total  int
}

// parse reads a plan; see Plan.
func parse(plan string) (*set, error) {
	s := &set{counts: map[string]int{}}
	for part := range strings.SplitSeq(plan, ";") {
		if part == "" {
			continue
		}
		name, rest, _ := strings.Cut(part, ":")
		count, action, ok := strings.Cut(rest, ":")
		n, err := strconv.Atoi(count)
		if name == "" || !ok || err != nil || n < 1 {
			return nil, fmt.Errorf("order %q: want NAME:N:ACTION", part)
		}
		o := order{name: name, n: n}
		if file, ok := strings.CutPrefix(action, "hold="); ok && file != "" {
			o.hold = file
		} else if o.panics = action == "panic"; !o.panics && action != "kill" {
			return nil, fmt.Errorf("order %q: the action is none of kill, panic and hold=FILE", part)
		}
		s.orders = append(s.orders, o)
	}
	return s, nil
}

// hit passes a point.
func (s *set) hit(name string) {
	s.mu.Lock()
	s.total++
	s.counts[name]++
	if s.trace != nil {
		_, _ = s.trace.WriteString(name + "\n") // one write(2): it survives the kill
	}
	held := ""
	for _, o := range s.orders {
		if !(o.name == name && o.n == s.counts[name] || o.name == "*" && o.n == s.total) {
			continue
		}
		if o.panics {
			s.mu.Unlock()
			panic("failpoint " + name)
		}
		if held = o.hold; held == "" {
			s.die()
		}
	}
	s.mu.Unlock()
	if held != "" {
		hold(held)
	}
}

// hold makes a file and waits until it is gone.
func hold(path string) {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return
	}
	for {
		if _, err := os.Lstat(path); err != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
