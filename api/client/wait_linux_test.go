package client

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// noticeOf is a notice page with a generation, and the one that its daemon began with.
func noticeOf(t *testing.T, generation, first uint64) *os.File {
	t.Helper()
	f := fakePage(t, "XREG", 1)
	set := func(off int64, n uint64) { _, _ = f.WriteAt(binary.LittleEndian.AppendUint64(nil, n), off) }
	set(pageGeneration, generation)
	set(pageFirst, first)
	return f
}

// The generation rises by a restart of the daemon as well: that is no commit. One that
// came before the restart or after it is.
func TestWaitOverARestart(t *testing.T) {
	const far = 1 << 20
	for name, c := range map[string]struct {
		after, old, first, now uint64
		want                   bool
	}{
		"nothing was committed":       {after: 5, old: 5, first: far, now: far},
		"committed before it":         {after: 4, old: 5, first: far, now: far, want: true},
		"committed after it":          {after: 5, old: 5, first: far, now: far + 1, want: true},
		"seen after it":               {after: far, old: 5, first: far, now: far},
		"the same daemon":             {after: 5, old: 5, first: 2, now: 5},
		"the same daemon, and commit": {after: 5, old: 5, first: 2, now: 6, want: true},
		"a daemon that does not say":  {after: 5, old: 5, first: 0, now: far, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := &Region{id: "x"}
			for _, f := range []*os.File{noticeOf(t, c.old, 0), noticeOf(t, c.now, c.first)} {
				if err := g.follow(f); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // what is there it returns all the same
			n, err := g.Wait(ctx, c.after)
			if c.want && (err != nil || n != c.now) || !c.want && !errors.Is(err, context.Canceled) {
				t.Errorf("generation %d, %v", n, err)
			}
		})
	}
}

// Close ends a Wait, and one that begins after it, and the numbers can be read then.
func TestCloseDuringAWait(t *testing.T) {
	for name, spin := range map[string]time.Duration{"asleep": 0, "spinning": time.Hour} {
		t.Run(name, func(t *testing.T) {
			memory, page := someMemory(t), noticeOf(t, 7, 0)
			d := newFakeDaemon(t)
			d.answers(func(int, string) (string, []*os.File, bool) {
				return "ok 4096 0 " + strings.Repeat("0a", 16) + "\n", []*os.File{memory, page}, true
			})
			g, err := d.dial().AttachRegion(t.Context(), "x", AttachOptions{Spin: spin})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error)
			for range 4 {
				go func() {
					_, err := g.Wait(t.Context(), 7)
					ended <- err
				}()
			}
			_ = g.Close()
			for range 4 {
				if err := <-ended; ReasonOf(err) != "CANCELLED" {
					t.Errorf("a wait ended with %v", err)
				}
			}
			if _, err := g.Wait(t.Context(), 0); ReasonOf(err) != "CANCELLED" {
				t.Errorf("a wait after Close: %v", err)
			}
			if g.Generation() != 7 || g.OpenWrites() != 0 || g.Torn() != 0 || g.Close() != nil {
				t.Error("after Close")
			}
		})
	}
}

// What can not be an id is not sent, and the text of a refusal says where and why.
func TestAttachTexts(t *testing.T) {
	d := newFakeDaemon(t)
	d.answers(func(int, string) (string, []*os.File, bool) {
		return "error REGION_NOT_FOUND there is none\n", nil, false
	})
	c := d.dial()
	for _, id := range []string{"", "a b", "a\nXFERREG1 attach b rw", "-a", "ä", strings.Repeat("x", 129)} {
		if _, err := c.AttachRegion(t.Context(), id, AttachOptions{}); ReasonOf(err) != "INVALID_SPEC" {
			t.Errorf("%q: %v", id, err)
		}
	}
	_, err := c.AttachRegion(t.Context(), "r-1._x", AttachOptions{})
	if err == nil || ReasonOf(err) != "REGION_NOT_FOUND" || !strings.Contains(err.Error(), d.path) || !strings.Contains(err.Error(), "(REGION_NOT_FOUND)") {
		t.Error(err)
	}
}
