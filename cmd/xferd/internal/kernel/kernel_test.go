package kernel

import (
	"errors"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		release string
		why     []string // of a kernel that is too old
	}{
		{"6.1.0-18-amd64", nil},
		{"5.8.0", nil},
		{"5.8", nil},
		{"5.15.0-1044-aws", nil},
		{"5.10-rc3+", nil},
		{"10.0.1", nil},
		{"5.7.19-generic", []string{"syncfs(2)"}},
		{"5.6.0", []string{"syncfs(2)"}},
		{"5.5.19", []string{"syncfs(2)", "openat2(2)"}},
		{"4.18.0-553.el8.x86_64", []string{"syncfs(2)", "openat2(2)"}},
		{"3.10", []string{"syncfs(2)", "openat2(2)"}},
	} {
		err := Check(c.release)
		old, ok := errors.AsType[*TooOldError](err)
		if ok != (c.why != nil) || !ok && err != nil {
			t.Errorf("%s: %v", c.release, err)
			continue
		}
		if ok && len(old.Why) != len(c.why) {
			t.Errorf("%s: %v, want %d reasons", c.release, err, len(c.why))
		}
		for _, w := range append(c.why, c.release, "run Linux 5.8 or later") {
			if ok && !strings.Contains(err.Error(), w) {
				t.Errorf("%s: no %q in: %v", c.release, w, err)
			}
		}
	}
}

func TestCheckOfWhatIsNoRelease(t *testing.T) {
	for _, release := range []string{"", "6", "6.", "x.y", "-1.2", "six.one", ".5"} {
		err := Check(release)
		if _, old := errors.AsType[*TooOldError](err); err == nil || old {
			t.Errorf("%q: %v", release, err)
		}
	}
}

func TestRelease(t *testing.T) {
	r, err := Release()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := parse(r); err != nil {
		t.Error(err)
	}
}
