package client

import (
	"context"
	"iter"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// ListNodes returns all nodes that the called one knows.
func (c *Client) ListNodes(ctx context.Context) ([]*xferv1.Node, error) {
	var nodes []*xferv1.Node
	for token := ""; ; {
		resp, err := call(ctx, plain(c.nodes.ListNodes), &xferv1.ListNodesRequest{PageSize: 1000, PageToken: token})
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, resp.GetNodes()...)
		if token = resp.GetNextPageToken(); token == "" {
			return nodes, nil
		}
	}
}

// GetNode returns a node by its id. It also says how it reaches the IP addresses
// routeTo, at most 64.
func (c *Client) GetNode(ctx context.Context, id string, routeTo ...string) (*xferv1.Node, error) {
	resp, err := call(ctx, plain(c.nodes.GetNode), &xferv1.GetNodeRequest{Name: NodeName(id), RouteTo: routeTo})
	return resp.GetNode(), err
}

// Drain makes a node take no new transfers.
func (c *Client) Drain(ctx context.Context, id string) (*xferv1.Node, error) {
	resp, err := call(ctx, plain(c.nodes.DrainNode), &xferv1.DrainNodeRequest{Name: NodeName(id)})
	return resp.GetNode(), err
}

// Undrain undoes Drain.
func (c *Client) Undrain(ctx context.Context, id string) (*xferv1.Node, error) {
	resp, err := call(ctx, plain(c.nodes.UndrainNode), &xferv1.UndrainNodeRequest{Name: NodeName(id)})
	return resp.GetNode(), err
}

// Stat tells of one file of a node.
func (c *Client) Stat(ctx context.Context, node, path string, follow bool) (*xferv1.File, error) {
	resp, err := call(ctx, plain(c.nodes.StatFile), &xferv1.StatFileRequest{Parent: NodeName(node), Path: []byte(path), Follow: follow})
	return resp.GetFile(), err
}

// filesPage is how many files a call asks for, the most there are in one: a node
// reads the whole directory for each page.
const filesPage = 5000

// Files returns what is in a directory of a node, by name, page by page as it is
// asked for. With path "" it returns the exports. After an error it ends.
func (c *Client) Files(ctx context.Context, node, path string) iter.Seq2[*xferv1.File, error] {
	return func(yield func(*xferv1.File, error) bool) {
		for token := ""; ; {
			resp, err := call(ctx, plain(c.nodes.ListFiles), &xferv1.ListFilesRequest{Parent: NodeName(node), Path: []byte(path), PageSize: filesPage, PageToken: token})
			if err != nil {
				yield(nil, err)
				return
			}
			for _, f := range resp.GetFiles() {
				if !yield(f, nil) {
					return
				}
			}
			if token = resp.GetNextPageToken(); token == "" {
				return
			}
		}
	}
}
