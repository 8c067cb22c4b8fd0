package verbs

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/xferd/xferd/rdma"
)

// domain is what one session has on one rail: a protection domain of its own,
// with a completion queue and queue pairs. One goroutine, watch, takes its
// completions.
type domain struct {
	path    path
	account *account // of its path and peer, until the session is taken apart
	pd      *rdma.ProtectionDomain
	channel *rdma.CompletionChannel
	cq      *rdma.CompletionQueue
	pairs   []*pair
	regions []*rdma.MemoryRegion

	// outstanding completions of requests that were posted: of sends that are
	// signaled, and of receives.
	outstanding atomic.Int64

	alone bool          // the completion that is being taken came alone; of watch
	eager atomic.Bool   // small chunks are on their way
	kick  chan struct{} // of a source: has watch look now; holds one

	stopped bool // all queue pairs are in Error
}

// pair is a queue pair.
type pair struct {
	qp     *rdma.QueuePair
	psn    uint32
	remote endpoint
	index  int
	room   *semaphore.Weighted // of the send queue, but for the probe
	burst  int                 // most requests of a chunk at a time
	post   sync.Mutex          // of what is posted, and the end of the session
	load   atomic.Int64        // bytes posted and not completed

	receive [1]rdma.ReceiveRequest // so that posting one allocates nothing
}

// depths of the queues of a session.
type depths struct{ send, receive, pairs int }

// errGID: an address of a port cannot be used.
var errGID = errors.New("no use of the address")

// openDomain makes the queue pairs of one path and moves them to Init. What it
// made so far comes with an error too, for the fence. Blocks.
func openDomain(p path, a *account, n depths, access rdma.Access) (d *domain, err error) {
	d = &domain{path: p, account: a}
	dev := p.rail.Device
	if d.pd, err = dev.AllocProtectionDomain(); err != nil {
		return d, err
	}
	if p.rail.ethernet() {
		// The entry of the table may be one that does not work (any more).
		if err := d.pd.CheckAddress(address(p.rail, p.gid, p.gid.GID, 0, 0)); err != nil {
			return d, fmt.Errorf("%w %s: %w", errGID, p.gid.GID, err)
		}
	}
	if d.channel, err = dev.CreateCompletionChannel(); err != nil {
		return d, err
	}
	if d.cq, err = dev.CreateCompletionQueue(n.pairs*(n.send+n.receive)+1, d.channel); err != nil {
		return d, err
	}
	for range n.pairs {
		qp, err := d.pd.CreateQueuePair(rdma.QueuePairConfig{MaxSend: max(n.send, 1), MaxReceive: max(n.receive, 1)}, d.cq, d.cq)
		if err != nil {
			return d, err
		}
		q := &pair{qp: qp, psn: randomPSN(), index: len(d.pairs), room: semaphore.NewWeighted(int64(n.send))}
		q.burst = max(min(burst, n.send-2), 1) // and the header, and the immediate
		d.pairs = append(d.pairs, q)
		if err := qp.ToInit(rdma.InitAttr{Port: p.rail.Port.Port, Access: access}); err != nil {
			return d, err
		}
	}
	return d, nil
}

// connect moves a queue pair to ready-to-send, towards its peer.
func (d *domain) connect(p *pair, l *Limits) error {
	err := p.qp.ToReadyToReceive(rdma.ReadyToReceiveAttr{
		Address:     address(d.path.rail, d.path.gid, p.remote.GID, p.remote.LID, p.qp.Number()^p.remote.Number),
		PathMTU:     d.path.mtu,
		DestNumber:  p.remote.Number,
		PSN:         p.remote.PSN,
		MinRNRTimer: 12,
	})
	if err != nil {
		return err
	}
	attr, err := d.path.rail.Device.Attr()
	if err != nil {
		return err
	}
	return p.qp.ToReadyToSend(rdma.ReadyToSendAttr{PSN: p.psn, Timeout: l.ackTimeout(attr.Software), RetryCount: l.Retries, RNRRetry: l.Retries})
}

// endpoint describes a queue pair to the peer.
func (d *domain) endpoint(p *pair) endpoint {
	return endpoint{Rail: d.path.peer, GID: d.path.gid.GID, To: d.path.remote, LID: d.path.rail.Port.LID, MTU: d.path.rail.Port.ActiveMTU, Number: p.qp.Number(), PSN: p.psn}
}

// register makes memory known on this rail.
func (d *domain) register(mem []byte, access rdma.Access) (*rdma.MemoryRegion, error) {
	m, err := d.pd.Register(mem, access)
	if err == nil {
		d.regions = append(d.regions, m)
	}
	return m, err
}

// stop moves the queue pairs to Error, so that everything posted completes and
// nothing more is sent or let in. That it fails does no harm: destroying is what
// counts.
func (d *domain) stop() {
	d.stopped = true
	for _, p := range d.pairs {
		if err := p.qp.ToError(); err != nil {
			d.stopped = false
		}
	}
}

// drain waits until all that was posted has completed, at most until the
// deadline. Whoever watches the domain takes them.
func (d *domain) drain(deadline time.Time) bool {
	for wait := 50 * time.Microsecond; d.outstanding.Load() > 0; wait = min(2*wait, 5*time.Millisecond) {
		if !time.Now().Before(deadline) {
			return false
		}
		time.Sleep(wait)
	}
	return true
}

// destroy takes everything apart: queue pairs before memory. When it returns held
// the device may still use the memory that was registered.
func (d *domain) destroy() (held bool, err error) {
	var errs []error
	for _, p := range d.pairs {
		if err := p.qp.Close(); err != nil {
			errs = append(errs, fmt.Errorf("destroy a queue pair: %w", err))
		}
	}
	if len(errs) > 0 {
		return true, errors.Join(errs...)
	}
	for _, m := range d.regions {
		if err := m.Close(); err != nil {
			errs = append(errs, fmt.Errorf("deregister memory: %w", err))
		}
	}
	if len(errs) > 0 {
		return true, errors.Join(errs...)
	}
	if d.cq != nil {
		err = d.cq.Close()
	}
	if d.channel != nil && err == nil {
		err = d.channel.Close()
	}
	if d.pd != nil && err == nil {
		err = d.pd.Close()
	}
	return false, err
}

func randomPSN() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint32(b[:]) & 0xffffff
}
