// Package kernel says whether the running kernel can do what the daemon
// promises. What a release number cannot tell (a filter of system calls, a file
// system without a feature) is found out where it is used.
package kernel

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// floors are what is needed, the newest first: the first one is the floor.
var floors = []struct {
	major, minor int
	why          string
}{
	{5, 8, "before 5.8 syncfs(2) does not tell of write errors, so that a file that was reported as durable could be lost"},
	{5, 6, "before 5.6 there is no openat2(2), without which nothing keeps a transfer inside its export"},
}

// TooOldError is a kernel that the daemon's promises cannot be kept on.
type TooOldError struct {
	Release string
	Why     []string
}

func (e *TooOldError) Error() string {
	return fmt.Sprintf("kernel %s is too old: %s; run Linux %d.%d or later",
		e.Release, strings.Join(e.Why, "; "), floors[0].major, floors[0].minor)
}

// Release returns the release of the running kernel, as uname -r shows it.
func Release() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("uname: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}

// Check looks at a release such as "6.1.0-18-amd64". Errors: *TooOldError, and
// another one for a release that is not understood, which proves nothing.
func Check(release string) error {
	major, minor, err := parse(release)
	if err != nil {
		return err
	}
	old := &TooOldError{Release: release}
	for _, f := range floors {
		if major < f.major || major == f.major && minor < f.minor {
			old.Why = append(old.Why, f.why)
		}
	}
	if len(old.Why) > 0 {
		return old
	}
	return nil
}

func parse(release string) (major, minor int, err error) {
	first, rest, ok := strings.Cut(release, ".")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	major, err = strconv.Atoi(first)
	if err == nil {
		minor, err = strconv.Atoi(rest[:end])
	}
	if !ok || err != nil || major < 0 {
		return 0, 0, fmt.Errorf("the kernel's release %q is not understood", release)
	}
	return major, minor, nil
}
