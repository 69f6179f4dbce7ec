// An HTTP server by libmicrohttpd, as far as a live page needs one: requests come whole or not at all, responses may be
// without end. There is one thread, and nothing here waits but http_turn. Knows no Lua; microhttpd.c is its binding.
#pragma once
#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

struct buffer {
    char *bytes;
    size_t start, size, capacity; // what is in it: size bytes from start on
};

// A request and its response. Its connection is suspended from when the request is whole until it is answered; a response
// without end (a stream) is suspended whenever all that was written is sent. The connection, the response and whoever
// handles the request each hold the exchange; who lets go last frees it.
struct exchange {
    int holders;
    struct MHD_Connection *connection; // NULL: the client has gone, or has all
    char *method, *path;
    struct buffer body; // of the request; later what a stream has not sent yet
    struct MHD_Response *response; // given, not queued yet
    unsigned status;
    size_t backlog;
    bool is_suspended, is_answered, is_stream, is_over, has_failed;
    struct exchange *next;          // among those that have come
    struct exchange *older, *newer; // among all that have a connection
};

struct http_server {
    struct MHD_Daemon *daemon; // NULL: closed
    int epoll, port;
    size_t body_max, backlog;
    struct exchange *first, **last; // requests that have come whole
    struct exchange *newest;        // of all that have a connection
    bool is_closing;
};

struct http_options {
    const char *address;
    int port;                      // 0: one that is free
    unsigned connections, idle;    // so many at a time; seconds after which one is closed on which nothing happens, but a stream
    size_t body_max, backlog;      // bytes: of a request; that a stream's client may be behind
    const char *certificate, *key; // PEM; NULL: no TLS
};

// Listens; from then on the server must stay where it is. False, and *why (lasts until the next call).
bool http_listen(struct http_server *s, const struct http_options *options, const char **why);
// Serves, waiting for at most so many seconds unless a request has come; a signal ends the waiting.
void http_turn(struct http_server *s, double seconds);
// The next request that has come whole, held by the caller; NULL.
struct exchange *http_next(struct http_server *s);
// Ends everything. What is still held are exchanges whose client has gone.
void http_close(struct http_server *s);

// Answers, once; the response belongs to the exchange now. A client that has gone gets nothing.
void exchange_answer(struct exchange *e, unsigned status, struct MHD_Response *response);
// A response without end, for exchange_answer; from then on the functions below apply. NULL: no memory.
struct MHD_Response *exchange_stream(struct exchange *e);
// Sends bytes; false when the client has gone, or is so far behind that it is cut off.
bool exchange_write(struct exchange *e, const char *bytes, size_t size);
bool exchange_is_open(const struct exchange *e);
void exchange_end(struct exchange *e); // the stream ends behind what was written
void exchange_forget_body(struct exchange *e);
void exchange_release(struct exchange *e);
