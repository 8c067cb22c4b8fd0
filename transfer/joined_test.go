package transfer_test

import (
	"context"
	"sync"
	"testing"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// patient is a data plane whose sessions never hear what they wait for.
type patient struct {
	mu     sync.Mutex
	joined int
}

func (p *patient) Grant() transport.Grant { return transport.Grant{} }
func (p *patient) Stats() transport.Stats { return transport.Stats{} }
func (p *patient) Close() error           { return nil }

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
	p := &patient{}
	j := transfer.Join(p, 0, func(*transfer.DataControl) {}).(*transfer.Joined)
	var err error
	for n := uint32(1); err == nil && n < 100; n++ {
		_, err = j.Take(&transfer.DataControl{Session: n, Body: []byte("c")})
	}
	if err == nil {
		t.Error("as many as it likes")
	}
	if last, err := j.Take(&transfer.DataControl{Session: 1, Body: []byte("c")}); err != nil || last != transfer.MaxSessions {
		t.Errorf("the first one: %v, after session %d", err, last)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if p.joined > transfer.MaxSessions {
		t.Errorf("%d sessions", p.joined)
	}
}
