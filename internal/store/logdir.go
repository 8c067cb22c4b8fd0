package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/xferd/xferd/internal/failpoint"
)

// Role is a node's part in a transfer. Where one node has both, their logs are
// apart.
type Role string

const (
	Owner  Role = "owner"
	Target Role = "target"
)

var (
	uidPattern  = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z-]{0,63}$`)
	namePattern = regexp.MustCompile(`^[0-9A-Za-z_][0-9A-Za-z._-]{0,63}$`)
)

const gonePrefix = ".gone."

func (s *Store) transfersDir() string { return filepath.Join(s.dir, "transfers") }

func (s *Store) roleDir(role Role, uid string) (string, error) {
	if role != Owner && role != Target {
		return "", fmt.Errorf("store: unknown role %q", role)
	}
	if !uidPattern.MatchString(uid) {
		return "", fmt.Errorf("store: bad transfer uid %q", uid)
	}
	return filepath.Join(s.transfersDir(), uid, string(role)), nil
}

func (s *Store) logPath(role Role, uid, name string) (string, error) {
	dir, err := s.roleDir(role, uid)
	if err != nil {
		return "", err
	}
	if !namePattern.MatchString(name) {
		return "", fmt.Errorf("store: bad log name %q", name)
	}
	return filepath.Join(dir, name+".log"), nil
}

// LogDir returns the directory of a transfer's logs, making it when there is
// none. Files that can be made again from a log (an index) may be put there,
// under names that do not end in ".log"; they go with RemoveLogs.
func (s *Store) LogDir(role Role, uid string) (string, error) {
	dir, err := s.roleDir(role, uid)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		if isNoSpace(err) {
			err = fmt.Errorf("%w in %s: %w", ErrNoSpace, s.dir, err)
		}
		return "", fmt.Errorf("make log directory: %w", err)
	}
	return dir, nil
}

// RemoveLogs removes all logs of one role of a transfer. Those that are open
// can still be read and appended to; a Sync of them may fail with an error that
// is fs.ErrNotExist. It is no error when there are none.
func (s *Store) RemoveLogs(role Role, uid string) error {
	if err := s.usable(); err != nil {
		return err
	}
	dir, err := s.roleDir(role, uid)
	if err != nil {
		return err
	}
	// All or nothing: a crash in the middle leaves a name that Open sweeps.
	gone := filepath.Join(s.transfersDir(), gonePrefix+uid+"."+string(role))
	if err := os.RemoveAll(gone); err != nil {
		return fmt.Errorf("remove logs: %w", err)
	}
	switch err := os.Rename(dir, gone); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("remove logs: %w", err)
	default:
		failpoint.Hit("store/logs-renamed")
		if err := os.RemoveAll(gone); err != nil {
			return fmt.Errorf("remove logs: %w", err)
		}
	}
	failpoint.Hit("store/logs-removed")
	// The directory of the transfer goes with its last role.
	_ = os.Remove(filepath.Dir(dir))
	return nil
}

// RemoveLog removes one log of a transfer. It is no error when there is none.
func (s *Store) RemoveLog(role Role, uid, name string) error {
	if err := s.usable(); err != nil {
		return err
	}
	path, err := s.logPath(role, uid, name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove log: %w", err)
	}
	return nil
}

// LogUIDs returns the uids of the transfers that have logs of that role, in
// order.
func (s *Store) LogUIDs(role Role) ([]string, error) {
	all, err := s.allLogDirs()
	if err != nil {
		return nil, err
	}
	var uids []string
	for _, uid := range all {
		dir, err := s.roleDir(role, uid)
		if err != nil {
			return nil, err
		}
		if st, err := os.Lstat(dir); err == nil && st.IsDir() {
			uids = append(uids, uid)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list logs: %w", err)
		}
	}
	return uids, nil
}

// LogNames returns the names of the logs of one role of a transfer, in order.
func (s *Store) LogNames(role Role, uid string) ([]string, error) {
	dir, err := s.roleDir(role, uid)
	if err != nil {
		return nil, err
	}
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	var names []string
	for _, e := range list {
		if name, ok := strings.CutSuffix(e.Name(), ".log"); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// allLogDirs returns the uids that have a directory.
func (s *Store) allLogDirs() ([]string, error) {
	list, err := os.ReadDir(s.transfersDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	var uids []string
	for _, e := range list {
		if e.IsDir() && uidPattern.MatchString(e.Name()) {
			uids = append(uids, e.Name())
		}
	}
	return uids, nil
}

// sweep finishes the removals that a crash cut short.
func (s *Store) sweep() error {
	list, err := os.ReadDir(s.transfersDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("state directory: %w", err)
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), gonePrefix) {
			if err := os.RemoveAll(filepath.Join(s.transfersDir(), e.Name())); err != nil {
				return fmt.Errorf("state directory: %w", err)
			}
		}
	}
	return nil
}
