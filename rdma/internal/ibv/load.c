#define _GNU_SOURCE
#include "table.h"

#ifdef XFERV_HEADERS
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int xferv_headers(void) { return 1; }

struct xferv *xferv_load(const char *name, char *message, size_t size)
{
	struct xferv *v = calloc(1, sizeof(*v));
	if (!v) {
		snprintf(message, size, "out of memory");
		return NULL;
	}
	// Destroying the objects of a device that was pulled out is an error of the
	// kernel (EIO), although nothing is left to destroy. This asks the library
	// to take it for done; it reads it once, when it is loaded.
	setenv("RDMAV_ALLOW_DISASSOC_DESTROY", "1", 0);
	v->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (!v->handle) {
		snprintf(message, size, "%s", dlerror());
		free(v);
		return NULL;
	}
	// Default versions, by dlsym: the completion channel's functions exist only
	// in a version older than that of the rest.
#define X(sym) \
	v->sym = (__typeof__(v->sym))dlsym(v->handle, "ibv_" #sym); \
	if (!v->sym) { \
		snprintf(message, size, "%s has no ibv_" #sym, name); \
		dlclose(v->handle); \
		free(v); \
		return NULL; \
	}
	XFERV_BASE(X)
#undef X
	v->reg_mr_iova2 = (__typeof__(v->reg_mr_iova2))dlsym(v->handle, "ibv_reg_mr_iova2");
	v->query_gid_table = (__typeof__(v->query_gid_table))dlsym(v->handle, "_ibv_query_gid_table");
	return v;
}

void xferv_forget_optional(struct xferv *v)
{
	v->reg_mr_iova2 = NULL;
	v->query_gid_table = NULL;
}

void xferv_path(const struct xferv *v, char *path, size_t size)
{
	struct link_map *map = NULL;
	char real[PATH_MAX];

	path[0] = 0;
	if (dlinfo(v->handle, RTLD_DI_LINKMAP, &map) || !map)
		return;
	snprintf(path, size, "%s", realpath(map->l_name, real) ? real : map->l_name);
}
#endif
