package receiver

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testChunk = transfer.MinChunkSize

// rig is a target with one export.
type rig struct {
	t     testing.TB
	dir   string // the export
	state string
	exp   *fsroot.Exports
	store *store.Store
	pool  *bufpool.Pool
	acc   *fakeAcceptor
	cfg   Config
	*Receiver
}

func newRig(t testing.TB, change ...func(*Config)) *rig {
	return newRigAt(t, t.TempDir(), t.TempDir(), change...)
}

func newRigAt(t testing.TB, dir, state string, change ...func(*Config)) *rig {
	t.Helper()
	g := &rig{t: t, dir: dir, state: state}
	g.start(change...)
	t.Cleanup(func() { g.stop() })
	return g
}

func (g *rig) start(change ...func(*Config)) {
	g.t.Helper()
	var err error
	if g.exp, err = fsroot.OpenExports([]fsroot.Export{{Path: g.dir, Mode: fsroot.ReadWrite}}); err != nil {
		g.t.Fatal(err)
	}
	if g.store, err = store.Open(context.Background(), g.state, store.Options{NodeID: "n2", Cluster: "test"}); err != nil {
		g.t.Fatal(err)
	}
	g.pool = bufpool.New(64 << 20)
	g.acc = &fakeAcceptor{sinks: map[transfer.UID]transport.Sink{}}
	g.cfg = Config{
		Node: "n2", Exports: func() *fsroot.Exports { return g.exp }, Store: g.store, Pool: g.pool,
		Acceptors: map[string]transport.Acceptor{transport.TCP: g.acc}, Order: []string{transport.TCP},
		Log: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&g.cfg)
	}
	if g.Receiver, err = New(context.Background(), g.cfg); err != nil {
		g.t.Fatal(err)
	}
}

func (g *rig) stop() {
	g.Receiver.Close()
	if err := g.store.Close(); err != nil {
		g.t.Error(err)
	}
	if err := g.pool.Close(); err != nil {
		g.t.Error(err)
	}
	g.exp.Close()
}

// restart ends the receiver and starts a new one on the same state.
func (g *rig) restart(change ...func(*Config)) {
	g.t.Helper()
	g.stop()
	g.start(change...)
}

func (g *rig) path(rel string) string { return filepath.Join(g.dir, rel) }

// fakeAcceptor hands the sinks to the test, which plays the transport.
type fakeAcceptor struct {
	mu    sync.Mutex
	sinks map[transfer.UID]transport.Sink
	open  int
	// closing, where not nil, runs while a data plane is fenced.
	closing func()
}

func (a *fakeAcceptor) Prepare(_ context.Context, e transport.Edge, s transport.Sink, _ transport.PrepareOptions) (transport.Incoming, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sinks[e.UID] = s
	a.open++
	return &fakeIncoming{a: a}, nil
}

type fakeIncoming struct {
	a    *fakeAcceptor
	once sync.Once
}

func (i *fakeIncoming) Grant() transport.Grant { return transport.Grant{Transport: transport.TCP} }
func (i *fakeIncoming) Stats() transport.Stats { return transport.Stats{Chunks: 1} }
func (i *fakeIncoming) Close() error {
	i.once.Do(func() {
		if i.a.closing != nil {
			i.a.closing()
		}
		i.a.mu.Lock()
		i.a.open--
		i.a.mu.Unlock()
	})
	return nil
}

// Sources.

const testTime = int64(1_700_000_000_123_456_789)

var inode struct {
	sync.Mutex
	n uint64
}

func regular(parent uint64, name string, data []byte) source {
	inode.Lock()
	inode.n++
	n := inode.n
	inode.Unlock()
	return source{
		Entry: transfer.Entry{
			Parent: parent, Name: name, Kind: transfer.KindFile, Size: int64(len(data)),
			Meta:  transfer.Meta{Perm: 0o640, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Mtime: testTime},
			Print: transfer.Fingerprint{Dev: 1, Ino: n, Size: int64(len(data)), Mtime: testTime, Ctime: testTime},
		},
		data: data,
	}
}

func dir(parent uint64, name string) source {
	return source{Entry: transfer.Entry{Parent: parent, Name: name, Kind: transfer.KindDir,
		Meta: transfer.Meta{Perm: 0o750, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Mtime: testTime}}}
}

func endDir(parent uint64) source {
	return source{Entry: transfer.Entry{Parent: parent, Kind: transfer.KindEndDir}}
}

func symlink(parent uint64, name, target string) source {
	return source{Entry: transfer.Entry{Parent: parent, Name: name, Kind: transfer.KindSymlink, Link: target, Meta: transfer.Meta{Perm: 0o777, Mtime: testTime}}}
}

func hardlink(parent uint64, name string, to uint64) source {
	return source{Entry: transfer.Entry{Parent: parent, Name: name, Kind: transfer.KindHardlink, LinkTo: to, Meta: transfer.Meta{Perm: 0o640, Mtime: testTime}}}
}

const root = transfer.NoParent

// pattern makes n bytes that differ from place to place.
func pattern[N int | int64](n N, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>12)*7 + byte(i)*3 + seed
	}
	return b
}

// Checks of the destination.

func (g *rig) wantFile(rel string, data []byte) {
	g.t.Helper()
	got, err := os.ReadFile(g.path(rel))
	if err != nil {
		g.t.Error(err)
	} else if !slices.Equal(got, data) {
		g.t.Errorf("%s has %d bytes, not the %d of the source", rel, len(got), len(data))
	}
}

// temps lists the temporary files of the export.
func (g *rig) temps() (list []string) {
	_ = filepath.WalkDir(g.dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && len(d.Name()) > len(tempPrefix) && d.Name()[:len(tempPrefix)] == tempPrefix {
			list = append(list, p)
		}
		return nil
	})
	return list
}

func (g *rig) wantNoTemps() {
	g.t.Helper()
	if list := g.temps(); len(list) > 0 {
		g.t.Errorf("temporary files are left: %q", list)
	}
}

// wantClean checks that nothing of an ended transfer is remembered but its epoch.
func (g *rig) wantClean() {
	g.t.Helper()
	g.wantNoTemps()
	if in := g.Incoming(); len(in) != 0 {
		g.t.Errorf("still incoming: %+v", in)
	}
	if uids, err := g.store.LogUIDs(store.Target); err != nil || len(uids) != 0 {
		g.t.Errorf("journals are left: %v %v", uids, err)
	}
	if n := g.partials(); n != 0 {
		g.t.Errorf("%d partials are left", n)
	}
	g.acc.mu.Lock()
	defer g.acc.mu.Unlock()
	if g.acc.open != 0 {
		g.t.Errorf("%d data planes are open", g.acc.open)
	}
}

func (g *rig) partials() (n int) {
	_ = g.Receiver.t.partials.All(func(string, partialRecord) error { n++; return nil })
	return n
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
