package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// patience bounds every wait of the rig: nothing takes so long that is not
// broken.
const patience = 30 * time.Second

// rig is an owner and a target that are killed again and again.
type rig struct {
	dir   string
	nodes [2]*node
	runs  int
}

const (
	owner  = 0
	target = 1
)

// addresses counts the pairs of loopback addresses that were given out.
var addresses atomic.Uint32

// nextAddresses are two that nobody has.
func nextAddresses() [2]string {
	pid, n := os.Getpid(), int(2*addresses.Add(1))
	address := func(n int) string { return fmt.Sprintf("127.%d.%d.%d", 200+pid%50, (pid/50+n/250)%256, 1+n%250) }
	return [2]string{address(n), address(n + 1)}
}

func newRig(dir string) (*rig, error) {
	address := nextAddresses()
	r := &rig{dir: dir}
	for i, name := range []string{"n1", "n2"} {
		r.nodes[i] = &node{name: name, home: filepath.Join(dir, name), address: address[i], seed: address[1-i]}
		if err := os.MkdirAll(r.nodes[i].data(), 0o755); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *rig) close() {
	for _, n := range r.nodes {
		n.kill()
	}
}

// plan is what happens to the nodes in one run.
type plan struct {
	// orders are the failpoints of each life of owner and target; the lives after
	// them have none. In hold orders the file is filled in.
	orders [2][]string
	both   bool // a death takes the other node along
	pause  bool // what a hold is for: the transfer is paused and resumed, not cancelled
	// inject is what strace does to the first life of a node, which is then the
	// program as it is released: CALL:signal=KILL:when=N.
	inject [2]string
}

func (p plan) String() string {
	s := fmt.Sprintf("owner %q, target %q", p.orders[owner], p.orders[target])
	if p.inject != [2]string{} {
		s = fmt.Sprintf("strace of owner %q, of target %q", p.inject[owner], p.inject[target])
	}
	if p.both {
		s += ", both die"
	}
	if p.pause {
		s += ", paused"
	}
	return s
}

func (p *plan) holds() bool {
	for _, o := range p.orders {
		if strings.Contains(strings.Join(o, " "), ":hold") {
			return true
		}
	}
	return false
}

// kills is how many deaths the plan asks for.
func (p *plan) kills() (n int) {
	for _, o := range p.orders {
		n += strings.Count(strings.Join(o, " "), ":kill") + strings.Count(strings.Join(o, " "), ":panic")
	}
	for _, in := range p.inject {
		n += strings.Count(in, "=KILL")
	}
	return n
}

// run is one transfer under a plan.
type run struct {
	*rig
	s      *scenario
	plan   plan
	src    string
	dst    string
	to     *node // the target
	deaths int
	held   bool // the hold was reached, and the cancel or pause sent
}

func newRun(r *rig, s *scenario, p plan) *run {
	r.runs++
	x := &run{rig: r, s: s, plan: p, src: filepath.Join(r.nodes[owner].data(), s.name)}
	x.to = r.nodes[target]
	if s.inside {
		x.to = r.nodes[owner]
	}
	x.dst = filepath.Join(x.to.data(), "d", s.below, "dst")
	return x
}

// do runs the scenario under the plan and judges everything. reached says that
// all that was planned happened. An error is a broken promise.
func (r *rig) do(s *scenario, p plan) (reached bool, err error) {
	x := newRun(r, s, p)
	defer r.close()
	if err := x.prepare(); err != nil {
		return false, err
	}
	if err := x.all(); err != nil {
		err = fmt.Errorf("%s: %v: %w", s.name, p, err)
		for _, n := range r.nodes {
			if n.process != nil {
				passed, _ := n.passed(n.lives)
				err = fmt.Errorf("%w\n--- %s in its life %d passed %v, and logged\n%s", err, n.name, n.lives, passed[max(0, len(passed)-12):], tail(n.text()))
			}
		}
		return false, err
	}
	return x.deaths >= p.kills() && (x.held || !p.holds()), nil
}

func (x *run) prepare() error {
	for _, n := range x.nodes {
		if err := n.reset(); err != nil {
			return err
		}
	}
	if _, err := os.Stat(x.src); err != nil {
		if err := x.s.source.make(x.src); err != nil {
			return err
		}
	}
	top := filepath.Join(x.to.data(), "d")
	if err := errors.Join(os.RemoveAll(top), os.MkdirAll(top, 0o755)); err != nil {
		return err
	}
	if len(x.s.before) == 0 {
		return nil
	}
	return x.s.before.make(x.dst)
}

func (x *run) heldFile() string { return filepath.Join(x.dir, "held") }

// begin begins the next life of a node, and those that end before they serve.
func (x *run) begin(i int) error {
	n := x.nodes[i]
	for {
		orders, inject := "", ""
		if n.lives == 0 {
			inject = x.plan.inject[i]
		}
		if n.lives < len(x.plan.orders[i]) {
			orders = strings.ReplaceAll(x.plan.orders[i][n.lives], ":hold", ":hold="+x.heldFile())
		}
		if err := n.start(orders, inject); err != nil {
			return err
		}
		if err := n.awaitUp(); err != nil || !n.dead() {
			return err
		}
		if err := x.died(i); err != nil {
			return err
		}
	}
}

// died judges the moment after a death.
func (x *run) died(i int) error {
	x.deaths++
	n := x.nodes[i]
	if !n.panicked() {
		if err := errors.Join(n.judgeDeath(), n.health()); err != nil {
			return err
		}
	}
	_ = n.conn.Close()
	if err := whole(x.dst, x.s.before, x.s.after); err != nil {
		return fmt.Errorf("after the death %d, of %s: %w", x.deaths, n.name, err)
	}
	return nil
}

// all runs the transfer to its end, and all that follows.
func (x *run) all() error {
	_ = os.Remove(x.heldFile())
	for _, i := range []int{target, owner} { // the owner finds the target at once
		if err := x.begin(i); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := x.supervise(ctx); err != nil {
		return err
	}
	return x.judgeState()
}

// work is what a user does: the transfer, a look at what is there, and the same
// command again.
func (x *run) work(ctx context.Context) error {
	t, err := x.drive(ctx, "one")
	if err != nil {
		return err
	}
	return x.judge(ctx, t)
}

// drive submits a transfer and waits for its end, over all lives of the owner.
func (x *run) drive(ctx context.Context, id string) (*xferv1.Transfer, error) {
	timeout := 20 * time.Second
	if x.plan.pause {
		timeout = 20 * time.Millisecond // it has to be seen
	}
	first, last := x.submit(ctx, id)
	for ctx.Err() == nil {
		api := x.nodes[owner].client()
		resp, err := api.WaitTransfer(ctx, &xferv1.WaitTransferRequest{Name: transferName(id), Timeout: durationpb.New(timeout)})
		t := resp.GetTransfer()
		switch {
		case err == nil && t.GetUid() != first.GetTransfer().GetUid():
			return nil, fmt.Errorf("P4: transfer %s is %v, and was %v", id, t, first)
		case over(t):
			return t, nil
		case t.GetState() == xferv1.State_STATE_PAUSED:
			_, err = api.ResumeTransfer(ctx, &xferv1.ResumeTransferRequest{Name: transferName(id)})
		case status.Code(err) == codes.NotFound:
			return nil, fmt.Errorf("P3: what was submitted is lost: %w", err)
		}
		if err != nil {
			last = err
			time.Sleep(2 * time.Millisecond)
		}
	}
	return nil, fmt.Errorf("transfer %s is not over: %w, %w", id, ctx.Err(), last)
}

// supervise does the work while it starts again what dies.
func (x *run) supervise(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- x.work(ctx) }() // ends with ctx
	err, over := error(nil), false
	defer func() {
		cancel()
		if !over {
			<-ended
		}
	}()
	every := 50 * time.Millisecond
	if x.plan.holds() {
		every = time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var late time.Time
	for !over || x.deaths < x.plan.kills() && time.Now().Before(late) {
		died := -1
		select {
		case <-x.nodes[owner].done:
			died = owner
		case <-x.nodes[target].done:
			died = target
		case err = <-ended:
			if over = true; err != nil {
				return err
			}
			ended, late = nil, time.Now().Add(100*time.Millisecond)
		case <-tick.C:
			x.letGo(ctx, "one")
		}
		if died >= 0 {
			if err := x.again(died); err != nil {
				return err
			}
		}
	}
	return nil
}

// letGo sends the cancel, or the pause, when the hold is reached, and lets the node
// go on.
func (x *run) letGo(ctx context.Context, id string) {
	if x.held || !x.plan.holds() {
		return
	}
	if _, err := os.Lstat(x.heldFile()); err != nil {
		return
	}
	x.held = true
	// Where the node that is held holds it up, it is sent all the same.
	short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	if api := x.nodes[owner].client(); x.plan.pause {
		_, _ = api.PauseTransfer(short, &xferv1.PauseTransferRequest{Name: transferName(id)})
	} else {
		_, _ = api.CancelTransfer(short, &xferv1.CancelTransferRequest{Name: transferName(id)})
	}
	_ = os.Remove(x.heldFile())
}

// again brings a node back that died, and with it the other where both are to
// die.
func (x *run) again(i int) error {
	if err := x.died(i); err != nil {
		return err
	}
	if !x.plan.both {
		return x.begin(i)
	}
	x.nodes[1-i].kill()
	if err := whole(x.dst, x.s.before, x.s.after); err != nil {
		return fmt.Errorf("after the death of both: %w", err)
	}
	order := []int{target, owner} // either, in half of the plans
	if len(x.plan.String())%2 == 0 {
		slices.Reverse(order)
	}
	for _, k := range order {
		if err := x.begin(k); err != nil {
			return err
		}
	}
	return nil
}
