package sender

import (
	"context"
	"sync"

	"github.com/xferd/xferd/transfer"
)

// mark is what the scan of a job looks for in its sources: the target's mark, where
// source and destination are files of two nodes, which may share a file system. Inside
// one node the target compares them itself.
func (job *Job) mark() transfer.DestMark {
	s := &job.Spec
	_, region := s.IntoRegion()
	if s.Source == s.Target || region || s.DryRun || s.Mode != transfer.ModeCopy && s.Mode != transfer.ModeSync {
		return transfer.DestMark{}
	}
	return transfer.MarkOf(job.UID, job.Epoch)
}

// firstMessage asks the target for its mark where something can go wrong without: where
// a directory is copied, which might be copied into itself, or something is removed. To
// look at the sources may take long; a stop does not wait for it.
func (e *Edge) firstMessage(ctx context.Context, work *sync.WaitGroup) *transfer.Open {
	m := e.job.openWith(e.layout)
	if e.job.mark() == (transfer.DestMark{}) {
		return m
	}
	if m.Mark = m.Options.Delete || m.Options.Force; m.Mark {
		return m
	}
	dirs := make(chan bool, 1)
	work.Go(func() { dirs <- e.scanner.AnyDir() })
	select {
	case m.Mark = <-dirs:
	case <-e.stopping:
	case <-ctx.Done():
	}
	return m
}
