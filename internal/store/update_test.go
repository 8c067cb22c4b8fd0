package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	bolt "go.etcd.io/bbolt"
)

var errMine = errors.New("mine")

func TestUpdateErrorUndoesOnlyItsOwn(t *testing.T) {
	s := mustOpen(t, memDir(t))
	tab := NewTable[int](s, "n")
	// Hold the writer, so that all of them meet in one group.
	s.writer <- struct{}{}
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wg.Go(func() {
			errs[i] = s.Update(t.Context(), func(tx *Tx) error {
				if err := tab.Put(tx, fmt.Sprint(i), i); err != nil {
					return err
				}
				if i%3 == 0 {
					return fmt.Errorf("%w %d", errMine, i)
				}
				return nil
			})
		})
	}
	waitQueue(s, len(errs))
	<-s.writer
	wg.Wait()
	for i, err := range errs {
		_, ok, gerr := tab.Get(fmt.Sprint(i))
		if gerr != nil {
			t.Fatal(gerr)
		}
		if failed := i%3 == 0; errors.Is(err, errMine) != failed || ok == failed || !failed && err != nil {
			t.Errorf("update %d: error %v, value there: %v", i, err, ok)
		}
	}
}

// waitQueue returns when n requests wait.
func waitQueue(s *Store, n int) {
	for {
		s.queue.mu.Lock()
		got := len(s.queue.list)
		s.queue.mu.Unlock()
		if got >= n {
			return
		}
	}
}

func TestUpdateGroups(t *testing.T) {
	s := mustOpen(t, memDir(t))
	tab := NewTable[int](s, "n")
	var commits atomic.Int64
	s.ops.commit = func(tx *bolt.Tx) error {
		commits.Add(1)
		return tx.Commit()
	}
	s.writer <- struct{}{}
	const n = 300
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := s.Update(t.Context(), func(tx *Tx) error { return tab.Put(tx, fmt.Sprint(i), i) }); err != nil {
				t.Error(err)
			}
		})
	}
	waitQueue(s, n)
	<-s.writer
	wg.Wait()
	if got := commits.Load(); got != (n+maxGroup-1)/maxGroup {
		t.Errorf("%d commits for %d waiting updates", got, n)
	}
	count := 0
	if err := tab.All(func(string, int) error { count++; return nil }); err != nil || count != n {
		t.Errorf("%d values, %v", count, err)
	}
}

// A condition that another one of the group makes true or false must be judged
// by what was committed.
func TestUpdateErrorIsTrue(t *testing.T) {
	s := mustOpen(t, memDir(t))
	tab := NewTable[int](s, "n")
	errExists := errors.New("exists")
	s.writer <- struct{}{}
	var wg sync.WaitGroup
	var made atomic.Int64
	for range 50 {
		wg.Go(func() {
			err := s.Update(t.Context(), func(tx *Tx) error {
				if _, ok, err := tab.GetTx(tx, "one"); err != nil {
					return err
				} else if ok {
					return errExists
				}
				return tab.Put(tx, "one", 1)
			})
			switch {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, errExists):
				t.Error(err)
			}
		})
	}
	waitQueue(s, 50)
	<-s.writer
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("made %d times", made.Load())
	}
}

func TestUpdatePanicGoesToItsCaller(t *testing.T) {
	s := mustOpen(t, memDir(t))
	tab := NewTable[int](s, "n")
	s.writer <- struct{}{}
	var wg sync.WaitGroup
	var got any
	wg.Go(func() {
		defer func() { got = recover() }()
		_ = s.Update(t.Context(), func(*Tx) error { panic("boom") })
	})
	wg.Go(func() {
		if err := s.Update(t.Context(), func(tx *Tx) error { return tab.Put(tx, "a", 1) }); err != nil {
			t.Error(err)
		}
	})
	waitQueue(s, 2)
	<-s.writer
	wg.Wait()
	if got != "boom" {
		t.Errorf("recovered %v", got)
	}
	if v, ok, err := tab.Get("a"); v != 1 || !ok || err != nil {
		t.Errorf("got %v %v %v", v, ok, err)
	}
}

func TestUpdateCancelled(t *testing.T) {
	s := mustOpen(t, memDir(t))
	tab := NewTable[int](s, "n")
	ctx, cancel := context.WithCancel(t.Context())
	s.writer <- struct{}{}
	done := make(chan error)
	go func() { done <- s.Update(ctx, func(tx *Tx) error { return tab.Put(tx, "a", 1) }) }()
	waitQueue(s, 1)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-s.writer
	if _, ok, _ := tab.Get("a"); ok {
		t.Error("a cancelled update was made")
	}
	// Once it runs, it is waited for.
	ctx, cancel = context.WithCancel(t.Context())
	err := s.Update(ctx, func(tx *Tx) error { cancel(); return tab.Put(tx, "a", 1) })
	if _, ok, _ := tab.Get("a"); !ok || err != nil {
		t.Errorf("there: %v, error %v", ok, err)
	}
}

func TestCommitFailureIsForGood(t *testing.T) {
	dir := memDir(t)
	s := mustOpen(t, dir)
	tab := NewTable[int](s, "n")
	l, err := s.CreateLog(Target, "u", "l")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(tx *Tx) error { return tab.Put(tx, "kept", 1) }); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("disk gone")
	s.ops.commit = func(tx *bolt.Tx) error { return errors.Join(boom, tx.Rollback()) }
	put := func(tx *Tx) error { return tab.Put(tx, "a", 1) }
	if err := s.Update(t.Context(), put); !errors.Is(err, boom) {
		t.Fatalf("got %v", err)
	}
	select {
	case <-s.Failed():
	default:
		t.Error("not failed")
	}
	s.ops.commit = (*bolt.Tx).Commit
	var fe *FailedError
	for what, err := range map[string]error{
		"update": s.Update(t.Context(), put),
		"get":    func() error { _, _, err := tab.Get("kept"); return err }(),
		"append": func() error { _, err := l.Append(1, nil); return err }(),
		"sync":   l.Sync(t.Context()),
		"remove": s.RemoveLogs(Target, "u"),
	} {
		if !errors.As(err, &fe) || !errors.Is(err, boom) {
			t.Errorf("%s after the failure: %v", what, err)
		}
	}
	if s.Err() == nil || s.Close() != nil || s.Close() != nil {
		t.Error("no error kept, or close fails")
	}
	s = mustOpen(t, dir)
	if v, ok, err := NewTable[int](s, "n").Get("kept"); v != 1 || !ok || err != nil {
		t.Errorf("got %v %v %v", v, ok, err)
	}
	if _, ok, _ := NewTable[int](s, "n").Get("a"); ok {
		t.Error("what was not committed is there")
	}
}

func TestClosed(t *testing.T) {
	s := mustOpen(t, memDir(t))
	tab := NewTable[int](s, "n")
	l, err := s.CreateLog(Target, "u", "l")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, gerr := tab.Get("a")
	_, aerr := l.Append(1, nil)
	for _, err := range []error{s.Update(t.Context(), func(*Tx) error { return nil }), gerr, aerr, l.Sync(t.Context())} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
}
