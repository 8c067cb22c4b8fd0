package command

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
)

// near returns those of the known words that one may have meant by a word: the
// nearest, if no more than two letters are wrong, missing or too many, and no more
// than one in a short word.
func near(word string, known []string) []string {
	var out []string
	best := min(2, 1+len(word)/4)
	for _, k := range known {
		switch d := edits(word, k); {
		case d == 0 || d > best:
		case d < best:
			best, out = d, []string{k}
		default:
			out = append(out, k)
		}
	}
	return out
}

// edits is how many letters have to change to make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func meant(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(words, " or ") + "?"
}

// goNumber is what Go's own parser of numbers says, which is of no use to people.
var goNumber = regexp.MustCompile(`strconv\.Parse\w+: parsing "[^"]*": (invalid syntax|value out of range)`)

// flagError makes an error of a flag fit for people.
func flagError(cmd *cobra.Command, err error) error {
	text := goNumber.ReplaceAllStringFunc(err.Error(), func(s string) string {
		if strings.HasSuffix(s, "range") {
			return "the number is too large"
		}
		return "it is not a whole number"
	})
	if name, ok := strings.CutPrefix(text, "unknown flag: --"); ok {
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				known = append(known, "--"+f.Name)
			}
		})
		text += meant(near("--"+name, known))
	}
	return exit.With(exit.Usage, fmt.Errorf("%s", text))
}

// hintNode says which node may have been meant by one that nobody knows.
func (a *app) hintNode(ctx context.Context, reason, node string) {
	if reason != xferv1.Reason_REASON_NODE_UNKNOWN.Name() || node == "" || a.api == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	nodes, err := a.api.ListNodes(ctx)
	if err != nil {
		return // the error itself was told
	}
	var known []string
	for _, n := range nodes {
		known = append(known, nodeID(n))
	}
	if words := near(node, known); len(words) > 0 {
		a.complain(fmt.Sprintf("no node is called %s%s", node, meant(words)))
	}
}

// hintPattern says of a source that is not there that a pattern is none here.
func (a *app) hintPattern(reason string) {
	if reason != xferv1.Reason_REASON_SOURCE_NOT_FOUND.Name() {
		return
	}
	for _, arg := range a.typed {
		if strings.ContainsAny(arg, "*?[") {
			a.complain(fmt.Sprintf("%s was looked for under exactly that name, since paths have no patterns; copy the directory, and choose with --include and --exclude, or --files-from", arg))
			return
		}
	}
}
