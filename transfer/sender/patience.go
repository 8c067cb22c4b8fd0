package sender

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/scan"
)

const (
	// filesPatience is how long a source waits for a descriptor, as the target's
	// temporary files do: others close theirs all the time.
	filesPatience = 5 * time.Second
	firstPatience = 20 * time.Millisecond
	mostPatience  = 500 * time.Millisecond
)

// noDescriptors reports whether the process or the system has no descriptor
// left.
func noDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// patient calls f, which opens something of a source, until that does not fail
// for want of a descriptor. That is no fault of the entry: where the patience
// runs out the edge ends, which closes what it has open, and the transfer tries
// again. It blocks, though not beyond the end of the edge.
func (e *Edge) patient(f func() error) error {
	err := f()
	var waited time.Duration
	for wait := firstPatience; noDescriptors(err); wait = min(2*wait, mostPatience) {
		if waited >= filesPatience {
			err = fmt.Errorf("no descriptor for %v: %w", filesPatience, err)
			e.noFiles(err)
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-e.stopping:
			t.Stop()
			return err
		case <-e.done:
			t.Stop()
			return err
		}
		waited += wait
		err = f()
	}
	return err
}

// noFiles ends the edge for want of descriptors, unless it was asked to end.
func (e *Edge) noFiles(err error) {
	select {
	case <-e.stopping:
		return
	default:
	}
	e.fail(&transfer.Error{
		Reason: transfer.LocalFDLimit, Side: transfer.SideSource, Phase: transfer.PhaseRead, Node: e.cfg.Node, Err: err,
		Hint: "raise LimitNOFILE of the xferd unit",
	})
}

// giveUpSource ends an entry whose source fails, or the edge where it does so
// for want of descriptors only: the target would drop what it has of the entry.
func (e *Edge) giveUpSource(n *entry, err error) {
	if noDescriptors(err) {
		e.noFiles(err)
		return
	}
	e.giveUp(n, e.sourceError(n, err))
}

// fingerprint looks at the source of an entry again.
func (e *Edge) fingerprint(n *entry) (now transfer.Fingerprint, err error) {
	err = e.patient(func() (err error) {
		now, err = e.scanner.Fingerprint(&n.found)
		return err
	})
	return now, err
}

// readSmallLater reads a whole small file when there are descriptors again. It
// is apart from the first try, which must not allocate.
func (e *Edge) readSmallLater(f *scan.Found, b []byte) (n int, info fsroot.Info, err error) {
	err = e.patient(func() (err error) {
		n, info, err = e.dirs.ReadSmall(f.At, b)
		return err
	})
	return n, info, err
}
