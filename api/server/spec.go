package server

import (
	"crypto/sha256"
	"math"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/filter"
)

// Limits of a spec beside those of package transfer.
const (
	maxFilters = 5000
	maxRate    = 1 << 50 // bytes per second
	maxPieces  = 1 << 20
	maxChmod   = 256 // bytes
)

// specIn checks a spec in full and translates it, defaults filled in. It does
// not ask whether the deadline has passed: a submit that is repeated after that
// must still find its transfer.
func specIn(m *xferv1.TransferSpec) (transfer.Spec, error) {
	if m == nil {
		return transfer.Spec{}, invalid("spec", "it is missing")
	}
	s := transfer.Spec{
		Follow: m.GetFollowSymlinks(), OneFS: m.GetOneFileSystem(),
		Update: m.GetUpdate(), NoClobber: m.GetNoClobber(), Force: m.GetForce(),
		ChownUID: m.ChownUid, ChownGID: m.ChownGid, Chmod: m.GetChmod(),
		DryRun: m.GetDryRun(), Delete: m.GetDelete(), MaxDelete: m.MaxDelete,
	}
	for _, step := range []func(*xferv1.TransferSpec, *transfer.Spec) error{
		nodesIn, wordsIn, numbersIn, preserveIn, filtersIn, endpointsIn, expectedIn, combinationsIn, preparedIn,
	} {
		if err := step(m, &s); err != nil {
			return transfer.Spec{}, err
		}
	}
	return s, nil
}

func nodesIn(m *xferv1.TransferSpec, s *transfer.Spec) error {
	for _, n := range []struct{ field, id string }{
		{"spec.source_node", m.GetSourceNode()}, {"spec.target_node", m.GetTargetNode()},
	} {
		switch {
		case n.id == "":
			return invalid(n.field, "it is missing")
		case !transfer.CheckNodeID(n.id):
			return invalid(n.field, "%.100q can not be the name of a node: 1 to 63 letters, digits, '.', '_' and '-'", n.id)
		}
	}
	s.Source, s.Target = transfer.NodeID(m.GetSourceNode()), transfer.NodeID(m.GetTargetNode())
	return nil
}

func wordsIn(m *xferv1.TransferSpec, s *transfer.Spec) (err error) {
	if s.Mode, err = modes.in("spec.mode", m.GetMode()); err != nil {
		return err
	}
	if s.DestMode, err = destModes.in("spec.destination.mode", m.GetDestination().GetMode()); err != nil {
		return err
	}
	if s.Compare, err = compares.in("spec.compare", m.GetCompare()); err != nil {
		return err
	}
	if s.Verify, err = verifies.in("spec.verify", m.GetVerify()); err != nil {
		return err
	}
	if s.Digest, err = digestKinds.in("spec.digest", m.GetDigest()); err != nil {
		return err
	}
	if s.Durability, err = durabilities.in("spec.durability", m.GetDurability()); err != nil {
		return err
	}
	if s.Policy, err = policies.in("spec.transport", m.GetTransport()); err != nil {
		return err
	}
	if s.Encrypt, err = encryptions.in("spec.encryption", m.GetEncryption()); err != nil {
		return err
	}
	s.Priority, err = priorities.in("spec.priority", m.GetPriority())
	return err
}

func numbersIn(m *xferv1.TransferSpec, s *transfer.Spec) (err error) {
	s.Streams, s.ChunkSize = transfer.DefaultStreams, transfer.DefaultChunkSize
	if m.Streams != nil {
		if n := m.GetStreams(); n < 1 || n > transfer.MaxStreams {
			return invalid("spec.streams", "%d is not in 1..%d", n, transfer.MaxStreams)
		}
		s.Streams = int(m.GetStreams())
	}
	if m.ChunkSize != nil {
		n := m.GetChunkSize()
		if n < transfer.MinChunkSize || n > transfer.MaxChunkSize || n&(n-1) != 0 {
			return invalid("spec.chunk_size", "%d is not a power of two from %d (1 MiB) to %d (64 MiB)", n, transfer.MinChunkSize, transfer.MaxChunkSize)
		}
		s.ChunkSize = n
	}
	if m.MaxDelete != nil && m.GetMaxDelete() < 0 {
		return invalid("spec.max_delete", "%d is negative", m.GetMaxDelete())
	}
	if m.ChownUid != nil && m.GetChownUid() == math.MaxUint32 {
		return invalid("spec.chown_uid", "%d is not an id", m.GetChownUid())
	}
	if m.ChownGid != nil && m.GetChownGid() == math.MaxUint32 {
		return invalid("spec.chown_gid", "%d is not an id", m.GetChownGid())
	}
	if s.MaxRate, err = rateIn("spec.max_bytes_per_second", m.MaxBytesPerSecond); err != nil {
		return err
	}
	if s.Deadline, err = deadlineIn("spec.deadline", m.GetDeadline()); err != nil {
		return err
	}
	s.Labels, err = labelsIn("spec.labels", m.GetLabels())
	return err
}

func rateIn(field string, n *int64) (int64, error) {
	if n == nil {
		return 0, nil
	}
	if *n < 1 || *n > maxRate {
		return 0, invalid(field, "%d is not in 1..2^50; leave it out for no limit", *n)
	}
	return *n, nil
}

func deadlineIn(field string, d *timestamppb.Timestamp) (time.Time, error) {
	if d == nil {
		return time.Time{}, nil
	}
	if err := d.CheckValid(); err != nil {
		return time.Time{}, invalid(field, "it is no time between the years 1 and 9999")
	}
	return d.AsTime(), nil
}

func labelsIn(field string, l map[string]string) (map[string]string, error) {
	if len(l) > transfer.MaxLabels {
		return nil, invalid(field, "there are %d labels; at most %d may be", len(l), transfer.MaxLabels)
	}
	for k, v := range l {
		switch {
		case k == "":
			return nil, invalid(field, "a label has no name")
		case len(k) > transfer.MaxLabelLength:
			return nil, invalid(field, "the name of a label has %d bytes; at most %d may be", len(k), transfer.MaxLabelLength)
		case len(v) > transfer.MaxLabelLength:
			return nil, invalid(field, "label %q has %d bytes; at most %d may be", k, len(v), transfer.MaxLabelLength)
		}
	}
	return l, nil
}

func preserveIn(m *xferv1.TransferSpec, s *transfer.Spec) error {
	if err := chmodIn("spec.chmod", m.GetChmod()); err != nil {
		return err
	}
	if m.GetPreserve() == nil {
		s.Preserve = transfer.PreserveDefault
		if s.Mode == transfer.ModeVerify {
			s.Preserve = transfer.PreserveSymlinks
		}
		return nil
	}
	for _, p := range m.GetPreserve().GetProperties() {
		bit, err := properties.exact("spec.preserve.properties", p)
		if err != nil {
			return err
		}
		if s.Preserve.Has(bit) {
			return invalid("spec.preserve.properties", "%s stands there twice", p)
		}
		s.Preserve |= bit
	}
	return nil
}

func filtersIn(m *xferv1.TransferSpec, s *transfer.Spec) error {
	if len(m.GetFilters()) > maxFilters {
		return invalid("spec.filters", "there are %d rules; at most %d may be", len(m.GetFilters()), maxFilters)
	}
	for _, f := range m.GetFilters() {
		s.Filters = append(s.Filters, transfer.FilterRule{Include: f.GetInclude(), Pattern: string(f.GetPattern())})
	}
	if _, err := filter.New(s.Filters); err != nil {
		return invalid("spec.filters", "%w", err)
	}
	return nil
}

// expectedIn takes the digest that the one file has to have.
func expectedIn(m *xferv1.TransferSpec, s *transfer.Spec) error {
	n := len(m.GetExpectedDigest())
	switch {
	case n == 0:
		return nil
	case s.Digest == "":
		return invalid("spec.expected_digest", "spec.digest has to say of which kind it is")
	case n != s.Digest.Size():
		return invalid("spec.expected_digest", "a %s digest has %d bytes, and the expected one has %d", s.Digest, s.Digest.Size(), n)
	case s.Mode == transfer.ModeSync || len(s.Sources) > 1 || len(s.FilesFrom) > 0:
		return invalid("spec.expected_digest", "a digest can be expected of one file only: name it as the one source, without a list of files, and do not sync")
	}
	s.Expected = m.GetExpectedDigest()
	return nil
}

// combinationsIn refuses fields that contradict each other.
func combinationsIn(m *xferv1.TransferSpec, s *transfer.Spec) error {
	switch {
	case s.NoClobber && s.Update:
		return invalid("spec.no_clobber", "it can not go with update")
	case s.NoClobber && s.Force:
		return invalid("spec.no_clobber", "it can not go with force")
	case s.Delete && s.Mode != transfer.ModeSync:
		return invalid("spec.delete", "only a sync deletes")
	case s.MaxDelete != nil && !s.Delete && !s.Force:
		return invalid("spec.max_delete", "nothing is deleted without delete or force")
	case s.Delete && len(m.GetFilesFrom()) > 0:
		return invalid("spec.delete", "with files_from it would delete all that the list does not name")
	case s.Mode == transfer.ModeAssemble && (len(s.Filters) > 0 || s.Update || s.NoClobber):
		return invalid("spec.mode", "an assembled file takes no filters, update or no_clobber")
	case s.Mode == transfer.ModeVerify:
		return verifyIn(m, s)
	}
	return nil
}

// verifyIn sets what a verification is, and refuses what says how to write.
func verifyIn(m *xferv1.TransferSpec, s *transfer.Spec) error {
	s.DryRun = true
	if m.GetCompare() == xferv1.Compare_COMPARE_UNSPECIFIED {
		s.Compare = transfer.CompareChecksum
	}
	if s.Update || s.NoClobber || s.Force || s.ChownUID != nil || s.ChownGID != nil || s.Chmod != "" {
		return invalid("spec.mode", "a verification changes nothing: it takes no update, no_clobber, force, chown_uid, chown_gid or chmod")
	}
	return nil
}

// sameHash is equal for two requests that ask for the same: the spec as it was
// received, before defaults, without what UpdateTransfer can change. It has no
// map, so that its encoding is stable.
func sameHash(m *xferv1.TransferSpec, principal string) [32]byte {
	m = proto.CloneOf(m)
	m.Priority, m.MaxBytesPerSecond, m.Deadline, m.Labels = 0, nil, nil, nil
	b, _ := proto.MarshalOptions{Deterministic: true}.Marshal(m) // what was received can be sent
	h := sha256.New()
	h.Write([]byte("xfer.v1.TransferSpec\x00" + principal + "\x00"))
	h.Write(b)
	return [32]byte(h.Sum(nil))
}
