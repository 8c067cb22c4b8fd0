package dev

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// removeTemps removes the temporary files of copies that were not over from an
// export: those of transfers that the node's state has a journal of, and no
// others. It is for state that goes as well: nobody could go on with them.
func removeTemps(state, data string) error {
	journals, err := filepath.Glob(filepath.Join(state, "transfers", "*", "target"))
	if err != nil || len(journals) == 0 {
		return err
	}
	ours := map[string]bool{}
	for _, j := range journals {
		ours[filepath.Base(filepath.Dir(j))] = true
	}
	var errs []error
	err = filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // what cannot be read is not of our making
		}
		rest, ok := strings.CutPrefix(e.Name(), ".xferd.")
		if uid, _, dots := strings.Cut(rest, "."); ok && dots && ours[uid] && e.Type().IsRegular() {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}
