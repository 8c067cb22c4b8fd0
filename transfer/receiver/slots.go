package receiver

import (
	"context"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxTemps is how many temporary files of large files one edge may have open.
	// An owner that sends what it began before it begins more is far below.
	maxTemps = 4096
	// slotPatience is how long an extent waits for one to become free, as they do
	// when files are published.
	slotPatience = 5 * time.Second
)

// slots bound the temporary files that an edge has open, for itself and with all
// other edges of the node, whatever owners do.
type slots struct{ edge, node chan struct{} }

// nodeSlots is for half of the descriptors that the process may have.
func nodeSlots() chan struct{} {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		l.Cur = 1024
	}
	return make(chan struct{}, max(64, min(l.Cur/2, 1<<20)))
}

// take waits for a slot. Its error is what the kernel says when there are no
// descriptors.
func (s *slots) take(ctx context.Context) error {
	t := time.NewTimer(slotPatience)
	defer t.Stop()
	for i, c := range [...]chan struct{}{s.edge, s.node} {
		select {
		case c <- struct{}{}:
			continue
		default:
		}
		var err error
		select {
		case c <- struct{}{}:
			continue
		case <-t.C:
			err = syscall.EMFILE
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if i > 0 {
			<-s.edge
		}
		return err
	}
	return nil
}

func (s *slots) give() {
	<-s.node
	<-s.edge
}

// giveAll is for the end of an edge, when nothing of it runs any more.
func (s *slots) giveAll() {
	for len(s.edge) > 0 {
		s.give()
	}
}
