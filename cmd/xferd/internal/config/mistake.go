package config

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// Mistake is one thing that is wrong with a configuration.
type Mistake struct {
	// Where it was set: FILE:LINE:COLUMN, a flag or an environment variable.
	// FILE alone where nothing set it, and empty where there is no file.
	Where string
	Key   string // as in the file, with dots; exports[1] is the second of a list. Empty: all of the file
	Err   error  // what is wrong, and what to write instead
}

// Error is one line that is fit for a terminal, whatever the file has in it.
func (m *Mistake) Error() string {
	text := m.Err.Error()
	if m.Key != "" {
		text = m.Key + ": " + text
	}
	if m.Where != "" {
		text = m.Where + ": " + text
	}
	return told(text)
}

// Unwrap returns what is wrong.
func (m *Mistake) Unwrap() error { return m.Err }

// Wrong returns the mistake of a key, with the place where that was set. Of a key
// that nothing set it is that of the list that it is part of, or the file.
func (c *Config) Wrong(key string, err error) *Mistake {
	list, _, _ := strings.Cut(key, "[")
	if where := cmp.Or(c.Origins[key], c.Origins[list]); where != "" {
		return &Mistake{Where: where, Key: key, Err: err}
	}
	return &Mistake{Where: c.Origins[""], Key: key, Err: fmt.Errorf("%w (it is not set; this is about its default)", err)}
}

// Each takes joined errors apart.
func Each(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, Each(e)...)
	}
	return all
}

// unreadable is a file that tells nothing about its keys.
type unreadable struct{ error }

func (u unreadable) Unwrap() error { return u.error }

// Unreadable reports whether err of Load is about a file that could not be read
// as YAML at all, so that nothing else is known of what was configured.
func Unreadable(err error) bool {
	_, ok := errors.AsType[unreadable](err)
	return ok
}

// JoinByKey joins mistakes. A key that is wrong in an earlier error is not told
// again from a later one, which may only be what follows from the first.
func JoinByKey(errs ...error) error {
	var all []error
	known := map[string]bool{}
	for _, err := range errs {
		if err == nil {
			continue
		}
		var keys []string
		for _, e := range Each(err) {
			if m, ok := errors.AsType[*Mistake](e); ok && m.Key != "" {
				if known[m.Key] && !strings.HasPrefix(m.Key, "exports[") { // those have a path and a mode
					continue
				}
				keys = append(keys, m.Key)
			}
			all = append(all, e)
		}
		for _, k := range keys {
			known[k] = true
		}
	}
	return errors.Join(all...)
}

// element is the key of one value of a list.
func element(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }
