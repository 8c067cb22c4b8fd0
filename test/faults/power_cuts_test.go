package faults

import (
	"context"
	"encoding/json"
	"flag"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	cuts    = flag.Int("faults.cuts", 400, "power cuts where everything is enumerated")
	onlyCut = flag.String("faults.cut", "", "one power cut, as JSON")
)

// TestP1P2P3PowerCuts cuts the power of owner, target, or both, with everything that
// they have on ext4 or xfs: at each step of transfers, at any moment, and right after
// a success was told.
func TestP1P2P3PowerCuts(t *testing.T) {
	needDisks(t)
	e := newEnumeration(t)
	all := scenarios()
	if *onlyCut != "" {
		var c cut
		if err := json.Unmarshal([]byte(*onlyCut), &c); err != nil {
			t.Fatalf("-faults.cut: %v", err)
		}
		if at, err := e.rigs[0].cut(all[c.Scenario], c); err != nil || !at {
			t.Fatalf("it was cut there: %t, and %v", at, err)
		}
		return
	}
	n := 6
	if *full {
		n = *cuts
	}
	rnd := rand.New(rand.NewPCG(e.seed(), 2))
	list, err := e.drawCuts(rnd, n)
	if err != nil {
		t.Fatal(err)
	}
	next := make(chan cut)
	var wg sync.WaitGroup
	var mu sync.Mutex
	done, missed, failed := map[string]int{}, 0, 0
	for _, r := range e.rigs[:min(4, len(e.rigs))] {
		wg.Go(func() {
			for c := range next {
				at, err := r.cut(all[c.Scenario], c)
				mu.Lock()
				switch {
				case err != nil:
					failed++
					t.Errorf("%v\n--- again: -faults.cut='%v'", err, c)
				case !at:
					missed++
				default:
					done[c.Disk]++
				}
				mu.Unlock()
			}
		})
	}
	for _, c := range list {
		mu.Lock()
		stop := failed >= maxFailures
		mu.Unlock()
		if stop {
			break
		}
		next <- c
	}
	close(next)
	wg.Wait()
	t.Logf("%d power cuts in %v: %v; %d of them not where they were to be; seed %d", len(list), time.Since(e.began).Round(time.Second), done, missed, *seed)
}

// TestPowerCutsFindWhatIsNotSynced is the control: without syncs, what was told is not
// there, and the rig sees it.
func TestPowerCutsFindWhatIsNotSynced(t *testing.T) {
	needDisks(t)
	r, err := newRig(newDir(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"ext4-5", "xfs"} {
		c := cut{Scenario: "none", Disk: kind, Victims: [2]bool{false, true}, Of: target, At: "receiver/end:1", Stranger: true, Control: true}
		if _, err := r.cut(scenarios()[c.Scenario], c); err == nil || !strings.Contains(err.Error(), "P1: ") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// drawCuts draws n cuts: of ten seven at points, every name of a point before any comes
// a second time, two at any moment, and one right after a success.
func (e *enumeration) drawCuts(rnd *rand.Rand, n int) (list []cut, err error) {
	var at []cut
	some := scenarios()
	for _, name := range slices.Sorted(maps.Keys(some)) {
		points, err := e.rigs[0].passes(some[name])
		if err != nil {
			return nil, err
		}
		for of := range points {
			for _, p := range points[of] {
				at = append(at, cut{Scenario: name, Of: of, At: p})
			}
		}
	}
	rnd.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
	drawn := map[string]int{}
	turn := make(map[cut]int, len(at))
	for _, c := range at {
		name, _, _ := strings.Cut(c.At, ":")
		turn[c] = drawn[name]
		drawn[name]++
	}
	slices.SortStableFunc(at, func(a, b cut) int { return turn[a] - turn[b] })
	kinds := slices.Sorted(maps.Keys(disks))
	names := slices.Sorted(maps.Keys(some))
	for i := range n {
		var c cut
		switch {
		case i%10 < 7 && i-i/10*3 < len(at):
			c = at[i-i/10*3]
		case i%10 == 9:
			c = cut{Scenario: names[rnd.IntN(len(names))], Late: true, After: time.Duration(rnd.IntN(2)*rnd.IntN(2000)) * time.Microsecond}
		default:
			c = cut{Scenario: names[rnd.IntN(len(names))], After: time.Duration(rnd.IntN(150_000)) * time.Microsecond}
		}
		c.Disk = kinds[rnd.IntN(len(kinds))]
		c.Apart, c.Stranger = rnd.IntN(2) == 0, rnd.IntN(2) == 0
		if rnd.IntN(4) == 0 {
			c.Twice = time.Duration(1+rnd.IntN(300_000)) * time.Microsecond
		}
		switch rnd.IntN(10) {
		case 0, 1, 2, 3, 4:
			c.Victims = [2]bool{some[c.Scenario].inside, !some[c.Scenario].inside}
		case 5, 6:
			c.Victims[owner] = true
		default:
			c.Victims = [2]bool{true, true}
		}
		list = append(list, c)
	}
	return list, nil
}

// passes returns the points that owner and target pass in a transfer without a cut.
func (r *rig) passes(s *scenario) (points [2][]string, err error) {
	x := newRun(r, s, plan{})
	defer r.close()
	if err := x.prepare(); err != nil {
		return points, err
	}
	for _, i := range []int{target, owner} {
		if err := x.begin(i); err != nil {
			return points, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := x.drive(ctx, "one"); err != nil {
		return points, err
	}
	for i, n := range r.nodes {
		passed, err := n.passed(1)
		if err != nil {
			return points, err
		}
		points[i] = slices.DeleteFunc(numbered(passed), func(p string) bool { return strings.HasPrefix(p, "cluster/") })
	}
	return points, nil
}
