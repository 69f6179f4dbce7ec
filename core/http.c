// The server: what libmicrohttpd calls, and what is asked of it.
#include "http.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER_BYTES = 32 << 10, SEND_BLOCK = 16 << 10, QUEUE = 64 };

// ---- buffers

static bool append(struct buffer *b, const char *bytes, size_t size) {
    if (size == 0) return true;
    if (b->start && b->start + b->size + size > b->capacity) {
        memmove(b->bytes, b->bytes + b->start, b->size);
        b->start = 0;
    }
    if (b->size + size > b->capacity) {
        size_t capacity = 2 * b->capacity > b->size + size ? 2 * b->capacity : b->size + size;
        char *larger = realloc(b->bytes, capacity);
        if (!larger) return false;
        b->bytes = larger, b->capacity = capacity;
    }
    memcpy(b->bytes + b->start + b->size, bytes, size);
    b->size += size;
    return true;
}

static void empty(struct buffer *b) {
    free(b->bytes);
    *b = (struct buffer){0};
}

// ---- exchanges

void exchange_release(struct exchange *e) {
    if (--e->holders > 0) return;
    empty(&e->body);
    free(e->method);
    free(e->path);
    free(e);
}

// Lets go of the response; one that was never sent ends here: a stream's holds its exchange, too.
static void drop_response(struct exchange *e) {
    struct MHD_Response *response = e->response;
    e->response = NULL;
    if (response) MHD_destroy_response(response);
}

static void resume(struct exchange *e) {
    if (!e->connection || !e->is_suspended) return;
    e->is_suspended = false;
    MHD_resume_connection(e->connection);
}

static void suspend(struct exchange *e) {
    e->is_suspended = true;
    MHD_suspend_connection(e->connection);
}

static struct exchange *new_exchange(struct MHD_Connection *connection, const char *path, const char *method) {
    struct exchange *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    *e = (struct exchange){.holders = 1, .connection = connection, .method = strdup(method), .path = strdup(path)};
    if (e->method && e->path) return e;
    exchange_release(e);
    return NULL;
}

void exchange_answer(struct exchange *e, unsigned status, struct MHD_Response *response) {
    e->status = status, e->response = response, e->is_answered = true;
    if (e->connection) resume(e);
    else drop_response(e);
}

void exchange_forget_body(struct exchange *e) { empty(&e->body); }

// ---- streams

static ssize_t send_more(void *of_stream, uint64_t position, char *out, size_t room) {
    (void)position;
    struct exchange *e = of_stream;
    struct buffer *b = &e->body;
    if (e->has_failed) return MHD_CONTENT_READER_END_WITH_ERROR;
    if (b->size == 0) {
        if (e->is_over) return MHD_CONTENT_READER_END_OF_STREAM;
        suspend(e);
        return 0;
    }
    size_t size = b->size < room ? b->size : room;
    memcpy(out, b->bytes + b->start, size);
    b->start += size, b->size -= size;
    if (b->size == 0) empty(b);
    return (ssize_t)size;
}

static void end_stream(void *of_stream) { exchange_release(of_stream); }

struct MHD_Response *exchange_stream(struct exchange *e) {
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, SEND_BLOCK, send_more, e, end_stream);
    if (!response) return NULL;
    e->holders++; // the response's
    e->is_stream = true;
    if (e->connection) MHD_set_connection_option(e->connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
    return response;
}

bool exchange_is_open(const struct exchange *e) { return e->connection && !e->is_over && !e->has_failed; }

bool exchange_write(struct exchange *e, const char *bytes, size_t size) {
    bool ok = exchange_is_open(e);
    if (ok && (size > e->backlog - e->body.size || !append(&e->body, bytes, size))) {
        e->has_failed = true;
        ok = false;
    }
    resume(e);
    return ok;
}

void exchange_end(struct exchange *e) {
    e->is_over = true;
    resume(e);
}

// ---- what libmicrohttpd calls

static enum MHD_Result queue_text(struct MHD_Connection *connection, unsigned status, const char *text) {
    struct MHD_Response *response = MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT);
    if (!response) return MHD_NO;
    MHD_add_response_header(response, "Content-Type", "text/plain; charset=utf-8");
    MHD_add_response_header(response, "Connection", "close");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED) MHD_add_response_header(response, "Allow", "GET, HEAD, POST");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static bool is_known(const char *method) {
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 || strcmp(method, "POST") == 0;
}

static bool is_too_long(const struct http_server *s, struct MHD_Connection *connection) {
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    return length && strtoull(length, NULL, 10) > s->body_max;
}

static enum MHD_Result begin_exchange(struct http_server *s, struct MHD_Connection *connection, const char *path,
                                      const char *method, void **of_connection) {
    if (!is_known(method)) return queue_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET, HEAD and POST\n");
    if (is_too_long(s, connection)) return queue_text(connection, 413, "the request is too long\n");
    struct exchange *e = new_exchange(connection, path, method);
    if (!e) return MHD_NO;
    e->backlog = s->backlog;
    e->older = s->newest;
    if (e->older) e->older->newer = e;
    s->newest = e;
    *of_connection = e;
    return MHD_YES;
}

static void has_come(struct http_server *s, struct exchange *e) {
    e->holders++;
    e->next = NULL;
    *s->last = e;
    s->last = &e->next;
}

// Called at the head of a request, for each piece of its body, at its end, and again when it is resumed with its answer.
static enum MHD_Result take(void *of_server, struct MHD_Connection *connection, const char *path, const char *method,
                            const char *version, const char *data, size_t *size, void **of_connection) {
    (void)version;
    struct http_server *s = of_server;
    struct exchange *e = *of_connection;
    if (s->is_closing) return MHD_NO;
    if (!e) return begin_exchange(s, connection, path, method, of_connection);
    if (*size) {
        if (*size > s->body_max - e->body.size || !append(&e->body, data, *size)) return MHD_NO;
        *size = 0;
        return MHD_YES;
    }
    if (e->response) {
        enum MHD_Result result = MHD_queue_response(connection, e->status, e->response);
        drop_response(e);
        return result;
    }
    if (e->is_suspended) return MHD_YES;
    suspend(e);
    has_come(s, e);
    return MHD_YES;
}

static void complete(void *of_server, struct MHD_Connection *connection, void **of_connection,
                     enum MHD_RequestTerminationCode code) {
    (void)connection, (void)code;
    struct http_server *s = of_server;
    struct exchange *e = *of_connection;
    if (!e) return;
    if (e->newer) e->newer->older = e->older;
    else s->newest = e->older;
    if (e->older) e->older->newer = e->newer;
    e->connection = NULL;
    *of_connection = NULL;
    drop_response(e);
    exchange_release(e);
}

// ---- the server

// A socket that listens; -1 and *why.
static int listen_at(const char *address, int port, const char **why) {
    char service[12];
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    snprintf(service, sizeof service, "%d", port);
    int status = getaddrinfo(address, service, &wanted, &found);
    if (status != 0) return *why = gai_strerror(status), -1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, QUEUE) != 0) {
        *why = strerror(errno);
        if (fd >= 0) close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

static int port_of(int fd) {
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    char service[12] = "0";
    if (getsockname(fd, (struct sockaddr *)&at, &size) == 0)
        getnameinfo((struct sockaddr *)&at, size, NULL, 0, service, sizeof service, NI_NUMERICSERV);
    return atoi(service);
}

static struct MHD_Daemon *start_daemon(struct http_server *s, int fd, const struct http_options *o) {
    struct MHD_OptionItem options[8] = {
        {MHD_OPTION_LISTEN_SOCKET, fd, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)o->connections, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)o->idle, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEADER_BYTES, NULL},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)complete, s},
    };
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;
    int n = 5;
    if (o->certificate) {
        flags |= MHD_USE_TLS;
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)o->certificate};
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)o->key};
    }
    options[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    return MHD_start_daemon(flags, 0, NULL, NULL, take, s, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

bool http_listen(struct http_server *s, const struct http_options *o, const char **why) {
    if (o->certificate && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return *why = "this libmicrohttpd was built without TLS", false;
    int fd = listen_at(o->address, o->port, why);
    if (fd < 0) return false;
    *s = (struct http_server){.body_max = o->body_max, .backlog = o->backlog, .port = port_of(fd)};
    s->last = &s->first;
    s->daemon = start_daemon(s, fd, o);
    if (!s->daemon) {
        close(fd);
        return *why = o->certificate ? "the certificate or its key cannot be used" : "the server does not start", false;
    }
    s->epoll = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    return true;
}

static void wait_for_clients(struct http_server *s, double seconds) {
    MHD_UNSIGNED_LONG_LONG most;
    if (MHD_get_timeout(s->daemon, &most) == MHD_YES && (double)most < seconds * 1000) seconds = (double)most / 1000;
    poll(&(struct pollfd){s->epoll, POLLIN, 0}, 1, (int)(seconds * 1000));
}

void http_turn(struct http_server *s, double seconds) {
    MHD_run(s->daemon); // what was answered or written since then: nothing else wakes the waiting for it
    if (s->first) return;
    wait_for_clients(s, seconds);
    MHD_run(s->daemon);
}

struct exchange *http_next(struct http_server *s) {
    struct exchange *e = s->first;
    if (!e) return NULL;
    s->first = e->next;
    if (!s->first) s->last = &s->first;
    return e;
}

void http_close(struct http_server *s) {
    struct MHD_Daemon *daemon = s->daemon;
    if (!daemon) return;
    s->daemon = NULL;
    s->is_closing = true;
    for (struct exchange *e = s->newest; e; e = e->older) e->has_failed = true, resume(e);
    MHD_run(daemon); // it must not be stopped with connections that are suspended
    MHD_stop_daemon(daemon);
    for (struct exchange *e; (e = http_next(s));) exchange_release(e);
}
