package local

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) (*Transport, func()) {
	t.Helper()
	pool := bufpool.New(64 << 20)
	tr, err := New(Config{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	return tr, func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestConformance(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) (transport.Acceptor, transport.Dialer, func()) {
		tr, stop := open(t)
		return tr, tr, stop
	}, transporttest.Traits{Gone: true})
}
