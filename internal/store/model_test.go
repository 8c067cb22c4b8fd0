package store

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestTableModel runs the same trace against the store and a map.
func TestTableModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := memDir(t)
		s := mustOpen(t, dir)
		tables := []string{"a", "b"}
		model := map[string]map[string]record{"a": {}, "b": {}}
		key := rapid.StringMatching(`[ab/]{1,4}`)
		rt.Repeat(map[string]func(*rapid.T){
			"update": func(rt *rapid.T) {
				fails := rapid.IntRange(0, 4).Draw(rt, "fails") == 0
				next := map[string]map[string]record{"a": maps.Clone(model["a"]), "b": maps.Clone(model["b"])}
				type step struct {
					table, key string
					put        bool
					v          record
				}
				var steps []step
				for range rapid.IntRange(1, 8).Draw(rt, "steps") {
					st := step{table: rapid.SampledFrom(tables).Draw(rt, "table"), key: key.Draw(rt, "key"), put: rapid.Bool().Draw(rt, "put")}
					if st.put {
						st.v = record{strings.Repeat("x", rapid.IntRange(0, 3000).Draw(rt, "len")), rapid.Int().Draw(rt, "n")}
						next[st.table][st.key] = st.v
					} else {
						delete(next[st.table], st.key)
					}
					steps = append(steps, st)
				}
				err := s.Update(t.Context(), func(tx *Tx) error {
					for _, st := range steps {
						tab := NewTable[record](s, st.table)
						var err error
						if st.put {
							err = tab.Put(tx, st.key, st.v)
						} else {
							err = tab.Delete(tx, st.key)
						}
						if err != nil {
							return err
						}
						if v, ok, err := tab.GetTx(tx, st.key); err != nil || ok != st.put || v != st.v {
							return fmt.Errorf("own change of %s: %v %v %v", st.key, v, ok, err)
						}
					}
					if fails {
						return errMine
					}
					return nil
				})
				switch {
				case fails && err == nil || !fails && err != nil:
					rt.Fatal(err)
				case !fails:
					model = next
				}
			},
			"reopen": func(rt *rapid.T) {
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				s = mustOpen(t, dir)
			},
			"": func(rt *rapid.T) {
				for _, name := range tables {
					compareTable(rt, NewTable[record](s, name), model[name], "", "")
					compareTable(rt, NewTable[record](s, name), model[name], "a", "ab")
				}
			},
		})
		if err := s.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}

func compareTable(rt *rapid.T, tab *Table[record], model map[string]record, prefix, after string) {
	var want []string
	for _, k := range slices.Sorted(maps.Keys(model)) {
		if strings.HasPrefix(k, prefix) && k > after {
			want = append(want, k)
		}
	}
	var got []string
	err := tab.Range(prefix, after, func(k string, v record) error {
		got = append(got, k)
		if v != model[k] {
			return fmt.Errorf("key %s has %v, want %v", k, v, model[k])
		}
		return nil
	})
	if err != nil || !slices.Equal(got, want) {
		rt.Fatalf("keys %q, want %q, error %v", got, want, err)
	}
}

// All must not hold a transaction: its function may update, also while the
// file grows and bbolt maps it anew.
func TestAllMayUpdate(t *testing.T) {
	s := mustOpen(t, memDir(t))
	tab := NewTable[record](s, "t")
	err := s.Update(t.Context(), func(tx *Tx) error {
		for i := range 3 * scanBatch {
			if err := tab.Put(tx, fmt.Sprintf("%05d", i), record{N: i}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = tab.All(func(k string, v record) error {
		n++
		v.Name = strings.Repeat("y", 10000)
		return s.Update(t.Context(), func(tx *Tx) error { return tab.Put(tx, k, v) })
	})
	if err != nil || n != 3*scanBatch {
		t.Fatalf("%d values, %v", n, err)
	}
}
