package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// queued is the length of the queue that is looked at.
const queued = 1000

// latency measures what is paid before the first byte, and for a look at a long
// queue.
func latency(ctx context.Context, o options) error {
	root, err := os.MkdirTemp(o.tmpfs, "xferd-bench.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	cl, err := startCluster(ctx, o, root, "--limits-transfers", "1")
	if err != nil {
		return err
	}
	defer cl.stop()
	small := filepath.Join(root, "small")
	if err := os.WriteFile(small, []byte("x"), 0o600); err != nil {
		return err
	}
	c, err := client.Dial("unix://"+cl.socket, client.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	spec := func(i int) *xferv1.TransferSpec {
		return client.Copy("n1", small, "n2", filepath.Join(root, fmt.Sprintf("copy-%d", i)))
	}
	var accepted, whole []time.Duration
	for i := range 20 * o.rounds {
		start := time.Now()
		t, err := c.Submit(ctx, "", spec(i))
		if err != nil {
			return err
		}
		accepted = append(accepted, time.Since(start))
		done, err := c.Wait(ctx, t.GetName())
		if err == nil {
			err = client.TransferError(done)
		}
		if err != nil {
			return err
		}
		whole = append(whole, time.Since(start))
	}
	fmt.Printf("\n## latency, warm peer, state on tmpfs, one byte, median of %d\n\n", len(whole))
	fmt.Printf("submit to stored and answered   %v\n", median(accepted).Round(10*time.Microsecond))
	fmt.Printf("submit to published and told    %v (the first byte is there earlier)\n", median(whole).Round(10*time.Microsecond))

	if err := fillQueue(ctx, o, root, c, spec); err != nil {
		return err
	}
	var list []time.Duration
	for range o.rounds {
		start := time.Now()
		var u usage
		if err := u.run(cl.ctl(ctx, &u, "transfers", "ls")); err != nil {
			return err
		}
		list = append(list, time.Since(start))
	}
	fmt.Printf("xferctl transfers ls of %d       %v\n", 1+queued+len(whole), median(list).Round(100*time.Microsecond))
	return nil
}

// fillQueue lets one transfer run that will not end, with as many behind it.
func fillQueue(ctx context.Context, o options, root string, c *client.Client, spec func(int) *xferv1.TransferSpec) error {
	slow := filepath.Join(root, "slow")
	if err := os.WriteFile(slow, bytes.Repeat([]byte("slow"), 32<<20), 0o600); err != nil {
		return err
	}
	long := client.Copy("n1", slow, "n2", slow+"-copy")
	long.MaxBytesPerSecond = proto.Int64(1 << 20)
	first, err := c.Submit(ctx, "", long)
	if err != nil {
		return err
	}
	for i := range queued {
		if _, err := c.Submit(ctx, "", spec(1_000_000+i)); err != nil {
			return err
		}
	}
	page, err := c.Get(ctx, first.GetName())
	if err != nil {
		return err
	}
	if page.GetState() != xferv1.State_STATE_RUNNING {
		return fmt.Errorf("the transfer that holds the queue is %v", page.GetState())
	}
	return nil
}
