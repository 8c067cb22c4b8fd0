package rdmatest

import (
	"time"

	"github.com/xferd/xferd/rdma"
)

// burst is some packets of one message, on their way.
type burst struct {
	device       *Device // that sends
	from, to     rdma.GID
	roce         rdma.GIDType
	dest         uint32
	psn, packets uint32
	mtu          uint64
	op           rdma.Opcode
	first, last  bool
	solicited    bool
	imm          uint32
	addr         uint64 // of the message
	key          uint32
	total        uint64 // bytes of the message
	offset, size uint64 // of this part

	// For faults: the bytes that land, whether they land right, and whether the
	// rest of the message is never to come.
	land         uint64
	damaged, cut bool

	local pieces // memory of the sender
}

type answerKind uint8

const (
	answerAck      answerKind = iota // up to psn
	answerSequence                   // psn is expected
	answerNotReady                   // psn, again after wait
	answerRefused                    // psn, with status for the sender
)

// answer of a target to a burst.
type answer struct {
	kind   answerKind
	psn    uint32
	status rdma.Status
	wait   time.Duration
}

// alive reports whether a device can be heard.
func (d *Device) alive() bool { return !d.dead && !d.frozen && d.port == rdma.PortActive }

// travel takes a burst to its target and does there what it asks for. fabric.mu
// is held, and given up.
func (f *Fabric) travel(b *burst) {
	q := f.route(b)
	if q == nil {
		f.mu.Unlock()
		b.local.release()
		return
	}
	phase := f.phase
	f.flying[phase]++
	f.mu.Unlock()
	q.arriving.Lock()
	f.mu.Lock()
	if q.gone {
		q.dev.counters.Unwanted++
	} else {
		q.arrive(b)
	}
	if f.flying[phase]--; f.flying[phase] == 0 {
		f.landed.Broadcast()
	}
	f.mu.Unlock()
	q.arriving.Unlock()
	b.local.release()
}

// route finds the queue pair that a burst is for. nil is a burst that is lost,
// or held by a link.
func (f *Fabric) route(b *burst) *qp {
	d := f.gids[b.to]
	if d == nil || !d.alive() || !b.device.alive() || b.roce != rdma.GIDRoCEv2 {
		return nil
	}
	if payload := min(b.mtu, b.size); payload > uint64(min(d.config.MTU, b.device.config.MTU).Bytes()) {
		return nil
	}
	if l := f.links[[2]*Device{b.device, d}]; l != nil {
		switch l.mode {
		case linkDrops:
			return nil
		case linkHolds:
			l.keep(b)
			return nil
		}
	}
	q := d.qps[b.dest]
	if q == nil {
		d.counters.Unwanted++
	}
	return q
}

// answerTo finds the device that answers of a queue pair go to, nil where they
// do not arrive, and the link that holds them, if one does.
func (q *qp) answerTo() (*Device, *Link) {
	f := q.dev.fabric
	d := f.gids[q.to]
	if d == nil || !d.alive() || !q.dev.alive() {
		return nil, nil
	}
	l := f.links[[2]*Device{q.dev, d}]
	switch {
	case l == nil || l.mode == linkPasses:
		return d, nil
	case l.mode == linkHolds:
		return d, l
	}
	return nil, nil
}

// answer sends an answer to where this end believes its peer to be. fabric.mu is
// held.
func (q *qp) answer(a answer) {
	d, l := q.answerTo()
	switch {
	case d == nil:
	case l != nil:
		l.held = append(l.held, held{answer: a, dest: q.dest})
	default:
		d.take(q.dest, a)
	}
}

// take gives an answer to a queue pair. fabric.mu is held.
func (d *Device) take(dest uint32, a answer) {
	if q := d.qps[dest]; q != nil {
		q.sender.answers = append(q.sender.answers, a)
		q.kick()
	}
}
