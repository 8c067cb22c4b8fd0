package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/test/needs"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// listens returns where a daemon takes calls and data.
func (d *daemon) listens(t *testing.T) (control, data string) {
	t.Helper()
	up := regexp.MustCompile(`node is up.* control=(\S+) data=(\S+)`).FindStringSubmatch(d.stderr.String())
	if up == nil {
		t.Fatal("the log does not say where it listens")
	}
	return up[1], up[2]
}

// connections opens n idle connections.
func connections(t *testing.T, n int, to ...string) (hangUp func()) {
	t.Helper()
	var all []net.Conn
	hangUp = func() {
		for _, c := range all {
			c.Close()
		}
		all = nil
	}
	t.Cleanup(hangUp)
	for i := range n {
		c, err := net.Dial("tcp", to[i%len(to)])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return hangUp
}

// Somebody takes all descriptors of a node by connections to its ports. It lives, does
// not spin, and a transfer that runs there is waited for; when they are free again
// everything goes on by itself.
func TestDescriptorsRunOut(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	d := f.daemons[1]
	src, dst := newTree(t, f.daemons[0].data).file("f", 16<<20), filepath.Join(d.data, "f")
	name := c.detach(t, append([]string{"cp", "n1:" + src, "n2:" + dst}, slowly...)...)
	c.landed(t, name, 2<<20)
	used := func() int { return len(must(os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.pid())))(t)) }
	var was unix.Rlimit
	few := unix.Rlimit{Cur: uint64(used() + 8)}
	if err := unix.Prlimit(d.pid(), unix.RLIMIT_NOFILE, nil, &was); err != nil {
		t.Fatal(err)
	}
	few.Max = was.Max
	if err := unix.Prlimit(d.pid(), unix.RLIMIT_NOFILE, &few, nil); err != nil {
		t.Fatal(err)
	}
	stop := traceCalls(t, d.pid(), "-e", "trace=accept4")
	control, data := d.listens(t)
	hangUp := connections(t, 100, control, data)
	eventually(t, "it says that there is none", func() bool {
		return strings.Contains(d.stderr.String(), "too many open files")
	})
	// The other node goes on meanwhile.
	c.ok(t, "cp", "n1:"+src, "n1:"+src+"2")
	if d.ended() {
		t.Fatal("the daemon ended")
	}
	refused := strings.Count(string(must(os.ReadFile(stop()))(t)), "EMFILE")
	if refused == 0 || refused > 2000 { // without a pause it is that many in an instant
		t.Errorf("%d times no connection could be accepted", refused)
	}
	hangUp()
	if tr := c.waitOver(t, name); tr.GetState() != xferv1.State_STATE_SUCCEEDED {
		t.Errorf("%s: %v", tr.GetState(), reasonsOf(tr))
	}
	equal(t, src, dst)
	if err := unix.Prlimit(d.pid(), unix.RLIMIT_NOFILE, &was, nil); err != nil {
		t.Fatal(err)
	}
	c.ok(t, "cp", "n2:"+dst, "n1:"+src+"3")
	noTemps(t, d.data)
}

// A node that may have little memory keeps below it, with hundreds of connections and
// several transfers at a time.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	needs.Root(t)
	group := fmt.Sprintf("/sys/fs/cgroup/memory/xferd-test-%d", os.Getpid())
	if err := os.Mkdir(group, 0o755); err != nil {
		needs.Missing(t, "no cgroup for memory: %v", err)
	}
	t.Cleanup(func() {
		if err := os.Remove(group); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(group, "memory.limit_in_bytes"), []byte("192M"), 0); err != nil {
		needs.Missing(t, "the memory of a process cannot be limited: %v", err)
	}
	// Its files are on a disk: in memory they would count.
	disk := needs.Disk(t, "ext4", 1024)
	c, f := useFarm(t, 1)
	f.wrap = []string{"/bin/sh", "-c", "echo $$ >" + group + `/cgroup.procs; exec "$@"`, "sh"}
	if err := f.add("n2", "--export", disk+":rw", "--buffer-memory", "64MiB"); err != nil {
		t.Fatal(err)
	}
	if err := f.joined(); err != nil {
		t.Fatal(err)
	}
	d := f.daemons[1]
	control, data := d.listens(t)
	connections(t, 512, control, data)
	tree := newTree(t, filepath.Join(f.daemons[0].data, "tree"))
	for i := range 2000 {
		tree.file(fmt.Sprintf("%d/%d", i%20, i), 2000)
	}
	large := newTree(t, f.daemons[0].data).file("large", 64<<20)
	var names []string
	for i := range 4 {
		names = append(names,
			c.detach(t, "cp", "--streams", "8", "n1:"+large, fmt.Sprintf("n2:%s/large%d", disk, i)),
			c.detach(t, "cp", "--durability", "none", "n1:"+tree.root, fmt.Sprintf("n2:%s/tree%d", disk, i)))
	}
	for _, name := range names {
		if tr := c.waitOver(t, name); tr.GetState() != xferv1.State_STATE_SUCCEEDED {
			t.Errorf("%s: %v", tr.GetState(), reasonsOf(tr))
		}
	}
	for i := range 4 {
		equal(t, large, fmt.Sprintf("%s/large%d", disk, i))
		equal(t, tree.root, fmt.Sprintf("%s/tree%d", disk, i))
	}
	peak := strings.TrimSpace(string(must(os.ReadFile(group + "/memory.max_usage_in_bytes"))(t)))
	t.Logf("at most %s bytes, page cache included", peak)
	if kills := string(must(os.ReadFile(group + "/memory.oom_control"))(t)); d.ended() || !strings.Contains(kills, "oom_kill 0") {
		t.Errorf("it was killed: %s", kills)
	}
	if rss := hiWater(t, d.pid()); rss > 192<<20 {
		t.Errorf("%d bytes of its own", rss)
	}
	if err := f.stop(); err != nil { // nothing is in the group, or on the disk, after it
		t.Error(err)
	}
}

// hiWater is the most memory that a process ever had.
func hiWater(t *testing.T, pid int) int64 {
	t.Helper()
	status := string(must(os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)))(t))
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindStringSubmatch(status)
	if m == nil {
		t.Fatal(status)
	}
	return must(strconv.ParseInt(m[1], 10, 64))(t) << 10
}
