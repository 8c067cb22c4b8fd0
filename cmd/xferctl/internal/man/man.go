// Package man renders a tree of commands as manual pages, one for each command,
// from the same texts as --help. It knows no particular command.
package man

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Write writes the pages of root and of all commands below it, hidden ones
// aside, to dir, which must exist: "xferctl.1", "xferctl-cp.1". It returns their
// names.
func Write(dir string, root *cobra.Command) ([]string, error) {
	var names []string
	for _, c := range commands(root) {
		name := title(c) + ".1"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(Page(c)), 0o644); err != nil {
			return names, err
		}
		names = append(names, name)
	}
	return names, nil
}

// commands returns the command and all below it, parents first.
func commands(c *cobra.Command) []*cobra.Command {
	out := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" {
			out = append(out, commands(sub)...)
		}
	}
	return out
}

// title is the name of a command's page.
func title(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// Page returns the manual page of a command, as roff with the man macros.
func Page(c *cobra.Command) string {
	c.InitDefaultHelpFlag()
	c.InitDefaultVersionFlag()
	p := &page{}
	root := c.Root()
	p.line(`.TH "%s" "1" "" "%s" "%s"`, strings.ToUpper(escape(title(c))), escape(root.Name()+" "+root.Version), escape(root.Name()+" manual"))
	p.line(".SH NAME\n%s \\- %s", escape(title(c)), escape(c.Short))
	p.line(".SH SYNOPSIS\n.B %s", escape(c.CommandPath()))
	if use := strings.TrimPrefix(c.UseLine(), c.CommandPath()); use != "" && c.Runnable() {
		p.line("%s", escape(strings.TrimSpace(use)))
	}
	p.line(".SH DESCRIPTION")
	text := c.Long
	if text == "" {
		text = c.Short
	}
	p.text(text)
	p.commands(c)
	p.flags("OPTIONS", c.NonInheritedFlags())
	p.flags("OPTIONS OF ALL COMMANDS", c.InheritedFlags())
	if c.Example != "" {
		p.line(".SH EXAMPLES\n.nf")
		for l := range strings.SplitSeq(c.Example, "\n") {
			p.line("%s", guard(escape(strings.TrimPrefix(l, "  "))))
		}
		p.line(".fi")
	}
	p.seeAlso(c)
	return p.b.String()
}

type page struct{ b strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

// text writes paragraphs. One with an indented line is a table or an example,
// whose lines stay as they are.
func (p *page) text(s string) {
	for par := range strings.SplitSeq(strings.Trim(s, "\n"), "\n\n") {
		as := strings.HasPrefix(par, " ") || strings.Contains(par, "\n ") || strings.Contains(par, "\n\t")
		p.line(".PP")
		if as {
			p.line(".nf")
		}
		for l := range strings.SplitSeq(par, "\n") {
			p.line("%s", guard(escape(l)))
		}
		if as {
			p.line(".fi")
		}
	}
}

func (p *page) commands(c *cobra.Command) {
	first := true
	for _, sub := range c.Commands() {
		if !sub.IsAvailableCommand() || sub.Name() == "help" {
			continue
		}
		if first {
			p.line(".SH COMMANDS")
			first = false
		}
		p.line(".TP\n.BR %s (1)\n%s", escape(title(sub)), guard(escape(sub.Short)))
	}
}

func (p *page) flags(head string, set *pflag.FlagSet) {
	first := true
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		if first {
			p.line(".SH %s", head)
			first = false
		}
		arg, usage := pflag.UnquoteUsage(f)
		name := `\fB` + escape("--"+f.Name) + `\fR`
		if f.Shorthand != "" {
			name = `\fB` + escape("-"+f.Shorthand) + `\fR, ` + name
		}
		if arg != "" {
			name += ` \fI` + escape(arg) + `\fR`
		}
		switch f.DefValue {
		case "", "false", "0", "0s", "[]":
		default:
			usage += " (default " + f.DefValue + ")"
		}
		p.line(".TP\n%s\n%s", name, guard(escape(usage)))
	})
}

// seeAlso names the command above and those beside this one.
func (p *page) seeAlso(c *cobra.Command) {
	if !c.HasParent() {
		return
	}
	refs := []string{title(c.Parent())}
	for _, sub := range c.Parent().Commands() {
		if sub != c && sub.IsAvailableCommand() && sub.Name() != "help" {
			refs = append(refs, title(sub))
		}
	}
	p.line(".SH SEE ALSO")
	for i, r := range refs {
		comma := " ,"
		if i == len(refs)-1 {
			comma = ""
		}
		p.line(".BR %s (1)%s", escape(r), comma)
	}
}

var escapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "'", `\(aq`)

// escape makes text stand for itself.
func escape(s string) string { return escapes.Replace(s) }

// guard keeps the beginning of a line from being a request.
func guard(s string) string {
	if strings.HasPrefix(s, ".") {
		return `\&` + s
	}
	return s
}
