package server

import (
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// enum ties the numbers of the API to the values of the domain. The zero number
// stands for the default in requests.
type enum[P interface {
	~int32
	protoreflect.Enum
}, D comparable] struct {
	normal D // of UNSPECIFIED
	pairs  []pair[P, D]
}

type pair[P, D any] struct {
	proto  P
	domain D
}

// in translates a request's field. A number that this version does not know is
// refused, never taken for the default.
func (e *enum[P, D]) in(field string, p P) (D, error) {
	if p == 0 {
		return e.normal, nil
	}
	return e.exact(field, p)
}

// exact is in without a default.
func (e *enum[P, D]) exact(field string, p P) (D, error) {
	for _, x := range e.pairs {
		if x.proto == p {
			return x.domain, nil
		}
	}
	var none D
	if p == 0 {
		return none, invalid(field, "it is %s", p.Descriptor().Values().ByNumber(0).Name())
	}
	return none, invalid(field, "%d is no %s that this node knows", int32(p), p.Descriptor().Name())
}

// out translates for an answer; what is not known is UNSPECIFIED.
func (e *enum[P, D]) out(d D) P {
	for _, x := range e.pairs {
		if x.domain == d {
			return x.proto
		}
	}
	return 0
}

var modes = enum[xferv1.Mode, transfer.Mode]{transfer.ModeCopy, []pair[xferv1.Mode, transfer.Mode]{
	{xferv1.Mode_MODE_COPY, transfer.ModeCopy},
	{xferv1.Mode_MODE_SYNC, transfer.ModeSync},
	{xferv1.Mode_MODE_ASSEMBLE, transfer.ModeAssemble},
	{xferv1.Mode_MODE_VERIFY, transfer.ModeVerify},
}}

var destModes = enum[xferv1.DestinationMode, transfer.DestMode]{transfer.DestExact, []pair[xferv1.DestinationMode, transfer.DestMode]{
	{xferv1.DestinationMode_DESTINATION_MODE_EXACT, transfer.DestExact},
	{xferv1.DestinationMode_DESTINATION_MODE_INTO_DIR, transfer.DestInto},
}}

var compares = enum[xferv1.Compare, transfer.Compare]{transfer.CompareSizeMtime, []pair[xferv1.Compare, transfer.Compare]{
	{xferv1.Compare_COMPARE_SIZE_MTIME, transfer.CompareSizeMtime},
	{xferv1.Compare_COMPARE_SIZE, transfer.CompareSize},
	{xferv1.Compare_COMPARE_CHECKSUM, transfer.CompareChecksum},
}}

var verifies = enum[xferv1.Verify, transfer.Verify]{transfer.VerifyWire, []pair[xferv1.Verify, transfer.Verify]{
	{xferv1.Verify_VERIFY_NONE, transfer.VerifyNone},
	{xferv1.Verify_VERIFY_WIRE, transfer.VerifyWire},
	{xferv1.Verify_VERIFY_STORE, transfer.VerifyStore},
	{xferv1.Verify_VERIFY_MEDIA, transfer.VerifyMedia},
}}

var digestKinds = enum[xferv1.DigestKind, transfer.DigestKind]{"", []pair[xferv1.DigestKind, transfer.DigestKind]{
	{xferv1.DigestKind_DIGEST_KIND_SHA256, transfer.DigestSHA256},
	{xferv1.DigestKind_DIGEST_KIND_BLAKE3, transfer.DigestBLAKE3},
	{xferv1.DigestKind_DIGEST_KIND_XXH3, transfer.DigestXXH3},
}}

var durabilities = enum[xferv1.Durability, transfer.Durability]{transfer.DurabilityFull, []pair[xferv1.Durability, transfer.Durability]{
	{xferv1.Durability_DURABILITY_FULL, transfer.DurabilityFull},
	{xferv1.Durability_DURABILITY_NONE, transfer.DurabilityNone},
}}

var policies = enum[xferv1.TransportPolicy, transfer.Policy]{transfer.PolicyAuto, []pair[xferv1.TransportPolicy, transfer.Policy]{
	{xferv1.TransportPolicy_TRANSPORT_POLICY_AUTO, transfer.PolicyAuto},
	{xferv1.TransportPolicy_TRANSPORT_POLICY_RDMA, transfer.PolicyRDMA},
	{xferv1.TransportPolicy_TRANSPORT_POLICY_TCP, transfer.PolicyTCP},
}}

var encryptions = enum[xferv1.Encryption, string]{"auto", []pair[xferv1.Encryption, string]{
	{xferv1.Encryption_ENCRYPTION_AUTO, "auto"},
	{xferv1.Encryption_ENCRYPTION_OFF, "off"},
	{xferv1.Encryption_ENCRYPTION_REQUIRED, "required"},
}}

var priorities = enum[xferv1.Priority, transfer.Priority]{transfer.PriorityNormal, []pair[xferv1.Priority, transfer.Priority]{
	{xferv1.Priority_PRIORITY_BACKGROUND, transfer.PriorityBackground},
	{xferv1.Priority_PRIORITY_LOW, transfer.PriorityLow},
	{xferv1.Priority_PRIORITY_NORMAL, transfer.PriorityNormal},
	{xferv1.Priority_PRIORITY_HIGH, transfer.PriorityHigh},
	{xferv1.Priority_PRIORITY_SYSTEM, transfer.PrioritySystem},
}}

var states = enum[xferv1.State, transfer.State]{"", []pair[xferv1.State, transfer.State]{
	{xferv1.State_STATE_QUEUED, transfer.StateQueued},
	{xferv1.State_STATE_RUNNING, transfer.StateRunning},
	{xferv1.State_STATE_PAUSING, transfer.StatePausing},
	{xferv1.State_STATE_PAUSED, transfer.StatePaused},
	{xferv1.State_STATE_CANCELLING, transfer.StateCancelling},
	{xferv1.State_STATE_SUCCEEDED, transfer.StateSucceeded},
	{xferv1.State_STATE_PARTIALLY_SUCCEEDED, transfer.StatePartial},
	{xferv1.State_STATE_FAILED, transfer.StateFailed},
	{xferv1.State_STATE_CANCELLED, transfer.StateCancelled},
}}

var views = enum[xferv1.TransferView, bool]{false, []pair[xferv1.TransferView, bool]{
	{xferv1.TransferView_TRANSFER_VIEW_BASIC, false},
	{xferv1.TransferView_TRANSFER_VIEW_FULL, true},
}}

var kinds = enum[xferv1.EntryKind, transfer.Kind]{0, []pair[xferv1.EntryKind, transfer.Kind]{
	{xferv1.EntryKind_ENTRY_KIND_FILE, transfer.KindFile},
	{xferv1.EntryKind_ENTRY_KIND_DIRECTORY, transfer.KindDir},
	{xferv1.EntryKind_ENTRY_KIND_SYMLINK, transfer.KindSymlink},
	{xferv1.EntryKind_ENTRY_KIND_HARDLINK, transfer.KindHardlink},
	{xferv1.EntryKind_ENTRY_KIND_FIFO, transfer.KindFIFO},
	{xferv1.EntryKind_ENTRY_KIND_SOCKET, transfer.KindSocket},
	{xferv1.EntryKind_ENTRY_KIND_CHAR_DEVICE, transfer.KindCharDevice},
	{xferv1.EntryKind_ENTRY_KIND_BLOCK_DEVICE, transfer.KindBlockDevice},
	{xferv1.EntryKind_ENTRY_KIND_REGION, transfer.KindRegion},
}}

var fileKinds = enum[xferv1.EntryKind, fsroot.Kind]{0, []pair[xferv1.EntryKind, fsroot.Kind]{
	{xferv1.EntryKind_ENTRY_KIND_FILE, fsroot.Regular},
	{xferv1.EntryKind_ENTRY_KIND_DIRECTORY, fsroot.Directory},
	{xferv1.EntryKind_ENTRY_KIND_SYMLINK, fsroot.Symlink},
	{xferv1.EntryKind_ENTRY_KIND_FIFO, fsroot.FIFO},
	{xferv1.EntryKind_ENTRY_KIND_SOCKET, fsroot.Socket},
	{xferv1.EntryKind_ENTRY_KIND_CHAR_DEVICE, fsroot.CharDev},
	{xferv1.EntryKind_ENTRY_KIND_BLOCK_DEVICE, fsroot.BlockDev},
}}

var outcomes = enum[xferv1.Outcome, transfer.Outcome]{0, []pair[xferv1.Outcome, transfer.Outcome]{
	{xferv1.Outcome_OUTCOME_PUBLISHED, transfer.OutcomePublished},
	{xferv1.Outcome_OUTCOME_SAME, transfer.OutcomeSame},
	{xferv1.Outcome_OUTCOME_SKIPPED, transfer.OutcomeSkipped},
	{xferv1.Outcome_OUTCOME_FAILED, transfer.OutcomeFailed},
	{xferv1.Outcome_OUTCOME_DELETED, transfer.OutcomeDeleted},
}}

var nodeStates = enum[xferv1.NodeState, NodeState]{0, []pair[xferv1.NodeState, NodeState]{
	{xferv1.NodeState_NODE_STATE_ALIVE, NodeAlive},
	{xferv1.NodeState_NODE_STATE_FAILED, NodeFailed},
	{xferv1.NodeState_NODE_STATE_LEFT, NodeLeft},
}}

var properties = enum[xferv1.Property, transfer.Preserve]{0, []pair[xferv1.Property, transfer.Preserve]{
	{xferv1.Property_PROPERTY_MODE, transfer.PreserveMode},
	{xferv1.Property_PROPERTY_TIMES, transfer.PreserveTimes},
	{xferv1.Property_PROPERTY_SYMLINKS, transfer.PreserveSymlinks},
	{xferv1.Property_PROPERTY_HARDLINKS, transfer.PreserveHardlinks},
	{xferv1.Property_PROPERTY_SPARSE, transfer.PreserveSparse},
	{xferv1.Property_PROPERTY_OWNER, transfer.PreserveOwner},
	{xferv1.Property_PROPERTY_XATTRS, transfer.PreserveXattrs},
	{xferv1.Property_PROPERTY_ACLS, transfer.PreserveACLs},
	{xferv1.Property_PROPERTY_DEVICES, transfer.PreserveDevices},
	{xferv1.Property_PROPERTY_SPECIALS, transfer.PreserveSpecials},
}}

// propertiesOut lists the members of a set.
func propertiesOut(set transfer.Preserve) []xferv1.Property {
	var out []xferv1.Property
	for _, x := range properties.pairs {
		if set.Has(x.domain) {
			out = append(out, x.proto)
		}
	}
	return out
}

var changes = enum[xferv1.Change, transfer.Change]{0, []pair[xferv1.Change, transfer.Change]{
	{xferv1.Change_CHANGE_NEW, transfer.ChangeNew},
	{xferv1.Change_CHANGE_CONTENT, transfer.ChangeContent},
	{xferv1.Change_CHANGE_SIZE, transfer.ChangeSize},
	{xferv1.Change_CHANGE_MTIME, transfer.ChangeMtime},
	{xferv1.Change_CHANGE_PERM, transfer.ChangePerm},
	{xferv1.Change_CHANGE_OWNER, transfer.ChangeOwner},
	{xferv1.Change_CHANGE_GROUP, transfer.ChangeGroup},
	{xferv1.Change_CHANGE_XATTRS, transfer.ChangeXattrs},
	{xferv1.Change_CHANGE_ACL, transfer.ChangeACL},
	{xferv1.Change_CHANGE_TYPE, transfer.ChangeType},
	{xferv1.Change_CHANGE_TARGET, transfer.ChangeTarget},
	{xferv1.Change_CHANGE_DELETE, transfer.ChangeDelete},
}}

func changesOut(set transfer.Change) []xferv1.Change {
	var out []xferv1.Change
	for _, x := range changes.pairs {
		if set&x.domain != 0 {
			out = append(out, x.proto)
		}
	}
	return out
}
