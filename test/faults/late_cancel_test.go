package faults

import (
	"slices"
	"strings"
	"testing"
)

// latePoints are passed when the target has done everything: a cancel that comes
// then is too late.
var latePoints = [2][]string{
	owner:  {"lifecycle/edge-over:1", "lifecycle/finishing:1"},
	target: {"receiver/complete:1", "receiver/end:1", "receiver/end-unlock:1", "receiver/end-unlocked:1"},
}

// late says that all that a plan does is a cancel that comes too late.
func (p *plan) late() bool {
	for i, lives := range p.orders {
		for _, o := range lives {
			if at, ok := strings.CutSuffix(o, ":hold"); ok && !p.pause && p.kills() == 0 && slices.Contains(latePoints[i], at) {
				return true
			}
		}
	}
	return false
}

// TestP6LateCancelLosesAgainstTheEnd: once the target has done everything the
// transfer succeeds, whenever its cancel comes.
func TestP6LateCancelLosesAgainstTheEnd(t *testing.T) {
	e := newEnumeration(t)
	s := scenarios()["copy"]
	var jobs []job
	for i, points := range latePoints {
		for _, at := range points {
			jobs = append(jobs, job{s, (&plan{}).then(i, 0, at+":hold")})
		}
	}
	e.all("late cancel", jobs, func(j job, passed [2][][]string) {
		if !j.plan.late() {
			t.Errorf("%v is not late", j)
		}
		for i, points := range latePoints {
			for _, at := range points {
				if !slices.Contains(numbered(passed[i][0]), at) {
					t.Errorf("%v: node %d did not pass %s", j, i, at)
				}
			}
		}
	})
	if e.missed > 0 {
		t.Errorf("%d cancels were not sent", e.missed)
	}
}
