package show

import (
	"bufio"
	"io"
	"strings"
	"unicode/utf8"
)

// Color is an ANSI colour of a cell; the zero value is none.
type Color string

// Colours that are used for states.
const (
	Plain  Color = ""
	Red    Color = "\x1b[31m"
	Green  Color = "\x1b[32m"
	Yellow Color = "\x1b[33m"
)

// Cell is one field of a table. Text must be fit for a terminal.
type Cell struct {
	Text  string
	Color Color
	Right bool // flush right, for numbers
}

// T and N return a cell with text and one with a number, which is flush right.
func T(s string) Cell { return Cell{Text: s} }

// N returns a cell that is flush right.
func N(s string) Cell { return Cell{Text: s, Right: true} }

// Table is rows of cells under a header.
type Table struct {
	Header []string
	Rows   [][]Cell
}

// Write prints the table with two spaces between columns and none at the end of
// a line. Colours are left out unless color is set.
func (t *Table) Write(w io.Writer, color bool) error {
	widths := make([]int, len(t.Header))
	for i, h := range t.Header {
		widths[i] = utf8.RuneCountInString(h)
	}
	for _, row := range t.Rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.Text))
		}
	}
	out := bufio.NewWriter(w)
	head := make([]Cell, len(t.Header))
	for i, h := range t.Header {
		head[i] = Cell{Text: h, Right: len(t.Rows) > 0 && t.Rows[0][i].Right}
	}
	for _, row := range append([][]Cell{head}, t.Rows...) {
		writeRow(out, row, widths, color)
	}
	return out.Flush()
}

func writeRow(out *bufio.Writer, row []Cell, widths []int, color bool) {
	for i, c := range row {
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.Text))
		last := i == len(row)-1
		if i > 0 {
			out.WriteString("  ")
		}
		if c.Right {
			out.WriteString(pad)
		}
		if color && c.Color != Plain {
			out.WriteString(string(c.Color) + c.Text + "\x1b[0m")
		} else {
			out.WriteString(c.Text)
		}
		if !c.Right && !last {
			out.WriteString(pad)
		}
	}
	out.WriteByte('\n')
}

// Pairs writes "name:  value" lines with aligned values. Pairs without a value
// are left out.
func Pairs(w io.Writer, pairs [][2]string) error {
	wide := 0
	for _, p := range pairs {
		if p[1] != "" {
			wide = max(wide, len(p[0]))
		}
	}
	out := bufio.NewWriter(w)
	for _, p := range pairs {
		if p[1] == "" {
			continue
		}
		out.WriteString(p[0] + ":" + strings.Repeat(" ", wide-len(p[0])+2) + p[1] + "\n")
	}
	return out.Flush()
}
