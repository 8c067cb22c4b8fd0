package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/xferd/xferd/cmd/xferd/internal/config"
	"github.com/xferd/xferd/cmd/xferd/internal/kernel"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/internal/trust"
)

// Check looks at what a configuration names on this host, without serving or
// making anything: exports, directories, the socket's group, and whether the
// addresses may be listened on. All mistakes are joined, each a *config.Mistake.
func Check(c config.Config) error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, c.Wrong(key, fmt.Errorf(format, args...))) }
	for _, l := range []struct{ key, addr string }{
		{"listen.control", c.Listen.Control}, {"listen.data", c.Listen.Data},
		{"listen.gossip", c.Listen.Gossip}, {"listen.http", c.Listen.HTTP},
	} {
		if l.addr == "" {
			continue
		}
		if err := trust.CheckListen(l.addr, false, c.Insecure); err != nil {
			bad(l.key, "%w", err)
		}
	}
	checkSocket(c, bad)
	if err := checkParent(c.StateDir); err != nil {
		bad("state_dir", "%w", err)
	}
	checkExports(c, bad)
	return errors.Join(errs...)
}

func checkSocket(c config.Config, bad func(key, format string, args ...any)) {
	path := c.Listen.Socket
	if path == "" {
		return
	}
	if n := len(path); n > trust.MaxSocketPath {
		bad("listen.socket", "the path %s has %d bytes, and a unix socket's at most %d: write a shorter one", path, n, trust.MaxSocketPath)
	} else if err := checkParent(filepath.Dir(path)); err != nil {
		bad("listen.socket", "%w", err)
	}
	group := c.Listen.SocketGroup
	if _, err := strconv.ParseUint(group, 10, 31); group == "" || err == nil {
		return
	}
	if _, err := user.LookupGroup(group); err != nil {
		bad("listen.socket_group", "%w: make it (groupadd --system %s), or write one that is there", err, group)
	}
}

// checkParent checks a directory that is made at the start where it is not there.
// Only the last of its components is made: more than that missing is a mistake,
// or a file system that is not mounted.
func checkParent(dir string) error {
	st, err := os.Stat(dir)
	missing := dir
	if errors.Is(err, fs.ErrNotExist) {
		missing = filepath.Dir(dir)
		st, err = os.Stat(missing)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the directory %s is not there: make it (install -d %s), mount it, or write another path", missing, missing)
	case err != nil:
		return err
	case !st.IsDir():
		return fmt.Errorf("%s is not a directory: write the path of one", missing)
	}
	return nil
}

// checkExports opens each export alone, so that all that is wrong is told, and
// then all together.
func checkExports(c config.Config, bad func(key, format string, args ...any)) {
	good := true
	for i, e := range exportList(c) {
		if e.Path == "" { // the configuration tells what is wrong with it
			good = false
			continue
		}
		x, err := fsroot.OpenExports([]fsroot.Export{e})
		if err == nil {
			_ = x.Close()
			continue
		}
		good = false
		key, why := fmt.Sprintf("exports[%d]", i), err
		if p, ok := errors.AsType[*fsroot.PathError](err); ok {
			why = p.Err
		}
		switch {
		case errors.Is(err, syscall.ENOENT):
			bad(key, "the directory %s is not there: make it (install -d %[1]s), or write another path", e.Path)
		case errors.Is(err, syscall.ENOTDIR):
			bad(key, "%s is not a directory: write the path of one", e.Path)
		default:
			bad(key, "%s: %w", e.Path, why)
		}
	}
	if !good {
		return
	}
	x, err := openExports(c)
	if err != nil {
		bad("exports", "%w", err)
		return
	}
	_ = x.Close()
}

func exportList(c config.Config) []fsroot.Export {
	var list []fsroot.Export
	for _, e := range c.Exports {
		m := fsroot.ReadOnly
		if e.Mode == "rw" {
			m = fsroot.ReadWrite
		}
		list = append(list, fsroot.Export{Path: e.Path, Mode: m})
	}
	return list
}

func openExports(c config.Config) (*fsroot.Exports, error) { return fsroot.OpenExports(exportList(c)) }

// checkKernel refuses a kernel on which the promises do not hold. One that does
// not tell what it is gets a warning: it may be good.
func checkKernel(o Options) error {
	release := o.KernelRelease
	if release == "" {
		var err error
		if release, err = kernel.Release(); err != nil {
			return err
		}
	}
	err := kernel.Check(release)
	if _, old := errors.AsType[*kernel.TooOldError](err); err != nil && !old {
		o.Log.Warn("nothing is known of this kernel; Linux 5.8 or later is needed", "err", err)
		return nil
	}
	return err
}
