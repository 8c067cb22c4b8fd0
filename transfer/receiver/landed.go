package receiver

import "github.com/xferd/xferd/transfer"

// landed says which extents are here, of those that were on their way when a
// data plane broke. It is asked after the fence: no stream changes the record
// any more.
func (e *edge) landed(asked []transfer.ExtentID) []transfer.LandedExtent {
	var list []transfer.LandedExtent
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, x := range asked {
		f := e.files[x.Entry]
		if f == nil {
			if e.ended(x.Entry) {
				list = append(list, transfer.LandedExtent{Asked: uint32(i)})
			}
			continue
		}
		at := x.Offset / e.opt.ChunkSize
		if x.Offset < 0 || x.Offset%e.opt.ChunkSize != 0 || at >= f.extents ||
			f.phase != phaseWanted && f.phase != phasePublish || f.landed == nil || !f.landed.has(at) {
			continue
		}
		list = append(list, transfer.LandedExtent{Asked: uint32(i), Digest: f.digests[at]})
	}
	return list
}

// ended says that an entry is at its name already, so that nothing of it is
// wanted. The mutex is held.
func (e *edge) ended(n uint64) bool {
	if n >= uint64(len(e.states)) {
		return false
	}
	o := e.states[n].outcome()
	return o == transfer.OutcomePublished || o == transfer.OutcomeSame
}
