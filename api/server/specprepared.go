package server

import (
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

// preparedIn checks what is said of a prepared transfer.
func preparedIn(m *xferv1.TransferSpec, s *transfer.Spec) error {
	if !m.GetPrepared() {
		return nil
	}
	if _, into := s.IntoRegion(); !into {
		return invalid("spec.prepared", "only what goes into a memory region can be prepared")
	}
	bytes := false
	for i := range s.Pieces {
		if _, ok := transfer.RegionOf(s.Pieces[i].Path); !ok {
			return invalid("spec.prepared", "the sources have to be memory regions, and one is a file")
		}
		bytes = bytes || s.Pieces[i].Length != 0
	}
	switch {
	case !bytes:
		return invalid("spec.prepared", "there is not a byte to post")
	case s.DryRun:
		return invalid("spec.dry_run", "a prepared transfer does nothing by itself; validate_only finds out whether it would be taken")
	case s.Digest != "":
		return invalid("spec.digest", "posts have no digest but that of the transport")
	}
	s.Prepared = true
	return nil
}

func postsOut(t *transfer.Transfer) *xferv1.PostCounters {
	p := &t.Posts
	if p.Done == 0 && p.Failed == 0 {
		return nil
	}
	return &xferv1.PostCounters{Done: p.Done, Failed: p.Failed, PerSecond: p.PerSecond, LastTime: timeOut(p.Last)}
}
