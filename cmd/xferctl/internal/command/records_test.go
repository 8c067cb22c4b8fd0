package command

import (
	"math"
	"strings"
	"testing"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// TestVerificationSaysNoCopy: who reads what a verification found must not take it
// for one that copied and deleted.
func TestVerificationSaysNoCopy(t *testing.T) {
	over := transfer(func(t *xferv1.Transfer) {
		t.Spec.Mode, t.Spec.DryRun = xferv1.Mode_MODE_VERIFY, true
		t.State, t.Counters.Deleted = xferv1.State_STATE_FAILED, 1
		t.Error = &xferv1.Error{Reason: "DIFFERENT"}
	})
	api := func() *fake {
		return &fake{full: over, waits: []wait{{t: over}}, listing: &client.Listing{Transfers: []*xferv1.Transfer{over}}, entries: []*xferv1.EntryResult{
			{Entry: 3, Path: []byte("gone"), Outcome: xferv1.Outcome_OUTCOME_PUBLISHED, Changes: []xferv1.Change{xferv1.Change_CHANGE_NEW}},
			{Entry: 4, Path: []byte("other"), Outcome: xferv1.Outcome_OUTCOME_PUBLISHED, Changes: []xferv1.Change{xferv1.Change_CHANGE_CONTENT}},
			{Entry: math.MaxUint64, Path: []byte("more"), Outcome: xferv1.Outcome_OUTCOME_DELETED},
		}}
	}
	for line, want := range map[string][]string{
		"verify -o json n1:/a/dir n2:/b/dir":      {`"difference":"missing"`, `"difference":"differs"`, `"difference":"extra"`, `"files_different":1203`, `"extra":1`},
		"transfers show -o json n1/new":           {`"files_different": 1203`, `"extra": 1`},
		"transfers ls -o json":                    {`"files_different": 1203`},
		"transfers wait -o json n1/new":           {`"files_different":1203`},
		"transfers show --entries -o json n1/new": {`"difference":"missing"`, `"difference":"extra"`},
		"transfers show --entries n1/new":         {"MISSING    gone\n", "DIFFERS    other\n", "EXTRA      more\n"},
	} {
		r := (&world{api: api()}).run(t, line)
		for _, w := range want {
			if !strings.Contains(r.out, w) {
				t.Errorf("%s lacks %s: %s%s", line, w, r.out, r.err)
			}
		}
		for _, not := range []string{"PUBLISHED", "DELETED", `"deleted"`, "files_copied", "18446744073709551615"} {
			if strings.Contains(r.out, not) {
				t.Errorf("%s says %s: %s", line, not, r.out)
			}
		}
	}
}
