package main

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"

	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"
)

// memoryFloor is the least that memory to memory over TCP can be: one stream,
// sendfile out of a memfd, read into the mapping. Both ends are in this process.
type memoryFloor struct {
	size int64
	src  *os.File
	dst  []byte
}

func newMemoryFloor(size int64) (*memoryFloor, error) {
	fd, err := unix.MemfdCreate("floor", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := &memoryFloor{size: size, src: os.NewFile(uintptr(fd), "floor")}
	buf := make([]byte, floorBlock)
	for off := int64(0); off < size; off += floorBlock {
		for i := range buf {
			buf[i] = byte(off>>20) + byte(i)*7
		}
		if _, err := f.src.WriteAt(buf[:min(floorBlock, size-off)], off); err != nil {
			f.close()
			return nil, err
		}
	}
	if f.dst, err = unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_POPULATE); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *memoryFloor) close() {
	_ = f.src.Close()
	if f.dst != nil {
		_ = unix.Munmap(f.dst)
	}
}

func (f *memoryFloor) run(digest bool) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	sent := make(chan error, 1)
	go func() { sent <- f.send(l.Addr().String(), digest) }()
	c, err := l.Accept()
	if err != nil {
		return errors.Join(err, <-sent)
	}
	defer c.Close()
	h := xxh3.New()
	for off := int64(0); off < f.size && err == nil; off += floorBlock {
		b := f.dst[off:min(off+floorBlock, f.size)]
		if _, err = io.ReadFull(c, b); err == nil && digest {
			_, _ = h.Write(b)
		}
	}
	if digest && err == nil {
		var sum [16]byte
		if _, err = io.ReadFull(c, sum[:]); err == nil && sum != h.Sum128().Bytes() {
			err = errors.New("digests differ")
		}
	}
	return errors.Join(err, <-sent)
}

func (f *memoryFloor) send(addr string, digest bool) error {
	name := "/proc/self/fd/" + strconv.Itoa(int(f.src.Fd()))
	return floorSend(name, addr, digest)
}
