package faults

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// enumeration runs jobs on several rigs side by side.
type enumeration struct {
	t  testing.TB
	mu sync.Mutex

	rigs    []*rig
	points  map[string]int // crash points that were reached, by kind
	missed  int            // runs that did not come to their point
	failed  int
	covered map[string]bool
	began   time.Time

	complete bool // every point has to be passed
}

func newEnumeration(t testing.TB) *enumeration {
	e := &enumeration{t: t, points: map[string]int{}, covered: map[string]bool{}, began: time.Now()}
	for range *rigs {
		r, err := newRig(newDir(t))
		if err != nil {
			t.Fatal(err)
		}
		e.rigs = append(e.rigs, r)
	}
	return e
}

// seed is of the sample, and told at the end.
func (e *enumeration) seed() uint64 {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	return *seed
}

// told tells how it went.
func (e *enumeration) told() {
	never := slices.DeleteFunc(slices.Clone(points), func(p string) bool { return e.covered[p] })
	if e.complete && len(never) > 0 && !e.t.Failed() {
		e.t.Errorf("nothing passed %v", never)
	}
	sum := 0
	for _, n := range e.points {
		sum += n
	}
	e.t.Logf("%d crash points in %v: %v; %d runs did not come to their point; seed %d", sum, time.Since(e.began).Round(time.Second), e.points, e.missed, *seed)
}

// maxFailures ends an enumeration that finds nothing but defects.
const maxFailures = 5

// all runs the jobs, and calls seen with the points that each life passed, by
// node and life.
func (e *enumeration) all(kind string, jobs []job, seen func(j job, passed [2][][]string)) {
	next := make(chan job)
	var wg sync.WaitGroup
	for _, r := range e.rigs {
		wg.Go(func() {
			for j := range next {
				e.one(r, kind, j, seen)
			}
		})
	}
	for _, j := range jobs {
		e.mu.Lock()
		stop := e.failed >= maxFailures
		e.mu.Unlock()
		if stop {
			break
		}
		next <- j
	}
	close(next)
	wg.Wait()
	e.t.Logf("%s: %d runs, %v so far", cmp.Or(kind, "no deaths"), len(jobs), time.Since(e.began).Round(time.Second))
	if e.failed > 0 {
		e.t.FailNow()
	}
}

func (e *enumeration) one(r *rig, kind string, j job, seen func(job, [2][][]string)) {
	reached, err := r.do(j.s, j.plan)
	var passed [2][][]string
	for i, n := range r.nodes {
		for life := 1; life <= n.lives; life++ {
			p, perr := n.passed(life)
			if err == nil {
				err = perr
			}
			passed[i] = append(passed[i], p)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err != nil:
		e.failed++
		e.t.Errorf("%v\n--- again: -faults.only='%s'", err, j)
		return
	case reached:
		if n := j.plan.kills(); n > 0 {
			e.points[kind] += n
		}
	default:
		e.missed++
	}
	for _, lives := range passed {
		for _, names := range lives {
			for _, name := range names {
				e.covered[name] = true
			}
		}
	}
	if seen != nil {
		seen(j, passed)
	}
}

// numbered turns passed points into orders: NAME:N, where N counts those of the
// name.
func numbered(passed []string) []string {
	count := map[string]int{}
	var list []string
	for _, name := range passed {
		count[name]++
		list = append(list, fmt.Sprintf("%s:%d", name, count[name]))
	}
	return list
}

// record runs a plan and returns what a life of each node passes under it. The
// second run of the same command is in it, too.
func (e *enumeration) record(kind string, jobs []job, life [2]int) []trace {
	out := make([]trace, 0, len(jobs))
	e.all(kind, jobs, func(j job, passed [2][][]string) {
		t := trace{job: j}
		for i := range t.points {
			if len(passed[i]) > life[i] {
				t.points[i] = numbered(passed[i][life[i]])
			}
		}
		out = append(out, t)
	})
	return out
}

// trace is a job, and the points that its nodes pass under it.
type trace struct {
	job
	points [2][]string
}

// then is the plan with one more order for a life of a node.
func (p plan) then(i, life int, order string) plan {
	q := p
	for k := range q.orders {
		q.orders[k] = slices.Clone(q.orders[k])
	}
	for len(q.orders[i]) <= life {
		q.orders[i] = append(q.orders[i], "")
	}
	if q.orders[i][life] != "" {
		order = q.orders[i][life] + ";" + order
	}
	q.orders[i][life] = order
	return q
}

// after runs plans with a hold, and returns them with one death more: at each point
// that they pass.
func (e *enumeration) after(holds []job) (list []job) {
	for _, tr := range e.record("", holds, [2]int{}) {
		for i, points := range tr.points {
			for _, p := range points {
				list = append(list, job{tr.s, tr.plan.then(i, 0, p+":kill")})
			}
		}
	}
	return list
}

// firsts returns the first passing of each name after the node has come up.
func firsts(points []string) (list []string) {
	seen := map[string]bool{}
	up := slices.IndexFunc(points, func(p string) bool { return p == "lifecycle/submit:1" || p == "store/log-created:1" })
	if up < 0 {
		return nil // it only comes up
	}
	for _, p := range points[up:] {
		if name, _, _ := strings.Cut(p, ":"); !seen[name] {
			seen[name] = true
			list = append(list, p)
		}
	}
	return list
}

// sample takes some of the jobs, whole as many where everything is enumerated; 0 is
// all.
func sample(rnd *rand.Rand, jobs []job, some, whole int) []job {
	n := some
	if *full {
		n = whole
	}
	if n == 0 || len(jobs) <= n {
		return jobs
	}
	// Whatever order the records came in, a seed stands for the same ones.
	slices.SortFunc(jobs, func(a, b job) int {
		return strings.Compare(a.s.name+a.plan.String(), b.s.name+b.plan.String())
	})
	rnd.Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
	return jobs[:n]
}

// TestP1P2P3P4P5P6EveryCrash kills owner, target, or both at every step of
// transfers, once and again while they recover, and cancels beside that.
func TestP1P2P3P4P5P6EveryCrash(t *testing.T) {
	e := newEnumeration(t)
	e.complete = *full && *only == ""
	rnd := rand.New(rand.NewPCG(e.seed(), 0))
	defer e.told()
	all := scenarios()
	if *only != "" {
		j, err := parseJob(*only, all)
		if err != nil {
			t.Fatal(err)
		}
		e.all("one", []job{j}, nil)
		return
	}

	var plain []job
	for _, name := range slices.Sorted(maps.Keys(all)) {
		plain = append(plain, job{s: all[name]})
	}
	var single, both, holds, firstDeaths []job
	for _, tr := range e.record("", plain, [2]int{}) {
		t.Logf("%s: the owner passes %d points, the target %d", tr.s.name, len(tr.points[owner]), len(tr.points[target]))
		for i, points := range tr.points {
			for _, p := range points {
				single = append(single, job{tr.s, tr.plan.then(i, 0, p+":kill")})
				if tr.s.name == "copy" {
					q := tr.plan.then(i, 0, p+":kill")
					q.both = true
					both = append(both, job{tr.s, q})
				}
			}
			if tr.s.name == "copy" || tr.s.name == "into-nothing" || tr.s.inside {
				for _, p := range firsts(points) {
					holds = append(holds, job{tr.s, tr.plan.then(i, 0, p+":hold")})
					if tr.s.name == "into-nothing" {
						continue
					}
					firstDeaths = append(firstDeaths, job{tr.s, tr.plan.then(i, 0, p+":kill")})
				}
			}
		}
	}
	e.all("single", sample(rnd, single, 40, 0), nil)
	e.all("both", sample(rnd, both, 15, 0), nil)

	// Cancels and pauses at every step, and deaths beside them.
	e.all("cancel", sample(rnd, e.after(sample(rnd, holds, 8, 0)), 20, 1000), nil)
	for i := range holds {
		holds[i].plan.pause = true
	}
	e.all("pause", sample(rnd, e.after(sample(rnd, holds, 4, 40)), 8, 300), nil)

	// Deaths in the life after a death.
	var double []job
	for i := range 2 {
		mine := slices.DeleteFunc(slices.Clone(firstDeaths), func(j job) bool { return len(j.plan.orders[i]) == 0 })
		life := [2]int{}
		life[i] = 1
		for _, tr := range e.record("single", sample(rnd, mine, 4, 0), life) {
			for _, p := range tr.points[i] {
				double = append(double, job{tr.s, tr.plan.then(i, 1, p+":kill")})
			}
		}
	}
	e.all("double", sample(rnd, double, 20, 1500), nil)
}
