package store

import (
	"bytes"
	"encoding/binary"
)

const (
	bucketFlag = 0x01
	bucketHead = 16
)

// element is one entry of a tree page.
type element struct {
	key, value []byte
	child      uint64 // branch pages
	bucket     bool   // leaf pages: the value is a bucket
}

// elements checks the entries of one page: that they lie in it, in order, with
// keys in [low, high), and goes on to the pages and buckets below.
func (c *pageCheck) elements(id uint64, b []byte, flags uint16, count int, low, high []byte, depth int) error {
	if flags != flagBranch && flags != flagLeaf || flags == flagBranch && count == 0 {
		return c.bad(id, "page is neither branch nor leaf")
	}
	if pageHead+count*elementSize > len(b) {
		return c.bad(id, "page has too many entries")
	}
	var list []element
	last := low
	for i := range count {
		e, ok := readElement(b, i, count, flags)
		if !ok {
			return c.bad(id, "entry %d of page lies outside of it", i)
		}
		if i > 0 && bytes.Compare(e.key, last) <= 0 || i == 0 && low != nil && bytes.Compare(e.key, low) < 0 ||
			high != nil && bytes.Compare(e.key, high) >= 0 {
			return c.bad(id, "keys of page are out of order")
		}
		last = e.key
		list = append(list, e)
	}
	for i, e := range list {
		switch {
		case flags == flagBranch:
			next := high
			if i+1 < len(list) {
				next = list[i+1].key
			}
			if err := c.tree(e.child, e.key, next, depth+1); err != nil {
				return err
			}
		case e.bucket:
			if err := c.bucket(id, e.value, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// bucket checks a bucket: a tree of its own, or one leaf page in the value.
func (c *pageCheck) bucket(id uint64, v []byte, depth int) error {
	if len(v) < bucketHead {
		return c.bad(id, "a bucket is cut short")
	}
	if root := binary.LittleEndian.Uint64(v); root != 0 {
		return c.tree(root, nil, nil, depth+1)
	}
	if v = v[bucketHead:]; len(v) < pageHead {
		return c.bad(id, "an inline bucket is cut short")
	}
	flags, count := binary.LittleEndian.Uint16(v[8:]), int(binary.LittleEndian.Uint16(v[10:]))
	if flags != flagLeaf || depth > maxDepth {
		return c.bad(id, "an inline bucket is not a leaf")
	}
	return c.elements(id, v, flags, count, nil, nil, depth+1)
}

func readElement(b []byte, i, count int, flags uint16) (e element, ok bool) {
	at := pageHead + i*elementSize
	h := b[at : at+elementSize]
	u32 := func(o int) uint64 { return uint64(binary.LittleEndian.Uint32(h[o:])) }
	var pos, ksize, vsize uint64
	if flags == flagBranch {
		pos, ksize, e.child = u32(0), u32(4), binary.LittleEndian.Uint64(h[8:])
	} else {
		if u32(0)&^bucketFlag != 0 {
			return e, false
		}
		e.bucket = u32(0)&bucketFlag != 0
		pos, ksize, vsize = u32(4), u32(8), u32(12)
	}
	start := uint64(at) + pos
	if start < uint64(pageHead+count*elementSize) || start+ksize+vsize > uint64(len(b)) {
		return e, false
	}
	e.key = b[start : start+ksize]
	e.value = b[start+ksize : start+ksize+vsize]
	return e, true
}
