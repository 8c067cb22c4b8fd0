package e2e

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/test/needs"
)

// docProgram returns the one program of a language in docs/regions.md.
func docProgram(t *testing.T, language string) []byte {
	t.Helper()
	doc, err := os.ReadFile("../../docs/regions.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(doc), "\n```"+language+"\n")
	if len(parts) != 2 {
		t.Fatalf("%d programs of %s are in the document, not one", len(parts)-1, language)
	}
	text, _, _ := strings.Cut(parts[1], "\n```\n")
	return []byte(text + "\n")
}

// The programs of docs/regions.md, as they stand there, attach to a region, wait for
// what a transfer writes into it, and read it. That xferd is killed and started again
// meanwhile is no commit for them, and they bring the memory back.
func TestProgramsOfTheRegionsDocument(t *testing.T) {
	_, f := useFarm(t, 2)
	work := t.TempDir()
	put := func(name, language string) string {
		path := filepath.Join(work, name)
		if err := os.WriteFile(path, docProgram(t, language), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	build := func(t *testing.T, name string, args ...string) {
		cmd := exec.Command(name, args...)
		cmd.Dir = "../.."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	for _, c := range []struct {
		language string
		command  func(t *testing.T) []string
	}{
		{"python", func(t *testing.T) []string { return []string{needs.Program(t, "python3"), put("attach.py", "python")} }},
		{"c", func(t *testing.T) []string {
			program := filepath.Join(work, "attach-c")
			build(t, needs.Program(t, "gcc"), "-Wall", "-Wextra", "-Werror", "-O2", "-o", program, put("attach.c", "c"))
			return []string{program}
		}},
		{"go", func(t *testing.T) []string {
			program := filepath.Join(work, "attach-go")
			build(t, "go", "build", "-o", program, put("attach.go", "go"))
			return []string{program}
		}},
	} {
		t.Run(c.language, func(t *testing.T) {
			command := c.command(t)
			n := f.daemons[0]
			api, err := client.Dial(n.server(), client.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer api.Close()
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			id := "doc-" + c.language
			if _, err := api.CreateRegion(ctx, n.name, id, &xferv1.Region{SizeBytes: 64 << 10}); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = api.DeleteRegion(context.Background(), client.RegionName(n.name, id), true) }()

			cmd := exec.CommandContext(ctx, command[0], append(command[1:], n.socket, id)...)
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			if !lines.Scan() || lines.Text() != "attached" {
				_ = cmd.Wait()
				t.Fatalf("it said %q first", lines.Text())
			}
			info, err := api.GetRegion(ctx, client.RegionName(n.name, id))
			if err != nil || info.GetAttached() != 1 {
				t.Errorf("%v, %v", info, err)
			}
			n.kill()
			if err := f.up(n); err != nil {
				t.Fatal(err)
			}
			if err := f.joined(); err != nil {
				t.Fatal(err)
			}
			if !poll(func() bool {
				info, err = api.GetRegion(ctx, client.RegionName(n.name, id))
				return err == nil && info.GetState() == xferv1.RegionState_REGION_STATE_READY && info.GetAttached() == 1
			}) {
				t.Fatalf("after a restart: %v, %v", info, err)
			}
			text := "weights for " + c.language
			w := filepath.Join(f.daemons[1].data, "w-"+c.language)
			if err := os.WriteFile(w, []byte(text+"\nand more"), 0o600); err != nil {
				t.Fatal(err)
			}
			spec := client.Copy(f.daemons[1].name, w, n.name, "")
			spec.Destination = client.RegionDestination(id, 0)
			sub, err := api.Submit(ctx, "", spec)
			if err != nil {
				t.Fatal(err)
			}
			if !lines.Scan() || lines.Text() != text {
				t.Errorf("it read %q, want %q", lines.Text(), text)
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			done, err := api.Wait(ctx, sub.GetName())
			if err == nil {
				err = client.TransferError(done)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}
