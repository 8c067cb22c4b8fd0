package rdmatest

import (
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/xferd/xferd/rdma"
)

// Verb names a call to a driver.
type Verb uint8

// Verbs that can be made to fail or hang.
const (
	VerbOpen Verb = 1 + iota
	VerbQueryDevice
	VerbQueryPort
	VerbQueryGIDs
	VerbAllocPD
	VerbRegister
	VerbCreateChannel
	VerbCreateCQ
	VerbCreateQP
	VerbCheckAddress
	VerbToInit
	VerbToReadyToReceive
	VerbToReadyToSend
	VerbToError
	VerbQueryQP
	VerbPostSend
	VerbDoorbell // the last part of PostSend: all is posted, but the device is not told
	VerbPostReceive
	VerbRequestNotify
	VerbPoll
	VerbDestroyQP
	VerbDestroyCQ
	VerbDestroyChannel
	VerbDeregister
	VerbDeallocPD
	VerbCloseDevice
)

// closes reports whether the verb gives something back, which works on a dead
// device too.
func (v Verb) closes() bool { return v >= VerbDestroyQP || v == VerbToError || v == VerbPoll }

// rule of a verb that fails, hangs or is slow.
type rule struct {
	verb  Verb
	nth   int // calls to go; 0 is every call
	err   error
	gate  *Gate
	delay time.Duration
}

// Fail makes the nth call of a verb from now on fail with err, counted from 1;
// 0 is every call until Heal. A verb that failed has done nothing: a queue pair
// whose destruction failed is written to as before.
func (d *Device) Fail(v Verb, nth int, err error) { d.addRule(&rule{verb: v, nth: nth, err: err}) }

// Slow makes the nth call of a verb last that long, and then fail with err, or
// do its work where err is nil: ETIMEDOUT after a second of VerbToReadyToReceive
// is an address that nobody answers for.
func (d *Device) Slow(v Verb, nth int, delay time.Duration, err error) {
	d.addRule(&rule{verb: v, nth: nth, err: err, delay: delay})
}

// Hang makes the nth call of a verb hang until the gate is released. Until then
// it has done nothing.
func (d *Device) Hang(v Verb, nth int) *Gate {
	g := &Gate{entered: make(chan struct{}), open: make(chan struct{})}
	d.fabric.mu.Lock()
	d.fabric.gates = append(d.fabric.gates, g)
	d.fabric.mu.Unlock()
	d.addRule(&rule{verb: v, nth: nth, gate: g})
	return g
}

// Heal takes back all faults of verbs and of send requests that were asked for.
// Calls that hang go on to hang.
func (d *Device) Heal() {
	d.fabric.mu.Lock()
	defer d.fabric.mu.Unlock()
	d.rules, d.sends = nil, nil
}

func (d *Device) addRule(r *rule) {
	d.fabric.mu.Lock()
	defer d.fabric.mu.Unlock()
	d.rules = append(d.rules, r)
	d.faulty.Store(true)
}

// Gate holds a call that hangs.
type Gate struct {
	entered, open chan struct{}
	enter, leave  sync.Once
	err           error
}

// Entered is closed when a call hangs.
func (g *Gate) Entered() <-chan struct{} { return g.entered }

// Release lets the call go on: with nil it does its work, else it fails.
// Only the first Release counts.
func (g *Gate) Release(err error) {
	g.leave.Do(func() { g.err = err; close(g.open) })
}

// verb applies the faults of a verb. fabric.mu is held; it is given up while the
// call hangs.
func (d *Device) verb(v Verb) error {
	if d.dead && !v.closes() {
		return syscall.EIO
	}
	for i, r := range d.rules {
		if r.verb != v {
			continue
		}
		if r.nth > 1 {
			r.nth--
			continue
		}
		if r.nth == 1 {
			d.rules = slices.Delete(d.rules, i, i+1)
		}
		err := r.err
		if r.gate == nil && r.delay == 0 {
			return err
		}
		d.fabric.mu.Unlock()
		if r.gate != nil {
			r.gate.enter.Do(func() { close(r.gate.entered) })
			<-r.gate.open
			err = r.gate.err
		}
		time.Sleep(r.delay)
		d.fabric.mu.Lock()
		return err
	}
	return nil
}

// Landing is what becomes of the bytes of a request with a fault.
type Landing uint8

// What can land.
const (
	LandNothing Landing = iota
	LandHalf            // the first half of the bytes
	LandAll             // with what the peer is told of them
	LandDamaged         // all, with one bit turned over
)

// SendFault is what happens to one send request.
type SendFault struct {
	// QueuePair is the number of the only one meant; 0 is all of the device.
	QueuePair uint32
	// Index counts the requests that are meant, in the order of their execution,
	// from when the fault was asked for; 0 is the next.
	Index int
	// Before is called just before the request is executed, by the goroutine
	// that would do that: freeze the device, cut a link. It must not close the
	// queue pair, or wait for somebody who does.
	Before func()
	// Override: the request completes with Status, and Land is what the target
	// gets of it. The peer is told only of what landed whole. With Success the
	// connection goes on as if all was well; with anything else both ends are
	// as after such an error. RetryExceeded with LandAll is the loss of every
	// acknowledgement.
	Override bool
	Status   rdma.Status
	Land     Landing
	// Silent: no completion is ever seen of it.
	Silent bool
}

type sendRule struct {
	SendFault
	left int
}

// Inject asks for a fault of a send request. Where several fit one request the
// first that was asked for applies.
func (d *Device) Inject(s SendFault) {
	d.fabric.mu.Lock()
	defer d.fabric.mu.Unlock()
	d.sends = append(d.sends, &sendRule{s, s.Index})
}

// matchSend counts a request that is about to be executed, and returns its fault
// or nil. fabric.mu is held.
func (d *Device) matchSend(q *qp) *SendFault {
	d.counters.Requests++
	var hit *sendRule
	kept := d.sends[:0]
	for _, s := range d.sends {
		switch {
		case s.QueuePair != 0 && s.QueuePair != q.num:
		case s.left > 0:
			s.left--
		case hit == nil:
			hit = s
			continue
		}
		kept = append(kept, s)
	}
	d.sends = kept
	if hit == nil {
		return nil
	}
	return &hit.SendFault
}
