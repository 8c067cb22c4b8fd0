package lifecycle

import "testing"

func TestPick(t *testing.T) {
	for _, c := range []struct {
		name    string
		queue   []waiting
		running map[string]int
		want    int
	}{
		{"empty", nil, nil, -1},
		{"first come", []waiting{{order: 2}, {order: 1}}, nil, 1},
		{"priority beats age", []waiting{{order: 1}, {order: 2, priority: 10}}, nil, 1},
		{"fair share beats age", []waiting{{order: 1, principal: "a"}, {order: 2, principal: "b"}}, map[string]int{"a": 1}, 1},
		{"priority beats fair share", []waiting{{order: 1, principal: "a", priority: 10}, {order: 2, principal: "b"}}, map[string]int{"a": 9}, 0},
	} {
		if got := pick(c.queue, c.running); got != c.want {
			t.Errorf("%s: picked %d, want %d", c.name, got, c.want)
		}
	}
}
