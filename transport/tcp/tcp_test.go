package tcp

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node starts a transport on loopback. Its end checks that no buffer is lent.
func node(t testing.TB, l Limits) (tr *Transport, stop func()) {
	t.Helper()
	ln, err := Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pool := bufpool.New(64 << 20)
	tr, err = New(Config{Listener: ln, Pool: pool, Limits: l})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx) }()
	return tr, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestConformance(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) (transport.Acceptor, transport.Dialer, func()) {
		tr, stop := node(t, Limits{})
		return tr, tr, stop
	}, transporttest.Traits{Digests: true, Gone: true})
}
