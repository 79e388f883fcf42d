/*
 * The answer: its status, and the text of its head.
 */
#include "http.h"

#include "../lib/console.h"
#include "../lib/data/calendar.h"

#define TAG 40

static const struct {
  int status;
  const char *reason;
} reasons[] = {
    {200, "OK"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {416, "Range Not Satisfiable"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

static const char *reason_of(int status) {
  for (unsigned i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
    if (reasons[i].status == status)
      return reasons[i].reason;
  return "Error";
}

static size_t make_tag(const struct http_answer *answer, char *tag) {
  return format_text(tag, TAG, "\"%08x-%lx\"", answer->crc, answer->whole);
}

/* Whether a list of entity tags has this one, or is "*". A weak tag (W/) of it counts, as RFC 9110 wants for If-None-Match. */
static bool has_tag(struct http_text list, const char *tag, size_t length) {
  if (list.length == 1 && list.at[0] == '*')
    return true;
  for (size_t at = 0; at + length <= list.length; at++)
    if (memcmp(list.at + at, tag, length) == 0)
      return true;
  return false;
}

/* Digits at the front of a text, taken off it; false when there are none, or too many. */
static bool take_number(struct http_text *text, uint64_t *number) {
  size_t digits = 0;
  for (*number = 0; digits < text->length && text->at[digits] >= '0' && text->at[digits] <= '9'; digits++) {
    if (*number > (UINT64_MAX - 9) / 10)
      return false;
    *number = *number * 10 + (text->at[digits] - '0');
  }
  text->at += digits;
  text->length -= digits;
  return digits > 0;
}

/* "bytes=FIRST-LAST", "bytes=FIRST-" or "bytes=-LENGTH". 206 or 416; 200 for what is not understood, or several ranges. */
static int choose_range(struct http_text text, struct http_answer *answer) {
  uint64_t first, last = answer->whole - 1;
  if (text.length < 7 || memcmp(text.at, "bytes=", 6) != 0)
    return 200;
  text.at += 6;
  text.length -= 6;
  bool from_end = text.at[0] == '-';
  if (!from_end && !take_number(&text, &first))
    return 200;
  if (text.length == 0 || text.at[0] != '-')
    return 200;
  text.at++, text.length--;
  if (from_end) {
    uint64_t length;
    if (!take_number(&text, &length) || text.length > 0)
      return 200;
    if (length == 0 || answer->whole == 0)
      return 416;
    first = length < answer->whole ? answer->whole - length : 0;
  } else if (text.length > 0) {
    uint64_t given;
    if (!take_number(&text, &given) || text.length > 0 || given < first)
      return 200;
    last = given < last ? given : last;
  }
  if (first >= answer->whole)
    return 416;
  answer->first = first;
  answer->length = last - first + 1;
  return 206;
}

void http_choose(const struct http_request *request, struct http_answer *answer) {
  char tag[TAG];
  size_t tag_length = make_tag(answer, tag);
  answer->first = 0;
  answer->length = answer->whole;
  answer->status = 200;
  if (request->if_none_match.at && has_tag(request->if_none_match, tag, tag_length))
    answer->status = 304;
  else if (request->range.at && (!request->if_range.at || (request->if_range.length == tag_length &&
                                                           memcmp(request->if_range.at, tag, tag_length) == 0)))
    answer->status = choose_range(request->range, answer);
  if (answer->status == 304 || answer->status == 416)
    answer->length = 0;
}

/* IMF-fixdate, RFC 9110 section 5.6.7. */
static size_t put_date(char *text, size_t size, uint64_t seconds) {
  struct calendar date;
  calendar_utc(seconds, &date);
  return format_text(text, size, "Date: %c%c%c, %02u %c%c%c %u %02u:%02u:%02u GMT\r\n", date.weekday_name[0],
                     date.weekday_name[1], date.weekday_name[2], date.day, date.month_name[0], date.month_name[1],
                     date.month_name[2], date.year, date.hour, date.minute, date.second);
}

size_t http_head(const struct http_answer *answer, bool head_only, uint64_t now_seconds, char *text) {
  char tag[TAG];
  const char *reason = reason_of(answer->status);
  bool file = answer->status == 200 || answer->status == 206;
  size_t at = format_text(text, HTTP_RESPONSE, "HTTP/1.1 %d %s\r\n", answer->status, reason);
#define PUT(...) (at += format_text(text + at, HTTP_RESPONSE - at, __VA_ARGS__))
  at += put_date(text + at, HTTP_RESPONSE - at, now_seconds);
  if (file || answer->status == 304) {
    make_tag(answer, tag);
    PUT("ETag: %s\r\n", tag);
  }
  if (file)
    PUT("Content-Type: %s\r\nContent-Length: %lu\r\nAccept-Ranges: bytes\r\n", answer->type, answer->length);
  else if (answer->status != 304)
    PUT("Content-Type: text/plain\r\nContent-Length: %lu\r\n", text_length(reason) + 1);
  if (answer->status == 206)
    PUT("Content-Range: bytes %lu-%lu/%lu\r\n", answer->first, answer->first + answer->length - 1, answer->whole);
  if (answer->status == 416)
    PUT("Content-Range: bytes */%lu\r\n", answer->whole);
  if (answer->status == 405)
    PUT("Allow: GET, HEAD\r\n");
  if (answer->status == 301)
    PUT("Location: %s\r\n", answer->location);
  PUT("Connection: %s\r\n\r\n", answer->keep_alive ? "keep-alive" : "close");
  if (!file && answer->status != 304 && !head_only)
    PUT("%s\n", reason);
#undef PUT
  return at;
}

const char *http_type(const char *path, size_t length) {
  static const struct {
    const char *extension, *type;
  } types[] = {
      {"css", "text/css; charset=utf-8"},
      {"gif", "image/gif"},
      {"htm", "text/html; charset=utf-8"},
      {"html", "text/html; charset=utf-8"},
      {"ico", "image/x-icon"},
      {"jpeg", "image/jpeg"},
      {"jpg", "image/jpeg"},
      {"js", "text/javascript; charset=utf-8"},
      {"json", "application/json"},
      {"md", "text/markdown; charset=utf-8"},
      {"mjs", "text/javascript; charset=utf-8"},
      {"mp4", "video/mp4"},
      {"pdf", "application/pdf"},
      {"png", "image/png"},
      {"svg", "image/svg+xml"},
      {"txt", "text/plain; charset=utf-8"},
      {"wasm", "application/wasm"},
      {"webp", "image/webp"},
      {"woff2", "font/woff2"},
      {"xml", "application/xml"},
  };
  size_t dot = length;
  while (dot > 0 && path[dot - 1] != '.' && path[dot - 1] != '/')
    dot--;
  if (dot > 0 && path[dot - 1] == '.')
    for (unsigned i = 0; i < sizeof types / sizeof types[0]; i++)
      if (text_length(types[i].extension) == length - dot && memcmp(types[i].extension, path + dot, length - dot) == 0)
        return types[i].type;
  return "application/octet-stream";
}
