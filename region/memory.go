package region

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapping is the memory of a region: a sealed memfd, mapped once.
type mapping struct {
	f *os.File
	b []byte
}

const (
	sizeSeals    = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW
	maxNUMANodes = 1024
)

// newMemory makes the memory of a region. Every page is there
// when it returns, so that lack of memory is told now and not by SIGBUS later.
func newMemory(ctx context.Context, s Spec) (_ *mapping, err error) {
	flags := unix.MFD_ALLOW_SEALING
	if s.HugePages > 0 {
		flags |= unix.MFD_HUGETLB | bits.TrailingZeros64(uint64(s.HugePages))<<unix.MFD_HUGE_SHIFT
	}
	f, err := memfd("xferd-region", flags)
	if err != nil {
		if s.HugePages > 0 && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENODEV)) {
			return nil, &Error{Kind: ErrUnsupported, ID: s.ID, Err: fmt.Errorf("huge pages of %d bytes: %w", s.HugePages, err)}
		}
		return nil, memoryError(s, "memfd_create", err)
	}
	m := &mapping{f: f}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if err := f.Truncate(s.Size); err != nil {
		return nil, memoryError(s, "ftruncate", err)
	}
	// Whoever gets a descriptor to read can not open it anew to write.
	if err := f.Chmod(0o600); err != nil {
		return nil, memoryError(s, "fchmod", err)
	}
	if err := m.mapIn(s.Size); err != nil {
		return nil, memoryError(s, "mmap", err)
	}
	if s.NUMANode != nil { // the policy goes with the file, not with this mapping alone
		if err := bind(m.b, *s.NUMANode); err != nil {
			return nil, &Error{Kind: ErrUnsupported, ID: s.ID, Field: "region.numa_node", Err: fmt.Errorf("NUMA node %d: %w", *s.NUMANode, err)}
		}
	}
	if err := m.fill(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, memoryError(s, "fallocate", err)
	}
	if err := addSeals(f, sizeSeals|unix.F_SEAL_SEAL); err != nil {
		return nil, memoryError(s, "seal", err)
	}
	return m, nil
}

// memoryError says what is missing, where that is what is wrong.
func memoryError(s Spec, step string, err error) error {
	kind := ErrNoMemory
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		kind = ErrBudget
	}
	if s.HugePages > 0 && errors.Is(err, unix.ENOMEM) {
		err = fmt.Errorf("%w: there are not so many free huge pages of %d bytes: raise vm.nr_hugepages", err, s.HugePages)
	}
	return &Error{Kind: kind, ID: s.ID, Err: fmt.Errorf("%s: %w", step, err)}
}

// memfd makes one that nothing can be run from, where the kernel knows that (6.3).
func memfd(name string, flags int) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(name, flags|unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (m *mapping) mapIn(size int64) (err error) {
	m.b, err = unix.Mmap(int(m.f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err == nil {
		_ = unix.Madvise(m.b, unix.MADV_DONTDUMP) // a core of the daemon has nothing of the programs'
	}
	return err
}

// fillStep is how much is allocated at a time, which takes some tenths of a second.
const fillStep = 1 << 30

// fill makes all pages be there. What they hold stays.
func (m *mapping) fill(ctx context.Context) error {
	size := int64(len(m.b))
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := unix.Fallocate(int(m.f.Fd()), 0, off, min(fillStep, size-off))
		if err == nil {
			off += fillStep
		} else if err != unix.EINTR {
			return err
		}
	}
	return nil
}

func addSeals(f *os.File, seals int) error {
	_, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals)
	return err
}

// bind makes the pages of b come from one NUMA node alone.
func bind(b []byte, node int) error {
	const mpolBind = 2
	var mask [maxNUMANodes / 64]uint64
	mask[node/64] = 1 << (node % 64)
	_, _, errno := unix.Syscall6(unix.SYS_MBIND, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), mpolBind,
		uintptr(unsafe.Pointer(&mask)), maxNUMANodes+1, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// adopt takes memory that a program offers. The descriptor is the caller's still
// when it fails. Errors: ErrFD, ErrNoMemory.
func adopt(ctx context.Context, s Spec, f *os.File) (*mapping, error) {
	bad := func(format string, args ...any) error {
		return &Error{Kind: ErrFD, ID: s.ID, Err: fmt.Errorf(format, args...)}
	}
	// No call before this one can block: the descriptor may be of anything.
	seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if err != nil {
		return nil, bad("it is no memfd: %w", err)
	}
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	switch {
	case err != nil:
		return nil, bad("%w", err)
	case flags&unix.O_ACCMODE != unix.O_RDWR:
		return nil, bad("it is not open for reading and writing")
	case seals&sizeSeals != sizeSeals:
		return nil, bad("it lacks the seals F_SEAL_SHRINK and F_SEAL_GROW: its size could change")
	case seals&(unix.F_SEAL_WRITE|unix.F_SEAL_FUTURE_WRITE) != 0:
		return nil, bad("it is sealed against writing")
	}
	if err := addSeals(f, unix.F_SEAL_SEAL); err != nil && seals&unix.F_SEAL_SEAL == 0 {
		return nil, bad("seal: %w", err)
	}
	// Its size is for good from here on.
	if err := checkSize(s, f); err != nil {
		return nil, err
	}
	if err := keepFromOthers(s, f); err != nil {
		return nil, err
	}
	m := &mapping{f: f}
	if err := m.mapIn(s.Size); err != nil {
		return nil, memoryError(s, "mmap", err)
	}
	if err := m.fill(ctx); err != nil {
		_ = unix.Munmap(m.b)
		return nil, memoryError(s, "fallocate", err)
	}
	return m, nil
}

func checkSize(s Spec, f *os.File) error {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errors.New("it is no memfd")
	}
	if err == nil && st.Size != s.Size {
		err = fmt.Errorf("it has %d bytes, and the region %d", st.Size, s.Size)
	}
	if err != nil {
		return &Error{Kind: ErrFD, ID: s.ID, Err: err}
	}
	return nil
}

// keepFromOthers takes the right to write a memfd, which everybody has by default, from
// all but its owner: who attached to read has it under /proc/self/fd, and could open it
// anew. Of the other bits nobody can make use to write.
func keepFromOthers(s Spec, f *os.File) error {
	const others = unix.S_IWGRP | unix.S_IWOTH
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	if err == nil && st.Mode&others != 0 {
		err = unix.Fchmod(int(f.Fd()), st.Mode&0o777&^others)
	}
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("its mode %#o lets others write, and it is not xferd's to change: fchmod it to %#o before it is offered",
			st.Mode&0o777, 0o644)
	}
	if err != nil {
		return &Error{Kind: ErrFD, ID: s.ID, Err: err}
	}
	return nil
}

// identity says which memory this is, as long as the kernel runs.
func (m *mapping) identity(boot string) identity { return identityOf(m.f, boot) }

func identityOf(f *os.File, boot string) identity {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return identity{}
	}
	return identity{Boot: boot, Dev: uint64(st.Dev), Ino: st.Ino} //nolint:unconvert // 32 bits elsewhere
}

// close gives the memory back; programs that have it keep it. nil is fine.
func (m *mapping) close() {
	if m == nil {
		return
	}
	if m.b != nil {
		_ = unix.Munmap(m.b)
	}
	_ = m.f.Close()
}
