package nemesis

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// lane is a source and a destination, between which one transfer follows the other.
type lane struct {
	c        *cluster
	name     string
	from, to *node
	mirror   bool  // sync --delete, of a tree whose files come and go
	all      files // that there ever are
	r        *rand.Rand

	version, good int // of the source; the latest that is at the destination as a whole
	runs          int
	ends          []*xferv1.Transfer
	tally         map[string]int
}

func (l *lane) src() string { return filepath.Join(l.from.data(), "src-"+l.name) }
func (l *lane) dst() string { return filepath.Join(l.to.data(), "dst-"+l.name) }

// of are the files of a version.
func (l *lane) of(version int) files {
	if !l.mirror {
		return l.all
	}
	f := files{}
	for name, size := range l.all {
		h := fnv.New32()
		fmt.Fprint(h, name, version)
		if h.Sum32()%4 != 0 {
			f[name] = size
		}
	}
	return f
}

// next makes the source the next version.
func (l *lane) next() error {
	l.version++
	f := l.of(l.version)
	if err := f.writeAll(l.src(), l.version); err != nil {
		return err
	}
	for name := range l.all {
		if _, ok := f[name]; !ok {
			if err := os.Remove(filepath.Join(l.src(), name)); err != nil && !os.IsNotExist(err) {
				return err
			}
		}
	}
	return nil
}

func (l *lane) move() *move {
	l.runs++
	m := l.c.copying(l.from, l.to, fmt.Sprintf("%s-%d", l.name, l.runs), "src-"+l.name, "dst-"+l.name)
	if l.mirror {
		most := int64(len(l.all))
		m.spec.Mode, m.spec.Delete, m.spec.MaxDelete = xferv1.Mode_MODE_SYNC, true, &most
	}
	streams := int32(1 + l.r.IntN(6))
	m.spec.Streams = &streams
	switch l.r.IntN(6) {
	case 0:
		m.spec.Durability = xferv1.Durability_DURABILITY_NONE
	case 1:
		m.spec.Verify = xferv1.Verify_VERIFY_STORE
	case 2:
		m.spec.Compare = xferv1.Compare_COMPARE_CHECKSUM
	}
	return m
}

// what a caller does with a transfer.
var habits = []string{"wait", "wait", "submit again", "cancel", "purge", "pause", "deadline", "change"}

// once runs one transfer and judges it. ctx bounds it.
func (l *lane) once(ctx context.Context, habit string) error {
	if err := l.next(); err != nil {
		return err
	}
	m := l.move()
	if habit == "deadline" {
		m.spec.Deadline = timestamppb.New(time.Now().Add(time.Duration(1+l.r.IntN(20)) * time.Second))
	}
	after := time.Duration(l.r.IntN(3000)) * time.Millisecond
	switch _, err := m.submit(ctx); {
	case errors.Is(err, errLate):
		l.tally[habit+" REFUSED"]++
		return nil
	case err != nil:
		return err
	}
	meddled := make(chan error, 1)
	ended := make(chan struct{})
	go func() { meddled <- l.meddle(ctx, m, habit, after, ended) }() // ends with ended
	t, err := m.end(ctx)
	close(ended)
	if err := errors.Join(err, <-meddled); err != nil {
		return err
	}
	if habit == "change" { // all of it, as it was to be
		l.version++
		if err := l.of(l.version-1).writeAll(l.src(), l.version); err != nil {
			return err
		}
	}
	l.ends = append(l.ends, t)
	l.tally[habit+" "+t.GetState().String()[len("STATE_"):]]++
	if err := l.judge(t, habit); err != nil {
		return fmt.Errorf("%s %s, which ended %v, %v: %w", m.name(), habit, t.GetState(), t.GetError(), err)
	}
	return nil
}

// meddle does what the caller does beside waiting.
func (l *lane) meddle(ctx context.Context, m *move, habit string, after time.Duration, ended <-chan struct{}) error {
	select {
	case <-ended:
		return nil
	case <-time.After(after):
	}
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	switch habit {
	case "submit again":
		_, err := m.submit(ctx)
		return err
	case "cancel", "purge":
		_, _ = m.from.api().CancelTransfer(short, &xferv1.CancelTransferRequest{Name: m.name(), Purge: habit == "purge"})
	case "pause":
		_, _ = m.from.api().PauseTransfer(short, &xferv1.PauseTransferRequest{Name: m.name()})
		for {
			select {
			case <-ended:
				return nil
			case <-time.After(500 * time.Millisecond):
			}
			short, cancel := context.WithTimeout(ctx, 5*time.Second)
			_, _ = m.from.api().ResumeTransfer(short, &xferv1.ResumeTransferRequest{Name: m.name()})
			cancel()
		}
	case "change":
		f := l.of(l.version)
		for name := range f {
			if err := f.write(l.src(), name, l.version+1); err != nil {
				return err
			}
			select {
			case <-ended:
				return nil
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	return nil
}

// judge looks at the destination of a transfer that is over.
func (l *lane) judge(t *xferv1.Transfer, habit string) error {
	if n := t.GetCounters().GetMismatches(); n != 0 {
		return fmt.Errorf("P1: %d extents were damaged", n)
	}
	reason := t.GetError().GetReason()
	switch s := t.GetState(); {
	case s == xferv1.State_STATE_SUCCEEDED && habit == "change":
		l.good = l.version - 1
		f := l.of(l.good)
		return f.among(l.dst(), true, l.good, l.version)
	case s == xferv1.State_STATE_SUCCEEDED:
		l.good = l.version
		return l.of(l.version).equal(l.dst(), l.version)
	case s == xferv1.State_STATE_CANCELLED && (habit == "cancel" || habit == "purge"):
	case s == xferv1.State_STATE_FAILED && habit == "deadline" && reason == "DEADLINE_EXCEEDED":
	case habit == "change" && (s == xferv1.State_STATE_FAILED || s == xferv1.State_STATE_PARTIALLY_SUCCEEDED) && reason == "SOURCE_CHANGED":
	case habit == "change" && s == xferv1.State_STATE_PARTIALLY_SUCCEEDED && reason == "PARTIAL_FAILURE":
	default:
		return errors.New("it had to succeed")
	}
	// Files of every version since the last whole one may be there, each of them whole.
	var versions []int
	for v := l.good; v <= l.version; v++ {
		versions = append(versions, v)
	}
	return l.all.among(l.dst(), l.good > 0 && !l.mirror, versions...)
}

// run runs transfers until the nemesis has done its work.
func (l *lane) run(ctx context.Context, done <-chan struct{}) error {
	for {
		select {
		case <-done:
			return nil
		default:
		}
		if err := l.once(ctx, habits[l.r.IntN(len(habits))]); err != nil {
			return err
		}
	}
}

// settle runs the last one, which has to bring all, and one more, which has to move
// nothing, and looks whether all that ended stays as it was.
func (l *lane) settle(ctx context.Context) error {
	if err := l.once(ctx, "wait"); err != nil {
		return err
	}
	m := l.move()
	if _, err := m.submit(ctx); err != nil {
		return err
	}
	t, err := m.end(ctx)
	if err != nil {
		return err
	}
	c := t.GetCounters()
	if t.GetState() != xferv1.State_STATE_SUCCEEDED || moved(t)+c.GetFilesCopied()+c.GetDirsMade()+c.GetDeleted() != 0 {
		return fmt.Errorf("the same command again was not idle: %v", t)
	}
	for _, was := range l.ends {
		m := &move{c: l.c, from: l.from, id: filepath.Base(was.GetName())}
		is, err := m.get(ctx)
		if err != nil {
			return err
		}
		if is.GetUid() != was.GetUid() || is.GetState() != was.GetState() || !is.GetEndTime().AsTime().Equal(was.GetEndTime().AsTime()) {
			return fmt.Errorf("P3: %s ended twice: %v, and %v", was.GetName(), was, is)
		}
	}
	return l.of(l.version).equal(l.dst(), l.version)
}
