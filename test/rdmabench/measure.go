package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// run is one measurement.
type run struct {
	wall, cpu time.Duration
	bytes     int64
	crossings int64 // into C; 0 is not known
	events    int64 // completions
}

func (r run) rate() float64 { return float64(r.bytes) / r.wall.Seconds() / 1e6 } // MB/s
func (r run) cost() float64 { return r.cpu.Seconds() / (float64(r.bytes) / 1e9) }

// contender moves o.mib MiB.
type contender struct {
	name string
	move func(ctx context.Context) (run, error)
	runs []run
}

// measure runs all of them in turn and prints the table.
func measure(ctx context.Context, o options) error {
	all := []*contender{{name: "ib_write_bw, 1 MiB messages", move: func(ctx context.Context) (run, error) { return perftest(ctx, o) }}}
	for _, verify := range []bool{true, false} {
		e, err := newEdges(o, verify)
		if err != nil {
			return err
		}
		defer e.close()
		name := "transport, memory to memory"
		if !verify {
			name += ", without digests"
		}
		all = append(all, &contender{name: name, move: e.move})
	}
	if o.file {
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
			fmt.Printf("round %d: %-48s %6.1f MB/s, %.2f CPU s/GB\n", round+1, c.name, r.rate(), r.cost())
		}
	}
	floor := all[0]
	fmt.Printf("\nmedians of %d, %d MiB each, side by side on one emulated device\n\n", o.rounds, o.mib)
	fmt.Printf("| %-48s | MB/s  | of it | CPU s/GB | of it | completions per crossing |\n", "")
	fmt.Printf("| %s | ---: | ---: | ---: | ---: | ---: |\n", "---")
	for _, c := range all {
		rate, cost := median(c.runs, run.rate), median(c.runs, run.cost)
		per := "-"
		if c.runs[0].crossings > 0 {
			per = fmt.Sprintf("%.2f", median(c.runs, func(r run) float64 { return float64(r.events) / float64(r.crossings) }))
		}
		fmt.Printf("| %-48s | %5.1f | %5.2f | %8.2f | %5.2f | %s |\n", c.name, rate, rate/median(floor.runs, run.rate), cost, cost/median(floor.runs, run.cost), per)
	}
	fmt.Println("\nCPU time is of both ends. Crossings are all calls into C: posts, polls and waits.")
	return nil
}

func median(runs []run, of func(run) float64) float64 {
	v := make([]float64, len(runs))
	for i, r := range runs {
		v[i] = of(r)
	}
	slices.Sort(v)
	return v[len(v)/2]
}
