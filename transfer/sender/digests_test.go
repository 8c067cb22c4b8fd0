package sender

import (
	"testing"

	"github.com/xferd/xferd/transfer"
)

// A target of a version that knows no digests of files would leave them out, and
// publish what has not the one that is expected. It is not written to.
func TestP9TargetWithoutDigests(t *testing.T) {
	asked := func(r *rig) { r.job.Spec.Digest, r.job.Spec.Expected = transfer.DigestXXH3, make([]byte, 16) }
	r := newRig(t, map[string]int{"f": 10}, asked)
	r.fails(transfer.Unsupported)
	if got := aborts(r); len(got) != 1 || got[0] != transfer.EndCancel || r.target.prepared != 0 {
		t.Errorf("aborts %v, %d data planes", got, r.target.prepared)
	}
	r = newRig(t, nil, asked)
	if _, err := Validate(t.Context(), r.config, r.job, r.edge.link); transfer.ReasonOf(err) != transfer.Unsupported {
		t.Errorf("error %v", err)
	}

	r = newRig(t, map[string]int{"f": 10}, func(r *rig) {
		asked(r)
		r.target.opened.Digest = transfer.DigestXXH3
	})
	r.run()
	m := r.target.got[0].(*transfer.Open)
	if m.Options.Digest != transfer.DigestXXH3 || len(m.Options.Expected) != 16 {
		t.Errorf("asked for %+v", m.Options)
	}
}

// A verification moves nothing, and asks for what only the destination has, but not
// where it compares a few names alone.
func TestOpenOfAVerification(t *testing.T) {
	for _, names := range [][]string{nil, {"f"}} {
		job := Job{Spec: transfer.Spec{Mode: transfer.ModeVerify, Sources: []transfer.Source{{Path: "/a"}}, FilesFrom: names}}
		if o := job.open().Options; !o.DryRun || o.Delete != (names == nil) {
			t.Errorf("of %q: %+v", names, o)
		}
	}
}
