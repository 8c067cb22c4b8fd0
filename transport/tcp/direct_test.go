package tcp

import (
	"testing"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
)

// TestConformanceDirect is the suite with everything that goes to files past the
// page cache that can.
func TestConformanceDirect(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) (transport.Acceptor, transport.Dialer, func()) {
		tr, stop := node(t, Limits{DirectFrom: 1})
		return tr, tr, stop
	}, transporttest.Traits{Digests: true})
}

// What somebody waits to have on its device goes there past the page cache, where
// the file is large and the file system can; the rest goes through it.
func TestPastThePageCache(t *testing.T) {
	const size = 5<<20 + 4711
	disk := needs.Direct(t)
	for name, tt := range map[string]struct {
		from     int64
		unsynced bool
		sizes    []int
		want     int64
	}{
		"large":               {1, false, []int{size}, 5 << 20}, // the last 4711 are too few
		"extents":             {1, false, []int{3 << 20, 2 << 20, 4711}, 5 << 20},
		"extents out of line": {1, false, []int{1<<20 + 1, size}, -1},
		"nobody syncs":        {1, true, []int{size}, 0},
		"small":               {size + 1, false, []int{size}, 0},
		"never":               {-1, false, []int{size}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			pool := bufpool.New(64 << 20)
			_, _, direct := moveBy(t, Config{Pool: pool, Limits: Limits{DirectFrom: tt.from}}, fileSink{dir: disk, unsynced: tt.unsynced}, true, tt.sizes...)
			if err := pool.Close(); err != nil {
				t.Error(err)
			}
			if tt.want >= 0 && direct != tt.want {
				t.Errorf("%d bytes past the page cache, want %d", direct, tt.want)
			}
		})
	}
}
