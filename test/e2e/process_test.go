package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait: nothing takes so long that is not broken.
const patience = 60 * time.Second

// buffer collects what a process writes.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// process is a program that runs beside the test. It dies with the test binary
// in any case.
type process struct {
	title          string
	cmd            *exec.Cmd
	stdout, stderr buffer
	done           chan struct{} // closed when it ended
	state          *os.ProcessState
	stopping       bool // a SIGTERM is under way
	killed         bool // by the test
}

// start runs a program. Stop it, or wait for its end.
func start(name string, env []string, program string, args ...string) (*process, error) {
	return startAs(0, name, env, program, args...)
}

// startAs is start as another user, unless uid is 0.
func startAs(uid int, name string, env []string, program string, args ...string) (*process, error) {
	p := &process{title: name, cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if uid != 0 {
		p.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process
		defer close(p.done)
		_ = p.cmd.Wait() // the state says it all
		p.state = p.cmd.ProcessState
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) signal(s syscall.Signal) error {
	if p.ended() {
		return os.ErrProcessDone
	}
	return p.cmd.Process.Signal(s)
}

// wait waits for the end, and returns the exit code as a shell gives it.
func (p *process) wait() (int, error) {
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.signal(syscall.SIGKILL)
		<-p.done
		return 0, fmt.Errorf("%s did not end in %v\n%s%s", p.title, patience, p.stdout.String(), p.stderr.String())
	}
	return exitCode(p.state), nil
}

func exitCode(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}

// stop ends a daemon as a service manager does, and checks that it went well.
func (p *process) stop() error {
	if !p.ended() && !p.stopping {
		p.stopping = true // a second SIGTERM would end it at once
		if err := p.signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	code, err := p.wait()
	if p.killed {
		return p.health()
	}
	if err == nil && code != 0 {
		err = fmt.Errorf("%s ended with %d", p.title, code)
	}
	return errors.Join(err, p.health())
}

// kill ends it as a power cut does.
func (p *process) kill() {
	p.killed = true
	_ = p.signal(syscall.SIGKILL)
	<-p.done
}

// health looks for what must never be in a log.
func (p *process) health() error {
	log := p.stderr.String()
	for _, bad := range []string{"panic:", "DATA RACE", "fatal error:", "goroutine "} {
		if at := strings.Index(log, bad); at >= 0 {
			return fmt.Errorf("the log of %s has %q:\n%s", p.title, bad, log[at:min(len(log), at+4000)])
		}
	}
	return nil
}

// keep stops a process at the end of a test, and shows its log where the test
// failed.
func (p *process) keep(t testing.TB) {
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			p.show(t)
		}
	})
}

func (p *process) show(t testing.TB) {
	if log := p.stderr.String(); log != "" {
		t.Logf("log of %s:\n%s", p.title, log[max(0, len(log)-8000):])
	}
}

// eventually waits until ok, which it asks again and again.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !poll(ok) {
		t.Fatalf("waited %v in vain: %s", patience, what)
	}
}

func poll(ok func() bool) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return true
		}
	}
	return ok()
}

var _ io.Writer = (*buffer)(nil)
