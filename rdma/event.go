package rdma

import "fmt"

// EventType of an asynchronous event. The numbers are those of enum
// ibv_event_type; see ibv_get_async_event(3).
type EventType uint32

// Events of a device.
const (
	EventCompletionQueueError    EventType = 0
	EventQueuePairFatal          EventType = 1
	EventQueuePairRequestError   EventType = 2
	EventQueuePairAccessError    EventType = 3
	EventCommunicationEstablish  EventType = 4
	EventSendQueueDrained        EventType = 5
	EventPathMigrated            EventType = 6
	EventPathMigrationError      EventType = 7
	EventDeviceFatal             EventType = 8
	EventPortActive              EventType = 9
	EventPortError               EventType = 10
	EventLIDChange               EventType = 11
	EventPKeyChange              EventType = 12
	EventSubnetManagerChange     EventType = 13
	EventSharedReceiveQueueError EventType = 14
	EventSharedReceiveQueueLimit EventType = 15
	EventLastRequestReached      EventType = 16
	EventClientReregister        EventType = 17
	EventGIDChange               EventType = 18
	EventWorkQueueFatal          EventType = 19
)

var eventNames = [...]string{
	"CQ_ERR", "QP_FATAL", "QP_REQ_ERR", "QP_ACCESS_ERR", "COMM_EST", "SQ_DRAINED", "PATH_MIG", "PATH_MIG_ERR",
	"DEVICE_FATAL", "PORT_ACTIVE", "PORT_ERR", "LID_CHANGE", "PKEY_CHANGE", "SM_CHANGE", "SRQ_ERR", "SRQ_LIMIT_REACHED",
	"QP_LAST_WQE_REACHED", "CLIENT_REREGISTER", "GID_CHANGE", "WQ_FATAL",
}

func (t EventType) String() string {
	if int(t) < len(eventNames) {
		return eventNames[t]
	}
	return fmt.Sprintf("event %d", uint32(t))
}

// AsyncEvent is something that happened to a device, apart from completions.
type AsyncEvent struct {
	Type EventType
	// Port of port events, the number of the queue pair of queue pair events;
	// else 0.
	Port      int
	QueuePair uint32
}

func (e AsyncEvent) String() string {
	switch {
	case e.Port != 0:
		return fmt.Sprintf("%s, port %d", e.Type, e.Port)
	case e.QueuePair != 0:
		return fmt.Sprintf("%s, queue pair %#x", e.Type, e.QueuePair)
	}
	return e.Type.String()
}
