package receiver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// crash makes the journal of a transfer look as a kill -9 at some point leaves
// it: write gets the journal of an attempt that was never ended.
func (g *rig) crash(write func(j *journal, names tempNames)) transfer.UID {
	g.t.Helper()
	uid := transfer.NewUID()
	m := g.request("x", func(m *transfer.Open) { m.UID = uid })
	root, rel, err := g.exp.Resolve(m.Dest, true)
	if err != nil {
		g.t.Fatal(err)
	}
	c, err := newCover(root, rel, nil, false)
	if err != nil {
		g.t.Fatal(err)
	}
	if terr := g.takeLock(context.Background(), m, &c); terr != nil {
		g.t.Fatal(terr)
	}
	j, err := g.journals.get(uid, true)
	if err != nil {
		g.t.Fatal(err)
	}
	names := newTempNames(uid, m.Epoch, 77)
	begin := attemptFrame{Epoch: m.Epoch, Temps: names.prefix, ChunkSize: testChunk, Source: "n1"}
	g.frame(j, frameAttempt, begin.append(nil))
	write(j, names)
	j.Close()
	return uid
}

func (g *rig) frame(j *journal, typ uint8, payload []byte) {
	g.t.Helper()
	if _, err := j.append(typ, payload); err != nil {
		g.t.Fatal(err)
	}
}

func (g *rig) ino(rel string) uint64 {
	g.t.Helper()
	root, _, _ := g.exp.Resolve(g.dir, false)
	info, err := root.Lstat(rel)
	if err != nil {
		g.t.Fatal(err)
	}
	return info.Ino
}

func TestRecovery(t *testing.T) {
	tests := map[string]func(g *rig) (uid transfer.UID, check func()){
		"small temp that was named only": func(g *rig) (transfer.UID, func()) {
			uid := g.crash(func(j *journal, n tempNames) {
				g.frame(j, frameTemps, appendTemps(nil, []smallTemp{{Entry: 1, Dir: g.dir, Temp: 1, Final: "f"}, {Entry: 2, Dir: g.dir, Temp: 2, Final: "g"}}))
				g.write(n.name(1), []byte("part"), testTime)
			})
			return uid, func() { g.wantNoTemps() }
		},
		"committing, not renamed: the old file stays": func(g *rig) (transfer.UID, func()) {
			g.write("f", []byte("old"), testTime)
			uid := g.crash(func(j *journal, n tempNames) {
				g.frame(j, frameTemps, appendTemps(nil, []smallTemp{{Entry: 1, Dir: g.dir, Temp: 1, Final: "f"}}))
				g.write(n.name(1), []byte("new"), testTime)
				g.frame(j, frameCommitting, appendTemps(nil, []smallTemp{{Entry: 1, Dir: g.dir, Temp: 1, Ino: g.ino(n.name(1)), Final: "f"}}))
			})
			return uid, func() { g.wantNoTemps(); g.wantFile("f", []byte("old")) }
		},
		"P5 committing and renamed: the new file stays": func(g *rig) (transfer.UID, func()) {
			uid := g.crash(func(j *journal, n tempNames) {
				g.frame(j, frameTemps, appendTemps(nil, []smallTemp{{Entry: 1, Dir: g.dir, Temp: 1, Final: "f"}}))
				g.write("f", []byte("new"), testTime)
				g.frame(j, frameCommitting, appendTemps(nil, []smallTemp{{Entry: 1, Dir: g.dir, Temp: 1, Ino: g.ino("f"), Final: "f"}}))
			})
			return uid, func() { g.wantFile("f", []byte("new")) }
		},
		"P5 somebody put another file at both names": func(g *rig) (transfer.UID, func()) {
			var temp string
			uid := g.crash(func(j *journal, n tempNames) {
				temp = n.name(1)
				g.frame(j, frameTemps, appendTemps(nil, []smallTemp{{Entry: 1, Dir: g.dir, Temp: 1, Final: "f"}}))
				g.write("f", []byte("theirs"), testTime)
				g.write(temp, []byte("theirs"), testTime)
				g.frame(j, frameCommitting, appendTemps(nil, []smallTemp{{Entry: 1, Dir: g.dir, Temp: 1, Ino: 1 << 60, Final: "f"}}))
			})
			return uid, func() { g.wantFile("f", []byte("theirs")); g.wantFile(temp, []byte("theirs")); os.Remove(g.path(temp)) }
		},
		"large temp without an extent": func(g *rig) (transfer.UID, func()) {
			uid := g.crash(func(j *journal, n tempNames) {
				g.write(n.name(1), make([]byte, 3*testChunk), testTime)
				f := tempFrame{Entry: 1, Name: n.name(1), Ino: g.ino(n.name(1)), Dir: g.dir, Final: "f"}
				g.frame(j, frameTemp, f.append(nil))
			})
			return uid, func() { g.wantNoTemps() }
		},
		"P5 voided temp whose number another file has now": func(g *rig) (transfer.UID, func()) {
			var temp string
			uid := g.crash(func(j *journal, n tempNames) {
				temp = n.name(1)
				g.write(temp, []byte("theirs"), testTime)
				f := tempFrame{Entry: 1, Name: temp, Ino: 1 << 60, Dir: g.dir, Final: "f"}
				g.frame(j, frameTemp, f.append(nil))
				g.frame(j, frameLanded, appendLanded(nil, []landedExtent{{Entry: 1, Length: testChunk}}))
				g.frame(j, frameVoid, appendNumbers(nil, []uint64{1}))
			})
			return uid, func() { g.wantFile(temp, []byte("theirs")); os.Remove(g.path(temp)) }
		},
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			uid, check := prepare(g)
			g.restart()
			check()
			if in := g.Incoming(); len(in) != 1 || in[0].UID != uid {
				t.Errorf("the lock did not survive: %+v", in)
			}
			g.restart() // once more changes nothing
			if err := g.Abandon(t.Context(), uid); err != nil {
				t.Fatal(err)
			}
			g.wantClean()
		})
	}
}

// TestRecoveryOfALiveEdge copies the state of a running edge away, as a crash
// would leave it, and starts on the copy.
func TestRecoveryOfALiveEdge(t *testing.T) {
	g := newRig(t)
	s := regular(0, "big", pattern(4*testChunk, 3))
	m := g.request("d")
	o := g.dial(m)
	o.announce(dir(root, ""), s, regular(0, "small", []byte("x")), dir(0, "empty"))
	o.answer(1)
	o.answer(2)
	o.sendRange(1, transport.Range{Length: 2 * testChunk})
	small := o.extent(2, 0)
	small.Final = false // it has landed, and waits for the owner's word
	o.land(small)

	state, tree := t.TempDir(), t.TempDir()
	copyTree(t, g.state, state)
	copyTree(t, g.dir, tree)
	o.abort(transfer.EndPurge)
	g.stop()
	// The same paths, with the copies in them.
	for from, to := range map[string]string{state: g.state, tree: g.dir} {
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	g.start()
	// The copies have other inodes: nothing is taken for ours but what is known
	// by its name alone, and that is the small one's.
	if n := g.partials(); n != 0 {
		t.Errorf("%d partials of files with other inodes", n)
	}
	if list := g.temps(); len(list) != 1 {
		t.Errorf("temps %q", list)
	} else {
		os.Remove(list[0])
	}
	if err := g.Abandon(t.Context(), m.UID); err != nil {
		t.Fatal(err)
	}
	if exists(g.path("d")) {
		t.Error("P6: directories of its making are left")
	}
	g.wantClean()
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, p)
		dst := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(dst, 0o700)
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return os.WriteFile(dst, b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRecoveryResumes kills nothing either: the journal of an edge is cut off
// from it while the files stay.
func TestRecoveryResumes(t *testing.T) {
	g := newRig(t)
	s := regular(root, "", pattern(4*testChunk, 3))
	var temp string
	uid := g.crash(func(j *journal, n tempNames) {
		temp = n.name(1)
		g.write(temp, append(s.data[:2*testChunk:2*testChunk], make([]byte, 2*testChunk)...), testTime)
		root, _, _ := g.exp.Resolve(g.dir, false)
		info, _ := root.Lstat(temp)
		f := tempFrame{Entry: 0, Name: temp, Dev: info.Dev, Ino: info.Ino, Dir: g.dir, Final: "x", Print: s.Print}
		g.frame(j, frameTemp, f.append(nil))
		o := &owner{sources: []source{s}}
		for i, d := range o.digests(0) {
			// The third and fourth were recorded, and their bytes lost.
			g.frame(j, frameLanded, appendLanded(nil, []landedExtent{{Offset: int64(i) * testChunk, Length: testChunk, Digest: d}}))
		}
	})
	g.restart()
	if g.partials() != 1 {
		t.Fatal("no partial")
	}
	m := g.request("x", func(m *transfer.Open) { m.UID = uid })
	o := g.dial(m)
	o.announce(s)
	a := o.answer(0)
	want := transport.Range{Offset: 2 * testChunk, Length: 2 * testChunk}
	if a.Want != transfer.WantRanges || len(a.Ranges) != 1 || a.Ranges[0] != want {
		t.Fatalf("asked for %+v", a)
	}
	o.sendRange(0, want)
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 0}}})
	o.want(0, transfer.OutcomePublished)
	o.finish()
	g.wantFile("x", s.data)
	g.wantClean()
}

func TestDamagedJournalStopsTheStart(t *testing.T) {
	g := newRig(t)
	g.crash(func(j *journal, n tempNames) { g.frame(j, frameTemps, []byte{0xff}) })
	g.Receiver.Close()
	if _, err := New(context.Background(), g.cfg); !errors.Is(err, errFrame) {
		t.Errorf("%v", err)
	}
}

func TestJournalsOfGoneExports(t *testing.T) {
	g := newRig(t)
	uid := g.crash(func(j *journal, n tempNames) {
		g.frame(j, frameTemps, appendTemps(nil, []smallTemp{{Entry: 1, Dir: "/no/longer/exported", Temp: 1, Final: "f"}}))
	})
	g.restart()
	if err := g.Abandon(t.Context(), uid); err != nil {
		t.Fatal(err)
	}
	g.wantClean()
}

// TestRecoveryOfATakeOver: the node died after a transfer had given another one's
// partial a name of its own, and before the index knew. Nothing needs the journal of
// the other one any more, which is looked at first.
func TestRecoveryOfATakeOver(t *testing.T) {
	g := newRig(t)
	s := regular(root, "", pattern(4*testChunk, 3))
	m := g.request("f", func(m *transfer.Open) { m.UID = transfer.UID{15: 1} }) // before all others
	g.interrupt(m, s, 2, transfer.EndCancel)
	var key string
	var old partialRecord
	if err := g.Receiver.t.partials.All(func(k string, rec partialRecord) error { key, old = k, rec; return nil }); err != nil || key == "" {
		t.Fatalf("no partial: %v", err)
	}
	uid := g.crash(func(j *journal, n tempNames) {
		own := tempFrame{Name: n.name(1), OldName: old.Temp, Dev: old.Dev, Ino: old.Ino, Dir: string(old.Dir), Final: string(old.Final), Print: old.Print}
		g.frame(j, frameTemp, own.append(nil))
		g.frame(j, frameLanded, appendLanded(nil, []landedExtent{{Length: testChunk}, {Offset: testChunk, Length: testChunk}}))
		if err := os.Rename(g.path(old.Temp), g.path(n.name(1))); err != nil {
			t.Fatal(err)
		}
	})
	g.restart()
	if rec, ok, err := g.Receiver.t.partials.Get(key); err != nil || !ok || rec.UID != uid {
		t.Errorf("the partial is %+v, %v", rec, err)
	}
	if uids, err := g.store.LogUIDs(store.Target); err != nil || len(uids) != 1 || uids[0] != uid.String() {
		t.Errorf("journals of %v, %v; only that of %s is needed", uids, err, uid)
	}
	if err := g.dropTransfer(t.Context(), uid, true); err != nil {
		t.Fatal(err)
	}
	g.wantClean()
}
