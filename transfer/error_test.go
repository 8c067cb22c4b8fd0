package transfer

import (
	"strings"
	"testing"
)

func TestReasonFormed(t *testing.T) {
	for r, want := range map[Reason]bool{
		Internal: true, NodeBusy: true, "NEW_IN_2": true, Reason(strings.Repeat("A", MaxReason)): true,
		"": false, "lower": false, "A B": false, "A\x1b": false, "Ä": false, Reason(strings.Repeat("A", MaxReason+1)): false,
	} {
		if got := r.Formed(); got != want {
			t.Errorf("%q: %v", r, got)
		}
	}
}
