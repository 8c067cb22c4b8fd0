// What Go sees of libibverbs: scalars, opaque objects and flat records. Only the
// C files include infiniband/verbs.h, so that the package builds without it.
//
// Convention: a function that makes an object returns it, or NULL with the errno
// in *err. The others return 0 or a negative errno, unless they say otherwise.
#ifndef XFERV_SHIM_H
#define XFERV_SHIM_H

#include <stddef.h>
#include <stdint.h>

struct xferv; // the functions of a loaded library, see table.h

struct xferv_device {
	char name[64];
	uint64_t guid;
	int32_t transport; // enum ibv_transport_type
};

struct xferv_device_attr {
	char firmware[64];
	uint64_t max_mr_size;
	uint32_t vendor_id, vendor_part;
	int32_t ports, max_qp, max_qp_wr, max_sge, max_cq, max_cqe, max_mr, max_pd;
	int32_t max_qp_rd_atom, max_qp_init_rd_atom, ack_delay;
};

struct xferv_port_attr {
	uint32_t max_msg_sz;
	int32_t gid_tbl_len;
	uint16_t lid, sm_lid, pkey_tbl_len;
	uint8_t state, link_layer, active_mtu, max_mtu, grh_required, active_width, active_speed;
};

// The layout of struct ibv_gid_entry, which older headers lack.
struct xferv_gid {
	uint8_t gid[16];
	uint32_t index, port, type, ifindex;
};

struct xferv_event {
	uint32_t type, port, qp;
};

struct xferv_address {
	uint8_t dgid[16];
	uint32_t flow_label;
	uint16_t dlid;
	uint8_t port, is_global, sgid_index, hop_limit, traffic_class, sl;
};

struct xferv_qp_cap {
	uint32_t send_wr, recv_wr, send_sge, recv_sge, inline_data;
};

struct xferv_rtr {
	struct xferv_address address;
	uint32_t dest_qp, psn;
	uint8_t path_mtu, max_dest_rd_atomic, min_rnr_timer;
};

struct xferv_rts {
	uint32_t psn;
	uint8_t timeout, retry_cnt, rnr_retry, max_rd_atomic;
};

// The records of the data path are those of package rdma; see layout.go.
#define XFERV_MAX_SGE 4
#define XFERV_BATCH 64

struct xferv_sge { // also that of struct ibv_sge
	uint64_t addr;
	uint32_t length, key;
};

struct xferv_send {
	uint64_t id, remote_addr;
	uint32_t remote_key, imm, op, flags, num_sge, pad;
	struct xferv_sge sge[XFERV_MAX_SGE];
};

struct xferv_recv {
	uint64_t id;
	uint32_t num_sge, pad;
	struct xferv_sge sge[XFERV_MAX_SGE];
};

struct xferv_wc {
	uint64_t id;
	uint32_t status, op, vendor_err, bytes, imm, qp, flags, pad;
};

// xferv_headers tells whether the package was built with the headers.
int xferv_headers(void);

// xferv_load loads the library, for good. On failure it returns NULL and writes
// why into message.
struct xferv *xferv_load(const char *name, char *message, size_t size);
// xferv_path writes where the library lies.
void xferv_path(const struct xferv *v, char *path, size_t size);
// xferv_forget_optional makes the library look like an old one. For tests.
void xferv_forget_optional(struct xferv *v);

// A list of devices. *n is its length. A failure is NULL with *err.
void *xferv_devices(const struct xferv *v, int *n, int *err);
void xferv_device_at(const struct xferv *v, void *list, int i, struct xferv_device *out);
void *xferv_open(const struct xferv *v, void *list, int i, int *err);
void xferv_free_devices(const struct xferv *v, void *list);

int xferv_close(const struct xferv *v, void *ctx);
int xferv_query_device(const struct xferv *v, void *ctx, struct xferv_device_attr *out);
int xferv_query_port(const struct xferv *v, void *ctx, int port, struct xferv_port_attr *out);
// xferv_gids writes up to max valid entries of the tables of all ports and
// returns how many there are.
int xferv_gids(const struct xferv *v, void *ctx, int ports, struct xferv_gid *out, int max);
int xferv_async_fd(void *ctx);
// xferv_next_event takes and acknowledges one event; -EAGAIN where there is none.
int xferv_next_event(const struct xferv *v, void *ctx, struct xferv_event *out);

void *xferv_alloc_pd(const struct xferv *v, void *ctx, int *err);
int xferv_dealloc_pd(const struct xferv *v, void *pd);
void *xferv_reg_mr(const struct xferv *v, void *pd, void *addr, size_t length, unsigned access, uint32_t *lkey, uint32_t *rkey, int *err);
int xferv_dereg_mr(const struct xferv *v, void *mr);
int xferv_check_address(const struct xferv *v, void *pd, const struct xferv_address *a);

void *xferv_create_channel(const struct xferv *v, void *ctx, int *err);
int xferv_destroy_channel(const struct xferv *v, void *channel);
int xferv_channel_fd(void *channel);
// xferv_next_cq_events takes and acknowledges all events of the channel, and
// returns how many, 0 where there is none.
int xferv_next_cq_events(const struct xferv *v, void *channel);

void *xferv_create_cq(const struct xferv *v, void *ctx, int cqe, void *channel, int *err);
int xferv_destroy_cq(const struct xferv *v, void *cq);
int xferv_req_notify(void *cq, int solicited_only);
// xferv_poll writes up to n completions and returns how many.
int xferv_poll(void *cq, struct xferv_wc *out, int n);

void *xferv_create_qp(const struct xferv *v, void *pd, void *send_cq, void *recv_cq, struct xferv_qp_cap *cap, uint32_t *number, int *err);
int xferv_destroy_qp(const struct xferv *v, void *qp);
int xferv_to_init(const struct xferv *v, void *qp, int port, int pkey_index, unsigned access);
int xferv_to_rtr(const struct xferv *v, void *qp, const struct xferv_rtr *a);
int xferv_to_rts(const struct xferv *v, void *qp, const struct xferv_rts *a);
int xferv_to_err(const struct xferv *v, void *qp);
// xferv_state returns enum ibv_qp_state, or a negative errno.
int xferv_state(const struct xferv *v, void *qp);
// These return how many were posted, with the errno (0: all of them) in the
// upper half.
int64_t xferv_post_send(void *qp, const struct xferv_send *rs, int n);
int64_t xferv_post_recv(void *qp, const struct xferv_recv *rs, int n);

#endif
