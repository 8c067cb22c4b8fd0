package needs

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// HugePage is the size of a huge page of those that HugePages gives.
const HugePage = 2 << 20

// HugePages has the kernel keep n huge pages, and none but these, until the end of the
// test. Tests of other processes that call it wait. It needs root.
func HugePages(t testing.TB, n int) {
	t.Helper()
	const pool = "/proc/sys/vm/nr_hugepages"
	Root(t)
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "xferd-hugepages.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Close() })
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	was, err := os.ReadFile(pool)
	if err != nil {
		Missing(t, "no huge pages: %v", err)
	}
	if strings.TrimSpace(string(was)) != "0" {
		Missing(t, "this machine has huge pages of its own, which the test would take")
	}
	t.Cleanup(func() { _ = os.WriteFile(pool, was, 0) })
	if err := os.WriteFile(pool, []byte(strconv.Itoa(n)), 0); err != nil {
		Missing(t, "no huge pages: %v", err)
	}
	if now, _ := os.ReadFile(pool); strings.TrimSpace(string(now)) != strconv.Itoa(n) {
		Missing(t, "the kernel gives %s huge pages, not %d", strings.TrimSpace(string(now)), n)
	}
}
