package verbs

import (
	"context"
	"testing"
	"time"

	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
)

// slowFeed has a chunk a second.
type slowFeed struct{ *transporttest.Feed }

func (f slowFeed) Next(ctx context.Context, i int) (*transport.Chunk, error) {
	time.Sleep(time.Second)
	return f.Feed.Next(ctx, i)
}

// Where completions are far apart nobody spins for them.
func TestNoSpinningForNothing(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		s, data := newStore(size), content(size)
		e := r.connect(t, s)
		e.feed = transporttest.NewFeed(chunks(data, nil)...)
		if err := e.out.Run(t.Context(), slowFeed{e.feed}); err != nil {
			t.Fatal(err)
		}
		for _, a := range []Account{r.src.Accounts()[0], r.dst.Accounts()[0]} {
			// The first few are looked for as if they came at once.
			if n := a.Polls - 4*spin; n > 6*a.Completions {
				t.Errorf("%d polls for %d completions", a.Polls, a.Completions)
			}
		}
		e.finish(t, data, s)
	})
}
