// The functions that libibverbs exports, found at run time. What is inline in
// verbs.h (post, poll, arm) goes through the tables of the objects.
#ifndef XFERV_TABLE_H
#define XFERV_TABLE_H

#include "shim.h"

#if !defined(XFERV_NO_HEADERS) && defined(__has_include)
#if __has_include(<infiniband/verbs.h>)
#define XFERV_HEADERS 1
#include <infiniband/verbs.h>
#endif
#endif

#ifdef XFERV_HEADERS
#include <errno.h>
#include <sys/types.h>

#define XFERV_BASE(X) \
	X(get_device_list) \
	X(free_device_list) \
	X(get_device_name) \
	X(get_device_guid) \
	X(open_device) \
	X(close_device) \
	X(query_device) \
	X(query_port) \
	X(query_gid) \
	X(get_async_event) \
	X(ack_async_event) \
	X(alloc_pd) \
	X(dealloc_pd) \
	X(reg_mr) \
	X(dereg_mr) \
	X(create_ah) \
	X(destroy_ah) \
	X(create_comp_channel) \
	X(destroy_comp_channel) \
	X(create_cq) \
	X(destroy_cq) \
	X(get_cq_event) \
	X(ack_cq_events) \
	X(create_qp) \
	X(modify_qp) \
	X(query_qp) \
	X(destroy_qp)

struct xferv {
	void *handle;
#define X(name) __typeof__(ibv_##name) *name;
	XFERV_BASE(X)
#undef X
	// Optional: NULL where the library is older than they are. Their types are
	// written out, since the headers can be older too.
	struct ibv_mr *(*reg_mr_iova2)(struct ibv_pd *, void *, size_t, uint64_t, unsigned int);
	ssize_t (*query_gid_table)(struct ibv_context *, void *, size_t, uint32_t, size_t);
};

// xferv_errno is the errno of a function that failed and may not have set it.
static inline int xferv_errno(void) { return errno > 0 ? errno : EIO; }

// xferv_rc makes one convention of those of the providers: 0, errno, -errno, and
// -1 with errno.
static inline int xferv_rc(int rc)
{
	if (rc == -1)
		return -xferv_errno();
	return rc > 0 ? -rc : rc;
}
#endif

#endif
