package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// latency measures what is paid before the first byte and for looking at a long
// queue.
func latency(ctx context.Context, o options) error {
	root, err := os.MkdirTemp(o.tmpfs, "xferd-bench.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	cl, err := startCluster(ctx, o, root)
	if err != nil {
		return err
	}
	defer cl.stop()
	small := filepath.Join(root, "small")
	if err := os.WriteFile(small, []byte("x"), 0o600); err != nil {
		return err
	}
	c, err := client.Dial(ctx, "unix://"+cl.socket)
	if err != nil {
		return err
	}
	defer c.Close()
	spec := func(i int) *xferv1.TransferSpec { return copySpec(small, filepath.Join(root, fmt.Sprintf("copy-%d", i))) }
	var whole []time.Duration
	for i := range 10 * o.rounds {
		start := time.Now()
		t, err := c.Submit(ctx, &xferv1.SubmitTransferRequest{Spec: spec(i)})
		if err != nil {
			return err
		}
		if t, err = c.Wait(ctx, t.GetName()); err != nil {
			return err
		}
		if t.GetState() != xferv1.Transfer_STATE_SUCCEEDED {
			return fmt.Errorf("%s ended %s", t.GetName(), t.GetState())
		}
		whole = append(whole, time.Since(start))
	}
	fmt.Printf("\n## latency, warm peer, state on tmpfs\n\n")
	fmt.Printf("submit to published and reported, one byte: median %v of %d\n", median(whole), len(whole))
	return nil
}
