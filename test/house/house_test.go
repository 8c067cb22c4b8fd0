package house

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const module = "github.com/xferd/xferd/"

type pkg struct {
	ImportPath string
	Dir        string
	Imports    []string
	Deps       []string
	GoFiles    []string
	CgoFiles   []string
	Module     *struct{ Main bool }
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,Deps,GoFiles,CgoFiles", "./...")
	cmd.Dir = "../.."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, module)
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list knows only %d packages", len(all))
	}
	return all
}

// floors are the rooms from the top down; the longest matching prefix counts. A
// room imports rooms of lower floors, its own sub-packages' parents, and its
// own tree.
var floors = []struct {
	prefix string
	floor  int
}{
	{"test", 6}, {"docs", 6}, {"deploy", 6},
	{"cmd", 5}, {"examples", 5},
	{"api/server", 4}, {"api/client", 4}, {"api/peer", 4},
	{"transfer", 3},
	{"transport", 2},
	{"rdma", 1}, {"cluster", 1}, {"region", 1},
	{"internal", 0}, {"api/xfer/v1", 0}, {"api/peer/v1", 0},
}

func room(path string) (string, int) {
	best, floor := "", -1
	for _, f := range floors {
		if (path == f.prefix || strings.HasPrefix(path, f.prefix+"/")) && len(f.prefix) > len(best) {
			best, floor = f.prefix, f.floor
		}
	}
	return best, floor
}

func TestNothingPointsBackUp(t *testing.T) {
	for _, p := range packages(t) {
		from, floor := room(p.ImportPath)
		if floor < 0 {
			t.Errorf("%s is in no room of the house: say in floors where it lives", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, module) {
				continue
			}
			imp = strings.TrimPrefix(imp, module)
			to, toFloor := room(imp)
			if to != from && toFloor >= floor {
				t.Errorf("%s (floor %d) imports %s (floor %d)", p.ImportPath, floor, imp, toFloor)
			}
		}
	}
}

// denied are imports that a room must not have, not even through others. Test
// files do not count.
var denied = []struct {
	prefix string
	deps   []string
	why    string
}{
	{"transfer", []string{module + "rdma", module + "cluster", module + "transport/tcp", module + "transport/local", module + "transport/verbs", module + "api", "google.golang.org/grpc"}, "the domain declares the small interfaces it needs"},
	{"transport", []string{module + "transfer", module + "cluster", module + "api", "google.golang.org/grpc", "github.com/hashicorp/memberlist"}, "a transport moves bytes and knows nothing else"},
	{"cluster", []string{module + "transfer", module + "transport", module + "rdma", "google.golang.org/grpc"}, "membership is no authority on anything else"},
	{"cmd/xferctl", []string{module + "transfer", module + "transport", module + "internal", module + "cluster", module + "api/server", "github.com/hashicorp/memberlist", "go.etcd.io/bbolt"}, "the command line runs on any system, over the API alone"},
	{"examples", []string{module + "transfer", module + "transport", module + "internal", module + "cluster", module + "region", module + "rdma", module + "api/server", module + "api/peer"}, "they are what programs outside of this tree can be"},
	{"api/client", []string{module + "transfer", module + "transport", module + "internal"}, "schedulers embed it"},
}

func TestDeniedDependencies(t *testing.T) {
	for _, p := range packages(t) {
		for _, d := range denied {
			if p.ImportPath != d.prefix && !strings.HasPrefix(p.ImportPath, d.prefix+"/") {
				continue
			}
			for _, dep := range p.Deps {
				for _, bad := range d.deps {
					if dep == bad || strings.HasPrefix(dep, bad+"/") {
						t.Errorf("%s depends on %s: %s", p.ImportPath, dep, d.why)
					}
				}
			}
		}
	}
}

func TestGeneratedContractsStayUnderAPI(t *testing.T) {
	for _, p := range packages(t) {
		if strings.HasPrefix(p.ImportPath, "api/") || strings.HasPrefix(p.ImportPath, "cmd/xferctl") || strings.HasPrefix(p.ImportPath, "examples/") || strings.HasPrefix(p.ImportPath, "test/") {
			continue
		}
		for _, imp := range p.Imports {
			if imp == module+"api/xfer/v1" || imp == module+"api/peer/v1" {
				t.Errorf("%s imports %s: below api/ messages are plain structs", p.ImportPath, imp)
			}
		}
	}
}

func TestCgoIsConfined(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.CgoFiles) > 0 && p.ImportPath != "rdma/internal/ibv" {
			t.Errorf("%s uses cgo: only rdma/internal/ibv may", p.ImportPath)
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		var comments []string
		for _, f := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil {
				comments = append(comments, f)
			}
		}
		if generated := regexp.MustCompile(`^api/\w+/v1$`).MatchString(p.ImportPath); !generated && len(comments) != 1 {
			t.Errorf("%s has %d package comments (%v), not one", p.ImportPath, len(comments), comments)
		}
	}
}

func TestNoPackageOfLeftovers(t *testing.T) {
	for _, p := range packages(t) {
		switch filepath.Base(p.ImportPath) {
		case "util", "utils", "common", "helpers", "misc", "shared":
			t.Errorf("%s: a package is named for what it does", p.ImportPath)
		}
	}
}

// pathRooms are where paths that are not in an export are opened: the state
// directory, the configuration, the kernel's own files.
var pathRooms = []string{"internal/fsroot", "internal/store", "internal/failpoint", "internal/hostnet", "internal/trust", "cmd", "test", "docs", "deploy", "transport/transporttest"}

// pathFiles may touch paths too, each for the reason it gives.
var pathFiles = map[string]string{
	"transfer/manifest/index.go": "the index lies in the state directory",
	"transfer/receiver/sync.go":  "/proc/meminfo tells how much is dirty",
}

// TestOnlyFsrootOpensPaths keeps every path of an export behind openat2.
func TestOnlyFsrootOpensPaths(t *testing.T) {
	calls := map[string]map[string]bool{
		"os": set("Open", "OpenFile", "Create", "CreateTemp", "Mkdir", "MkdirAll", "MkdirTemp", "ReadFile", "WriteFile", "ReadDir",
			"Stat", "Lstat", "Rename", "Remove", "RemoveAll", "Link", "Symlink", "Readlink", "Chmod", "Chown", "Lchown", "Chtimes", "Truncate", "OpenRoot", "DirFS"),
		"unix": set("Open", "Openat", "Openat2", "Creat", "Mkdir", "Mkdirat", "Rename", "Renameat", "Renameat2", "Unlink", "Unlinkat",
			"Link", "Linkat", "Symlink", "Symlinkat", "Readlink", "Readlinkat", "Fstatat", "Statx", "Stat", "Lstat", "Fchmodat", "Fchownat",
			"UtimesNanoAt", "Mknod", "Mknodat", "Chmod", "Chown", "Setxattr", "Lsetxattr", "Getxattr", "Lgetxattr", "Listxattr", "Llistxattr"),
		"filepath": set("Walk", "WalkDir", "Glob", "EvalSymlinks"),
	}
	for _, p := range packages(t) {
		allowed := false
		for _, r := range pathRooms {
			allowed = allowed || p.ImportPath == r || strings.HasPrefix(p.ImportPath, r+"/")
		}
		if allowed {
			continue
		}
		for _, f := range p.GoFiles {
			if pathFiles[p.ImportPath+"/"+f] != "" {
				continue
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, f), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if x, ok := sel.X.(*ast.Ident); ok && calls[x.Name][sel.Sel.Name] {
					t.Errorf("%s: %s.%s: only fsroot touches paths", fset.Position(sel.Pos()), x.Name, sel.Sel.Name)
				}
				return true
			})
		}
	}
}

func set(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}
