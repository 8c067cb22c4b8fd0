package memory_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/memory"
	"github.com/xferd/xferd/transport"
)

// slowFence is a data plane whose fence takes until it is let go.
type slowFence struct {
	transport.Acceptor
	began chan struct{} // closed when a fence has begun
	rest  chan struct{} // closed when it may end
}

func (a slowFence) Prepare(ctx context.Context, e transport.Edge, s transport.Sink, o transport.PrepareOptions) (transport.Incoming, error) {
	in, err := a.Acceptor.Prepare(ctx, e, s, o)
	if err != nil || e.UID != (transfer.UID{1}) {
		return in, err
	}
	return &slowIncoming{Incoming: in, a: a}, nil
}

type slowIncoming struct {
	transport.Incoming
	a    slowFence
	once sync.Once
}

func (i *slowIncoming) Close() error {
	i.once.Do(func() {
		close(i.a.began)
		<-i.a.rest
	})
	return i.Incoming.Close()
}

// other is the first message of another transfer.
func other(dest string, n byte) *transfer.Open {
	o := open(dest, 1, transport.Range{Length: mib})
	o.UID = transfer.UID{n}
	return o
}

// A fence that takes its time holds up the next attempt of its own transfer, and
// nobody else.
func TestSlowFenceHoldsUpItsOwnTransferAlone(t *testing.T) {
	r := newRig(t)
	slow := slowFence{r.tcp, make(chan struct{}), make(chan struct{})}
	free := sync.OnceFunc(func() { close(slow.rest) })
	t.Cleanup(free)
	r.acceptor = slow
	r.create(r.dst, "a", make([]byte, mib))
	r.create(r.dst, "b", make([]byte, mib))
	first := r.hand(memory.Peer{Node: "n1"})
	first.begin("@a", 1, mib)
	second := r.hand(memory.Peer{Node: "n1"})
	second.say(open("@a", 2, transport.Range{Length: mib}))
	<-slow.began

	beside := r.hand(memory.Peer{Node: "n1"})
	beside.say(other("@b", 9))
	hear[*transfer.Opened](beside)
	asked := r.hand(memory.Peer{Node: "n1"})
	check := other("@b", 10)
	check.ValidateOnly, check.Ranges = true, nil
	asked.say(check)
	hear[*transfer.Opened](asked)

	busy := r.hand(memory.Peer{Node: "n1"})
	busy.say(other("@a", 11))
	if got := hear[*transfer.Refused](busy).Err.Reason; got != transfer.RegionBusy {
		t.Errorf("ranges that are not fenced yet were given to another transfer: %s", got)
	}
	free()
	hear[*transfer.Refused](first)
	hear[*transfer.Opened](second)
}

// holeLink is the link of an owner who takes nothing any more from some time on.
type holeLink struct {
	transfer.OwnerLink
	hole chan struct{} // closed from then on
	lost chan struct{} // closed when what is on its way fails
}

func (l *holeLink) Send(ctx context.Context, m transfer.ToOwner) error {
	select {
	case <-l.hole:
		select {
		case <-ctx.Done():
		case <-l.lost:
		}
		return errors.New("nobody takes it")
	default:
		return l.OwnerLink.Send(ctx, m)
	}
}

// The next attempt is opened once the one before is fenced, not when its owner took
// notice of the end.
func TestOvertakenEdgeWhoseOwnerTakesNothing(t *testing.T) {
	r := newRig(t)
	r.create(r.dst, "a", make([]byte, mib))
	target := r.serving(nil)
	owner, end := transfer.Pipe()
	hole := &holeLink{OwnerLink: end, hole: make(chan struct{}), lost: make(chan struct{})}
	first := &hand{t: t, r: r, link: owner, served: make(chan error, 1)}
	lose := sync.OnceFunc(func() { close(hole.lost) })
	r.wg.Go(func() { first.served <- target.Serve(r.ctx, memory.Peer{Node: "n1"}, hole) })
	t.Cleanup(func() { lose(); owner.Close() })
	first.begin("@a", 1, mib)
	close(hole.hole)
	second := r.hand(memory.Peer{Node: "n1"})
	second.say(open("@a", 2, transport.Range{Length: mib}))
	hear[*transfer.Opened](second)
	select {
	case err := <-first.served:
		t.Errorf("the overtaken edge waited for nobody: %v", err)
	default:
	}
	lose()
	if err := <-first.served; err == nil {
		t.Error("the overtaken edge says nothing")
	}
}
