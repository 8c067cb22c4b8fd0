package lifecycle

import (
	"fmt"
	"strings"
)

// found is what a walk through all states came to.
type found struct {
	states int
	depth  int
	cut    bool // there are more than it was let see
	broken error
	trace  []string // the shortest way to where it is broken
}

// explore visits every state that can be reached from start, the nearest first,
// until one fails check, or most of them were seen. steps yields what may happen
// next.
func explore(start world, steps func(world, func(what string, to world)), check func(*world) error, most int) found {
	type visit struct {
		from int32
		w    world
	}
	seen := map[world]struct{}{start: {}}
	all := []visit{{-1, start}}
	f := found{}
	level := 1 // where the next depth begins
	for i := 0; i < len(all); i++ {
		if i == level {
			f.depth++
			level = len(all)
		}
		w := all[i].w
		if f.broken = check(&w); f.broken != nil {
			var way []world
			for at := int32(i); at >= 0; at = all[at].from {
				way = append(way, all[at].w)
			}
			f.trace = tell(way, steps)
			break
		}
		steps(w, func(_ string, to world) {
			if _, ok := seen[to]; ok {
				return
			}
			if len(all) >= most {
				f.cut = true
				return
			}
			seen[to] = struct{}{}
			all = append(all, visit{int32(i), to})
		})
	}
	f.states = len(all)
	return f
}

// tell gives the steps of a way, which is told from its end.
func tell(way []world, steps func(world, func(string, world))) []string {
	var out []string
	for i := len(way) - 1; i > 0; i-- {
		name := ""
		steps(way[i], func(what string, to world) {
			if name == "" && to == way[i-1] {
				name = what
			}
		})
		out = append(out, fmt.Sprintf("%2d. %s", len(out)+1, name))
	}
	return out
}

func (f *found) String() string {
	s := fmt.Sprintf("%d states, %d steps deep", f.states, f.depth)
	if f.cut {
		s += " (the bound was reached)"
	}
	if f.broken != nil {
		s += fmt.Sprintf(": %v\n%s", f.broken, strings.Join(f.trace, "\n"))
	}
	return s
}
