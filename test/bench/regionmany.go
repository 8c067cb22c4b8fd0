package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// What there can be very many of, in tables that show whether time and memory grow with
// the number and no faster.
var (
	pieceCounts  = []int64{1000, 10_000, 100_000} // in one transfer
	regionCounts = []int{1000, 10_000}            // on a node
)

const (
	pieceLength   = 2048 // bytes of each piece
	pieceGap      = 4096 // from one to the next
	regionsAtOnce = 16
)

// manyPieces measures transfers of very many pieces of a region, in another order at
// the target.
func manyPieces(ctx context.Context, o options) error {
	fmt.Printf("\n## pieces of %d bytes in one transfer over loopback TCP, median of %d\n\n", pieceLength, o.rounds)
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "pieces\twall\tCPU of both daemons\tCPU of each\tpeak memory of both for each\t")
	for _, count := range pieceCounts {
		// With daemons that did nothing yet, since a heap that grew stays.
		err := withEnds(ctx, o, nil, func(cl *cluster, ends [2]*client.Client) error {
			src, err := makeRegion(ctx, ends[0], "n1", "from", count*pieceGap)
			if err != nil {
				return err
			}
			defer src.Close()
			dst, err := makeRegion(ctx, ends[1], "n2", "to", count*pieceGap)
			if err != nil {
				return err
			}
			defer dst.Close()
			// The regions are not what is counted: from here on all of their pages are
			// mapped, and so in the memory before.
			if err := move(ctx, ends[0], wholeRegion()); err != nil {
				return err
			}
			spec, memory := scattered(count), int64(0)
			var runs []usage
			for range o.rounds {
				before, err := growing(cl.daemons)
				if err != nil {
					return err
				}
				u, err := measure(cl.daemons, "", func(*usage) error { return move(ctx, ends[0], spec) })
				if err != nil {
					return err
				}
				after, err := peaks(cl.daemons)
				if err != nil {
					return err
				}
				runs, memory = append(runs, u), max(memory, after-before)
			}
			wall, cpu := medianOf(runs, func(u usage) time.Duration { return u.wall }), medianOf(runs, func(u usage) time.Duration { return u.cpu })
			fmt.Fprintf(w, "%d\t%v\t%v\t%v\t%d bytes\t\n", count, wall.Round(time.Millisecond), cpu, (cpu / time.Duration(count)).Round(10*time.Nanosecond), memory/count)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

func scattered(count int64) *xferv1.TransferSpec {
	p := &xferv1.Pieces{Regions: []string{"from"}}
	for i := range count {
		p.PathIndex = append(p.PathIndex, 0)
		p.Offset = append(p.Offset, i*pieceGap)
		p.Length = append(p.Length, pieceLength)
		p.DestOffset = append(p.DestOffset, (i*77_777%count)*pieceGap)
	}
	return &xferv1.TransferSpec{Mode: xferv1.Mode_MODE_ASSEMBLE, SourceNode: "n1", Pieces: p, TargetNode: "n2", Destination: client.RegionDestination("to", 0)}
}

// manyRegions makes very many small regions on a node, and looks at all of them.
func manyRegions(ctx context.Context, o options) error {
	most, err := openFiles(regionCounts[len(regionCounts)-1])
	if err != nil {
		return err
	}
	fmt.Printf("\n## regions of one page on a node, made %d at a time\n\n", regionsAtOnce)
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "regions\tmake all\ta second\tlist all\tpeak memory of the daemon for each\t")
	for _, count := range regionCounts {
		count = min(count, most)
		err := withEnds(ctx, o, []string{"--regions-count", strconv.Itoa(most)}, func(cl *cluster, ends [2]*client.Client) error {
			daemons := cl.daemons[1:] // n1 is the last one that was started
			before, err := growing(daemons)
			if err != nil {
				return err
			}
			start := time.Now()
			var made errgroup.Group
			made.SetLimit(regionsAtOnce)
			for i := range count {
				made.Go(func() error {
					_, err := ends[0].CreateRegion(ctx, "n1", fmt.Sprintf("many-%05d", i), &xferv1.Region{SizeBytes: 4096})
					return err
				})
			}
			if err := made.Wait(); err != nil {
				return err
			}
			create := time.Since(start)
			start = time.Now()
			list, _, err := ends[0].ListRegions(ctx, "nodes/n1")
			if err != nil {
				return err
			}
			look := time.Since(start)
			if len(list) != count {
				return fmt.Errorf("%d regions are listed, of %d", len(list), count)
			}
			after, err := peaks(daemons)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%d\t%v\t%.0f\t%v\t%.1f KiB\t\n", count, create.Round(time.Millisecond), float64(count)/create.Seconds(),
				look.Round(time.Millisecond), float64(after-before)/float64(count)/1024)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

// openFiles raises the limit of open files, which the daemons inherit, for so many
// regions, and returns for how many it is enough. A region has two descriptors.
func openFiles(regions int) (int, error) {
	want := uint64(2*regions + 500)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	if limit.Max < want { // the privileged may
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: want, Max: want}); err != nil {
			return int(limit.Max-500) / 2, nil
		}
	}
	return regions, nil
}

// growing returns how much memory daemons have now, in bytes, and lets peaks begin anew.
func growing(daemons []daemon) (now int64, err error) {
	for _, d := range daemons {
		// proc(5): 5 resets the peak.
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", d.pid), []byte("5"), 0); err != nil {
			return 0, err
		}
	}
	return peaks(daemons)
}

// peaks returns the most that daemons had since then.
func peaks(daemons []daemon) (most int64, err error) {
	for _, d := range daemons {
		c, err := d.read()
		if err != nil {
			return 0, err
		}
		most += c.rss
	}
	return most, nil
}
