package verbs

import (
	"fmt"
	"testing"
	"time"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/transport"
)

// What passes is counted for the port that it passes, at both ends.
func TestAccounts(t *testing.T) {
	inBubble(t, setup{rails: 2}, func(t *testing.T, r *rig) {
		s, data := newStore(size), content(size)
		e := r.connect(t, s)
		for _, a := range append(r.src.Accounts(), r.dst.Accounts()...) {
			if n := a.Sent.Open + a.Received.Open; n != 1 || a.Peer != "n2" || a.Port != 1 {
				t.Errorf("while the session is there: %+v", a)
			}
		}
		r.src.Forget(func(string) bool { return true })
		if n := len(r.src.Accounts()); n != 2 {
			t.Errorf("%d accounts of ports in use", n)
		}
		if err := <-e.start(t.Context(), data, s); err != nil {
			t.Fatal(err)
		}
		e.finish(t, data, s)
		src, dst := r.src.Accounts(), r.dst.Accounts()
		if len(src) != 2 || len(dst) != 2 || src[0].Device >= src[1].Device {
			t.Fatalf("accounts: %+v and %+v", src, dst)
		}
		want := Traffic{Sessions: 1}
		sum := Traffic{}
		for i := range src {
			a, b := src[i], dst[i]
			if a.Received != (Traffic{}) || b.Sent != (Traffic{}) || a.Sent != b.Received {
				t.Errorf("source %+v, target %+v", a, b)
			}
			sum.Chunks += a.Sent.Chunks
			sum.Bytes += a.Sent.Bytes
			if a.Sent.Chunks, a.Sent.Bytes = 0, 0; a.Sent != want {
				t.Errorf("sessions: %+v", a)
			}
			for _, x := range []Account{a, b} {
				if x.Completions == 0 || x.Polls == 0 || x.Notifies == 0 || x.Posts == 0 || x.Rests != 0 || len(x.FallBacks) != 0 {
					t.Errorf("%+v", x)
				}
			}
		}
		if sum != (Traffic{Chunks: 31, Bytes: size}) {
			t.Errorf("%+v went, want 31 chunks of %d bytes", sum, size)
		}
		r.src.Forget(func(peer string) bool { return peer != "n2" })
		if n := len(r.src.Accounts()); n != 2 {
			t.Errorf("%d accounts when others are forgotten", n)
		}
		r.src.Forget(func(peer string) bool { return peer == "n2" })
		if all := r.src.Accounts(); len(all) != 0 {
			t.Errorf("after it was forgotten: %+v", all)
		}
	})
}

// A session that breaks is the fall-back of the port to blame, and that rests. One
// that its owner ends is none.
func TestAccountsOfFailures(t *testing.T) {
	inBubble(t, setup{rails: 2}, func(t *testing.T, r *rig) {
		if resent, _ := broken(t, r, func(e *edge) { go func() { _ = e.out.Close() }() }); resent == 0 {
			t.Error("nothing broke")
		}
		for _, a := range r.src.Accounts() {
			if len(a.FallBacks) != 0 {
				t.Errorf("ended by its owner: %+v", a)
			}
		}
		if resent, _ := broken(t, r, func(*edge) { r.fabric.BlackHole(r.as[1], r.bs[1]) }); resent == 0 {
			t.Error("nothing broke")
		}
		r.fabric.Join(r.as[1], r.bs[1])
		for i, a := range r.src.Accounts() {
			if want := int64(i); a.FallBacks[transport.QPError] != want || a.Rests != want || a.Sent.Open != 0 || a.Sent.Sessions != 2 {
				t.Errorf("port %d: %+v", i, a)
			}
		}
		// What no port alone is to blame for has a row of its own.
		for _, d := range r.as {
			d.PortDown()
		}
		e := newEdge()
		r.prepare(t, e, newStore(0))
		if why := reason(t, r.dial(t.Context(), e)); why != transport.PortDown {
			t.Errorf("reason %s", why)
		}
		_ = e.close(t)
		if a := r.src.Accounts()[0]; a.Device != "" || a.FallBacks[transport.PortDown] != 1 {
			t.Errorf("%+v", a)
		}
	})
}

func TestLedgerIsBounded(t *testing.T) {
	var tr Transport
	l := &tr.ledger
	p := path{rail: &Rail{Device: new(rdma.Device)}}
	kept := l.use("kept", &p)
	kept.flows[asSource].moved(5)
	for i := range 3 * maxAccounts {
		l.done(l.use(fmt.Sprint("peer ", i), &p))
		l.fellBack(fmt.Sprint("peer ", i), &p, transport.Reason(fmt.Sprint("REASON_", i%7)))
	}
	all := tr.Accounts()
	if len(all) > maxAccounts || l.use("kept", &p) != kept {
		t.Errorf("%d are remembered", len(all))
	}
	if l.accounts[accountKey{peer: fmt.Sprint("peer ", 3*maxAccounts-1)}] == nil {
		t.Error("not the oldest ones were dropped")
	}
	for _, a := range all {
		if len(a.FallBacks) > 1 { // reasons that nobody knows are not told apart
			t.Errorf("%+v", a)
		}
	}
}

// What is counted costs an idle session nothing, and is there at any time.
func TestAccountsWhileChunksMove(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		s, data := newStore(size), content(size)
		e := r.connect(t, s)
		done := e.start(t.Context(), data, s)
		last := int64(0)
		for over := false; !over; {
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
				over = true
			case <-time.After(time.Microsecond):
			}
			a := r.src.Accounts()[0]
			if a.Sent.Bytes < last || a.Sent.Bytes > size {
				t.Errorf("%d bytes after %d", a.Sent.Bytes, last)
			}
			last = a.Sent.Bytes
		}
		e.finish(t, data, s)
	})
}
