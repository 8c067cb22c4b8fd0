package server

import (
	"strings"

	"github.com/xferd/xferd/transfer"
)

// allNodes is the wildcard of a parent.
const allNodes = "-"

// parseNode reads nodes/{id}.
func parseNode(field, name string) (transfer.NodeID, error) {
	id, ok := strings.CutPrefix(name, "nodes/")
	if !ok || !transfer.CheckNodeID(id) {
		return "", invalid(field, "%.200q is not of the form nodes/{node}", name)
	}
	return transfer.NodeID(id), nil
}

// parseParent reads nodes/{id} or nodes/-, for which all is true.
func parseParent(field, name string) (node transfer.NodeID, all bool, err error) {
	if name == "nodes/"+allNodes {
		return "", true, nil
	}
	node, err = parseNode(field, name)
	return node, false, err
}

// parseName reads nodes/{owner}/transfers/{id}.
func parseName(field, name string) (owner transfer.NodeID, id string, err error) {
	rest, ok := strings.CutPrefix(name, "nodes/")
	node, rest, ok2 := strings.Cut(rest, "/")
	id, ok3 := strings.CutPrefix(rest, "transfers/")
	if !ok || !ok2 || !ok3 || !transfer.CheckNodeID(node) || !transfer.CheckID(id) {
		return "", "", invalid(field, "%.300q is not of the form nodes/{owner}/transfers/{transfer_id}", name)
	}
	return transfer.NodeID(node), id, nil
}

// parseRegion reads nodes/{node}/regions/{region_id}.
func parseRegion(field, name string) (node transfer.NodeID, id string, err error) {
	rest, ok := strings.CutPrefix(name, "nodes/")
	n, rest, ok2 := strings.Cut(rest, "/")
	id, ok3 := strings.CutPrefix(rest, "regions/")
	if !ok || !ok2 || !ok3 || !transfer.CheckNodeID(n) || !transfer.CheckRegionID(id) {
		return "", "", invalid(field, "%.300q is not of the form nodes/{node}/regions/{region_id}", name)
	}
	return transfer.NodeID(n), id, nil
}
