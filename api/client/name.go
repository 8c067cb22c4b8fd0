package client

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// AllNodes is the parent of lists and watches over all owners.
const AllNodes = "nodes/-"

// Name returns the name of a transfer.
func Name(owner, id string) string { return "nodes/" + owner + "/transfers/" + id }

// NodeName returns the name of a node, which is also the parent of what it has.
func NodeName(id string) string { return "nodes/" + id }

// ParseName takes the name of a transfer apart.
func ParseName(name string) (owner, id string, err error) {
	rest, ok := strings.CutPrefix(name, "nodes/")
	owner, id, ok2 := strings.Cut(rest, "/transfers/")
	if !ok || !ok2 || owner == "" || id == "" || strings.Contains(owner, "/") || strings.Contains(id, "/") {
		err := fmt.Errorf("%q is not of the form nodes/{owner}/transfers/{transfer_id}", name)
		return "", "", &Error{Reason: xferv1.Reason_REASON_INVALID_SPEC.Name(), ExitCode: 2, Message: err.Error(), Err: err}
	}
	return owner, id, nil
}

// NewID returns a transfer id that nobody else has. A scheduler does better with
// one that it can make again: the same work then is the same transfer.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Over reports whether a transfer is in a state that never changes.
func Over(t *xferv1.Transfer) bool {
	switch t.GetState() {
	case xferv1.State_STATE_SUCCEEDED, xferv1.State_STATE_PARTIALLY_SUCCEEDED, xferv1.State_STATE_FAILED, xferv1.State_STATE_CANCELLED:
		return true
	}
	return false
}

// Copy returns the spec of a plain copy with all defaults: target becomes the
// copy of source. Change it before submitting as needed.
func Copy(sourceNode, sourcePath, targetNode, targetPath string) *xferv1.TransferSpec {
	return &xferv1.TransferSpec{
		Mode:       xferv1.Mode_MODE_COPY,
		SourceNode: sourceNode,
		Sources:    []*xferv1.Source{Path(sourcePath, false)},
		TargetNode: targetNode,
		Destination: &xferv1.Destination{
			Destination: &xferv1.Destination_Path{Path: []byte(targetPath)},
			Mode:        xferv1.DestinationMode_DESTINATION_MODE_EXACT,
		},
	}
}

// Path returns a source: a file or directory, or with contents what is in a
// directory.
func Path(path string, contents bool) *xferv1.Source {
	return &xferv1.Source{Source: &xferv1.Source_Path{Path: &xferv1.PathSource{Path: []byte(path), Contents: contents}}}
}
