package man

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func tree() *cobra.Command {
	run := func(*cobra.Command, []string) {}
	root := &cobra.Command{Use: "tool", Short: "Do things", Long: "Do things.\n\n.hidden is a file, 'quoted' too.\n\nA table:\n  a\\b  c\n  -1   d", Version: "v1"}
	root.PersistentFlags().StringP("output", "o", "table", "the `form` of the answer")
	list := &cobra.Command{Use: "list [flags] NAME", Short: "List", Example: "  tool list x\n  .x", Run: run}
	list.Flags().Int("max", 0, "at most so many")
	list.Flags().Bool("secret", false, "not told")
	_ = list.Flags().MarkHidden("secret")
	group := &cobra.Command{Use: "group", Short: "More"}
	group.AddCommand(&cobra.Command{Use: "sub", Short: "Below", Run: run})
	root.AddCommand(list, group, &cobra.Command{Use: "internal", Hidden: true, Run: run})
	return root
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	names, err := Write(dir, tree())
	if err != nil || !slices.Equal(slices.Sorted(slices.Values(names)), []string{"tool-group-sub.1", "tool-group.1", "tool-list.1", "tool.1"}) {
		t.Fatalf("%q, %v", names, err)
	}
	for name, want := range map[string][]string{
		"tool.1":           {".TH \"TOOL\" \"1\"", "\n\\&.hidden is a file, \\(aqquoted\\(aq too.\n", ".nf\nA table:\n  a\\eb  c\n  \\-1   d\n.fi", ".BR tool\\-list (1)\nList\n", "\\fB\\-o\\fR, \\fB\\-\\-output\\fR \\fIform\\fR\nthe form of the answer (default table)\n"},
		"tool-list.1":      {".SH NAME\ntool\\-list \\- List\n", ".B tool list\n[flags] NAME\n", "\\fB\\-\\-max\\fR \\fIint\\fR\nat most so many\n", "OPTIONS OF ALL COMMANDS", ".nf\ntool list x\n\\&.x\n.fi", ".BR tool (1) ,\n.BR tool\\-group (1)\n"},
		"tool-group-sub.1": {"tool\\-group\\-sub \\- Below", "DESCRIPTION\n.PP\nBelow\n"},
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(string(text), w) {
				t.Errorf("%s lacks %q:\n%s", name, w, text)
			}
		}
		if strings.Contains(string(text), "secret") || strings.Contains(string(text), "internal") {
			t.Errorf("%s tells what is hidden", name)
		}
		checkRoff(t, filepath.Join(dir, name))
	}
	if _, err := Write(filepath.Join(dir, "none"), tree()); err == nil {
		t.Error("a directory that is not there")
	}
}

// checkRoff asks another program about a page, where there is one.
func checkRoff(t *testing.T, file string) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		return
	}
	out, err := exec.Command(groff, "-man", "-Tascii", "-ww", "-z", file).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%s: %v\n%s", file, err, out)
	}
}
