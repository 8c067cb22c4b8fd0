package receiver

import (
	"errors"

	"github.com/xferd/xferd/transfer"
)

// causes are the errors of entries that failed, by number: what is in a
// directory, or is another name of a file, fails for the same reason.
type causes map[uint64]*transfer.Error

// maxCauses bounds the memory of causes, to some megabytes. What depends on an
// entry that failed after so many others gets a reason that says no more.
const maxCauses = 1 << 14

// note remembers the end of an entry that others may depend on. The edge's mutex
// is held.
func (c *causes) note(res *transfer.Result) {
	limit := maxCauses / 2 // few files have other names: directories get half of it
	if res.Kind == transfer.KindDir {
		limit = maxCauses
	}
	if res.Err == nil || len(*c) >= limit {
		return
	}
	if *c == nil {
		*c = causes{}
	}
	(*c)[res.Entry] = res.Err
}

// dependent is the error of an entry that cannot be since entry n failed.
// unknown is its reason where that of n is not remembered.
func (e *edge) dependent(n uint64, unknown transfer.Reason, name, why string) *transfer.Error {
	e.mu.Lock()
	c := e.causes[n]
	e.mu.Unlock()
	if c == nil {
		return e.entryError(unknown, name, errors.New(why))
	}
	err := *c
	err.Err, err.Hint = errors.New(why), "" // its hint was given once
	if err.Side == transfer.SideTarget {
		err.Path = name // a source's path is that of the entry that failed
	}
	return &err
}
