package nemesis

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// TestP1P2P3P4P5P6P10Nemesis: transfers go between all pairs of three nodes while network
// and processes are spoiled as the seed says. Then all is healed, and has to be well.
func TestP1P2P3P4P5P6P10Nemesis(t *testing.T) {
	t.Parallel()
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) % 1e9
	}
	rigged(t)
	list := script(*seed, *period, 3)
	t.Cleanup(func() {
		if t.Failed() {
			for _, d := range list {
				t.Log(d)
			}
			t.Logf("again: go test -count=1 -v -run '^%s$' ./test/faults/nemesis -nemesis.seed=%d -nemesis.time=%v", t.Name(), *seed, *period)
		}
	})
	t.Logf("seed %d, %d deeds in %v", *seed, len(list), *period)
	c := newCluster(t, 3, "--times-orphan-ttl=20s", "--times-partial-ttl=20s")
	lanes := c.lanes(*seed)
	own := c.canaries(lanes)

	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	all := func(ctx context.Context, do func(context.Context, *lane) error) {
		t.Helper()
		group, ctx := errgroup.WithContext(ctx)
		for _, l := range lanes {
			group.Go(func() error { return do(ctx, l) })
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	all(ctx, func(ctx context.Context, l *lane) error { return l.once(ctx, "wait") })
	c.free()
	before := make([]uses, len(c.nodes))
	for i, n := range c.nodes {
		c.eventually(n.name+" tells what it holds", func() (err error) {
			before[i], err = n.uses()
			return err
		})
	}

	// From the moment when all is healed everything has to end in time.
	run, stop := context.WithTimeout(t.Context(), *period+2*patience)
	defer stop()
	healed := make(chan struct{})
	suffered := make(chan error, 1)
	go func() { // ends by itself; waited for below
		defer close(healed)
		suffered <- c.suffer(list)
	}()
	defer func() { <-healed }()
	all(run, func(ctx context.Context, l *lane) error { return l.run(ctx, healed) })
	if err := <-suffered; err != nil {
		t.Fatal(err)
	}

	c.whole()
	last, stopLast := context.WithTimeout(t.Context(), patience)
	defer stopLast()
	all(last, func(ctx context.Context, l *lane) error { return l.settle(ctx) })
	c.free()
	for i, n := range c.nodes {
		c.eventually(n.name+" holds what it held before", func() error {
			now, err := n.uses()
			if err == nil && (now.descriptors > before[i].descriptors+10 || now.goroutines > before[i].goroutines+15) {
				err = fmt.Errorf("it holds %v, and held %v", now, before[i])
			}
			return err
		})
	}
	tally := map[string]int{}
	for _, l := range lanes {
		if err := l.of(l.version).equal(l.dst(), l.version); err != nil {
			t.Error(err)
		}
		for k, n := range l.tally {
			tally[k] += n
		}
	}
	for path, content := range own {
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
			t.Errorf("P5: %s is not what it was: %v", path, err)
		}
	}
	for _, n := range c.nodes {
		t.Logf("%s had %d lives", n.name, n.lives)
	}
	t.Logf("transfers: %v", tally)
	c.judgeState()
}

// lanes are two between each pair of nodes: of many small files, of large ones, or
// mirrors.
func (c *cluster) lanes(seed uint64) (list []*lane) {
	r := rand.New(rand.NewPCG(seed, 5))
	shapes := []func(*lane){
		func(l *lane) { l.all = small(150) },
		func(l *lane) { l.all = files{"large": 12 << 20, "two/larger": 3<<20 + 17} },
		func(l *lane) {
			l.mirror, l.all = true, small(60)
			l.all["large"] = 4 << 20
		},
	}
	for i, from := range c.nodes {
		for k, to := range c.nodes {
			if i == k {
				continue
			}
			for n := range 2 {
				l := &lane{c: c, name: fmt.Sprintf("%d%d%c", i+1, k+1, 'a'+n), from: from, to: to, tally: map[string]int{}}
				l.r = rand.New(rand.NewPCG(seed, uint64(10*len(list)+7)))
				shapes[(len(list)+r.IntN(2))%3](l)
				list = append(list, l)
			}
		}
	}
	return list
}

// canaries puts files that are nobody's beside and into the destinations.
func (c *cluster) canaries(lanes []*lane) map[string][]byte {
	c.t.Helper()
	own := map[string][]byte{}
	for _, n := range c.nodes {
		own[filepath.Join(n.data(), "own")] = []byte("of " + n.name)
	}
	for _, l := range lanes {
		own[l.dst()+"-own"] = []byte("beside " + l.name)
		if !l.mirror {
			own[filepath.Join(l.dst(), "own")] = []byte("inside of " + l.name)
		}
	}
	for path, b := range maps.All(own) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			c.t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
	return own
}
