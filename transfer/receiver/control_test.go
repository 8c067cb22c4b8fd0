package receiver

import (
	"context"
	"sync"
	"testing"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// patient is a data plane whose sessions never hear what they wait for.
type patient struct {
	*fakeIncoming
	mu     sync.Mutex
	joined int
}

func (p *patient) Join(c transport.Control) error {
	defer c.Close()
	p.mu.Lock()
	p.joined++
	p.mu.Unlock()
	for {
		if _, err := c.Receive(context.Background()); err != nil {
			return err
		}
	}
}

func TestOwnerBeginsSessionsWithoutEnd(t *testing.T) {
	p := &patient{fakeIncoming: &fakeIncoming{a: &fakeAcceptor{}}}
	j := &joined{Incoming: p, joiner: p, links: map[uint32]*transfer.DataLink{}, post: func(*transfer.DataControl) {}}
	var err error
	for n := uint32(1); err == nil && n < 100; n++ {
		err = j.control(&transfer.DataControl{Session: n, Body: []byte("c")})
	}
	if err == nil {
		t.Error("as many as it likes")
	}
	if err := j.control(&transfer.DataControl{Session: 1, Body: []byte("c")}); err != nil {
		t.Errorf("the first one: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if p.joined > maxSessions {
		t.Errorf("%d sessions", p.joined)
	}
}
