package sender

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/xferd/xferd/internal/fault"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/scan"
	"github.com/xferd/xferd/transport"
)

// prepared is what an edge has before it speaks to its target.
type prepared struct {
	scanner *scan.Scanner
	sources scan.Sources     // to be closed when nothing reads them any more
	layout  *transfer.Layout // of a transfer into a region; nil for others
}

// prepare opens the regions that are read, and finds out where the bytes of a
// transfer into a region belong.
func (c *Config) prepare(job *Job, dirs *scan.Dirs) (p prepared, err error) {
	if p.sources, err = scan.OpenSources(c.Regions, c.Node, job.Spec.Principal, job.Spec.Pieces); err != nil {
		return p, err
	}
	defer func() {
		if err != nil {
			_ = p.sources.Close() // nothing was read
		}
	}()
	if p.scanner, err = scan.New(scan.Config{Node: c.Node, Exports: c.Exports(), Dirs: dirs, Sources: p.sources, Mark: job.mark()}, &job.Spec); err != nil {
		return p, err
	}
	if _, ok := job.Spec.IntoRegion(); ok {
		packed, err := p.scanner.Pack()
		if err != nil {
			return p, err
		}
		p.layout = packed.Layout
	}
	return p, nil
}

// openWith is the first message of a job whose bytes belong where the layout says.
func (job *Job) openWith(l *transfer.Layout) *transfer.Open {
	m := job.open()
	if l != nil {
		m.Ranges = l.Ranges()
		m.BytesHint = l.Size()
	}
	return m
}

// watchSource ends the edge when a region that it reads is about to end.
func (e *Edge) watchSource(id string, g scan.Region) error {
	select {
	case <-g.Revoked():
		return &transfer.Error{
			Reason: transfer.RegionGone, Side: transfer.SideSource, Phase: transfer.PhaseRead, Node: e.cfg.Node, Path: transfer.RegionPath(id),
			Err: errors.New("the region was deleted, or its lease ended"),
		}
	case <-e.done:
		return nil
	}
}

// memory is what data planes may read by themselves.
func (e *Edge) memory() []*transport.Memory {
	var list []*transport.Memory
	for _, g := range e.sources {
		list = append(list, &transport.Memory{Base: g.Memory(), Needed: e.needed[g], Pinned: g.Pinned})
	}
	return list
}

// neededOf are the ranges of each region that pieces are of.
func neededOf(sources scan.Sources, pieces []transfer.Piece) map[scan.Region][]transport.Range {
	if len(sources) == 0 {
		return nil
	}
	needed := make(map[scan.Region][]transport.Range)
	for i := range pieces {
		p := &pieces[i]
		id, ok := transfer.RegionOf(p.Path)
		if !ok || p.Length == 0 {
			continue
		}
		g := sources[id]
		r := transport.Range{Offset: p.Offset, Length: p.Length}
		if r.Length < 0 {
			r.Length = max(0, g.Size()-p.Offset)
		}
		// A piece beyond the end fails when it is looked at.
		if r.Length > 0 && r.Length <= g.Size()-r.Offset {
			needed[g] = append(needed[g], r)
		}
	}
	return needed
}

// closeSources gives the regions back. Memory that a device may still read is never
// given back.
func (e *Edge) closeSources() {
	if e.unfenced {
		e.log.Error("a device may still read the memory of regions: they are kept", "regions", len(e.sources))
		return
	}
	if err := e.sources.Close(); err != nil {
		e.log.Warn("close the regions that were read", "err", err)
	}
}

// noteUnfenced remembers a data plane that could not let go of memory.
func (e *Edge) noteUnfenced(errs ...error) {
	if slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, transport.ErrUnfenced) }) {
		e.mu.Lock()
		e.unfenced = true
		e.mu.Unlock()
	}
}

// ofRegion reports whether bytes of an entry are memory of a region, which programs may
// change without a trace between the digest and the send.
func ofRegion(n *entry) bool {
	a := n.found.Assembly
	return a != nil && slices.ContainsFunc(a.Files, func(f scan.AssemblyFile) bool { return f.Region != nil })
}

// source is an open file or region.
type source interface {
	OS() *os.File
	Pread(b []byte, off int64) (int, error)
	DataRanges(from, end int64, yield func(off, length int64) error) error
	Close() error
}

// memorySource reads a region as the file that it is.
type memorySource struct{ scan.Region }

func (m memorySource) OS() *os.File { return m.File() }

// Pread is that of a file: short at its end. Where there are very many pieces a copy
// costs much less than a system call for each.
func (m memorySource) Pread(b []byte, off int64) (n int, err error) {
	memory := m.Memory()
	if off < 0 || off >= int64(len(memory)) {
		return 0, nil
	}
	err = fault.Guard(func() error { n = copy(b, memory[off:]); return nil })
	return n, err
}

func (m memorySource) DataRanges(from, end int64, yield func(off, length int64) error) error {
	return yield(from, end-from)
}

// Close leaves the region open: it is the edge's.
func (memorySource) Close() error { return nil }

// openRegion is openFiles.open for a piece of a region.
func openRegion(key sourceKey, file *scan.AssemblyFile, anyVersion bool) (*openFile, error) {
	if !anyVersion && scan.PrintOfRegion(file.Region) != file.Print {
		return nil, fmt.Errorf("%w: the region was written", errChanged)
	}
	return &openFile{source: memorySource{file.Region}, key: key, refs: 1, memory: file.Region.Memory()}, nil
}
