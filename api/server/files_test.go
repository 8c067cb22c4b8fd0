package server

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/status"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

func TestFiles(t *testing.T) {
	c := newCluster(t, "n1", "n2")
	dir, at := c.nodes["n2"].dir, c.nodes["n1"]
	write(t, filepath.Join(dir, "file"), "hello")
	write(t, filepath.Join(dir, "bad\xff\nname"), "")
	if err := os.Chtimes(filepath.Join(dir, "file"), time.Unix(5, 6), time.Unix(1234, 5678)); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "sub"), 0o700),
		os.Symlink("../file", filepath.Join(dir, "sub", "in")),
		os.Symlink("/etc/passwd", filepath.Join(dir, "out")),
		syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	stat := func(path string, follow bool) (*xferv1.File, error) {
		r, err := at.nodes().StatFile(as(t, "ann"), &xferv1.StatFileRequest{Parent: "nodes/n2", Path: []byte(path), Follow: follow})
		return r.GetFile(), err
	}
	f, err := stat(dir+"/file", false)
	if err != nil || f.GetKind() != xferv1.EntryKind_ENTRY_KIND_FILE || f.GetSize() != 5 || f.GetMode() != 0o640 || f.GetLinks() != 1 || !f.GetModifyTime().AsTime().Equal(time.Unix(1234, 5678)) {
		t.Errorf("file: %v, %v", f, err)
	}
	f, err = stat(dir+"/sub/in", false)
	if err != nil || f.GetKind() != xferv1.EntryKind_ENTRY_KIND_SYMLINK || string(f.GetTarget()) != "../file" {
		t.Errorf("link: %v, %v", f, err)
	}
	if f, err = stat(dir+"/sub/in", true); err != nil || f.GetSize() != 5 {
		t.Errorf("followed: %v, %v", f, err)
	}
	if f, err = stat(dir+"/fifo", false); err != nil || f.GetKind() != xferv1.EntryKind_ENTRY_KIND_FIFO {
		t.Errorf("fifo: %v, %v", f, err)
	}
	if f, err = stat(dir, false); err != nil || f.GetKind() != xferv1.EntryKind_ENTRY_KIND_DIRECTORY {
		t.Errorf("root: %v, %v", f, err)
	}
	for path, want := range map[string]transfer.Reason{
		dir + "/none":       transfer.SourceNotFound,
		dir + "/file/x":     transfer.SourceNotFound,
		dir + "x":           transfer.PathNotAllowed,
		"/etc/passwd":       transfer.PathNotAllowed,
		"/secret":           transfer.PathNotAllowed,
		dir + "/../x":       transfer.BadPath,
		dir + "/":           transfer.BadPath,
		"":                  transfer.BadPath,
		"relative":          transfer.BadPath,
		dir + "/out/x":      transfer.PathEscapesRoot,
		dir + "/sub/in\x00": transfer.BadPath,
	} {
		_, err := stat(path, false)
		wantReason(t, path, err, want)
	}
	_, err = stat(dir+"/out", true)
	wantReason(t, "a link that leaves", err, transfer.PathEscapesRoot)

	// An error says who looked and at what, and nothing of a transfer.
	for want, err := range map[string]error{
		"stat n2:" + dir + "/none: ": look(at.nodes().StatFile(as(t, "ann"), &xferv1.StatFileRequest{Parent: "nodes/n2", Path: []byte(dir + "/none")})),
		"list n2:" + dir + "/none: ": look(at.nodes().ListFiles(as(t, "ann"), &xferv1.ListFilesRequest{Parent: "nodes/n2", Path: []byte(dir + "/none")})),
		"list n2:" + dir + "/file: ": look(at.nodes().ListFiles(as(t, "ann"), &xferv1.ListFilesRequest{Parent: "nodes/n2", Path: []byte(dir + "/file")})),
		"stat n2:/etc/passwd: ":      look(at.nodes().StatFile(as(t, "ann"), &xferv1.StatFileRequest{Parent: "nodes/n2", Path: []byte("/etc/passwd")})),
		"list relative: path: ":      look(at.nodes().ListFiles(as(t, "ann"), &xferv1.ListFilesRequest{Parent: "nodes/n2", Path: []byte("relative")})),
		"stat /a/: path: ":           look(at.nodes().StatFile(as(t, "ann"), &xferv1.StatFileRequest{Parent: "nodes/n2", Path: []byte("/a/")})),
	} {
		if got := status.Convert(err).Message(); !strings.HasPrefix(got, want) {
			t.Errorf("%q does not begin with %q", got, want)
		}
	}

	r, err := at.nodes().ListFiles(as(t, "ann"), &xferv1.ListFilesRequest{Parent: "nodes/n2", Path: []byte(dir)})
	var names []string
	for _, f := range r.GetFiles() {
		names = append(names, string(f.GetPath()))
	}
	if err != nil || !slices.Equal(names, []string{"bad\xff\nname", "fifo", "file", "out", "sub"}) {
		t.Errorf("list: %q, %v", names, err)
	}
	if r.GetFiles()[2].GetSize() != 5 || string(r.GetFiles()[3].GetTarget()) != "/etc/passwd" {
		t.Errorf("the list lacks facts: %v", r)
	}
	_, err = at.nodes().ListFiles(as(t, "ann"), &xferv1.ListFilesRequest{Parent: "nodes/n2", Path: []byte(dir + "/file")})
	wantReason(t, "list of a file", err, transfer.SourceNotRegular)
	_, err = at.nodes().ListFiles(as(t, "ann"), &xferv1.ListFilesRequest{Parent: "nodes/n2", Path: []byte("/secret")})
	wantReason(t, "list of what is not allowed", err, transfer.PathNotAllowed)

	r, err = at.nodes().ListFiles(as(t, "ann"), &xferv1.ListFilesRequest{Parent: "nodes/n2"})
	if err != nil || len(r.GetFiles()) != 1 || string(r.GetFiles()[0].GetPath()) != dir {
		t.Errorf("exports: %v, %v", r, err)
	}
}

// look leaves only the error of a call.
func look[T any](_ T, err error) error { return err }

func TestFilePages(t *testing.T) {
	n := newCluster(t, "n1").nodes["n1"]
	var want []string
	for i := range 53 {
		name := fmt.Sprintf("f%02d", i)
		write(t, filepath.Join(n.dir, name), "")
		want = append(want, name)
	}
	for _, size := range []int32{1, 7, 53, 5000} {
		var got []string
		req := &xferv1.ListFilesRequest{Parent: "nodes/n1", Path: []byte(n.dir), PageSize: size}
		for {
			r, err := n.nodes().ListFiles(as(t, "ann"), req)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range r.GetFiles() {
				got = append(got, string(f.GetPath()))
			}
			if req.PageToken = r.GetNextPageToken(); req.PageToken == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %s", size, strings.Join(got, " "))
		}
	}
	_, err := n.nodes().ListFiles(as(t, "ann"), &xferv1.ListFilesRequest{Parent: "nodes/n1", Path: []byte(n.dir), PageToken: "?"})
	wantReason(t, "garbage", err, transfer.InvalidPageToken)
	_, err = n.nodes().ListFiles(as(t, "ann"), &xferv1.ListFilesRequest{Parent: "nodes/n1", Path: []byte(n.dir), PageSize: -1})
	wantReason(t, "page size -1", err, transfer.InvalidSpec)
}

// Names that go while a page is made, even all of it, do not end the listing.
func TestFilePageWhileNamesGo(t *testing.T) {
	names := []string{"a", "b", "c"} // one more than fits
	for _, gone := range []string{"c", "b", "ab", "abc"} {
		at := &token{kind: tokenFiles}
		r, err := filePage(names, 2, at, func(name string) (*xferv1.File, error) {
			if strings.Contains(gone, name) {
				return nil, nil
			}
			return &xferv1.File{Path: []byte(name)}, nil
		})
		if err != nil || r.GetNextPageToken() == "" || at.text != "b" {
			t.Errorf("without %s: %v, %v, next after %q", gone, r, err, at.text)
		}
	}
	r, err := filePage(names, 3, &token{kind: tokenFiles}, func(string) (*xferv1.File, error) { return nil, nil })
	if err != nil || r.GetNextPageToken() != "" {
		t.Errorf("the last page: %v, %v", r, err)
	}
}

func TestNodes(t *testing.T) {
	c := newCluster(t, "n1", "n2", "n3")
	at := c.nodes["n1"]
	var names []string
	req := &xferv1.ListNodesRequest{PageSize: 2}
	for {
		r, err := at.nodes().ListNodes(as(t, "ann"), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range r.GetNodes() {
			names = append(names, n.GetName())
			// Only of the node that answers it is that one's own word.
			if own := n.GetName() == "nodes/n1"; n.GetOwnReport() != own || (len(n.GetExports()) == 1) != own || (n.GetTransfersQueued() == 2) != own {
				t.Errorf("the list says of %s: %v", n.GetName(), n)
			}
		}
		if req.PageToken = r.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	if !slices.Equal(names, []string{"nodes/n1", "nodes/n2", "nodes/n3"}) {
		t.Errorf("nodes are %v", names)
	}
	get := func(id string) (*xferv1.Node, error) {
		r, err := at.nodes().GetNode(as(t, "ann"), &xferv1.GetNodeRequest{Name: "nodes/" + id})
		return r.GetNode(), err
	}
	for _, id := range []string{"n1", "n2"} {
		n, err := get(id)
		if err != nil || !n.GetOwnReport() || n.GetTransfersQueued() != 2 || len(n.GetExports()) != 1 || !n.GetExports()[0].GetWritable() || n.GetLabels()["zone"] != "a" {
			t.Errorf("%s: %v, %v", id, n, err)
		}
		if f := n.GetFailingFileSystems(); len(f) != 1 || string(f[0].GetPath()) != "/data/disk" || f[0].GetSinceTime().GetSeconds() != 1700000000 || f[0].GetMessage() == "" {
			t.Errorf("%s: file systems that fail: %v", id, f)
		}
	}
	at.down["n3"] = true
	if n, err := get("n3"); err != nil || n.GetOwnReport() || n.GetState() != xferv1.NodeState_NODE_STATE_ALIVE {
		t.Errorf("n3: %v, %v", n, err)
	}
	_, err := get("n9")
	wantReason(t, "an unknown node", err, transfer.NodeUnknown)
	_, err = get("")
	wantReason(t, "no node", err, transfer.InvalidSpec)

	_, err = at.nodes().DrainNode(as(t, "ann"), &xferv1.DrainNodeRequest{Name: "nodes/n2"})
	wantReason(t, "drain by a user", err, transfer.PermissionDenied)
	d, err := at.nodes().DrainNode(as(t, "root"), &xferv1.DrainNodeRequest{Name: "nodes/n2"})
	if err != nil || !d.GetNode().GetDraining() || !c.nodes["n2"].members.drained {
		t.Errorf("drain: %v, %v", d, err)
	}
	u, err := at.nodes().UndrainNode(as(t, "root"), &xferv1.UndrainNodeRequest{Name: "nodes/n2"})
	if err != nil || u.GetNode().GetDraining() || c.nodes["n2"].members.drained {
		t.Errorf("undrain: %v, %v", u, err)
	}
}
