/* The few names of nginx's core that its pools use. Nothing is logged. */
#ifndef BENCHES_NGX_CORE_H
#define BENCHES_NGX_CORE_H

#include <ngx_config.h>

typedef struct ngx_pool_s ngx_pool_t;
typedef struct ngx_chain_s ngx_chain_t;
typedef struct ngx_log_s ngx_log_t;
typedef int ngx_fd_t;
typedef int ngx_err_t;

#define NGX_OK 0
#define NGX_DECLINED -5
#define NGX_FILE_ERROR -1
#define NGX_ENOENT ENOENT
#define NGX_LOG_EMERG 1
#define NGX_LOG_ALERT 2
#define NGX_LOG_CRIT 3
#define NGX_LOG_DEBUG_ALLOC 0

#define ngx_errno errno
#define ngx_memzero(buf, n) (void) memset(buf, 0, n)
#define ngx_close_file close
#define ngx_close_file_n "close()"
#define ngx_delete_file(name) unlink((const char *) name)
#define ngx_delete_file_n "unlink()"
#define ngx_log_error(level, log, ...) (void) (log)
#define ngx_log_debug1(level, log, err, fmt, a)
#define ngx_log_debug2(level, log, err, fmt, a, b)
#define ngx_log_debug3(level, log, err, fmt, a, b, c)

#include <ngx_alloc.h>
#include <ngx_palloc.h>

#endif
