package e2e

import (
	"fmt"
	"path/filepath"
	"testing"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// TestP6CancelDuringTheLastExtents: at a limited rate the last extents of a file are long
// under way. A cancel that comes then is obeyed, or loses; there is no CANCELLED over a
// file that came, and none that comes afterwards.
func TestP6CancelDuringTheLastExtents(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	const size, chunk, streams = 12 << 20, 1 << 20, 4
	src := newTree(t, f.daemons[0].data).file("f", size)
	for i, after := range []int64{size - 3*chunk*streams/2, size - chunk*streams, size - 3*chunk, size - chunk} {
		dst := filepath.Join(f.daemons[1].data, fmt.Sprint("to", i))
		name := c.detach(t, "cp", "--bwlimit", "10MiB", "--chunk-size", "1MiB", "n1:"+src, "n2:"+dst)
		c.until(t, name, "the last extents are under way", func(tr *xferv1.Transfer) bool {
			done := tr.GetCounters().GetBytesDone()
			return done >= after || tr.GetState() != xferv1.State_STATE_RUNNING && done > 0
		})
		said := c.run(t, "transfers", "cancel", name)
		tr := c.waitOver(t, name)
		there := c.run(t, "stat", "n2:"+dst).code == 0
		switch tr.GetState() {
		case xferv1.State_STATE_CANCELLED:
			if there {
				t.Errorf("after %d bytes: CANCELLED, and the file is there\n%s", after, said)
			}
			if done := tr.GetCounters().GetBytesDone(); done == size {
				t.Logf("after %d bytes: all of it was sent", after)
			}
		case xferv1.State_STATE_SUCCEEDED:
			if !there {
				t.Errorf("after %d bytes: SUCCEEDED, and no file is there\n%s", after, said)
			}
		default:
			t.Errorf("after %d bytes: %v", after, tr)
		}
		if there != (c.run(t, "stat", "n2:"+dst).code == 0) {
			t.Errorf("after %d bytes: the file came after the end of its transfer", after)
		}
	}
}
