package region

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ann = "uid:1001"
	bob = "uid:1002"
	eve = "uid:1003"
)

// home is where a node's state is; it can be opened again as after a restart.
type home struct {
	t     *testing.T
	dir   string
	store *store.Store
	reg   *Registry
	cfg   Config
}

// open opens store and registry.
func (h *home) open() *Registry {
	h.t.Helper()
	s, err := store.Open(context.Background(), h.dir, store.Options{NodeID: "n1", Cluster: "c", Log: slog.New(slog.DiscardHandler), NoSync: true})
	if err != nil {
		h.t.Fatal(err)
	}
	cfg := h.cfg
	cfg.Store, cfg.Log = s, slog.New(slog.DiscardHandler)
	if cfg.Boot == "" {
		cfg.Boot = "boot"
	}
	r, err := Open(context.Background(), cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	h.store, h.reg = s, r
	return r
}

// close is the end of the process, as far as memory and store go.
func (h *home) close() {
	if h.reg == nil {
		return
	}
	_ = h.reg.Close()
	_ = h.store.Close()
	h.reg = nil
}

func (h *home) restart() *Registry {
	h.t.Helper()
	h.close()
	return h.open()
}

func newHome(t *testing.T, cfg Config) *home {
	t.Helper()
	h := &home{t: t, dir: filepath.Join(t.TempDir(), "state"), cfg: cfg}
	h.open()
	t.Cleanup(h.close)
	return h
}

func newRegistry(t *testing.T) *Registry { return newHome(t, Config{}).reg }

func mustCreate(t *testing.T, r *Registry, s Spec) Info {
	t.Helper()
	if s.Principal == "" {
		s.Principal = ann
	}
	if s.Size == 0 {
		s.Size = 2 * PageSize
	}
	info, err := r.Create(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func wantKind(t *testing.T, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("error %v, want one of «%v»", err, kind)
	}
}

// served is a connection of a program to a registry.
type served struct {
	t    *testing.T
	conn *net.UnixConn
	done chan error // what ServeConn returned
	end  context.CancelFunc
}

// connect serves one end of a pair of sockets for a principal.
func connect(t *testing.T, r *Registry, principal string) *served {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		ends[i] = c.(*net.UnixConn)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &served{t: t, conn: ends[0], done: make(chan error, 1), end: cancel}
	go func() { s.done <- r.ServeConn(ctx, ends[1], principal) }()
	t.Cleanup(s.close)
	return s
}

// close leaves, and waits until the registry knows.
func (s *served) close() {
	_ = s.conn.Close()
	s.wait()
}

func (s *served) wait() error {
	s.t.Helper()
	select {
	case err := <-s.done:
		s.done <- err
		return err
	case <-time.After(20 * time.Second):
		s.t.Fatal("ServeConn does not return")
		return nil
	}
}

// ask sends a line with descriptors, and returns the answer with what came along,
// which is closed at the end of the test.
func (s *served) ask(line string, fds ...int) (answer string, files []*os.File) {
	s.t.Helper()
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if _, _, err := s.conn.WriteMsgUnix([]byte(line), oob, nil); err != nil {
		s.t.Fatal(err)
	}
	return s.answer()
}

func (s *served) answer() (string, []*os.File) {
	s.t.Helper()
	_ = s.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf, oob := make([]byte, 4096), make([]byte, 256)
	n, oobn, _, _, err := s.conn.ReadMsgUnix(buf, oob)
	if err != nil && !errors.Is(err, io.EOF) {
		s.t.Fatal(err)
	}
	files, err := passed(oob[:oobn])
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		for _, f := range files {
			_ = f.Close()
		}
	})
	return strings.TrimSuffix(string(buf[:n]), "\n"), files
}

// mapped maps a descriptor, until the end of the test.
func mapped(t *testing.T, f *os.File, size, prot int) []byte {
	t.Helper()
	b, err := unix.Mmap(int(f.Fd()), 0, size, prot, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(b) })
	return b
}

// openFiles counts the descriptors of this process.
func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
