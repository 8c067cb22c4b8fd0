package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/test/bubble"
	"github.com/xferd/xferd/transfer"
)

// TestSlowWatcherOverGRPC: a client that opens a watch and never reads loses it;
// nothing stays behind in the node.
func TestSlowWatcherOverGRPC(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := newCluster(t, "n1").nodes["n1"]
		for i := range 100 { // more than the windows of the connection hold
			n.engine.add(fmt.Sprint("t", i), "ann", func(tr *transfer.Transfer) { tr.Spec.FilesFrom = []string{strings.Repeat("x", 100<<10)} })
		}
		w := n.watch(t, "ann", &xferv1.WatchTransfersRequest{Parent: "nodes/n1", View: xferv1.TransferView_TRANSFER_VIEW_FULL})
		waitFor := func(open int) {
			for {
				n.server.watches.mu.Lock()
				have := n.server.watches.all
				n.server.watches.mu.Unlock()
				if have == open {
					return
				}
				_ = sleep(t.Context(), time.Second) // of the bubble
			}
		}
		waitFor(1)
		waitFor(0)
		_ = n.server.Close() // waits for the goroutine that was stuck
		for {
			if _, err := w.stream.Recv(); err != nil {
				wantReason(t, "a watcher that did not read", err, transfer.SlowConsumer)
				return
			}
		}
	})
}
