package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

type maker func(ctx context.Context, o options, dir string) (workload, error)

// compare copies one workload by every contender in turn, round after round.
func compare(ctx context.Context, o options, title, base string, sync bool, mk maker) error {
	root, err := os.MkdirTemp(base, "xferd-bench.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	src := filepath.Join(root, "src")
	if err := os.Mkdir(src, 0o755); err != nil {
		return err
	}
	w, err := mk(ctx, o, src)
	if err != nil {
		return err
	}
	list, out, err := contenders(ctx, o, root, w)
	if err != nil {
		return err
	}
	defer func() {
		for _, c := range list {
			c.stop()
		}
	}()
	runs := make([][]usage, len(list))
	for round := range o.rounds + 1 { // the first one warms up
		for i := 0; i < len(list); i++ {
			c := list[i]
			if round > 0 && len(runs[i]) == 1 && runs[i][0].wall > slow {
				continue // once is enough to see that
			}
			limited, cancel := context.WithTimeout(ctx, tooSlow)
			u, err := once(limited, c, w, root, sync, "")
			cancel()
			switch {
			case err != nil && ctx.Err() == nil && limited.Err() != nil:
				out = append(out, skipped{c.name, fmt.Sprintf("one run took more than %v", tooSlow)})
				c.stop()
				list, runs = slices.Delete(list, i, i+1), slices.Delete(runs, i, i+1)
				i--
				continue
			case err != nil:
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if round > 0 || u.wall > slow {
				runs[i] = append(runs[i], u)
			}
		}
		fmt.Fprintf(os.Stderr, "\r%s: round %d of %d ", title, round, o.rounds)
	}
	fmt.Fprintln(os.Stderr)
	calls := make([]int64, len(list))
	for i, c := range list {
		if len(runs[i]) == 1 {
			calls[i] = -1 // strace would make it slower by a lot
			continue
		}
		if calls[i], err = syscalls(ctx, c, w, root); err != nil {
			fmt.Fprintf(os.Stderr, "system calls of %s: %v\n", c.name, err)
			calls[i] = -1
		}
	}
	report(o, title, w, list, runs, calls, out)
	return nil
}

const (
	slow    = 10 * time.Second // a run that takes longer is not repeated
	tooSlow = 2 * time.Minute  // and this one is given up
)

// once copies into a new directory and checks that everything arrived.
func once(ctx context.Context, c contender, w workload, root string, sync bool, trace string) (usage, error) {
	dst, err := os.MkdirTemp(root, "dst.")
	if err != nil {
		return usage{}, err
	}
	defer os.RemoveAll(dst)
	if err := prepare(w.bytes+w.bytes/8, c.daemons); err != nil {
		return usage{}, err
	}
	u, err := measure(c.daemons, trace, func(u *usage) error {
		if err := c.copy(ctx, u, w, dst); err != nil {
			return err
		}
		if sync {
			return syncFS(dst)
		}
		return nil
	})
	if err != nil {
		return u, err
	}
	if out, err := exec.CommandContext(ctx, "diff", "-rq", w.path, filepath.Join(dst, filepath.Base(w.path))).CombinedOutput(); err != nil {
		return u, fmt.Errorf("the copy differs: %s", out)
	}
	return u, nil
}

func syncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

func report(o options, title string, w workload, list []contender, runs [][]usage, calls []int64, out []skipped) {
	fmt.Printf("\n## %s: %d files, %d MiB, median of %d, of one run where that took more than %v\n\n", title, w.files, w.bytes>>20, o.rounds, slow)
	tw := tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "what\tseconds\tmin\tmax\tGB/s\tfiles/s\tCPU s/GB\tsyscalls/GB\tswitches/GB\tpeak RSS MiB\tspeed of xferd to it\tits CPU to xferd's\tcopies of a byte")
	var base usage
	for i := range list {
		m := medians(runs[i])
		if i == 0 {
			base = m.mid
		}
		gb := float64(w.bytes) / 1e9
		perGB := "-"
		if calls[i] >= 0 {
			perGB = fmt.Sprintf("%.0f", float64(calls[i])/gb)
		}
		fmt.Fprintf(tw, "%s\t%.3f\t%.3f\t%.3f\t%.2f\t%.0f\t%.2f\t%s\t%.0f\t%d\t%.2f\t%.2f\t%s\n",
			list[i].name, m.mid.wall.Seconds(), m.fast.Seconds(), m.slow.Seconds(),
			gb/m.mid.wall.Seconds(), float64(w.files)/m.mid.wall.Seconds(),
			m.mid.cpu.Seconds()/gb, perGB, float64(m.mid.switches)/gb, m.mid.rss>>20,
			m.mid.wall.Seconds()/base.wall.Seconds(), m.mid.cpu.Seconds()/max(base.cpu.Seconds(), 1e-9), list[i].copies)
	}
	_ = tw.Flush()
	for _, s := range out {
		fmt.Printf("left out: %s: %s\n", s.name, s.why)
	}
}

type summary struct {
	mid        usage
	fast, slow time.Duration
}

func medians(runs []usage) (s summary) {
	var wall, cpu []time.Duration
	var switches, rss []int64
	s.fast = runs[0].wall
	for _, r := range runs {
		wall, cpu = append(wall, r.wall), append(cpu, r.cpu)
		switches, rss = append(switches, r.switches), append(rss, r.rss)
		s.fast, s.slow = min(s.fast, r.wall), max(s.slow, r.wall)
	}
	s.mid = usage{wall: median(wall), cpu: median(cpu), switches: median(switches), rss: median(rss)}
	return s
}
