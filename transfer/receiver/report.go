package receiver

import "github.com/xferd/xferd/transfer"

// report ends an entry. Each entry is reported once; a directory may be
// reported again (see again).
func (e *edge) report(results ...transfer.Result) {
	if results = e.unnoted(results); len(results) == 0 {
		return
	}
	var free []*file
	e.mu.Lock()
	for i := range results {
		res := &results[i]
		e.states[res.Entry] |= state(res.Outcome)
		e.outstanding--
		switch res.Outcome {
		case transfer.OutcomePublished:
			e.published++
			e.found.note(res)
		case transfer.OutcomeFailed:
			e.failed++
			e.causes.note(res)
		}
		delete(e.files, res.Entry)
		if len(e.held) > 0 {
			free = append(free, e.held[res.Entry]...)
			delete(e.held, res.Entry)
		}
	}
	e.mu.Unlock()
	e.out.result(results...)
	for _, f := range free {
		e.releaseHardlink(f)
	}
}

// failure is the result of an entry that failed.
func (e *edge) failure(n uint64, kind transfer.Kind, err *transfer.Error) transfer.Result {
	return transfer.Result{Entry: n, Kind: kind, Outcome: transfer.OutcomeFailed, Err: err}
}
