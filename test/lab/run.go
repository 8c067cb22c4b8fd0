package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const qemu = "qemu-system-x86_64"

// grace is how long one machine may go on after the other one's command failed.
// Tests shorten it.
var grace = 10 * time.Second

// Running is a job that runs. Its methods may be called from any goroutine.
type Running struct {
	token    string
	work     string // of this run, removed at its end
	out      string
	machines []*machine
	waited   time.Duration
	timeout  time.Duration
	ctx      context.Context
	done     chan struct{}
	unlock   func()
	pauses   sync.WaitGroup

	result Result // valid once done is closed, like err
	err    error
}

// Run runs a job to its end. An error means that a command did not get to its
// end: the machine did not boot or broke down, ctx ended, or the time was over;
// the result then holds what is known. A command that fails is no error, but an
// exit code. When Run returns, no process and no goroutine of it is left.
func Run(ctx context.Context, job Job) (Result, error) {
	r, err := Start(ctx, job)
	if err != nil {
		return Result{ExitCode: -1}, err
	}
	return r.Wait()
}

// Start boots the machines of a job and returns; Wait must be called. It blocks
// for the first preparation and while another run holds the lab.
func Start(ctx context.Context, job Job) (*Running, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	if job, err = job.withDefaults(cwd); err != nil {
		return nil, err
	}
	images, err := prepare(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	waiting := time.Now()
	unlock, err := lock(ctx, images.cache, "boot.lock")
	if err != nil {
		return nil, fmt.Errorf("wait for another run of the lab: %w", err)
	}
	r := &Running{waited: time.Since(waiting), timeout: job.Timeout, done: make(chan struct{}), unlock: unlock}
	ctx, cancel := context.WithTimeout(ctx, job.Timeout)
	r.ctx = ctx
	if err := r.start(ctx, job, images); err != nil {
		cancel()
		r.stop()
		return nil, err
	}
	go func() { // Wait waits for it
		defer close(r.done)
		defer cancel()
		r.finish(ctx)
	}()
	return r, nil
}

func (r *Running) start(ctx context.Context, job Job, images images) error {
	var token [8]byte
	_, _ = rand.Read(token[:])
	r.token = hex.EncodeToString(token[:])
	var err error
	if r.work, err = newWork(images.cache); err != nil {
		return err
	}
	if r.out = filepath.Join(r.work, "out"); job.OutDir != "" {
		if r.out, err = filepath.Abs(job.OutDir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(r.out, ".lab"), 0o755); err != nil {
		return err
	}
	wires, err := newWires(job)
	if err != nil {
		return err
	}
	defer wires.close()
	var out io.Writer = io.Discard
	if job.Output != nil {
		out = &lockedWriter{w: job.Output}
	}
	// All are made before the first line of one can ask for a fault of another.
	for n := range job.VMs {
		r.machines = append(r.machines, &machine{
			role: string(rune('A' + n)), done: make(chan struct{}), exited: make(chan struct{}), code: -1, host: r.host,
		})
	}
	for n, m := range r.machines {
		if err := r.boot(ctx, m, job, images, wires[n], out); err != nil {
			for _, rest := range r.machines[n:] {
				close(rest.done)
			}
			return err
		}
	}
	return nil
}

// finish waits for the commands and makes the result.
func (r *Running) finish(ctx context.Context) {
	first, last := r.machines[0], r.machines[len(r.machines)-1]
	select {
	case <-first.done:
	case <-last.done:
	}
	if first != last {
		for _, pair := range [][2]*machine{{first, last}, {last, first}} {
			if ended, other := pair[0], pair[1]; ended.failed() {
				patience := time.NewTimer(grace)
				select {
				case <-other.done:
				case <-patience.C:
					other.end()
				}
				patience.Stop()
			}
		}
		<-first.done
		<-last.done
	}
	r.err = r.conclude(ctx)
	r.stop()
}

// conclude fills in the result.
func (r *Running) conclude(ctx context.Context) error {
	r.result.Waited = r.waited
	var errs []error
	for _, m := range r.machines {
		res := m.result(r.out)
		r.result.Machines = append(r.result.Machines, res)
		if r.result.ExitCode == 0 {
			r.result.ExitCode = m.code
		}
		if m.code >= 0 {
			continue
		}
		serial, _ := os.ReadFile(m.console)
		said := tail(string(serial), 80)
		switch {
		case m.broken != "":
			errs = append(errs, fmt.Errorf("machine %s: %s\n%s", m.role, m.broken, said))
		case m.err != nil:
			errs = append(errs, fmt.Errorf("%w\n%s", m.err, said))
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			errs = append(errs, fmt.Errorf("machine %s did not finish within %v, after phase %q: %w\n%s", m.role, r.timeout, m.lastPhase(), ctx.Err(), said))
		case ctx.Err() != nil:
			errs = append(errs, ctx.Err())
		default:
			errs = append(errs, fmt.Errorf("machine %s was ended %v after the other one's command failed", m.role, grace))
		}
	}
	return errors.Join(errs...)
}

// stop ends what is left and gives everything back.
func (r *Running) stop() {
	for _, m := range r.machines {
		m.end()
	}
	for _, m := range r.machines {
		<-m.done
	}
	r.pauses.Wait()
	if r.work != "" {
		_ = os.RemoveAll(filepath.Join(r.out, ".lab"))
		_ = os.RemoveAll(r.work)
	}
	r.unlock()
}

// Wait waits for the end of the job; see [Run].
func (r *Running) Wait() (Result, error) {
	<-r.done
	return r.result, r.err
}

// Stop freezes a machine, "A" or "B", as a peer that is silent and not dead.
func (r *Running) Stop(role string) error { return r.signal(role, syscall.SIGSTOP) }

// Continue lets a frozen machine go on. Its clock has not moved.
func (r *Running) Continue(role string) error { return r.signal(role, syscall.SIGCONT) }

func (r *Running) signal(role string, sig os.Signal) error {
	for _, m := range r.machines {
		if m.role == role {
			return m.signal(sig)
		}
	}
	return fmt.Errorf("there is no machine %q", role)
}

// host does what a guest asks for by lab-host. Words that make no sense are the
// job's own fault and are dropped: the script has checked them.
func (r *Running) host(words []string) {
	if len(words) < 2 {
		return
	}
	switch role := words[1]; words[0] {
	case "stop":
		_ = r.Stop(role)
	case "cont":
		_ = r.Continue(role)
	case "pause":
		seconds := 1.0
		if len(words) > 2 {
			if s, err := strconv.ParseFloat(words[2], 64); err == nil {
				seconds = s
			}
		}
		_ = r.Stop(role)
		r.pauses.Go(func() { // ends with the run
			timer := time.NewTimer(time.Duration(seconds * float64(time.Second)))
			defer timer.Stop()
			select {
			case <-timer.C:
				_ = r.Continue(role)
			case <-r.ctx.Done():
			}
		})
	}
}

// failed says whether the machine ended with a command that did not succeed.
func (m *machine) failed() bool {
	select {
	case <-m.done:
		return m.code != 0
	default:
		return false
	}
}

var trouble = regexp.MustCompile(`BUG:|WARNING:|Oops|soft lockup|hung_task|blocked for more than|rcu.*stall|general protection|Call Trace|UBSAN|refcount_t`)

// result is called after done.
func (m *machine) result(out string) MachineResult {
	res := MachineResult{Role: m.role, ExitCode: m.code, Output: m.output.Bytes(), Phases: m.phases}
	for _, p := range m.phases {
		if p.Name == "devices" {
			res.Boot = p.At
		}
		res.Total = p.At
	}
	if log, err := os.ReadFile(filepath.Join(out, ".lab", "kernel-"+m.role)); err == nil {
		res.Kernel = string(log)
	} else if log, err := os.ReadFile(m.console); err == nil {
		res.Kernel = string(log) // it died before it could write more
	}
	for line := range strings.Lines(res.Kernel) {
		if trouble.MatchString(line) {
			res.Trouble = append(res.Trouble, strings.TrimSpace(line))
		}
	}
	return res
}

func (m *machine) lastPhase() string {
	if len(m.phases) == 0 {
		return "start"
	}
	return m.phases[len(m.phases)-1].Name
}

// tail is the end of a log.
func tail(s string, lines int) string {
	all := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// lockedWriter lets both machines write to one place.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
