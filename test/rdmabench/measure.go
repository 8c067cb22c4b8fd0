package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// run is one measurement.
type run struct {
	wall      time.Duration
	cpu       load
	bytes     int64
	crossings int64 // into C; 0 is not known
	events    int64 // completions
}

func (r run) rate() float64  { return float64(r.bytes) / r.wall.Seconds() / 1e6 } // MB/s
func (r run) cost() float64  { return r.cpu.process.Seconds() / (float64(r.bytes) / 1e9) }
func (r run) whole() float64 { return r.cpu.machine.Seconds() / (float64(r.bytes) / 1e9) }

// contender moves o.mib MiB.
type contender struct {
	name string
	move func(ctx context.Context) (run, error)
	runs []run
}

// measure runs all of them in turn and prints the table.
func measure(ctx context.Context, o options) error {
	if o.small {
		e, err := newEdges(o, true, true)
		if err != nil {
			return err
		}
		defer e.close()
		return latencies(ctx, o, e)
	}
	begin, err := overhead(ctx)
	if err != nil {
		return err
	}
	all := []*contender{{name: "ib_write_bw, 1 MiB messages", move: func(ctx context.Context) (run, error) {
		r, err := perftest(ctx, o.mib)
		r.cpu = r.cpu.less(begin)
		return r, err
	}}}
	var small *edges
	for i := range 4 {
		verify, inPlace := i%2 == 0, i < 2
		e, err := newEdges(o, verify, inPlace)
		if err != nil {
			return err
		}
		defer e.close()
		name := "transport, memory to memory"
		if inPlace {
			name = "transport, memory in place"
		}
		if !verify {
			name += ", without digests"
		}
		all = append(all, &contender{name: name, move: e.move})
		if verify && inPlace {
			small = e
		}
	}
	if o.file {
		f, err := newFiles(o)
		if err != nil {
			return err
		}
		defer f.close()
		all = append(all, &contender{name: "file to file on tmpfs alone, no network", move: f.move})
		for _, verify := range []string{"wire", "none"} {
			d, err := newDaemons(ctx, o, verify)
			if err != nil {
				return err
			}
			defer d.close()
			name := "xferd, file to file on tmpfs"
			if verify == "none" {
				name += ", --verify=none"
			}
			all = append(all, &contender{name: name, move: d.move})
		}
	}
	for round := range o.rounds {
		for i := range all {
			c := all[(i+round)%len(all)] // nobody is always first
			r, err := c.move(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			c.runs = append(c.runs, r)
			fmt.Printf("round %d: %-48s %6.1f MB/s, CPU s/GB %.2f of both ends, %.2f of the machine\n", round+1, c.name, r.rate(), r.cost(), r.whole())
		}
	}
	floor := all[0]
	fmt.Printf("\nmedians of %d, %d MiB each, side by side on one emulated device\n\n", o.rounds, o.mib)
	fmt.Printf("| %-48s | MB/s  | of it | CPU s/GB, both ends | of it | machine | of it | completions per crossing |\n", "")
	fmt.Printf("| %s | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n", "---")
	for _, c := range all {
		rate, cost, whole := median(c.runs, run.rate), median(c.runs, run.cost), median(c.runs, run.whole)
		per := "-"
		if c.runs[0].crossings > 0 {
			per = fmt.Sprintf("%.2f", median(c.runs, func(r run) float64 { return float64(r.events) / float64(r.crossings) }))
		}
		fmt.Printf("| %-48s | %5.1f | %5.2f | %19.2f | %5s | %7.2f | %5s | %s |\n", c.name, rate, rate/median(floor.runs, run.rate),
			cost, ratio(cost, median(floor.runs, run.cost)), whole, ratio(whole, median(floor.runs, run.whole)), per)
	}
	fmt.Println("\nCPU time of both ends is that of their processes; the machine's has the kernel's work on packets too.\n" +
		"That of ib_write_bw is without its start, those of the transport are without the set-up of sessions.\n" +
		"Crossings are all calls into C: posts, polls and waits.")
	return latencies(ctx, o, small)
}

// ratio is empty where so little was moved that only its start was measured.
func ratio(of, to float64) string {
	if to <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", of/to)
}

func median(runs []run, of func(run) float64) float64 {
	v := make([]float64, len(runs))
	for i, r := range runs {
		v[i] = of(r)
	}
	slices.Sort(v)
	return v[len(v)/2]
}
