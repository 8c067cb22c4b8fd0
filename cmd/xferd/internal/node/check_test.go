package node

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xferd/xferd/cmd/xferd/internal/config"
	"github.com/xferd/xferd/cmd/xferd/internal/kernel"
)

// startable is the configuration of a node that starts.
func startable(t *testing.T) config.Config {
	t.Helper()
	dir := t.TempDir()
	c := config.Default()
	c.Name, c.Cluster, c.StateDir = "n1", "test", filepath.Join(dir, "state")
	c.Listen = config.Listen{Control: "127.0.0.1:0", Data: "127.0.0.1:0", Gossip: "127.0.0.1:0"}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	c.Exports = []config.Export{{Path: data, Mode: "rw"}}
	return c
}

// TestOldKernelStopsTheStart: before anything was made.
func TestOldKernelStopsTheStart(t *testing.T) {
	c := startable(t)
	_, err := New(t.Context(), c, Options{Log: slog.New(slog.DiscardHandler), KernelRelease: "5.7.0-generic"})
	if _, old := errors.AsType[*kernel.TooOldError](err); !old {
		t.Fatalf("error %v", err)
	}
	if _, err := os.Stat(c.StateDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state directory was made all the same: %v", err)
	}
}

func TestUnknownKernelIsToldAndStarts(t *testing.T) {
	var log bytes.Buffer
	n, err := New(t.Context(), startable(t), Options{Log: slog.New(slog.NewTextHandler(&log, nil)), KernelRelease: "sandbox", NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	n.closeOpened()
	if !strings.Contains(log.String(), "sandbox") || !strings.Contains(log.String(), "Linux 5.8 or later") {
		t.Errorf("logged %q", &log)
	}
}

// TestSameDirectoryExportedTwice under two names, which only the host can tell.
func TestSameDirectoryExportedTwice(t *testing.T) {
	c := startable(t)
	link := c.Exports[0].Path + ".link"
	if err := os.Symlink(c.Exports[0].Path, link); err != nil {
		t.Fatal(err)
	}
	c.Exports = append(c.Exports, config.Export{Path: link, Mode: "ro"})
	if err := Check(c); err == nil || !strings.Contains(err.Error(), "is the same directory as export") {
		t.Errorf("error %v", err)
	}
}
