package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/xferd/xferd/transport"
)

const (
	smallSize = 4096
	smallMany = 1000 // of each round
)

// latencies prints how long 4 KiB take from when they are posted until they are in
// the memory of the target and it knows, beside what ib_write_lat says: half of a
// round trip, of two programs that do nothing but look.
func latencies(ctx context.Context, o options, e *edges) error {
	var floor, ours, slow []float64
	d, err := newDaemons(ctx, o, "posts")
	if d != nil {
		defer d.close()
	}
	if err != nil {
		return err
	}
	var prepared []postRow
	for range o.rounds {
		us, err := writeLat(ctx)
		if err != nil {
			return err
		}
		floor = append(floor, us)
		all, err := e.pings(ctx, smallMany)
		if err != nil {
			return err
		}
		slices.Sort(all)
		ours, slow = append(ours, micros(all[len(all)/2])), append(slow, micros(all[len(all)*99/100]))
		fmt.Printf("4 KiB: ib_write_lat %.1f us, in place %.1f us, of 100 one takes longer than %.1f us\n", us, ours[len(ours)-1], slow[len(slow)-1])
		row, err := posts(ctx, d, smallMany)
		if err != nil {
			return err
		}
		edge, err := e.edgePosts(ctx, smallMany)
		if err != nil {
			return err
		}
		slices.Sort(edge)
		row.edge = micros(edge[len(edge)/2])
		prepared = append(prepared, row)
		fmt.Printf("4 KiB: a post of a prepared transfer %.1f us by an edge alone, %.1f us from program to program, %.1f us until it is answered\n", row.edge, row.seen, row.answered)
	}
	for _, v := range [][]float64{floor, ours, slow} {
		slices.Sort(v)
	}
	mid := len(floor) / 2
	fmt.Printf("\n| 4 KiB, medians of %d | us | of it |\n| --- | ---: | ---: |\n| ib_write_lat | %.1f | 1.00 |\n| in place, posted to landed | %.1f | %.2f |\n| the 99th of 100 | %.1f | %.2f |\n",
		o.rounds, floor[mid], ours[mid], ours[mid]/floor[mid], slow[mid], slow[mid]/floor[mid])
	printPosts(prepared, floor[mid])
	return nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// writeLat is the typical latency that ib_write_lat finds, in microseconds.
func writeLat(ctx context.Context) (float64, error) {
	for range 10 {
		out, _, err := against(ctx, "ib_write_lat", "-s", strconv.Itoa(smallSize), "-n", strconv.Itoa(smallMany))
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(out) {
			f := strings.Fields(line)
			if len(f) < 5 || f[0] != strconv.Itoa(smallSize) {
				continue
			}
			if us, err := strconv.ParseFloat(f[4], 64); err == nil && us > 0 {
				return us, nil
			}
		}
	}
	return 0, errors.New("ib_write_lat finds no latency")
}

// pings sends chunks of 4 KiB, each when the one before is answered, over one
// session, and returns how long each took to land.
func (e *edges) pings(ctx context.Context, n int) ([]time.Duration, error) {
	p := &pinger{sink: sink{e.to, smallSize}, mem: e.mem, many: n, next: make(chan struct{}, 1)}
	p.next <- struct{}{}
	_, out, end, err := e.open(ctx, p, smallSize)
	if err != nil {
		return nil, err
	}
	defer end()
	before := e.dst.Accounts()[0]
	if err := out.Run(ctx, p); err != nil {
		return nil, err
	}
	after := e.dst.Accounts()[0]
	fmt.Printf("of each, the target looked %.1f times and was woken %.2f times\n", float64(after.Polls-before.Polls)/float64(n), float64(after.Waits-before.Waits)/float64(n))
	return p.took[n/10:], nil // the first ones find everything cold
}

// pinger is the feed and the sink of such a session.
type pinger struct {
	sink
	mem  []byte
	many int
	next chan struct{}

	mu    sync.Mutex
	count uint64
	start time.Time
	took  []time.Duration
}

func (p *pinger) Next(ctx context.Context, _ int) (*transport.Chunk, error) {
	select {
	case <-p.next:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.took) == p.many {
		p.next <- struct{}{} // for the other streams
		return nil, io.EOF
	}
	p.count++
	c := piece(p.count, p.mem, smallSize, true)
	p.start = time.Now()
	return c, nil
}

func (p *pinger) Landed(ctx context.Context, seq uint64, a []transport.Arrival) []transport.Verdict {
	p.mu.Lock()
	p.took = append(p.took, time.Since(p.start))
	p.mu.Unlock()
	return p.sink.Landed(ctx, seq, a)
}

func (p *pinger) Done(*transport.Chunk, []transport.Verdict) { p.next <- struct{}{} }
