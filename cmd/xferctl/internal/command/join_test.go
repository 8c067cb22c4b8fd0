package command

import (
	"strings"
	"testing"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/test/bubble"
)

// TestSameCopyIsFollowed: a terminal was lost, and the command is typed again.
func TestSameCopyIsFollowed(t *testing.T) {
	const holder = "nodes/n1/transfers/first"
	busy := transfer(func(t *xferv1.Transfer) {
		t.State, t.Principal = xferv1.State_STATE_FAILED, "uid:0"
		t.Error = &xferv1.Error{Reason: "DEST_BUSY", Node: "n2", Path: []byte("/b/dir"), Message: holder + " holds the same destination", Hint: "wait"}
		t.Spec.Labels = map[string]string{"try": "2"}
	})
	twin := func(change func(*xferv1.Transfer)) *xferv1.Transfer {
		return clone(busy, func(t *xferv1.Transfer) {
			t.Name, t.State, t.Error, t.Spec.Labels, t.EndTime = holder, xferv1.State_STATE_RUNNING, nil, nil, nil
			if change != nil {
				change(t)
			}
		})
	}
	const followed = "xferctl: the same copy is running already as " + holder + "; following it\n"
	for _, c := range []struct {
		name, line  string
		twin        *xferv1.Transfer
		code        int
		says, never string
	}{
		{"the same", "cp n1:/a/dir n2:/b/dir", twin(nil), 0, followed, "DEST_BUSY"},
		{"queued", "cp n1:/a/dir n2:/b/dir", twin(func(t *xferv1.Transfer) { t.State = xferv1.State_STATE_QUEUED }), 0, followed, "DEST_BUSY"},
		{"quietly", "cp -q n1:/a/dir n2:/b/dir", twin(nil), 0, "", "following"},
		{"another", "cp n1:/a/dir n2:/b/dir", twin(func(t *xferv1.Transfer) { t.Spec.Verify = xferv1.Verify_VERIFY_STORE }), 10, "DEST_BUSY", "following"},
		{"of somebody else", "cp n1:/a/dir n2:/b/dir", twin(func(t *xferv1.Transfer) { t.Principal = "uid:5" }), 10, "DEST_BUSY", "following"},
		{"paused", "cp n1:/a/dir n2:/b/dir", twin(func(t *xferv1.Transfer) { t.State = xferv1.State_STATE_PAUSED }), 10, "xferctl transfers resume n1/first", "following"},
		{"over", "cp n1:/a/dir n2:/b/dir", twin(func(t *xferv1.Transfer) {
			t.State, t.Error = xferv1.State_STATE_FAILED, &xferv1.Error{Reason: "DEST_NO_SPACE", Message: "long ago"}
		}), 10, "xferctl transfers abandon --node n2 n1/first", "following"},
		{"over, its error", "cp n1:/a/dir n2:/b/dir", twin(func(t *xferv1.Transfer) {
			t.State, t.Error = xferv1.State_STATE_FAILED, &xferv1.Error{Reason: "DEST_NO_SPACE", Message: "long ago"}
		}), 10, "is over by now (FAILED)", "long ago"},
		{"being cancelled", "cp n1:/a/dir n2:/b/dir", twin(func(t *xferv1.Transfer) { t.State = xferv1.State_STATE_CANCELLING }), 10, "is being cancelled as", "following"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				end := clone(twin(nil), func(t *xferv1.Transfer) { t.State = xferv1.State_STATE_SUCCEEDED })
				w := &world{api: &fake{full: busy, others: []*xferv1.Transfer{c.twin}, waits: []wait{{t: busy}, {t: end}}}}
				r := w.run(t, c.line)
				if r.code != c.code || !strings.Contains(r.err, c.says) || strings.Contains(r.err+r.out, c.never) {
					t.Errorf("%+v", r)
				}
			})
		})
	}
	bubble.Test(t, func(t *testing.T) {
		end := clone(twin(nil), func(t *xferv1.Transfer) { t.State = xferv1.State_STATE_SUCCEEDED })
		w := &world{api: &fake{full: busy, others: []*xferv1.Transfer{twin(nil)}, waits: []wait{{t: busy}, {t: end}}}}
		r := w.run(t, "cp -o json n1:/a/dir n2:/b/dir")
		if r.code != 0 || !strings.Contains(r.out, `"event":"following"`) || !strings.Contains(r.out, `"name":"`+holder+`","instead_of":"nodes/n1/transfers/new"`) {
			t.Errorf("%+v", r)
		}
	})
}
