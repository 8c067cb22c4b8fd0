package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// cut is one power cut: of whom, when, and with what below. Its JSON repeats it.
type cut struct {
	Scenario string
	Disk     string  // a key of disks
	Victims  [2]bool // whose power goes: the owner's, the target's
	Apart    bool    // state and export are on disks of their own
	Of       int     // the node that is held when it happens
	At       string  // where it is held: a failpoint NAME:N; "": nowhere
	Late     bool    // without At: after the success was told, not after the submit
	After    time.Duration
	Twice    time.Duration // after they came back, the power goes a second time; 0: it does not
	Stranger bool          // somebody else syncs a file on each disk right before
	Control  bool          // it is judged as durable, whatever was asked for
}

func (c cut) String() string {
	b, err := json.Marshal(c)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// outage is a run with a power cut.
type outage struct {
	*run
	cut   cut
	disks []*disk // of the victims, in the order in which they are mounted
	at    bool    // it was cut where it was to be
}

// told is what the client was told before the cut. Whatever arrives was sent before
// the process was killed, and that is before the power goes.
type told struct {
	submitted *xferv1.Transfer
	over      *xferv1.Transfer
}

// cut runs a scenario under a power cut and judges everything. at says that it
// happened where it was to.
func (r *rig) cut(s *scenario, c cut) (at bool, err error) {
	p := plan{}
	if c.At != "" {
		p.orders[c.Of] = []string{c.At + ":hold"}
	}
	x := &outage{run: newRun(r, s, p), cut: c}
	defer x.remove()
	defer r.close()
	if err := x.prepare(); err != nil {
		return false, err
	}
	if err := x.all(); err != nil {
		for _, n := range r.nodes {
			if n.process != nil {
				err = fmt.Errorf("%w\n--- %s in its life %d logged\n%s", err, n.name, n.lives, tail(n.text()))
			}
		}
		return false, err
	}
	return x.at, nil
}

// prepare makes the disks, and on them what there is before the transfer.
func (x *outage) prepare() error {
	mount := func(i int, name, at string) error {
		d, err := newDisk(x.cut.Disk, filepath.Join(x.dir, fmt.Sprintf("%s%d.img", name, i)), at)
		if d != nil {
			x.disks = append(x.disks, d)
		}
		return err
	}
	for i, n := range x.nodes {
		if !x.cut.Victims[i] {
			continue
		}
		if err := errors.Join(mount(i, "home", n.home), os.MkdirAll(n.data(), 0o755)); err != nil {
			return err
		}
	}
	if err := x.run.prepare(); err != nil {
		return err
	}
	for i, n := range x.nodes {
		if !x.cut.Victims[i] || !x.cut.Apart {
			continue
		}
		if err := mount(i, "state", n.state()); err != nil {
			return err
		}
		if err := os.Chmod(n.state(), 0o700); err != nil {
			return err
		}
	}
	for _, d := range x.disks {
		if err := d.flush(); err != nil {
			return err
		}
	}
	return nil
}

func (x *outage) remove() {
	for _, d := range slices.Backward(x.disks) {
		d.remove()
	}
	for _, n := range x.nodes { // what is below a mount, or of a node that has none
		_ = os.RemoveAll(n.home)
		_ = os.MkdirAll(n.data(), 0o755)
	}
}

// all runs the transfer into the cut, and from there to its end.
func (x *outage) all() error {
	_ = os.Remove(x.heldFile())
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	var before told
	up, err := x.first(ctx)
	if err == nil && up {
		before, err = x.untilCut(ctx)
	} else if err == nil {
		err = x.offAndOn()
	}
	if err == nil {
		err = x.judgeCut(ctx, before)
	}
	over := make(chan struct{})
	go func() { // ends with ctx; a point that was not on the way may come later
		defer close(over)
		for ctx.Err() == nil {
			_ = os.Remove(x.heldFile())
			time.Sleep(5 * time.Millisecond)
		}
	}()
	defer func() { cancel(); <-over }()
	if err == nil {
		err = x.comeBack()
	}
	if err == nil && x.cut.Twice > 0 {
		before, err = x.cutAgain(ctx, before)
	}
	if err != nil {
		return err
	}
	t, err := x.drive(ctx, "one")
	if err != nil {
		return err
	}
	if err := before.holds(t); err != nil {
		return err
	}
	if !x.durable() {
		return x.judgeNotDurable(ctx, t)
	}
	if err := x.judge(ctx, t); err != nil {
		return err
	}
	return x.judgeState()
}

// comeBack starts what the cut ended.
func (x *outage) comeBack() error {
	for _, i := range []int{target, owner} {
		n := x.nodes[i]
		if n.lives > 0 && !x.cut.Victims[i] {
			if err := n.awaitUp(); err != nil {
				return err
			}
			continue
		}
		if err := x.begin(i); err != nil {
			return err
		}
	}
	return nil
}

// cutAgain cuts the power of the same nodes a second time, a while after they came
// back.
func (x *outage) cutAgain(ctx context.Context, before told) (told, error) {
	at := x.at
	x.cut.At, x.cut.Late, x.cut.After = "", false, x.cut.Twice
	now, err := x.untilCut(ctx)
	x.at = at
	if err == nil && now.submitted != nil {
		err = before.holds(now.submitted)
	}
	if err == nil {
		err = x.judgeCut(ctx, now)
	}
	if err == nil {
		err = x.comeBack()
	}
	if now.submitted == nil {
		now = before
	}
	return now, err
}

// first begins the first life of both nodes. One may be held before it is up.
func (x *outage) first(ctx context.Context) (up bool, err error) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for _, i := range []int{target, owner} {
		n, orders := x.nodes[i], ""
		if len(x.plan.orders[i]) > 0 {
			orders = strings.ReplaceAll(x.plan.orders[i][0], ":hold", ":hold="+x.heldFile())
		}
		if err := n.start(orders, ""); err != nil {
			return false, err
		}
		for up := false; !up; {
			select {
			case <-n.up:
				up = true
			case <-n.done:
				return false, fmt.Errorf("%s ended before the cut", n.name)
			case <-ctx.Done():
				return false, fmt.Errorf("%s does not come up: %w", n.name, ctx.Err())
			case <-tick.C:
				if _, err := os.Lstat(x.heldFile()); err == nil {
					x.at = true
					return false, nil
				}
			}
		}
	}
	return true, nil
}

// durable says whether what was told has to be there after the cut.
func (x *outage) durable() bool {
	return x.cut.Control || x.spec().GetDurability() != xferv1.Durability_DURABILITY_NONE
}

// untilCut lets a client work until the power is cut, and returns what it was told.
func (x *outage) untilCut(ctx context.Context) (told, error) {
	clientCtx, stop := context.WithCancel(ctx)
	accepted, ended := make(chan struct{}), make(chan struct{})
	var is told // of the client's until ended is closed
	api := x.nodes[owner].client()
	go func() { // ends with clientCtx
		defer close(ended)
		resp, err := x.submit(clientCtx, "one")
		if err != nil {
			return
		}
		is.submitted = resp.GetTransfer()
		close(accepted)
		for clientCtx.Err() == nil {
			resp, err := api.WaitTransfer(clientCtx, &xferv1.WaitTransferRequest{Name: transferName("one"), Timeout: durationpb.New(20 * time.Second)})
			if err != nil {
				return
			}
			if t := resp.GetTransfer(); over(t) {
				is.over = t
				return
			}
		}
	}()
	err := x.moment(ctx, accepted, ended)
	if err == nil {
		err = x.off()
	}
	if !x.cut.Victims[owner] {
		stop()
	}
	select { // of a dead owner the client takes what was sent
	case <-ended:
	case <-time.After(time.Second):
	}
	stop()
	<-ended
	if err != nil {
		return told{}, err
	}
	return is, x.on()
}

func (x *outage) offAndOn() error {
	if err := x.off(); err != nil {
		return err
	}
	return x.on()
}

// moment waits for the moment of the cut.
func (x *outage) moment(ctx context.Context, accepted, ended <-chan struct{}) error {
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for x.cut.At != "" {
		select {
		case <-tick.C:
			if _, err := os.Lstat(x.heldFile()); err == nil {
				x.at = true
				return nil
			}
		case <-ended: // it was not on the way this time
			return nil
		case <-x.nodes[owner].done:
			return fmt.Errorf("the owner ended before the cut")
		case <-x.nodes[target].done:
			return fmt.Errorf("the target ended before the cut")
		case <-ctx.Done():
			return fmt.Errorf("the transfer does not come to an end, nor to %s: %w", x.cut.At, ctx.Err())
		}
	}
	x.at = true
	wait := accepted
	if x.cut.Late {
		wait = ended
	}
	select {
	case <-wait:
	case <-ctx.Done():
		return fmt.Errorf("the transfer does not come to an end: %w", ctx.Err())
	}
	for begin := time.Now(); time.Since(begin) < x.cut.After; { // shorter than what a timer is good for
	}
	return nil
}

// off cuts the power: first nothing goes out of the nodes any more, then nothing is
// written.
func (x *outage) off() error {
	if x.cut.Stranger {
		for _, d := range x.disks {
			if err := d.stranger(); err != nil {
				return err
			}
		}
	}
	for i, n := range x.nodes {
		if x.cut.Victims[i] && n.lives > 0 {
			n.byTest = true
			_ = n.cmd.Process.Kill()
		}
	}
	for _, d := range x.disks {
		if err := d.off(); err != nil {
			return err
		}
	}
	for i, n := range x.nodes {
		if x.cut.Victims[i] && n.lives > 0 {
			<-n.done
			_ = n.conn.Close()
		}
	}
	return nil
}

// on brings the disks back, as they are found after the cut.
func (x *outage) on() error {
	for _, d := range slices.Backward(x.disks) {
		if err := d.unmount(); err != nil {
			return err
		}
	}
	for _, d := range x.disks {
		if err := d.mount(); err != nil {
			return err
		}
	}
	return nil
}
