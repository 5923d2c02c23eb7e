/* What nginx's configure script finds out, as far as its pools need it. */
#ifndef BENCHES_NGX_CONFIG_H
#define BENCHES_NGX_CONFIG_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define NGX_HAVE_POSIX_MEMALIGN 1
#define NGX_ALIGNMENT sizeof(unsigned long)
#define ngx_inline inline

typedef intptr_t ngx_int_t;
typedef uintptr_t ngx_uint_t;

#define ngx_align(d, a) (((d) + (a - 1)) & ~(a - 1))
#define ngx_align_ptr(p, a) \
    (u_char *) (((uintptr_t) (p) + ((uintptr_t) a - 1)) & ~((uintptr_t) a - 1))

#endif
