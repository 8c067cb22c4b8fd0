package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/xferd/xferd/cmd/internal/version"
	"github.com/xferd/xferd/cmd/xferd/internal/config"
)

// writeMan writes the manual pages: xferd(8) from the texts of --help, and
// xferd.yaml(5) from the commented example. It is for those who make packages.
func writeMan(args []string, stdout, stderr io.Writer) int {
	fs := quietFlags("xferd man")
	dir := fs.String("dir", "", "write man8 and man5 below this `directory`")
	example := fs.String("example", "", "the commented example of a configuration, a `FILE`")
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		showFlags(stdout, "usage: xferd man --dir DIR --example FILE\n", fs)
		return exitOK
	case err == nil && (*dir == "" || *example == "" || fs.NArg() > 0):
		err = errors.New("man takes --dir DIR and --example FILE")
		fallthrough
	case err != nil:
		return wrongUse(stderr, err, "man")
	}
	text, err := os.ReadFile(*example)
	if err == nil {
		err = errors.Join(
			writePage(filepath.Join(*dir, "man8", "xferd.8"), daemonPage()),
			writePage(filepath.Join(*dir, "man5", "xferd.yaml.5"), configPage(string(text))))
	}
	if err != nil {
		fmt.Fprintf(stderr, "xferd: %v\n", err)
		return exitFailed
	}
	return exitOK
}

func writePage(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

var roff = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "'", `\(aq`)

// asIs returns text whose lines stay as they are.
func asIs(text string) string {
	var b strings.Builder
	b.WriteString(".nf\n")
	for l := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if strings.HasPrefix(l, ".") {
			b.WriteString(`\&`)
		}
		b.WriteString(roff.Replace(l) + "\n")
	}
	b.WriteString(".fi\n")
	return b.String()
}

func pageHead(name, section, what string) string {
	return fmt.Sprintf(".TH \"%s\" \"%s\" \"\" \"%s\" \"xferd manual\"\n.SH NAME\n%s \\- %s\n",
		roff.Replace(strings.ToUpper(name)), section, roff.Replace("xferd "+version.String()), roff.Replace(name), roff.Replace(what))
}

func daemonPage() string {
	var b strings.Builder
	b.WriteString(pageHead("xferd", "8", "moves large data between the nodes of a cluster"))
	b.WriteString(".SH SYNOPSIS\n" + asIs(usage))
	b.WriteString(".SH DEV\n" + asIs(devUsage))
	b.WriteString(".SH STATE\n" + asIs(stateUsage))
	b.WriteString(".SH OPTIONS\n")
	fs := quietFlags("xferd")
	fs.String("config", "", "the configuration `FILE` (XFERD_CONFIG)")
	var flags config.Flags
	flags.Define(fs)
	fs.VisitAll(func(f *flag.Flag) {
		arg, text := flag.UnquoteUsage(f)
		fmt.Fprintf(&b, ".TP\n\\fB%s\\fR \\fI%s\\fR\n%s\n", roff.Replace("--"+f.Name), roff.Replace(arg), roff.Replace(text))
	})
	b.WriteString(".SH SEE ALSO\n.BR xferd.yaml (5),\n.BR xferctl (1)\n")
	return b.String()
}

func configPage(example string) string {
	return pageHead("xferd.yaml", "5", "the configuration of a node of xferd") +
		".SH DESCRIPTION\nThe commented example has every key.\n.PP\n" + asIs(example) +
		".SH SEE ALSO\n.BR xferd (8)\n"
}
