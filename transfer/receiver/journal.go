package receiver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
)

// journalName is the log with everything that a restart, or a later edge, has
// to know of a transfer at the target. It lives from the first edge of the
// transfer until the transfer ended and none of its partials is left.
const journalName = "landed"

// journals hands out the open journals, one handle each: an edge that adopts a
// partial may read the journal that another edge appends to.
type journals struct {
	store *store.Store

	mu   sync.Mutex
	open map[transfer.UID]*journal
}

// journal is one open journal. Its methods may be called from many goroutines.
type journal struct {
	js   *journals
	uid  transfer.UID
	log  *store.Log
	refs int // guarded by js.mu
}

// get opens a journal; with create it is made where there is none. Close gives
// it back.
func (js *journals) get(uid transfer.UID, create bool) (*journal, error) {
	js.mu.Lock()
	defer js.mu.Unlock()
	if j := js.open[uid]; j != nil {
		j.refs++
		return j, nil
	}
	log, err := js.store.OpenLog(store.Target, uid.String(), journalName)
	if errors.Is(err, fs.ErrNotExist) && create {
		log, err = js.store.CreateLog(store.Target, uid.String(), journalName)
	}
	if err != nil {
		return nil, err
	}
	j := &journal{js: js, uid: uid, log: log, refs: 1}
	js.open[uid] = j
	return j, nil
}

// remove deletes the logs of a transfer. Handles that are open stay usable.
func (js *journals) remove(uid transfer.UID) error {
	return js.store.RemoveLogs(store.Target, uid.String())
}

func (j *journal) Close() error {
	j.js.mu.Lock()
	defer j.js.mu.Unlock()
	if j.refs--; j.refs > 0 {
		return nil
	}
	delete(j.js.open, j.uid)
	return j.log.Close()
}

func (j *journal) append(typ uint8, payload []byte) (int64, error) {
	off, err := j.log.Append(typ, payload)
	return off, stateError(err)
}

// sync makes what was appended durable. It is not cut short: what follows it
// must know.
func (j *journal) sync(ctx context.Context) error {
	return stateError(j.log.Sync(context.WithoutCancel(ctx)))
}

// stateOver says that the state takes nothing more in this life of the daemon, which
// ends. A transfer waits for the next one.
func stateOver(err error) bool {
	_, failed := errors.AsType[*store.FailedError](err)
	return failed || errors.Is(err, store.ErrClosed)
}

// stateError gives an error of the store its reason.
func stateError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNoSpace):
		return &transfer.Error{Reason: transfer.StateNoSpace, Side: transfer.SideTarget, Phase: transfer.PhaseWrite, Err: err,
			Hint: "free space in the target's state_dir"}
	case stateOver(err):
		return &transfer.Error{Reason: transfer.NodeStopping, Side: transfer.SideTarget, Phase: transfer.PhaseWrite, Err: err}
	}
	return fmt.Errorf("journal: %w", err)
}
