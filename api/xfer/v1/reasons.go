// Package xferv1 is the contract with callers: the messages and services of the
// gRPC API xfer.v1, generated from the .proto files beside it, and the table of
// reasons. It is not the place for what the calls do.
package xferv1

import (
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Domain is the domain of ErrorInfo in the statuses of xferd.
const Domain = "xferd"

const reasonPrefix = "REASON_"

// Name returns the reason as it stands in ErrorInfo and in Error: without its
// prefix. REASON_UNSPECIFIED is "".
func (x Reason) Name() string {
	if x == Reason_REASON_UNSPECIFIED {
		return ""
	}
	return strings.TrimPrefix(x.String(), reasonPrefix)
}

// ReasonByName is the reverse of Reason.Name. It reports false for a reason that
// this version does not know.
func ReasonByName(name string) (Reason, bool) {
	n, ok := Reason_value[reasonPrefix+name]
	return Reason(n), ok && n != 0
}

// Info returns the line of the table for a reason. For one that this version
// does not know it is nil, of which all getters work.
func (x Reason) Info() *ReasonInfo { return reasonTable()[x] }

// ReasonInfoByName returns the line of the table for a reason by its name, or
// nil.
func ReasonInfoByName(name string) *ReasonInfo {
	r, ok := ReasonByName(name)
	if !ok {
		return nil
	}
	return r.Info()
}

var reasonTable = sync.OnceValue(func() map[Reason]*ReasonInfo {
	values := Reason(0).Descriptor().Values()
	m := make(map[Reason]*ReasonInfo, values.Len())
	for i := range values.Len() {
		v := values.Get(i)
		o, ok := v.Options().(*descriptorpb.EnumValueOptions)
		if !ok || !proto.HasExtension(o, E_ReasonInfo) {
			continue
		}
		m[Reason(v.Number())] = proto.GetExtension(o, E_ReasonInfo).(*ReasonInfo)
	}
	return m
})
