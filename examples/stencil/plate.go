package main

// plate is a part of the plate, or all of it: rows of temperatures. The outermost rows
// and columns are not computed: they are the border, or what a neighbour computes.
type plate struct {
	cols  int
	cells []float64
}

// newPlate makes rows first to last-1 of the plate, as it is before the first step.
func newPlate(cols, first, last int) *plate {
	p := &plate{cols: cols, cells: make([]float64, (last-first)*cols)}
	for r := first; r < last; r++ {
		row := p.row(r - first)
		for c := range row {
			row[c] = float64((r*7919+c*104729)%1000) / 10
		}
	}
	return p
}

func (p *plate) rows() int           { return len(p.cells) / p.cols }
func (p *plate) row(r int) []float64 { return p.cells[r*p.cols : (r+1)*p.cols] }

// relax computes rows first to last-1 of the next step out of now: each cell becomes
// the mean of its four neighbours (Jacobi's method).
func (next *plate) relax(now *plate, first, last int) {
	for r := first; r < last; r++ {
		up, row, down, out := now.row(r-1), now.row(r), now.row(r+1), next.row(r)
		for c := 1; c < len(row)-1; c++ {
			out[c] = (up[c] + down[c] + row[c-1] + row[c+1]) / 4
		}
	}
}

// alone computes all of the plate in this process.
func alone(rows, cols, steps int) *plate {
	now, next := newPlate(cols, 0, rows), newPlate(cols, 0, rows)
	for range steps {
		next.relax(now, 1, rows-1)
		now, next = next, now
	}
	return now
}
