package e2e

import (
	"bytes"
	"context"
	"testing"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// Either node dies in the middle of a transfer from region to region and comes back.
// The programs that have the memory live on, and offer it again by themselves: the
// transfer goes on with them, from the start, and the generation never falls.
func TestNodeDiesUnderRegions(t *testing.T) {
	t.Parallel()
	for i, what := range []string{"owner", "target"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c, f := useFarm(t, 2)
			const size = 6 << 20
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
			want := random(size, 5)
			copy(ends[0].Bytes(), want)
			c.ok(t, "cp", "n1:@a", "n2:@b")
			first := ends[1].Generation()
			want = random(size, 6)
			copy(ends[0].Bytes(), want)

			name := c.detach(t, append([]string{"cp", "--id", "x", "n1:@a", "n2:@b"}, slower...)...)
			c.landed(t, name, 1<<20)
			f.daemons[i].kill()
			if i == 1 {
				waiting := c.until(t, name, "it waits", func(tr *xferv1.Transfer) bool { return tr.GetWaitingReason() != "" })
				if waiting.GetState() != xferv1.State_STATE_RUNNING {
					t.Errorf("%s, waiting for %q", waiting.GetState(), waiting.GetWaitingReason())
				}
			}
			if err := f.up(f.daemons[i]); err != nil {
				t.Fatal(err)
			}
			if err := f.joined(); err != nil {
				t.Fatal(err)
			}
			c = &ctl{server: f.daemons[0].server()}
			if _, err := c.dial(t).Update(context.Background(), name, client.Change{MaxBytesPerSecond: new(int64(0))}); err != nil {
				t.Fatal(err)
			}
			done := c.waitOver(t, name)
			if done.GetState() != xferv1.State_STATE_SUCCEEDED {
				t.Fatalf("%s: %v", done.GetState(), reasonsOf(done))
			}
			if now := done.GetGeneration(); now <= first {
				t.Errorf("generation %d after %d", now, first)
			}
			if now, err := ends[1].Wait(t.Context(), first); err != nil || now != done.GetGeneration() {
				t.Errorf("the program sees generation %d, %v", now, err)
			}
			if !bytes.Equal(ends[1].Bytes(), want) {
				t.Error("the program sees other bytes")
			}
		})
	}
}
