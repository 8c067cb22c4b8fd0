package command

import (
	"math"
	"slices"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
)

// comparedNames are what a verification counts under the names of a copy, which
// would say that it copied and deleted.
var comparedNames = map[string]string{
	"files_copied": "files_different",
	"dirs_made":    "dirs_different",
	"links_made":   "links_different",
	"deleted":      "extra",
}

// transferRecord is a transfer for programs.
func transferRecord(t *xferv1.Transfer) record.Object {
	rec := record.Of(t)
	if !verifies(t) {
		return rec
	}
	for _, f := range rec {
		counters, ok := f.Value.(record.Object)
		if !ok || f.Name != "counters" {
			continue
		}
		for i := range counters {
			if name := comparedNames[counters[i].Name]; name != "" {
				counters[i].Name = name
			}
		}
	}
	return rec
}

func transferRecords(ts []*xferv1.Transfer) []record.Object {
	out := make([]record.Object, 0, len(ts))
	for _, t := range ts {
		out = append(out, transferRecord(t))
	}
	return out
}

// entryObject is an entry for programs. A verification tells the difference in the
// place of an outcome: nothing was published, nothing deleted.
func entryObject(e *xferv1.EntryResult, compared bool) record.Object {
	rec := record.Of(e)
	if e.GetEntry() == math.MaxUint64 { // what has no number
		rec = slices.DeleteFunc(rec, func(f record.Field) bool { return f.Name == "entry" })
	}
	if !compared || !differs(e) {
		return rec
	}
	kind, _ := difference(e)
	rec = slices.DeleteFunc(rec, func(f record.Field) bool { return f.Name == "outcome" })
	return append(record.Object{{Name: "difference", Value: kind}}, rec...)
}

// differs reports whether an entry of a verification was found to be different.
func differs(e *xferv1.EntryResult) bool {
	return e.GetOutcome() == xferv1.Outcome_OUTCOME_PUBLISHED || e.GetOutcome() == xferv1.Outcome_OUTCOME_DELETED
}
