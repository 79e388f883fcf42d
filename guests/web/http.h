/*
 * HTTP/1.1 (RFC 9110, RFC 9112), as much of it as a server of files needs: GET and HEAD, one range, conditional by entity tag.
 */
#ifndef WEB_HTTP_H
#define WEB_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_PATH 512
/* The longest head of a request, and the longest of an answer. */
#define HTTP_REQUEST 2048
#define HTTP_RESPONSE 512

/* A piece of the request's text; null when there was none. */
struct http_text {
  const char *at;
  size_t length;
};

struct http_request {
  bool head, keep_alive;
  char path[HTTP_PATH]; /* decoded, without the leading slash and without a query */
  size_t path_length;
  struct http_text range, if_range, if_none_match;
};

enum http_outcome { HTTP_MORE = 0, HTTP_PARSED = 200 };

/*
 * Parses the head of a request; the texts in `request` point into `text`. Returns HTTP_MORE when it is not complete;
 * HTTP_PARSED; or the status to answer with, after which the connection is to be closed. `used`: bytes of the head.
 */
int http_parse(const char *text, size_t length, struct http_request *request, size_t *used);

/* What is answered. */
struct http_answer {
  int status;
  uint64_t first, length; /* of the contents that follow the head; of a HEAD request, those that would */
  uint64_t whole;         /* length of the whole file */
  uint32_t crc;           /* of its contents: the entity tag */
  const char *type;
  const char *location; /* 301 */
  bool keep_alive;
};

/*
 * Decides between 200, 206, 304 and 416 for a file: by the request's conditions and range. Sets status, first, length;
 * `whole` and `crc` are given.
 */
void http_choose(const struct http_request *request, struct http_answer *answer);
/* Writes the answer's head, at most HTTP_RESPONSE bytes; returns its length. For an error a line of text, too, is the body. */
size_t http_head(const struct http_answer *answer, bool head_only, uint64_t now_seconds, char *text);
/* Content type of a path, by its extension. */
const char *http_type(const char *path, size_t length);

#endif
