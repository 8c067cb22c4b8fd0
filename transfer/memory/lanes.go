package memory

import (
	"context"
	"sync"

	"github.com/xferd/xferd/transfer"
)

// lanes let the edges of one transfer be opened one after the other, while those of
// others go on beside: an opening waits for the fence of the attempt before it, and
// for the store. The zero value is ready.
type lanes struct {
	mu sync.Mutex
	m  map[transfer.UID]*lane
}

type lane struct {
	in    chan struct{} // holds one while somebody is inside
	users int           // who is inside or waits
}

// enter waits until nobody else is in the lane. leave goes out of it. The error is
// the cause of ctx's end.
func (l *lanes) enter(ctx context.Context, uid transfer.UID) (leave func(), err error) {
	l.mu.Lock()
	if l.m == nil {
		l.m = map[transfer.UID]*lane{}
	}
	w := l.m[uid]
	if w == nil {
		w = &lane{in: make(chan struct{}, 1)}
		l.m[uid] = w
	}
	w.users++
	l.mu.Unlock()
	select {
	case w.in <- struct{}{}:
		return func() {
			<-w.in
			l.drop(uid, w)
		}, nil
	case <-ctx.Done():
		l.drop(uid, w)
		return nil, context.Cause(ctx)
	}
}

func (l *lanes) drop(uid transfer.UID, w *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.users--; w.users == 0 {
		delete(l.m, uid)
	}
}
