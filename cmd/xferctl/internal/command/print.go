package command

import (
	"strings"

	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

// print writes an answer: as a table for people, else the record.
func (a *app) print(rec func() any, table func() error) error {
	switch a.set.Output {
	case "json":
		return a.write(record.JSON(rec()))
	case "yaml":
		return a.write(record.YAML(rec()))
	}
	return table()
}

func (a *app) write(b []byte, err error) error {
	if err != nil {
		return err
	}
	_, _ = a.out.Write(b) // the sink remembers its error
	return nil
}

// table writes a table to stdout; an empty one only says so on a terminal.
func (a *app) table(t *show.Table) error {
	if len(t.Rows) == 0 && a.flags.quiet {
		return nil
	}
	_ = t.Write(a.out, a.color()) // the sink remembers its error
	return nil
}

// color reports whether stdout takes colours: see no-color.org.
func (a *app) color() bool {
	for _, kv := range a.env.Environ {
		k, v, _ := strings.Cut(kv, "=")
		if k == "NO_COLOR" && v != "" || k == "TERM" && v == "dumb" {
			return false
		}
	}
	return a.env.Terminal(a.env.Stdout)
}
