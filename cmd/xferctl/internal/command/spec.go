package command

import (
	"strings"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/flagval"
	"github.com/xferd/xferd/cmd/xferctl/internal/place"
)

// setPlaces sets sources and destination of a spec from a mapping.
func setPlaces(out *xferv1.TransferSpec, m place.Mapping) {
	out.SourceNode, out.TargetNode = m.Sources[0].Node, m.Dest.Node
	out.Sources = nil
	for _, s := range m.Sources {
		if r := s.Region; r != nil {
			out.Sources = append(out.Sources, client.RegionSource(r.ID, r.Offset, r.Length))
			continue
		}
		out.Sources = append(out.Sources, &xferv1.Source{Source: &xferv1.Source_Path{
			Path: &xferv1.PathSource{Path: []byte(s.Path), Contents: s.Slash},
		}})
	}
	if r := m.Dest.Region; r != nil {
		out.Destination = client.RegionDestination(r.ID, r.Offset)
		return
	}
	out.Destination = &xferv1.Destination{
		Destination: &xferv1.Destination_Path{Path: []byte(m.Dest.Path)},
		Mode:        xferv1.DestinationMode_DESTINATION_MODE_EXACT,
	}
	if m.Into {
		out.Destination.Mode = xferv1.DestinationMode_DESTINATION_MODE_INTO_DIR
	}
}

// placesOf is the reverse of setPlaces, for showing. Assembled files have the
// files of their pieces as sources.
func placesOf(spec *xferv1.TransferSpec) place.Mapping {
	m := place.Mapping{
		Dest: place.Place{Node: spec.GetTargetNode(), Path: string(spec.GetDestination().GetPath())},
		Into: spec.GetDestination().GetMode() == xferv1.DestinationMode_DESTINATION_MODE_INTO_DIR,
	}
	if r := spec.GetDestination().GetRegion(); r != nil {
		m.Dest.Region = &place.Region{Node: m.Dest.Node, ID: r.GetRegionId(), Offset: r.GetOffset(), Length: -1}
	}
	for _, s := range spec.GetSources() {
		if r := s.GetRegion(); r != nil {
			m.Sources = append(m.Sources, regionPlace(spec.GetSourceNode(), r))
			continue
		}
		m.Sources = append(m.Sources, place.Place{Node: spec.GetSourceNode(), Path: string(s.GetPath().GetPath()), Slash: s.GetPath().GetContents()})
	}
	for _, p := range spec.GetPieces().GetPaths() {
		m.Sources = append(m.Sources, place.Place{Node: spec.GetSourceNode(), Path: string(p)})
	}
	for _, id := range spec.GetPieces().GetRegions() {
		m.Sources = append(m.Sources, regionPlace(spec.GetSourceNode(), &xferv1.RegionSource{RegionId: id}))
	}
	return m
}

func regionPlace(node string, r *xferv1.RegionSource) place.Place {
	p := place.Region{Node: node, ID: r.GetRegionId(), Offset: r.GetOffset(), Length: -1}
	if r.Length != nil {
		p.Length = r.GetLength()
	}
	return place.Place{Node: node, Region: &p}
}

// choice returns the number of an enum value from the word of a flag; no word
// is 0, the default.
func choice(c *flagval.Choice, values map[string]int32, prefix string) int32 {
	if c == nil || c.Value == "" {
		return 0
	}
	return values[prefix+strings.ToUpper(c.Value)]
}

var properties = []struct {
	keep flagval.Keep
	prop xferv1.Property
}{
	{flagval.KeepMode, xferv1.Property_PROPERTY_MODE},
	{flagval.KeepTimes, xferv1.Property_PROPERTY_TIMES},
	{flagval.KeepLinks, xferv1.Property_PROPERTY_SYMLINKS},
	{flagval.KeepHardlinks, xferv1.Property_PROPERTY_HARDLINKS},
	{flagval.KeepSparse, xferv1.Property_PROPERTY_SPARSE},
	{flagval.KeepOwner, xferv1.Property_PROPERTY_OWNER},
	{flagval.KeepXattrs, xferv1.Property_PROPERTY_XATTRS},
	{flagval.KeepACLs, xferv1.Property_PROPERTY_ACLS},
	{flagval.KeepDevices, xferv1.Property_PROPERTY_DEVICES},
	{flagval.KeepSpecials, xferv1.Property_PROPERTY_SPECIALS},
}

func preserve(k flagval.Keep) *xferv1.Preserve {
	out := &xferv1.Preserve{}
	for _, p := range properties {
		if k&p.keep != 0 {
			out.Properties = append(out.Properties, p.prop)
		}
	}
	return out
}

// word is the name of an enum value as it is shown: without prefix.
func word[E interface{ String() string }](e E, prefix string) string {
	return strings.TrimPrefix(e.String(), prefix)
}

func stateWord(s xferv1.State) string { return word(s, "STATE_") }

// stateText is the state of a transfer for people, who must not take a dry run
// for a copy.
func stateText(t *xferv1.Transfer) string {
	if verifies(t) {
		return stateWord(t.GetState()) + " (verify)"
	}
	if t.GetSpec().GetDryRun() {
		return stateWord(t.GetState()) + " (dry run)"
	}
	return stateWord(t.GetState())
}

func terminal(s xferv1.State) bool {
	switch s {
	case xferv1.State_STATE_SUCCEEDED, xferv1.State_STATE_PARTIALLY_SUCCEEDED, xferv1.State_STATE_FAILED, xferv1.State_STATE_CANCELLED:
		return true
	}
	return false
}
