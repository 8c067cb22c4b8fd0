package e2e

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

func init() { commands["post"] = cmdPost }

// post NAME N   posts a prepared transfer so many times, as a program does.
func cmdPost(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: post NAME N")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := client.Dial(ts.Getenv("XFERCTL_SERVER"), client.Options{})
	ts.Check(err)
	defer c.Close()
	err = func() error {
		p, err := c.OpenPrepared(ctx, args[0])
		if err != nil {
			return err
		}
		defer p.Leave()
		for range n {
			if _, err := p.Post(ctx); err != nil {
				return err
			}
		}
		return nil
	}()
	if (err != nil) != neg {
		ts.Fatalf("%v", err)
	}
	if err != nil {
		_, _ = ts.Stdout().Write([]byte(client.ReasonOf(err) + "\n"))
	}
}

// Either node dies or is stopped between the posts of a program, or in the middle of
// one, and comes back: the transfer goes on, and what the program posted arrives.
func TestNodeDiesUnderPosts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		what string
		node int
		down func(d *daemon) error
	}{
		{"owner", 0, func(d *daemon) error { d.kill(); return nil }},
		{"target", 1, func(d *daemon) error { d.kill(); return nil }},
		{"owner is stopped", 0, (*daemon).stop},
		{"target is stopped", 1, (*daemon).stop},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			c, f := useFarm(t, 2)
			const size = 1 << 20
			var ends [2]*client.Region
			for k, id := range []string{"a", "b"} {
				node := (&ctl{server: f.daemons[k].server()}).dial(t)
				if _, err := node.CreateRegion(t.Context(), f.daemons[k].name, id, &xferv1.Region{SizeBytes: size}); err != nil {
					t.Fatal(err)
				}
				g, err := node.AttachRegion(t.Context(), id, client.AttachOptions{})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = g.Close() })
				ends[k] = g
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			p, err := c.dial(t).Prepare(ctx, &xferv1.TransferSpec{
				SourceNode: "n1", Sources: []*xferv1.Source{client.RegionSource("a", 0, -1)}, TargetNode: "n2", Destination: client.RegionDestination("b", 0),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Leave()
			last := uint64(0)
			post := func(n uint64) {
				t.Helper()
				want := random(size, uint64(n)+1)
				copy(ends[0].Bytes(), want)
				g, err := p.Post(ctx)
				if err != nil {
					t.Fatalf("post %d: %v", n, err)
				}
				if g <= last {
					t.Errorf("post %d: generation %d after %d", n, g, last)
				}
				last = g
				if !bytes.Equal(ends[1].Bytes(), want) {
					t.Fatalf("post %d: other bytes are there", n)
				}
			}
			for n := range uint64(3) {
				post(n)
			}
			killed := make(chan error, 1)
			go func() {
				err := tt.down(f.daemons[tt.node])
				killed <- errors.Join(err, f.up(f.daemons[tt.node]))
			}()
			for n := uint64(3); ; n++ {
				post(n)
				if len(killed) > 0 {
					break
				}
			}
			if err := <-killed; err != nil {
				t.Fatal(err)
			}
			for n := uint64(1000); n < 1005; n++ {
				post(n)
			}
			done, err := p.Finish(ctx)
			if err != nil || done.GetState() != xferv1.State_STATE_SUCCEEDED || done.GetPosts().GetDone() < 5 {
				t.Errorf("%v, %v", done, err)
			}
		})
	}
}
