package fsroot

import (
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	resolveBeneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS
	resolveReal    = resolveBeneath | unix.RESOLVE_NO_SYMLINKS

	dirFlags = unix.O_RDONLY | unix.O_DIRECTORY

	maxHops    = 40 // symbolic links in one resolution; the kernel's own limit
	maxEAGAIN  = 128
	maxRelPath = MaxPath - 1 // PATH_MAX counts the NUL
)

// openat2 resolves path below dirfd. The kernel answers EAGAIN when something
// in the system was renamed while it walked a ".." and it cannot be sure; that
// is tried again a bounded number of times.
func openat2(dirfd int, path string, flags int, resolve uint64) (int, error) {
	if len(path) > maxRelPath {
		return -1, unix.ENAMETOOLONG
	}
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC | unix.O_LARGEFILE), Resolve: resolve}
	for tries := 0; ; {
		fd, err := unix.Openat2(dirfd, path, &how)
		switch err {
		case nil:
			return fd, nil
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			if tries++; tries < maxEAGAIN {
				runtime.Gosched()
				continue
			}
		case unix.EXDEV:
			return -1, ErrEscapes
		case unix.ENOSYS:
			return -1, ErrNoOpenat2
		}
		return -1, err
	}
}

// open resolves rel from the root. flags never create.
func (r *Root) open(rel string, flags int) (int, error) {
	defer runtime.KeepAlive(r)
	path := rel
	if path == "" {
		path = "."
	}
	fd, err := openat2(r.fd, path, flags, resolveBeneath)
	if err != ErrEscapes {
		return fd, err
	}
	// The kernel takes every absolute link for an escape. Those that point into
	// this export are taken step by step.
	return r.walk(rel, flags)
}

// walk resolves rel like open, and takes absolute symbolic links that lead into
// the export. Each step is resolved again from the root's fd and refuses links,
// so a directory that is exchanged for one in the middle ends the walk and does
// not redirect it.
func (r *Root) walk(rel string, flags int) (int, error) {
	done, todo := "", rel // done has no links, or had none when it was looked at
	hops := 0
	for todo != "" {
		var name string
		name, todo, _ = strings.Cut(todo, "/")
		switch name {
		case "", ".":
			continue
		case "..":
			if done == "" {
				return -1, ErrEscapes
			}
			done = parent(done)
			continue
		}
		next := join(done, name)
		if strings.Trim(todo, "/") == "" && flags&unix.O_NOFOLLOW != 0 {
			done = next
			break
		}
		target, err := r.linkAt(next)
		if err != nil {
			return -1, err
		}
		if target == "" {
			done = next
			continue
		}
		if hops++; hops > maxHops {
			return -1, unix.ELOOP
		}
		if target[0] == '/' {
			inside, ok := r.inside(target)
			if !ok {
				return -1, ErrEscapes
			}
			done, target = "", inside
		}
		if todo == "" {
			todo = target
		} else {
			todo = target + "/" + todo
		}
		if len(todo) > maxRelPath {
			return -1, unix.ENAMETOOLONG
		}
	}
	if done == "" {
		done = "."
	}
	resolve := uint64(resolveReal)
	if flags&unix.O_PATH == 0 {
		flags |= unix.O_NOFOLLOW
	}
	return openat2(r.fd, done, flags, resolve)
}

// linkAt returns the target of the symbolic link at rel, "" for anything else.
func (r *Root) linkAt(rel string) (string, error) {
	fd, err := openat2(r.fd, rel, unix.O_PATH|unix.O_NOFOLLOW, resolveReal)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := fstat(fd, &st); err != nil {
		return "", err
	}
	if kindOf(uint32(st.Mode)) != Symlink {
		return "", nil
	}
	return readlink(fd, "")
}

// inside returns the part of an absolute link target that lies below the root,
// by the root's configured path or its real one. A ".." before that point is
// not taken apart: such a target counts as outside.
func (r *Root) inside(target string) (rel string, ok bool) {
	for _, top := range [2]string{r.path, r.real} {
		rest, ok := target, true
		for want := top; want != "" && ok; {
			want = strings.TrimLeft(want, "/")
			if want == "" {
				break
			}
			var a, b string
			a, want, _ = strings.Cut(want, "/")
			b, rest = cutComponent(rest)
			ok = a == b
		}
		if ok {
			return rest, true
		}
	}
	return "", false
}

// cutComponent returns the first real component of a path and what is behind
// it.
func cutComponent(path string) (name, rest string) {
	for {
		path = strings.TrimLeft(path, "/")
		name, rest, _ = strings.Cut(path, "/")
		if name != "." {
			return name, rest
		}
		path = rest
	}
}

func firstComponent(path string) string {
	name, _, _ := strings.Cut(path, "/")
	return name
}

// readlink reads the link name in dirfd, or with "" the link that dirfd is
// (opened by O_PATH).
func readlink(dirfd int, name string) (string, error) {
	var buf [MaxPath]byte
	n, err := unix.Readlinkat(dirfd, name, buf[:])
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}
