package lifecycle

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/scan"
	"github.com/xferd/xferd/transfer/sender"
)

// A transfer into a region whose target is cut off, cancelled or failed, is over only when that
// target has fenced by itself, or was told: until then bytes may land in the memory
// of a program. A file has its name only when all is done, and needs no such wait.
func TestP10EndWaitsUntilTheRegionIsFenced(t *testing.T) {
	for _, tt := range []struct {
		name, dest  string
		fails       bool          // instead of being cancelled
		back        time.Duration // when the target is there again
		least, most time.Duration
	}{
		{"a file", "/x", false, time.Hour, 0, releaseTimeout + time.Second},
		{"a region", "@r", false, time.Hour, fencedAfter, fencedAfter + time.Second},
		{"a region of a node that comes back", "@r", false, 20 * time.Second, 20 * time.Second, 25 * time.Second},
		{"a file that fails", "/x", true, time.Hour, 0, time.Second},
		{"a region that fails", "@r", true, time.Hour, fencedAfter, fencedAfter + time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, dir string) {
				target := &fakeTarget{}
				r := newRig(t, dir)
				defer r.stop()
				r.peers.serve = target.serve
				s := r.submission("a")
				if tt.dest != "/x" {
					s.Spec.Mode, s.Spec.Dest, s.Spec.Pieces, s.Spec.Sources = transfer.ModeAssemble, tt.dest, []transfer.Piece{{Path: s.Spec.Sources[0].Path, Length: -1}}, nil
				}
				if _, _, err := r.e.Submit(t.Context(), s); err != nil {
					t.Fatal(err)
				}
				edge := <-r.edges
				r.want("a", transfer.StateRunning)
				r.peers.fail(unreachable())
				want := transfer.StateCancelled
				if tt.fails {
					want = transfer.StateFailed
				}
				edge.end <- func() (sender.Summary, error) {
					if tt.fails {
						return sender.Summary{}, &transfer.Error{Reason: transfer.SourceIOError, Err: errors.New("disk")}
					}
					if _, err := r.e.Cancel(t.Context(), "a", false, ""); err != nil {
						t.Error(err)
					}
					return sender.Summary{}, &transfer.Error{Reason: transfer.Cancelled, Err: errors.New("stopped")}
				}
				start := time.Now()
				back := time.AfterFunc(tt.back, r.peers.join)
				defer back.Stop()
				got, err := r.e.Wait(t.Context(), "a")
				if took := time.Since(start); err != nil || got.State != want || took < tt.least || took > tt.most {
					t.Errorf("%s, %v after %v", got.State, err, took)
				}
			})
		})
	}
}

// regionOf is a region of so many bytes; readers are "uid:0".
type regionOf struct {
	scan.Region
	size int64
}

func (g regionOf) Size() int64  { return g.size }
func (g regionOf) Close() error { return nil }

type someRegions map[string]int64

func (r someRegions) Read(principal, id string) (scan.Region, error) {
	size, ok := r[id]
	switch {
	case !ok || principal != "uid:0":
		return nil, &transfer.Error{Reason: transfer.RegionNotFound, Err: os.ErrNotExist}
	case size < 0:
		return nil, &transfer.Error{Reason: transfer.RegionDetached, Err: errors.New("away")}
	}
	return regionOf{size: size}, nil
}

func TestCheckRegions(t *testing.T) {
	r := someRegions{"a": 4096, "away": -1}
	for _, tt := range []struct {
		name   string
		pieces []transfer.Piece
		want   transfer.Reason
	}{
		{"all of it", []transfer.Piece{{Path: "@a", Length: -1}, {Path: "@a", Offset: 4096, Length: -1}, {Path: "@a", Offset: 1, Length: 4095}}, transfer.ReasonNone},
		{"none", []transfer.Piece{{Path: "/f", Length: 1 << 40}}, transfer.ReasonNone},
		{"one byte more", []transfer.Piece{{Path: "@a", Length: 4097}}, transfer.RegionRange},
		{"one byte behind", []transfer.Piece{{Path: "@a", Offset: 4097, Length: -1}}, transfer.RegionRange},
		{"overflow", []transfer.Piece{{Path: "@a", Offset: 2, Length: 1<<63 - 1}}, transfer.RegionRange},
		{"unknown", []transfer.Piece{{Path: "@b", Length: -1}}, transfer.RegionNotFound},
		{"away", []transfer.Piece{{Path: "@away", Length: 1 << 40}}, transfer.ReasonNone},
	} {
		err := checkRegions(r, "n1", &transfer.Spec{Principal: "uid:0", Pieces: tt.pieces})
		if got := transfer.ReasonOf(err); got != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if err := checkRegions(nil, "n1", &transfer.Spec{Pieces: []transfer.Piece{{Path: "@a"}}}); transfer.ReasonOf(err) != transfer.Unsupported {
		t.Errorf("a node without regions: %v", err)
	}
}
