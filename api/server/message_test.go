package server

import (
	"testing"
	"time"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// TestOptionsAreShown: what a transfer was asked to do, and that a dry run is
// one, is in every view of it, and so are the figures of both ends.
func TestOptionsAreShown(t *testing.T) {
	tr := transfer.Transfer{
		Owner: "n1", ID: "a", State: transfer.StateRunning,
		Spec: transfer.Spec{
			Source: "n1", Target: "n2", Sources: []transfer.Source{{Path: "/data/a"}}, Dest: "/data/b",
			DryRun: true, MaxRate: 5 << 20, Streams: 7, ChunkSize: 1 << 20, Verify: transfer.VerifyStore, NoClobber: true,
			Deadline: time.Unix(1<<31, 0),
		},
		Path: transfer.Path{
			Transport: transport.TCP,
			Source:    transport.Stats{Streams: 7, Bytes: 11, SendfileBytes: 5}, Target: transport.Stats{Streams: 7, Bytes: 9, PlaceTime: time.Second},
		},
	}
	for _, full := range []bool{false, true} {
		m := transferOut(&tr, full)
		s := m.GetSpec()
		if !s.GetDryRun() || s.GetMaxBytesPerSecond() != 5<<20 || s.GetStreams() != 7 || s.GetChunkSize() != 1<<20 ||
			s.GetVerify() != xferv1.Verify_VERIFY_STORE || !s.GetNoClobber() || s.GetDeadline().GetSeconds() != 1<<31 {
			t.Errorf("full %v: spec %v", full, s)
		}
		p := m.GetDataPath()
		if p.GetSource().GetBytes() != 11 || p.GetSource().GetSendfileBytes() != 5 || p.GetTarget().GetBytes() != 9 || p.GetTarget().GetPlaceTime().GetSeconds() != 1 {
			t.Errorf("full %v: data path %v", full, p)
		}
	}
	tr.Spec.DryRun, tr.Spec.MaxRate = false, 0
	if s := transferOut(&tr, false).GetSpec(); s.GetDryRun() || s.MaxBytesPerSecond != nil {
		t.Errorf("nothing of that was asked for: %v", s)
	}
}
