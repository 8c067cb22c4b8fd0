package region

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/xferd/xferd/internal/store"
)

// record is what is durable of a region, in the table "regions" under its id.
type record struct {
	UID       []byte            `json:"uid"`
	Owner     string            `json:"owner"`
	Readers   []string          `json:"readers,omitempty"`
	Writers   []string          `json:"writers,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Size      int64             `json:"size"`
	HugePages int64             `json:"huge_pages,omitempty"`
	NUMANode  *int              `json:"numa_node,omitempty"`
	Foreign   bool              `json:"foreign,omitempty"`
	TTL       time.Duration     `json:"ttl"`
	Created   time.Time         `json:"created"`
	// Ceiling is above every generation that was ever shown.
	Ceiling uint64   `json:"ceiling"`
	Torn    []Range  `json:"torn,omitempty"`
	Memory  identity `json:"memory"`
}

// identity tells memory apart: inodes are of one run of the kernel.
type identity struct {
	Boot string `json:"boot,omitempty"`
	Dev  uint64 `json:"dev,omitempty"`
	Ino  uint64 `json:"ino,omitempty"`
}

// openRecord is what a transfer may be writing, in the table "region-writes" under
// the region's id and a number. After a crash it is torn.
type openRecord struct {
	Ranges   []Range `json:"ranges"`
	Transfer string  `json:"transfer,omitempty"`
}

const (
	// generationStep is how far a ceiling is raised: a commit costs no sync but once
	// in so many.
	generationStep = 1 << 20
	// maxStored bounds the ranges of a record; more are stored as fewer larger ones.
	maxStored = 4096
)

func (g *region) record() record {
	s := g.spec
	return record{
		UID: g.uid[:], Owner: s.Principal, Readers: s.Readers, Writers: s.Writers, Labels: s.Labels,
		Size: s.Size, HugePages: s.HugePages, NUMANode: s.NUMANode, Foreign: s.Foreign, TTL: s.TTL,
		Created: g.created, Ceiling: g.ceiling, Torn: g.torn.atMost(maxStored), Memory: g.memory,
	}
}

// load makes regions of the records. Their memory went with the process that had it,
// as far as this one can know.
func (r *Registry) load() error {
	now := time.Now()
	err := r.table.All(func(id string, rec record) error {
		g := &region{
			r: r, created: rec.Created, ceiling: rec.Ceiling, torn: rec.Torn, memory: rec.Memory, state: Detached,
			spec: Spec{
				ID: id, Principal: rec.Owner, Size: rec.Size, HugePages: rec.HugePages, NUMANode: rec.NUMANode, Foreign: rec.Foreign,
				Readers: rec.Readers, Writers: rec.Writers, Labels: rec.Labels, TTL: rec.TTL,
			},
		}
		if len(rec.UID) != len(g.uid) {
			return fmt.Errorf("region %s: its uid has %d bytes", id, len(rec.UID))
		}
		copy(g.uid[:], rec.UID)
		g.init()
		g.first = rec.Ceiling
		g.generation.Store(rec.Ceiling)
		g.expires = now.Add(rec.TTL)
		r.regions[id] = g
		r.count(g, 1)
		return nil
	})
	if err != nil {
		return err
	}
	return r.writes.All(func(key string, w openRecord) error {
		id, _, _ := cutKey(key)
		if g := r.regions[id]; g != nil {
			r.cfg.Log.Warn("a transfer was writing to a region when this node ended: the ranges are torn",
				"region", id, "transfer", w.Transfer, "ranges", len(w.Ranges))
			g.torn = g.torn.plus(w.Ranges)
			g.stale = append(g.stale, key)
		}
		return nil
	})
}

// put stores a region with its torn ranges, and removes the writes that they hold.
func (r *Registry) put(tx *store.Tx, id string, rec record, stale []string) error {
	for _, key := range stale {
		if err := r.writes.Delete(tx, key); err != nil {
			return err
		}
	}
	return r.table.Put(tx, id, rec)
}

// updater is Update or UpdateReserved of a store.
type updater func(context.Context, func(*store.Tx) error) error

// store stores the record of a region, with what is torn since an earlier process
// ended. The caller holds g.storing.
func (g *region) store(ctx context.Context, rec record, update updater) error {
	g.mu.Lock()
	// The ranges of these rows are in g.torn, or were committed.
	rec.Torn = g.torn.atMost(maxStored)
	stale, tears := g.stale, g.tears
	g.mu.Unlock()
	err := update(ctx, func(tx *store.Tx) error { return g.r.put(tx, g.spec.ID, rec, stale) })
	if err == nil {
		g.mu.Lock()
		g.stale, g.stored = slices.Clone(g.stale[len(stale):]), tears // others may have come
		g.mu.Unlock()
	}
	return err
}

// info returns a copy of everything. The caller holds g.mu.
func (g *region) info() Info {
	s := g.spec
	s.Readers, s.Writers, s.Labels = slices.Clone(s.Readers), slices.Clone(s.Writers), maps.Clone(s.Labels)
	detail := g.detail
	switch {
	case g.state == Detached && g.memory == (identity{}) && s.Foreign:
		detail = "no program has offered its memory yet"
	case g.state == Detached:
		detail = "it waits for a program that has its memory to offer it again; where none has, its bytes are lost"
	}
	return Info{
		Spec: s, UID: g.uid, State: g.state, Detail: detail, Created: g.created, Expires: g.expires,
		Generation: g.generation.Load(), OpenWrites: g.openWrites(), Torn: slices.Clone(g.torn),
		Attached: len(g.conns), Pinned: g.pinned,
	}
}
