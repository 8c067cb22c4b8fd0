package faults

import "testing"

// TestP3PanicEndsTheProcess: what a transfer had in memory may be wrong after a panic in
// it, so that nothing goes on with it, whichever goroutine it was. The next life goes on
// from what lasts, as after a death.
func TestP3PanicEndsTheProcess(t *testing.T) {
	e := newEnumeration(t)
	copying := scenarios()["copy"]
	var jobs []job
	for i, names := range [][]string{
		{"lifecycle/attempt", "lifecycle/result", "lifecycle/finishing", "lifecycle/edge-over"},
		{"receiver/base-made", "receiver/dir-made", "receiver/landed", "receiver/committing", "receiver/finish", "receiver/end"},
	} {
		for _, name := range names {
			jobs = append(jobs, job{copying, plan{}.then(i, 0, name+":1:panic")})
		}
	}
	e.all("panic", jobs, nil)
	if e.missed > 0 {
		t.Errorf("%d of %d panics did not end their process", e.missed, len(jobs))
	}
}
