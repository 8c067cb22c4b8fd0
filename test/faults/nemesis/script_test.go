package nemesis

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// deed is one thing that the nemesis does: it begins, lasts and is undone.
type deed struct {
	at, lasts time.Duration
	what      string
	a, b      int // nodes
	plane     plane
	amount    int
}

func (d deed) String() string {
	s := fmt.Sprintf("%6.1fs for %5.1fs: %s n%d", d.at.Seconds(), d.lasts.Seconds(), d.what, d.a+1)
	if d.b >= 0 {
		s += fmt.Sprintf(" n%d", d.b+1)
	}
	if d.plane != "" {
		s += " " + string(d.plane)
	}
	if d.amount > 0 {
		s += fmt.Sprintf(" %d", d.amount)
	}
	return s
}

// script makes up what happens in that time to so many nodes. It is the same for the same
// seed.
func script(seed uint64, period time.Duration, nodes int) (list []deed) {
	r := rand.New(rand.NewPCG(seed, 4))
	// What a process or a link is in cannot begin twice.
	busy := map[string]time.Duration{}
	for at := 500 * time.Millisecond; at < period; at += time.Duration(200+r.IntN(2500)) * time.Millisecond {
		d := deed{at: at, a: r.IntN(nodes), b: -1}
		d.lasts = time.Duration(200+r.IntN(6000)) * time.Millisecond
		if r.IntN(8) == 0 { // longer than silence is borne
			d.lasts = time.Duration(20+r.IntN(20)) * time.Second
		}
		other := (d.a + 1 + r.IntN(nodes-1)) % nodes
		planes := []plane{everything, control, data, gossip}
		alone := ""
		switch r.IntN(11) {
		case 0, 1:
			d.what, d.b, d.plane = "partition", other, planes[r.IntN(4)]
		case 2, 3:
			d.what, d.b, d.plane = "cut", other, planes[r.IntN(4)]
		case 4:
			d.what, d.b, d.amount = "loss", other, []int{1, 10, 30}[r.IntN(3)]
		case 5:
			d.what, d.plane, d.lasts = "reset", []plane{everything, control, data}[r.IntN(3)], 0
		case 6:
			d.what, d.b, d.plane = "refuse", other, []plane{control, data}[r.IntN(2)]
		case 7:
			d.what, d.amount, alone = "rate", []int{1, 10, 50}[r.IntN(3)], fmt.Sprint("rate", d.a)
		case 8:
			d.what, alone = "freeze", fmt.Sprint("process", d.a)
		case 9:
			d.what, alone = "kill", fmt.Sprint("process", d.a)
		case 10:
			d.what, alone = "stop", fmt.Sprint("process", d.a)
		}
		d.lasts = min(d.lasts, period-at)
		if alone != "" {
			if busy[alone] > at {
				continue
			}
			busy[alone] = at + d.lasts + time.Second // starting takes a while
		}
		list = append(list, d)
	}
	return list
}

// do begins a deed and returns how to end it.
func (c *cluster) do(d deed) (undo func() error, err error) {
	a := c.nodes[d.a]
	none := func() error { return nil }
	switch d.what {
	case "partition":
		return partition(a.host, c.nodes[d.b].host, d.plane)
	case "cut":
		return cut(a.host, c.nodes[d.b].host, d.plane)
	case "loss":
		return lossy(a.host, c.nodes[d.b].host, d.amount)
	case "reset":
		return none, a.reset(d.plane.port())
	case "refuse":
		return refuse(a.host, c.nodes[d.b].host, d.plane)
	case "rate":
		return func() error { return a.rate(base) }, a.rate(fmt.Sprintf("%dmbit", d.amount))
	case "freeze":
		return a.alone(func() error { return a.signal(syscall.SIGCONT) }), a.signal(syscall.SIGSTOP)
	case "kill":
		undo := a.alone(a.start)
		a.kill()
		return undo, nil
	case "stop":
		return a.alone(func() error { return errors.Join(a.stopped(), a.start()) }), a.signal(syscall.SIGTERM)
	}
	return none, fmt.Errorf("no such deed: %v", d)
}

// alone waits until nothing else is done to the process, and keeps it so until undo has
// run.
func (n *node) alone(undo func() error) func() error {
	n.process.Lock()
	return func() error {
		defer n.process.Unlock()
		return undo()
	}
}

// suffer does all of the script, and returns when everything is undone.
func (c *cluster) suffer(list []deed) error {
	type event struct {
		at time.Duration
		do func()
	}
	var events []event
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	fail := func(d deed, err error) {
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, fmt.Errorf("%v: %w", d, err))
		}
	}
	for _, d := range list {
		var undo func() error
		events = append(events,
			event{d.at, func() {
				var err error
				undo, err = c.do(d)
				fail(d, err)
			}},
			event{d.at + d.lasts, func() {
				if undo != nil {
					wg.Go(func() { fail(d, undo()) }) // a start takes as long as it does
				}
			}})
	}
	slices.SortStableFunc(events, func(a, b event) int { return int(a.at - b.at) })
	begin := time.Now()
	for _, e := range events {
		lasting(time.Until(begin.Add(e.at)))
		e.do()
	}
	wg.Wait()
	return errors.Join(errs...)
}

func TestScriptCanBeRepeated(t *testing.T) {
	t.Parallel()
	text := func(seed uint64) string {
		var b strings.Builder
		for _, d := range script(seed, 5*time.Minute, 3) {
			fmt.Fprintln(&b, d)
			if d.a == d.b || d.at+d.lasts > 5*time.Minute {
				t.Errorf("%v makes no sense", d)
			}
		}
		return b.String()
	}
	first := text(1)
	if again, other := text(1), text(2); first != again || first == other {
		t.Error("a script does not follow from its seed")
	}
	for _, what := range []string{"partition", "cut", "loss", "reset", "refuse", "rate", "freeze", "kill", "stop"} {
		if !strings.Contains(first, ": "+what) {
			t.Errorf("in five minutes there is no %s", what)
		}
	}
}
