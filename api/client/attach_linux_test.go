package client

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeDaemon answers programs on a unix socket as a test tells it to.
type fakeDaemon struct {
	t    *testing.T
	l    *net.UnixListener
	path string
	wg   sync.WaitGroup

	mu     sync.Mutex
	asked  []string
	answer answer
	conns  []*net.UnixConn
}

// answer is what to say to a question, by its number and line, with which descriptors,
// and whether to hold the connection then.
type answer func(n int, line string) (text string, fds []*os.File, hold bool)

// answers sets what to say from now on.
func (d *fakeDaemon) answers(f answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = f
}

func newFakeDaemon(t *testing.T) *fakeDaemon {
	t.Helper()
	d := &fakeDaemon{t: t, path: filepath.Join(t.TempDir(), "s")}
	d.listen()
	t.Cleanup(d.close)
	return d
}

func (d *fakeDaemon) listen() {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.path, Net: "unix"})
	if err != nil {
		d.t.Fatal(err)
	}
	d.l = l
	d.wg.Go(func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			d.mu.Lock()
			d.conns = append(d.conns, c)
			d.mu.Unlock()
			d.wg.Go(func() { d.serve(c) })
		}
	})
}

func (d *fakeDaemon) serve(c *net.UnixConn) {
	defer c.Close()
	buf, oob := make([]byte, 1000), make([]byte, 100)
	n, oobn, _, _, err := c.ReadMsgUnix(buf, oob)
	if err != nil {
		return
	}
	offered := received(oob[:oobn])
	line := strings.TrimSpace(string(buf[:n]))
	if len(offered) > 0 {
		line += " with one"
	}
	for _, f := range offered {
		_ = f.Close()
	}
	d.mu.Lock()
	d.asked = append(d.asked, line)
	text, files, hold := d.answer(len(d.asked), line)
	d.mu.Unlock()
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	_, _, _ = c.WriteMsgUnix([]byte(text), rights, nil)
	if hold {
		_, _ = io.Copy(io.Discard, c)
	}
}

// hangUp ends all connections; the daemon goes on.
func (d *fakeDaemon) hangUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		_ = c.Close()
	}
}

func (d *fakeDaemon) close() {
	_ = d.l.Close()
	d.hangUp()
	d.wg.Wait()
}

func (d *fakeDaemon) dial() *Client {
	d.t.Helper()
	c, err := Dial("unix://"+d.path, Options{})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = c.Close() })
	return c
}

// someMemory is a page, until after a daemon that is made later ended.
func someMemory(t *testing.T) *os.File {
	t.Helper()
	f, err := NewMemory(4096)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// fakePage is a notice page with a mark and a state.
func fakePage(t *testing.T, magic string, state byte) *os.File {
	t.Helper()
	f := someMemory(t)
	_, _ = f.WriteAt([]byte(magic), 0)
	_, _ = f.WriteAt([]byte{state}, pageState)
	return f
}

func TestAttachToOddDaemons(t *testing.T) {
	memory := someMemory(t)
	page, bad := fakePage(t, "XREG", 1), fakePage(t, "none", 1)
	uid := strings.Repeat("0a", 16)
	for name, c := range map[string]struct {
		text   string
		fds    []*os.File
		reason string
	}{
		"refused":         {"error REGION_NOT_FOUND there is none\n", nil, "REGION_NOT_FOUND"},
		"unknown reason":  {"error NEWER_THAN_THIS sorry\n", nil, "NEWER_THAN_THIS"},
		"nonsense":        {"HTTP/1.1 200 OK\n", nil, "PROTOCOL_ERROR"},
		"no size":         {"ok all 0 " + uid + "\n", []*os.File{memory, page}, "PROTOCOL_ERROR"},
		"negative size":   {"ok -4096 0 " + uid + "\n", []*os.File{memory, page}, "PROTOCOL_ERROR"},
		"no descriptors":  {"ok 4096 0 " + uid + "\n", nil, "PROTOCOL_ERROR"},
		"one of them":     {"ok 4096 0 " + uid + "\n", []*os.File{memory}, "PROTOCOL_ERROR"},
		"no notice page":  {"ok 4096 0 " + uid + "\n", []*os.File{memory, bad}, ""},
		"nothing":         {"", nil, ""},
		"half an answer":  {"ok 4096", nil, ""},
		"no memory there": {"ok 4096 0 " + uid + "\n", []*os.File{openNull(t), page}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newFakeDaemon(t)
			d.answers(func(int, string) (string, []*os.File, bool) { return c.text, c.fds, false })
			_, err := d.dial().AttachRegion(t.Context(), "x", AttachOptions{})
			if err == nil || ReasonOf(err) != c.reason || ExitCode(err) == 0 {
				t.Errorf("error %v, reason %q, exit code %d", err, ReasonOf(err), ExitCode(err))
			}
		})
	}
}

func openNull(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestAttachWithoutASocket(t *testing.T) {
	c, err := Dial("127.0.0.1:1", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.AttachRegion(t.Context(), "x", AttachOptions{}); ReasonOf(err) != "INVALID_SPEC" {
		t.Errorf("over TCP: %v", err)
	}
	nobody, err := Dial("unix://"+filepath.Join(t.TempDir(), "s"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	if _, err := nobody.AttachRegion(t.Context(), "x", AttachOptions{}); ExitCode(err) != 10 || !AsError(err).Retryable {
		t.Errorf("nobody there: %v", err)
	}
}

// A daemon that does not answer is waited for as long as the context lasts.
func TestAttachEndsWithItsContext(t *testing.T) {
	d := newFakeDaemon(t)
	ctx, cancel := context.WithCancel(t.Context())
	d.answers(func(int, string) (string, []*os.File, bool) {
		cancel()
		return "", nil, true
	})
	if _, err := d.dial().AttachRegion(ctx, "x", AttachOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// A program that is attached comes back with its memory; one that may only read
// attaches again until somebody brought the memory.
func TestAttachAgain(t *testing.T) {
	for name, o := range map[string]AttachOptions{"writer": {}, "reader": {ReadOnly: true}} {
		t.Run(name, func(t *testing.T) {
			memory := someMemory(t)
			page, later := fakePage(t, "XREG", 1), fakePage(t, "XREG", 1)
			ok := "ok 4096 0 " + strings.Repeat("0a", 16) + "\n"
			d, back := newFakeDaemon(t), make(chan string, 1)
			d.answers(func(n int, line string) (string, []*os.File, bool) {
				switch {
				case n == 1:
					return ok, []*os.File{memory, page}, true
				case n < 4:
					return "error REGION_DETACHED not yet\n", nil, false
				}
				back <- line
				if o.ReadOnly {
					return ok, []*os.File{memory, later}, true
				}
				return ok, []*os.File{later}, true
			})
			var lost sync.WaitGroup
			lost.Add(1)
			o.Lost = func(error) { lost.Done() }
			g, err := d.dial().AttachRegion(t.Context(), "x", o)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			d.hangUp()
			lost.Wait()
			want := greeting + " offer x with one"
			if o.ReadOnly {
				want = greeting + " attach x r"
			}
			if line := <-back; line != want {
				t.Errorf("it asked %q, want %q", line, want)
			}
			_, _ = later.WriteAt([]byte{9}, pageGeneration) // it looks at the new page
			if n, err := g.Wait(t.Context(), 8); err != nil || n != 9 {
				t.Errorf("generation %d, %v", n, err)
			}
		})
	}
}

// A region that is another one by now, or gone, is not waited for.
func TestAttachAgainInVain(t *testing.T) {
	uid := strings.Repeat("0a", 16)
	for name, c := range map[string]struct{ text, reason string }{
		"gone":    {"error REGION_NOT_FOUND there is none\n", "REGION_NOT_FOUND"},
		"another": {"ok 4096 0 " + strings.Repeat("0b", 16) + "\n", "REGION_GONE"},
	} {
		t.Run(name, func(t *testing.T) {
			memory := someMemory(t)
			page := fakePage(t, "XREG", 1)
			d := newFakeDaemon(t)
			d.answers(func(n int, _ string) (string, []*os.File, bool) {
				if n == 1 {
					return "ok 4096 0 " + uid + "\n", []*os.File{memory, page}, true
				}
				return c.text, []*os.File{page}, false
			})
			g, err := d.dial().AttachRegion(t.Context(), "x", AttachOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			d.hangUp()
			if _, err := g.Wait(t.Context(), 0); ReasonOf(err) != c.reason {
				t.Errorf("the wait ended with %v", err)
			}
		})
	}
}

// Close ends a wait for the daemon, also while it is away.
func TestCloseWhileTheDaemonIsAway(t *testing.T) {
	memory := someMemory(t)
	page := fakePage(t, "XREG", 1)
	d := newFakeDaemon(t)
	d.answers(func(int, string) (string, []*os.File, bool) {
		return "ok 4096 0 " + strings.Repeat("0a", 16) + "\n", []*os.File{memory, page}, true
	})
	lost := make(chan struct{})
	g, err := d.dial().AttachRegion(t.Context(), "x", AttachOptions{Lost: func(error) { close(lost) }})
	if err != nil {
		t.Fatal(err)
	}
	d.close()
	<-lost
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.Close()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("Close does not return")
	}
}
