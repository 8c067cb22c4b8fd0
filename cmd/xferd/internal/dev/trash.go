package dev

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// trash remembers what the cluster made, to remove exactly that.
type trash struct {
	paths []path
	errs  []error // met before, to be told with those of empty
}

type path struct {
	name string
	all  bool // with everything in it; otherwise only if it is empty, or a file
}

// mkdir makes a directory, and those above it, unless there is one; what was
// made is removed at the end if nobody put anything into it.
func (t *trash) mkdir(name string) error {
	err := os.Mkdir(name, 0o755)
	if up := filepath.Dir(name); errors.Is(err, os.ErrNotExist) && up != name {
		if err := t.mkdir(up); err != nil {
			return err
		}
		err = os.Mkdir(name, 0o755)
	}
	switch {
	case err == nil:
		t.add(name)
	case errors.Is(err, os.ErrExist):
		return nil
	}
	return err
}

func (t *trash) add(name string) { t.paths = append(t.paths, path{name: name}) }

func (t *trash) addAll(name string) { t.paths = append(t.paths, path{name, true}) }

// empty removes what was made, the latest first.
func (t *trash) empty() error {
	errs := t.errs
	for _, p := range slices.Backward(t.paths) {
		var err error
		if p.all {
			err = os.RemoveAll(p.name)
		} else {
			err = os.Remove(p.name)
		}
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
			continue // somebody removed it, or keeps something in it
		}
		errs = append(errs, err)
	}
	t.paths = nil
	return errors.Join(errs...)
}
