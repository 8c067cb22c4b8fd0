package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestManPages: every command that --help lists has a page, and that has every
// flag.
func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	if r := (&world{api: &fake{}}).run(t, "man --dir "+dir); r.code != 0 || r.out+r.err != "" {
		t.Fatalf("%+v", r)
	}
	roff := strings.NewReplacer("-", `\-`)
	pages := 0
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		file := filepath.Join(dir, strings.ReplaceAll(c.CommandPath(), " ", "-")+".1")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			return
		}
		pages++
		c.InitDefaultHelpFlag()
		each := func(f *pflag.Flag) {
			if want := `\fB` + roff.Replace("--"+f.Name) + `\fR`; !f.Hidden && strings.Count(string(text), want) != 1 {
				t.Errorf("%s: %s is not there once", file, want)
			}
		}
		c.NonInheritedFlags().VisitAll(each)
		c.InheritedFlags().VisitAll(each)
		for _, sub := range c.Commands() {
			if sub.Hidden || sub.Name() == "help" {
				continue
			}
			if !strings.Contains(string(text), roff.Replace(strings.ReplaceAll(sub.CommandPath(), " ", "-"))) {
				t.Errorf("%s does not name %s", file, sub.Name())
			}
			check(sub)
		}
	}
	check((&app{}).root())
	if files, _ := os.ReadDir(dir); pages < 20 || len(files) != pages {
		t.Errorf("%d pages, %d files", pages, len(files))
	}
	if r := (&world{api: &fake{}}).run(t, "man"); r.code != 2 {
		t.Errorf("%+v", r)
	}
}
