package faults

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// job is one run of the enumeration.
type job struct {
	s    *scenario
	plan plan
}

// String is what -faults.only takes: scenario, orders of the owner, orders of the
// target, what strace does to the one and to the other, and what else there is. Lives
// are separated by commas.
func (j job) String() string {
	p, more := &j.plan, []string{}
	if p.both {
		more = append(more, "both")
	}
	if p.pause {
		more = append(more, "pause")
	}
	return strings.Join([]string{
		j.s.name, strings.Join(p.orders[owner], ","), strings.Join(p.orders[target], ","), p.inject[owner], p.inject[target], strings.Join(more, ","),
	}, "|")
}

func parseJob(text string, all map[string]*scenario) (j job, err error) {
	f := strings.Split(text, "|")
	if j.s = all[f[0]]; j.s == nil || len(f) != 6 {
		return j, fmt.Errorf("%q is no plan: want SCENARIO|OWNER|TARGET|STRACE OF OWNER|OF TARGET|both,pause", text)
	}
	p := &j.plan
	for i := range p.orders {
		if f[1+i] != "" {
			p.orders[i] = strings.Split(f[1+i], ",")
		}
		p.inject[i] = f[3+i]
	}
	more := strings.Split(f[5], ",")
	p.both, p.pause = slices.Contains(more, "both"), slices.Contains(more, "pause")
	return j, nil
}

func TestJobsCanBeRepeated(t *testing.T) {
	all := scenarios()
	for _, text := range []string{
		"copy|||||", "sync|a:1:kill||||both", "inside|,b:2:kill;c:1:hold|d:1:kill|||both,pause", "none||||fsync:signal=KILL:when=2|",
	} {
		if j, err := parseJob(text, all); err != nil || j.String() != text {
			t.Errorf("%q is read as %q, %v", text, j, err)
		}
	}
	if _, err := parseJob("copy||", all); err == nil {
		t.Error("a plan that is too short is taken")
	}
}
