package lab

import (
	"bytes"
	"fmt"
	"path"
	"strings"
)

// cpioFile is a file of an initramfs. Its directories are made as they are needed.
type cpioFile struct {
	name string // without a leading slash; a directory ends with one
	mode uint32 // permissions
	data []byte
	link string // the target, for a symlink
}

// cpio makes an archive in the form that the kernel unpacks ("newc"), not
// compressed: unpacking costs an emulated processor more than reading. Archives
// can follow one another.
func cpio(files []cpioFile) []byte {
	var b bytes.Buffer
	inode := 0
	entry := func(name string, mode uint32, data []byte) {
		inode++
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
			inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
		pad(&b)
		b.Write(data)
		pad(&b)
	}
	const dir, regular, symlink = 0o040000, 0o100000, 0o120000
	made := map[string]bool{".": true}
	for _, f := range files {
		name, isDir := strings.CutSuffix(f.name, "/")
		var parents []string
		for p := path.Dir(name); !made[p]; p = path.Dir(p) {
			made[p] = true
			parents = append([]string{p}, parents...)
		}
		for _, p := range parents {
			entry(p, dir|0o755, nil)
		}
		switch {
		case f.link != "":
			entry(name, symlink|0o777, []byte(f.link))
		case isDir:
			made[name] = true
			entry(name, dir|f.mode, nil)
		default:
			entry(name, regular|f.mode, f.data)
		}
	}
	entry("TRAILER!!!", 0, nil)
	return b.Bytes()
}

func pad(b *bytes.Buffer) { b.Write(make([]byte, -b.Len()&3)) }
