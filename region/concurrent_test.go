package region

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Everything at once: what one call may return is any of the errors it documents, no
// two writes of a byte are open at a time, and the generation never falls.
func TestConcurrentUse(t *testing.T) {
	h := newHome(t, Config{Memory: 64 * PageSize, Count: 5})
	r := h.reg
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) })
	const ids, size = 6, 2 * PageSize
	var seen [ids]atomic.Uint64
	var owned [ids][size]atomic.Int32 // by who writes; of one incarnation of a region
	allowed := func(err error, kinds ...error) {
		if err == nil {
			return
		}
		for _, k := range kinds {
			if errors.Is(err, k) {
				return
			}
		}
		t.Errorf("error %v", err)
	}
	write := func(n int) {
		off := rand.Int64N(size)
		list := []Range{{off, rand.Int64N(min(size-off, 64) + 1)}}
		w, err := r.Write(ctx, WriteRequest{Principal: ann, ID: fmt.Sprint(n), Ranges: list})
		allowed(err, ErrNotFound, ErrBusy, ErrGone, ErrDetached, ErrClosed)
		if err != nil {
			return
		}
		for i := list[0].Offset; i < list[0].End(); i++ {
			if owned[n][i].Add(1) != 1 {
				t.Errorf("byte %d of %d has two writers", i, n)
			}
		}
		w.Touched()
		for range rand.IntN(3) {
			g, err := w.Commit(Commit{})
			allowed(err, ErrGone)
			if err == nil {
				for old := seen[n].Load(); g > old && !seen[n].CompareAndSwap(old, g); old = seen[n].Load() {
				}
				allowed(w.Again(), ErrGone)
			}
		}
		for i := list[0].Offset; i < list[0].End(); i++ {
			owned[n][i].Add(-1)
		}
		_ = w.Close()
	}
	var workers sync.WaitGroup
	for range 6 {
		workers.Go(func() {
			for range 150 {
				n := rand.IntN(ids)
				id := fmt.Sprint(n)
				switch rand.IntN(8) {
				case 0:
					_, err := r.Create(ctx, Spec{ID: id, Principal: ann, Size: size, TTL: time.Minute, Foreign: rand.IntN(4) == 0})
					allowed(err, ErrExists, ErrBudget, ErrGone)
				case 1:
					if rand.IntN(4) == 0 {
						allowed(r.Delete(ctx, ann, id, rand.IntN(2) == 0), ErrNotFound, ErrBusy)
					}
				case 2:
					x, err := r.Read(ann, id)
					allowed(err, ErrNotFound, ErrGone, ErrDetached)
					if err == nil {
						_ = x.Memory()[size-1]
						x.Pinned(4096)
						_ = x.Close()
					}
				case 3:
					_, err := r.Update(ctx, ann, id, Change{})
					allowed(err, ErrNotFound, ErrGone)
				case 4:
					_ = r.List(ann, "", 0)
					_ = r.Stats()
				case 5:
					s := connect(t, r, ann)
					_, _ = s.ask(Greeting + " attach " + id + " rw\n")
					s.close()
				default:
					write(n)
				}
			}
		})
	}
	workers.Wait()
	stop()
	running.Wait()
	for _, info := range r.List("", "", 0) {
		if info.OpenWrites != 0 || info.Attached != 0 || info.Pinned != 0 {
			t.Errorf("left behind: %+v", info)
		}
		if err := r.Delete(context.Background(), "", info.ID, false); err != nil {
			t.Error(err)
		}
	}
	if s := r.Stats(); s.Regions != 0 || s.Bytes != 0 {
		t.Errorf("left behind: %+v", s)
	}
	rows := 0
	_ = r.writes.All(func(string, openRecord) error { rows++; return nil })
	_ = r.table.All(func(string, record) error { rows++; return nil })
	if rows != 0 {
		t.Errorf("%d rows are left in the store", rows)
	}
}

// Whatever a program says, it gets an answer or an end, and nothing stays open.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		Greeting + " attach x rw\n", Greeting + " attach x r", Greeting + " offer x\n", Greeting + "\n", "X", "\n", Greeting + " attach  rw\n",
		Greeting + " attach x rw\nmore", Greeting + " attach \x00 r\n", Greeting + " offer x y z\n",
	} {
		f.Add([]byte(s), 0)
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, fds int) {
		r := newRegistry(t)
		mustCreate(t, r, Spec{ID: "x"})
		before := openFiles(t)
		s := connect(t, r, ann)
		var rights []int
		for range min(max(fds, 0), 20) {
			rights = append(rights, int(testMemfd(t, PageSize, 0).Fd()))
		}
		if len(b) > 0 {
			var oob []byte
			if len(rights) > 0 {
				oob = unix.UnixRights(rights...)
			}
			_, _, _ = s.conn.WriteMsgUnix(b, oob, nil)
		}
		_ = s.conn.CloseWrite()
		_ = s.wait()
		s.close()
		if n := openFiles(t); n > before+len(rights)+2 {
			t.Errorf("%d descriptors, %d before", n, before)
		}
		if info, err := r.Get(ann, "x"); err != nil || info.Attached != 0 {
			t.Errorf("%+v, %v", info, err)
		}
	})
}
