package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/bits"
	"os"
)

// checkPages says whether the structure of a bbolt file is as it should be.
func checkPages(ctx context.Context, path string) error {
	_, err := readPages(ctx, path)
	return err
}

// readPages reads the structure of a bbolt file (version 2 of its format) with
// plain reads, before bbolt maps it: a page that points outside the file would
// otherwise end the process, and a page that is both free and in use would be
// overwritten later. Contents are checked afterwards, see checkRecords.
func readPages(ctx context.Context, path string) (*pageCheck, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open state database: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open state database: %w", err)
	}
	if !st.Mode().IsRegular() {
		return nil, damaged(path, -1, "it is not a regular file")
	}
	c := &pageCheck{ctx: ctx, path: path, f: f, size: st.Size()}
	if err := c.metas(); err != nil {
		return nil, err
	}
	if err := c.freelist(); err != nil {
		return nil, err
	}
	if err := c.tree(c.root, nil, nil, 0); err != nil {
		return nil, err
	}
	for id := uint64(2); id < c.pages; id++ {
		if !c.used.has(id) && !c.free.has(id) {
			return nil, c.bad(id, "page is neither in use nor free")
		}
	}
	return c, nil
}

const (
	pageHead     = 16
	elementSize  = 16
	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10
	maxDepth     = 64
)

type pageSet []uint64

func (p pageSet) has(id uint64) bool { return p[id/64]&(1<<(id%64)) != 0 }
func (p pageSet) add(id uint64)      { p[id/64] |= 1 << (id % 64) }

func (p pageSet) len() (n uint64) {
	for _, w := range p {
		n += uint64(bits.OnesCount64(w))
	}
	return n
}

type pageCheck struct {
	ctx      context.Context
	path     string
	f        *os.File
	size     int64
	pageSize int64
	root     uint64
	freeAt   uint64
	pages    uint64 // the first page that was never used
	used     pageSet
	free     pageSet
}

func (c *pageCheck) bad(id uint64, format string, args ...any) error {
	return damaged(c.path, int64(id)*c.pageSize, format, args...)
}

func (c *pageCheck) read(b []byte, off int64) error {
	_, err := c.f.ReadAt(b, off)
	switch {
	case errors.Is(err, io.EOF):
		return damaged(c.path, c.size, "it is cut short")
	case err != nil:
		return &DamagedError{Path: c.path, Offset: off, Detail: "it cannot be read", Err: err}
	}
	return nil
}

// metas reads the two heads. Both must be whole: a head is smaller than a
// sector, so no power cut tears it, and with one of them gone nobody knows
// whether the last transaction is.
func (c *pageCheck) metas() error {
	var b [pageHead + 64]byte
	c.pageSize = int64(os.Getpagesize())
	if err := c.read(b[:], 0); err != nil {
		return err
	}
	if n := int64(binary.LittleEndian.Uint32(b[pageHead+8:])); n >= 1024 && n <= 1<<16 && n&(n-1) == 0 {
		c.pageSize = n
	}
	var best uint64
	for i := range uint64(2) {
		if err := c.read(b[:], int64(i)*c.pageSize); err != nil {
			return err
		}
		m := b[pageHead:]
		h := fnv.New64a()
		_, _ = h.Write(m[:56])
		switch {
		case binary.LittleEndian.Uint32(m) != 0xED0CDAED || binary.LittleEndian.Uint32(m[4:]) != 2:
			return c.bad(i, "it is not a database of a known kind")
		case binary.LittleEndian.Uint64(m[56:]) != h.Sum64():
			return c.bad(i, "head %d has a wrong checksum", i)
		case int64(binary.LittleEndian.Uint32(m[8:])) != c.pageSize:
			return c.bad(i, "the heads differ in their page size")
		case binary.LittleEndian.Uint64(b[:]) != i || binary.LittleEndian.Uint16(b[8:]) != flagMeta:
			return c.bad(i, "head %d is not a head page", i)
		}
		if txid := binary.LittleEndian.Uint64(m[48:]); i == 0 || txid > best {
			best = txid
			c.root = binary.LittleEndian.Uint64(m[16:])
			c.freeAt = binary.LittleEndian.Uint64(m[32:])
			c.pages = binary.LittleEndian.Uint64(m[40:])
		}
	}
	if c.pages < 3 || c.pages > uint64(c.size/c.pageSize) {
		return damaged(c.path, c.size, "it is cut short: it should have %d pages of %d bytes", c.pages, c.pageSize)
	}
	c.used = make(pageSet, c.pages/64+1)
	c.free = make(pageSet, c.pages/64+1)
	return nil
}

// page reads a page with its overflow and marks it as used.
func (c *pageCheck) page(id uint64) (b []byte, flags uint16, count int, err error) {
	if err := c.ctx.Err(); err != nil {
		return nil, 0, 0, err
	}
	if id < 2 || id >= c.pages {
		return nil, 0, 0, damaged(c.path, -1, "a page refers to page %d of %d", id, c.pages)
	}
	var h [pageHead]byte
	if err := c.read(h[:], int64(id)*c.pageSize); err != nil {
		return nil, 0, 0, err
	}
	over := uint64(binary.LittleEndian.Uint32(h[12:]))
	if binary.LittleEndian.Uint64(h[:]) != id || id+over >= c.pages {
		return nil, 0, 0, c.bad(id, "page has a wrong number or length")
	}
	for p := id; p <= id+over; p++ {
		if c.used.has(p) || c.free.has(p) {
			return nil, 0, 0, c.bad(p, "page is in use twice, or free")
		}
		c.used.add(p)
	}
	b = make([]byte, int64(over+1)*c.pageSize)
	if err := c.read(b, int64(id)*c.pageSize); err != nil {
		return nil, 0, 0, err
	}
	return b, binary.LittleEndian.Uint16(b[8:]), int(binary.LittleEndian.Uint16(b[10:])), nil
}

func (c *pageCheck) freelist() error {
	if c.freeAt == ^uint64(0) {
		return damaged(c.path, -1, "it has no list of free pages")
	}
	b, flags, count, err := c.page(c.freeAt)
	if err != nil {
		return err
	}
	if flags != flagFreelist {
		return c.bad(c.freeAt, "page is not the list of free pages")
	}
	ids := b[pageHead:]
	if count == 0xFFFF {
		n := binary.LittleEndian.Uint64(ids)
		ids = ids[8:]
		if n > c.pages {
			return c.bad(c.freeAt, "the list of free pages is too long")
		}
		count = int(n)
	}
	if count > len(ids)/8 {
		return c.bad(c.freeAt, "the list of free pages is too long")
	}
	for i := range count {
		id := binary.LittleEndian.Uint64(ids[8*i:])
		if id < 2 || id >= c.pages || c.free.has(id) || c.used.has(id) {
			return c.bad(c.freeAt, "the list of free pages has a wrong page %d", id)
		}
		c.free.add(id)
	}
	return nil
}

// tree checks a branch or leaf page and all below it, whose keys must lie in
// [low, high). nil is no bound.
func (c *pageCheck) tree(id uint64, low, high []byte, depth int) error {
	if depth > maxDepth {
		return c.bad(id, "the tree is too deep")
	}
	b, flags, count, err := c.page(id)
	if err != nil {
		return err
	}
	return c.elements(id, b, flags, count, low, high, depth)
}
