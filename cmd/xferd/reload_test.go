package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xferd/xferd/cmd/xferd/internal/config"
)

// The log says what was taken over, and keeps saying what needs a restart.
func TestReloadTellsWhatChanged(t *testing.T) {
	var log bytes.Buffer
	next, fails := config.Default(), error(nil)
	var applied []int
	r := &reloader{
		log: slog.New(slog.NewTextHandler(&log, nil)), started: next, running: next,
		load: func() (config.Config, error) { return next, nil },
		apply: func(c config.Config) error {
			if fails == nil {
				applied = append(applied, c.Limits.Transfers)
			}
			return fails
		},
	}
	reload := func(want ...string) {
		t.Helper()
		log.Reset()
		r.reload()
		for _, w := range want {
			if !strings.Contains(log.String(), w) {
				t.Errorf("%q is not in\n%s", w, &log)
			}
		}
	}
	next.Limits.Transfers, next.Log.Level, next.BufferMemory = 7, "debug", 1
	reload(`changed="limits.transfers log.level"`, "level=WARN", "keys=buffer_memory")
	reload(`changed=""`, "keys=buffer_memory")
	next.Limits.Transfers, fails = 8, errors.New("no such directory")
	reload("level=ERROR", "no such directory")
	fails = nil
	reload("changed=limits.transfers", "keys=buffer_memory")
	if len(applied) != 3 || applied[0] != 7 || applied[2] != 8 {
		t.Errorf("applied %v", applied)
	}
}

// TestReloadTellsTheMistakes: all of them, in the one line of the log.
func TestReloadTellsTheMistakes(t *testing.T) {
	var log bytes.Buffer
	path := filepath.Join(t.TempDir(), "xferd.yaml")
	if err := os.WriteFile(path, []byte("naem: n1\nlog: {level: loud}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := request{path: path}
	r := &reloader{
		log: slog.New(slog.NewJSONHandler(&log, nil)),
		load: func() (config.Config, error) {
			c, _, err := asked.read()
			return c, inOneLine(err)
		},
	}
	r.reload()
	for _, want := range []string{path + ":1:1: unknown key naem", path + ":2:14: log.level: ", "exports: there is none"} {
		if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in\n%s", want, &log)
		}
	}
}
