package verbs

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/transport"
)

const (
	// partSize is the largest piece of memory that is registered at a time. Others
	// get on between two, and no table of a device has to be that large at once.
	partSize = 1 << 30
	// gap is what is registered too where it lies between two ranges that are
	// needed: registrations are few.
	gap = 256 << 10
	// maxParts of one memory, so that all of them fit a message.
	maxParts = 256
)

// part is a piece of memory of the target that the source may write to.
type part struct {
	Offset int64 // in the memory
	window
}

// mapped is memory of a program that is registered in the domains of a session.
type mapped struct {
	memory *transport.Memory
	parts  []mappedPart // by offset
}

type mappedPart struct {
	span    transport.Range
	regions []*rdma.MemoryRegion // one for each domain
}

// spansOf says what to register of memory, in order: what is needed of it, in at
// most maxParts pieces. They have partSize at most, or more where they were too many,
// as far as a device takes them.
func spansOf(m *transport.Memory, most int64) ([]transport.Range, error) {
	all := slices.Clone(m.Needed)
	if m.Needed == nil {
		all = []transport.Range{{Length: int64(len(m.Base))}}
	}
	for _, r := range all {
		if r.Offset < 0 || r.Length < 0 || r.Offset > int64(len(m.Base)) || r.Length > int64(len(m.Base))-r.Offset {
			return nil, fmt.Errorf("bytes %d to %d are needed of memory of %d bytes", r.Offset, r.End(), len(m.Base))
		}
	}
	slices.SortFunc(all, func(a, b transport.Range) int { return cmp.Compare(a.Offset, b.Offset) })
	all = join(slices.DeleteFunc(all, func(r transport.Range) bool { return r.Length == 0 }), gap)
	if n := len(all); n > maxParts/2 {
		// The largest gaps stay, as many as there may be.
		gaps := make([]int64, n-1)
		for i := range gaps {
			gaps[i] = all[i+1].Offset - all[i].End()
		}
		slices.Sort(gaps)
		all = join(all, gaps[n-maxParts/2])
	}
	var total int64
	for _, r := range all {
		total += r.Length
	}
	size := min(max(partSize, total/(maxParts/2-1)+1), most)
	if total/size > maxParts/2-1 {
		return nil, fmt.Errorf("%d bytes of memory, of which a device takes %d at a time", total, size)
	}
	var spans []transport.Range
	for _, r := range all {
		for r.Length > 0 {
			n := min(r.Length, size)
			spans = append(spans, transport.Range{Offset: r.Offset, Length: n})
			r.Offset, r.Length = r.Offset+n, r.Length-n
		}
	}
	return spans, nil
}

// join makes one of sorted ranges that are at most so far from each other.
func join(all []transport.Range, most int64) []transport.Range {
	n := 0
	for _, r := range all {
		if n > 0 && r.Offset-all[n-1].End() <= most {
			last := &all[n-1]
			last.Length = max(last.End(), r.End()) - last.Offset
			continue
		}
		all[n] = r
		n++
	}
	return all[:n]
}

// mapMemory makes memory known in all domains, as far as it is needed and within
// the budget of who it is for. Blocks for as long as that takes: pinning costs about
// 20 us a MiB.
func (s *session) mapMemory(m *transport.Memory, access rdma.Access) (*mapped, error) {
	most := int64(math.MaxInt64)
	for _, d := range s.domains {
		attr, err := d.path.rail.Device.Attr()
		if err != nil {
			return nil, d.blame(err)
		}
		if attr.MaxMemoryRegionSize > 0 && attr.MaxMemoryRegionSize < math.MaxInt64 {
			most = min(most, int64(attr.MaxMemoryRegionSize))
		}
	}
	spans, err := spansOf(m, most)
	if err != nil {
		return nil, err
	}
	var total int64
	for _, r := range spans {
		total += r.Length
	}
	if err := s.pin(m, total*int64(len(s.domains))); err != nil {
		return nil, err
	}
	out := &mapped{memory: m}
	for _, r := range spans {
		mem := m.Base[r.Offset:r.End():r.End()]
		populate(mem, access&rdma.LocalWrite != 0)
		p := mappedPart{span: r}
		for _, d := range s.domains {
			mr, err := d.register(mem, access)
			if err != nil {
				return nil, err
			}
			p.regions = append(p.regions, mr)
		}
		out.parts = append(out.parts, p)
	}
	return out, nil
}

// populate has the pages of memory mapped, in one go. It may fail, on old kernels or
// where a page cannot be had: then the device tells of it.
func populate(mem []byte, write bool) {
	page := uintptr(unix.Getpagesize())
	lead := int(-uintptr(unsafe.Pointer(unsafe.SliceData(mem))) & (page - 1))
	if lead >= len(mem) {
		return
	}
	advice := unix.MADV_POPULATE_READ
	if write {
		advice = unix.MADV_POPULATE_WRITE
	}
	_ = unix.Madvise(mem[lead:], advice)
}

// grant describes the memory to the source.
func (m *mapped) grant() (parts []part) {
	for _, p := range m.parts {
		w := window{Addr: p.regions[0].Addr(), Size: int(p.span.Length)}
		for _, r := range p.regions {
			w.Keys = append(w.Keys, r.RemoteKey())
		}
		parts = append(parts, part{p.span.Offset, w})
	}
	return parts
}

// find returns the part that has an offset.
func (m *mapped) find(off int64) *mappedPart {
	i := sort.Search(len(m.parts), func(i int) bool { return m.parts[i].span.End() > off })
	if i == len(m.parts) || m.parts[i].span.Offset > off {
		return nil
	}
	return &m.parts[i]
}

// holds reports whether all of a range is in parts.
func (m *mapped) holds(off, n int64) bool {
	for n > 0 {
		p := m.find(off)
		if p == nil {
			return false
		}
		step := min(n, p.span.End()-off)
		off, n = off+step, n-step
	}
	return true
}

// remoteMemory is memory of the target, as the source knows it.
type remoteMemory struct {
	parts []part // by offset
}

// checkParts checks what the target says of its memory.
func checkParts(parts []part, size int64, domains int) error {
	end := int64(0)
	if len(parts) > 2*maxParts {
		return fmt.Errorf("%w: memory in %d parts", errMessage, len(parts))
	}
	for i := range parts {
		p := &parts[i]
		if p.Offset < end || p.Size < 1 || p.Offset > size || int64(p.Size) > size-p.Offset || len(p.Keys) != domains || p.Addr+uint64(p.Size) < p.Addr {
			return fmt.Errorf("%w: %d bytes of memory at %d of %d, with %d keys", errMessage, p.Size, p.Offset, size, len(p.Keys))
		}
		end = p.Offset + int64(p.Size)
	}
	return nil
}

// find returns the part that has an offset.
func (m *remoteMemory) find(off int64) *part {
	i := sort.Search(len(m.parts), func(i int) bool { return m.parts[i].Offset+int64(m.parts[i].Size) > off })
	if i == len(m.parts) || m.parts[i].Offset > off {
		return nil
	}
	return &m.parts[i]
}

// check says what is wrong with the places of an extent.
func (m *remoteMemory) check(e *transport.Extent) error {
	left := e.Length
	for _, r := range e.Places {
		if r.Length < 1 || r.Offset < 0 || r.Length > left || r.End() < r.Offset {
			return fmt.Errorf("an extent of %d bytes with a place of %d at %d", e.Length, r.Length, r.Offset)
		}
		left -= r.Length
		for off := r.Offset; off < r.End(); {
			p := m.find(off)
			if p == nil {
				return fmt.Errorf("byte %d of the target's memory was not granted", off)
			}
			off = p.Offset + int64(p.Size)
		}
	}
	if left != 0 {
		return fmt.Errorf("an extent of %d bytes, of which %d have no place", e.Length, left)
	}
	return nil
}
