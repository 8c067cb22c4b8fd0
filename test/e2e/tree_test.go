package e2e

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tree builds files for tests. Its methods end the test on errors.
type tree struct {
	t    testing.TB
	root string
	n    uint64 // each file has other contents
}

func newTree(t testing.TB, root string) *tree {
	t.Helper()
	tr := &tree{t: t, root: root}
	tr.must(os.MkdirAll(root, 0o755))
	return tr
}

func (tr *tree) must(err error) {
	tr.t.Helper()
	if err != nil {
		tr.t.Fatal(err)
	}
}

func (tr *tree) path(name string) string { return filepath.Join(tr.root, name) }

func (tr *tree) dir(name string) string {
	tr.must(os.MkdirAll(tr.path(name), 0o755))
	return tr.path(name)
}

// file makes a file with contents of its own.
func (tr *tree) file(name string, size int) string {
	tr.n++
	tr.must(os.MkdirAll(filepath.Dir(tr.path(name)), 0o755))
	tr.must(os.WriteFile(tr.path(name), random(size, tr.n), 0o644))
	return tr.path(name)
}

func random(size int, seed uint64) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

func (tr *tree) symlink(target, name string) {
	tr.must(os.MkdirAll(filepath.Dir(tr.path(name)), 0o755))
	tr.must(os.Symlink(target, tr.path(name)))
}

// everything is one tree with all that a tree can have. Special files are in
// special/, so that another program can be told to leave them out.
func everything(t testing.TB, root string) *tree {
	tr := newTree(t, root)
	tr.files()
	tr.links()
	tr.sparse()
	tr.names()
	tr.deep()
	tr.special()
	tr.xattrs()
	tr.modes()
	tr.times() // last: everything before changes times
	return tr
}

// files are regular ones of sizes around what matters to the engine.
func (tr *tree) files() {
	for _, size := range []int{0, 1, 4095, 4096, 64<<10 - 1, 64 << 10, 256 << 10, 256<<10 + 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 4 << 20, 4<<20 + 1, 9<<20 + 12345} {
		tr.file(fmt.Sprintf("files/%d", size), size)
	}
	for i := range 300 {
		tr.file(fmt.Sprintf("files/many/%03d", i), i*17)
	}
	tr.dir("empty")
	tr.dir("empties/a/b/c")
	tr.dir("empties/d")
}

func (tr *tree) links() {
	tr.symlink("files/1", "links/dangling")
	tr.symlink("../files/1", "links/relative")
	tr.symlink(tr.path("files/4096"), "links/absolute")
	tr.symlink("..", "links/up")
	tr.symlink("loop", "links/loop")
	tr.symlink("../../../../../../../../etc/passwd", "links/out")
	tr.symlink(strings.Repeat("x/", 2000), "links/long")
	tr.file("hard/one", 5000)
	tr.must(os.Link(tr.path("hard/one"), tr.path("hard/two")))
	tr.dir("hard/sub/deeper")
	tr.must(os.Link(tr.path("hard/one"), tr.path("hard/sub/deeper/three")))
	tr.must(os.Link(tr.path("hard/one"), tr.path("aaa-before"))) // is found before or after
	tr.file("hard/large", 2<<20)
	tr.must(os.Link(tr.path("hard/large"), tr.path("zzz-after")))
	tr.file("hard/empty", 0)
	tr.must(os.Link(tr.path("hard/empty"), tr.path("hard/sub/empty2")))
	// Names of one symbolic link.
	tr.must(os.Link(tr.path("links/relative"), tr.path("links/relative2")))
}

// sparse has files of far more bytes than blocks.
func (tr *tree) sparse() {
	dir := tr.dir("sparse")
	for _, f := range []struct {
		name string
		size int64
		at   []int64
	}{
		{"all-hole", 64 << 20, nil},
		{"data-at-ends", 96 << 20, []int64{0, 96<<20 - 4096}},
		{"data-in-middle", 32<<20 + 77, []int64{16 << 20}},
		{"many-holes", 24 << 20, []int64{1 << 20, 3 << 20, 5<<20 + 4096, 9 << 20, 13 << 20, 21 << 20}},
		{"hole-at-end", 8<<20 + 1, []int64{0}},
		{"small", 200 << 10, []int64{100 << 10}},
	} {
		file, err := os.Create(filepath.Join(dir, f.name))
		tr.must(err)
		tr.must(file.Truncate(f.size))
		for _, off := range f.at {
			tr.n++
			_, err = file.WriteAt(random(4096, tr.n), off)
			tr.must(err)
		}
		tr.must(file.Close())
	}
}

// names are bytes, most of them hostile to someone.
func (tr *tree) names() {
	for _, name := range []string{
		"-rf", "--delete", "with space", " leading", "trailing ", "a:b", "n1:", "new\nline", "tab\ttab", "\x1b[31mred\x1b[0m", "quote'\"`", "$HOME", "*", "?", "[a]", `back\slash`,
		"\xff\xfe", "latin-\xe9", "\xc3", "NUL-less\x01\x7f", "umlaut-\u00fc", "umlaut-u\u0308", "\u202egnp.exe", "...", ".hidden", "~", "#", "%s%n", "CON", "x.tmp",
		strings.Repeat("n", 255), strings.Repeat("\xf0\x9f\x98\x80", 63), ".xferd", "xferd.1",
	} {
		tr.file("names/"+name, 10)
	}
	tr.file("names/dir \xff\n/"+strings.Repeat("d", 255)+"/file", 10)
}

// deep has 70 levels, and one path of nearly 4,000 bytes.
func (tr *tree) deep() {
	tr.file("deep/"+strings.Repeat("d/", 69)+"file", 100)
	const most = 4000
	p := tr.path("long")
	for len(p)+200 < most {
		p += "/" + strings.Repeat("l", 150)
	}
	p += "/" + strings.Repeat("f", most-len(p)-1)
	tr.must(os.MkdirAll(filepath.Dir(p), 0o755))
	tr.must(os.WriteFile(p, []byte("at the end of a long path"), 0o644))
}

// special are the kinds that are skipped unless asked for: 2 of them, and 4 for
// root.
func (tr *tree) special() {
	tr.dir("special")
	tr.must(unix.Mkfifo(tr.path("special/fifo"), 0o640))
	tr.must(unix.Mknod(tr.path("special/socket"), unix.S_IFSOCK|0o755, 0))
	if os.Geteuid() == 0 {
		tr.must(unix.Mknod(tr.path("special/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		tr.must(unix.Mknod(tr.path("special/loop"), unix.S_IFBLK|0o660, int(unix.Mkdev(7, 0))))
	}
}

func (tr *tree) specials() int64 {
	if os.Geteuid() == 0 {
		return 4
	}
	return 2
}

func (tr *tree) modes() {
	modes := []uint32{0o600, 0o400, 0o444, 0o755, 0o777, 0o640, 0o1644, 0o2755, 0o4755, 0o6711}
	if os.Geteuid() == 0 {
		modes = append(modes, 0o000, 0o111, 0o7777)
	}
	for _, m := range modes {
		tr.must(unix.Chmod(tr.file(fmt.Sprintf("modes/f%04o", m), 100), m))
		tr.file(fmt.Sprintf("modes/d%04o/file", m), 10)
		if m&0o500 == 0o500 || os.Geteuid() == 0 {
			tr.must(unix.Chmod(tr.path(fmt.Sprintf("modes/d%04o", m)), m))
		}
	}
	if os.Geteuid() != 0 {
		return
	}
	for i, id := range [][2]int{{0, 0}, {1000, 1000}, {1, 65534}, {4000000000, 3999999999}, {-1, 100}, {100, -1}} {
		tr.must(os.Lchown(tr.file(fmt.Sprintf("owners/f%d", i), 10), id[0], id[1]))
		tr.must(os.Lchown(tr.dir(fmt.Sprintf("owners/d%d", i)), id[0], id[1]))
		tr.symlink("nowhere", fmt.Sprintf("owners/l%d", i))
		tr.must(os.Lchown(tr.path(fmt.Sprintf("owners/l%d", i)), id[0], id[1]))
	}
	// A change of owner clears these bits: they must come after it.
	tr.must(os.Lchown(tr.file("owners/setuid", 10), 1000, 1000))
	tr.must(unix.Chmod(tr.path("owners/setuid"), 0o6755))
}

// times have nanoseconds, of files, links and directories; some lie before 1970
// and after 2038.
func (tr *tree) times() {
	i := int64(0)
	tr.must(filepath.WalkDir(tr.root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i++
		ts := unix.Timespec{Sec: 1500000000 + i*86413%400000000, Nsec: (i * 123456789) % 1000000000}
		switch i % 50 {
		case 7:
			ts.Sec = -12345678
		case 8:
			ts.Sec = 4400000000
		case 9:
			ts = unix.Timespec{}
		}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{Sec: 1}, ts}, unix.AT_SYMLINK_NOFOLLOW)
	}))
}
