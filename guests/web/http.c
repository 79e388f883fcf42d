/*
 * The request: every byte may come from anybody.
 */
#include "http.h"

#include "../lib/bytes.h"

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static char lower(char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

/* Whether a text is a word, whatever the case of its letters; the word is in small letters. */
static bool is_word(struct http_text text, const char *word) {
  if (text.length != text_length(word))
    return false;
  for (size_t i = 0; i < text.length; i++)
    if (lower(text.at[i]) != word[i])
      return false;
  return true;
}

static struct http_text trim(struct http_text text) {
  while (text.length > 0 && is_blank(text.at[0]))
    text.at++, text.length--;
  while (text.length > 0 && is_blank(text.at[text.length - 1]))
    text.length--;
  return text;
}

/* Takes the text up to a character, and that character, from the front of `rest`; all of it when the character is not there. */
static struct http_text cut(struct http_text *rest, char at) {
  struct http_text piece = {rest->at, 0};
  while (piece.length < rest->length && rest->at[piece.length] != at)
    piece.length++;
  size_t taken = piece.length < rest->length ? piece.length + 1 : piece.length;
  rest->at += taken;
  rest->length -= taken;
  return piece;
}

/* Bytes of the head with its empty line; 0 when that has not come. */
static size_t head_length(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (text[i] != '\n')
      continue;
    if (i + 1 < length && text[i + 1] == '\n')
      return i + 2;
    if (i + 2 < length && text[i + 1] == '\r' && text[i + 2] == '\n')
      return i + 3;
  }
  return 0;
}

static struct http_text line(struct http_text *rest) {
  struct http_text found = cut(rest, '\n');
  if (found.length > 0 && found.at[found.length - 1] == '\r')
    found.length--;
  return found;
}

static int hex_digit(char c) {
  c = lower(c);
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The path of a request's target: absolute, or after "http://HOST". Returns a status, HTTP_PARSED when all is well. */
static int parse_target(struct http_text target, struct http_request *request) {
  if (target.length > 7 && memcmp(target.at, "http://", 7) == 0) {
    target.at += 7;
    target.length -= 7;
    while (target.length > 0 && target.at[0] != '/')
      target.at++, target.length--;
  }
  if (target.length == 0 || target.at[0] != '/')
    return 400;
  for (size_t i = 1; i < target.length && target.at[i] != '?' && target.at[i] != '#'; i++) {
    int c = (uint8_t)target.at[i];
    if (c == '%') {
      int high = i + 2 < target.length ? hex_digit(target.at[i + 1]) : -1, low = high < 0 ? -1 : hex_digit(target.at[i + 2]);
      if (low < 0)
        return 400;
      c = high << 4 | low;
      i += 2;
    }
    if (c < ' ' || c == 0x7f)
      return 400;
    if (request->path_length == HTTP_PATH)
      return 414;
    request->path[request->path_length++] = c;
  }
  return HTTP_PARSED;
}

static int parse_request_line(struct http_text text, struct http_request *request, bool *is_1_1) {
  struct http_text method = cut(&text, ' '), target = cut(&text, ' ');
  if (method.length == 0 || target.length == 0)
    return 400;
  if (text.length != 8 || memcmp(text.at, "HTTP/1.", 7) != 0)
    return text.length > 5 && memcmp(text.at, "HTTP/", 5) == 0 ? 505 : 400;
  *is_1_1 = text.at[7] != '0';
  request->keep_alive = *is_1_1;
  request->head = method.length == 4 && memcmp(method.at, "HEAD", 4) == 0;
  if (!request->head && !(method.length == 3 && memcmp(method.at, "GET", 3) == 0))
    return 405;
  return parse_target(target, request);
}

static int parse_field(struct http_text name, struct http_text value, struct http_request *request, bool *host) {
  if (is_word(name, "host")) {
    *host = true;
  } else if (is_word(name, "connection")) {
    while (value.length > 0) {
      struct http_text option = trim(cut(&value, ','));
      if (is_word(option, "close"))
        request->keep_alive = false;
      else if (is_word(option, "keep-alive"))
        request->keep_alive = true;
    }
  } else if (is_word(name, "range")) {
    request->range = value;
  } else if (is_word(name, "if-range")) {
    request->if_range = value;
  } else if (is_word(name, "if-none-match")) {
    request->if_none_match = value;
  } else if (is_word(name, "transfer-encoding") || (is_word(name, "content-length") && !is_word(value, "0"))) {
    return 413; /* nothing here takes contents, and what follows would be read as a request */
  }
  return HTTP_PARSED;
}

int http_parse(const char *text, size_t length, struct http_request *request, size_t *used) {
  size_t blank = 0;
  bool is_1_1 = false, host = false;
  while (blank < length && (text[blank] == '\r' || text[blank] == '\n'))
    blank++;
  *used = head_length(text + blank, length - blank);
  if (*used == 0)
    return length >= HTTP_REQUEST ? 431 : HTTP_MORE;
  struct http_text rest = {text + blank, *used};
  *used += blank;
  *request = (struct http_request){.head = false};
  int status = parse_request_line(line(&rest), request, &is_1_1);
  while (status == HTTP_PARSED) {
    struct http_text value = line(&rest);
    if (value.length == 0)
      break;
    struct http_text name = cut(&value, ':');
    if (name.length == 0 || is_blank(name.at[name.length - 1]) || is_blank(name.at[0]))
      return 400; /* also the folded lines of old */
    status = parse_field(name, trim(value), request, &host);
  }
  return status == HTTP_PARSED && is_1_1 && !host ? 400 : status;
}
