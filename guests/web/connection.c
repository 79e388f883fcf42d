/*
 * A connection reads a head, answers it, and begins anew. What it has passed to TCP without copying (memory of the archive, chunks
 * of the volume) stays where it is until the other side has it, so a connection is closed only then.
 */
#include "web.h"

#define PORT 80
#define CONNECTIONS 48
/* Chunks of one connection: one on its way to the network, others on their way from the volume. */
#define CHUNKS_EACH 4
/* lwIP's coarse timer (500 ms) calls every so many ticks; so many calls without progress end a connection. */
#define POLL_TICKS 4
#define PATIENCE 8

struct connection {
  struct tcp_pcb *tcp; /* null: the record is free */
  char input[HTTP_REQUEST];
  size_t input_length;
  struct pbuf *pending; /* what came and did not fit into the input */
  bool answering;    /* a head or contents are still to be passed to TCP */
  bool closing;      /* no further request is read */
  bool peer_closed;
  char head[HTTP_RESPONSE];
  size_t head_length; /* still to be passed to TCP, with all of the contents behind it */
  uint64_t next, left; /* contents that are to be read: place in the image, and bytes */
  struct chunk *first, *last;
  unsigned chunks;
  bool wants_chunk;
  uint64_t queued, acknowledged; /* bytes passed to TCP, and acknowledged by the other side */
  unsigned patience;
};

static struct connection connections[CONNECTIONS];
static unsigned turn;

/* --- Sending ------------------------------------------------------------------------------------------------------- */

/* Passes bytes to TCP, as many as it takes now; returns their number. They must stay in place unless `copy`. */
static size_t pass(struct connection *c, const void *bytes, size_t length, bool copy, bool more) {
  size_t room = tcp_sndbuf(c->tcp);
  size_t now = length < room ? length : room;
  /* A piece at a time, so that TCP's queue of segments fills up before it refuses. */
  size_t done = 0;
  while (done < now) {
    size_t piece = now - done < 8 * TCP_MSS ? now - done : 8 * TCP_MSS;
    bool last = done + piece == length && !more;
    if (tcp_write(c->tcp, (const char *)bytes + done, piece,
                  (copy ? TCP_WRITE_FLAG_COPY : 0) | (last ? 0 : TCP_WRITE_FLAG_MORE)) != ERR_OK)
      break;
    done += piece;
  }
  c->queued += done;
  return done;
}

static bool pass_head(struct connection *c) {
  if (c->head_length == 0)
    return true;
  /* In one piece: it is shorter than a segment. */
  if (tcp_sndbuf(c->tcp) < c->head_length || pass(c, c->head, c->head_length, true, c->left > 0) == 0)
    return false;
  c->head_length = 0;
  return true;
}

static void pass_memory(struct connection *c) {
  size_t done = pass(c, files_memory + c->next, c->left, false, false);
  c->next += done;
  c->left -= done;
}

/* Asks the volume for what comes next. */
static void read_ahead(struct connection *c) {
  c->wants_chunk = false;
  while (c->left > 0 && c->chunks < CHUNKS_EACH) {
    struct chunk *chunk = files_read(c, c->next, c->left < CHUNK_BYTES ? c->left : CHUNK_BYTES);
    if (!chunk) {
      c->wants_chunk = true;
      return;
    }
    if (c->last)
      c->last->next = chunk;
    else
      c->first = chunk;
    c->last = chunk;
    c->chunks++;
    c->next += chunk->length;
    c->left -= chunk->length;
  }
}

/* Passes what was read, in order. True when nothing of the answer is left. */
static bool pass_chunks(struct connection *c) {
  read_ahead(c);
  for (struct chunk *chunk = c->first; chunk; chunk = chunk->next) {
    if (!chunk->ready)
      return false;
    if (chunk->written < chunk->length) {
      bool more = chunk->next || c->left > 0;
      chunk->written += pass(c, chunk->pages[0].data + chunk->skip + chunk->written, chunk->length - chunk->written, false, more);
      if (chunk->written < chunk->length)
        return false;
      chunk->end = c->queued;
    }
  }
  return c->left == 0;
}

static void release_acknowledged(struct connection *c) {
  struct chunk *chunk;
  while ((chunk = c->first) != NULL && chunk->ready && chunk->written == chunk->length && chunk->end <= c->acknowledged) {
    c->first = chunk->next;
    if (!c->first)
      c->last = NULL;
    c->chunks--;
    files_release(chunk);
  }
}

static void send_more(struct connection *c) {
  if (!c->answering || !pass_head(c))
    return;
  bool done;
  if (files_memory) {
    pass_memory(c);
    done = c->left == 0;
  } else {
    done = pass_chunks(c);
  }
  c->answering = !done;
}

/* --- Ending -------------------------------------------------------------------------------------------------------- */

static void forget(struct connection *c) {
  if (c->pending)
    pbuf_free(c->pending);
  c->pending = NULL;
  while (c->first) {
    struct chunk *chunk = c->first;
    c->first = chunk->next;
    files_release(chunk);
  }
  c->tcp = NULL;
}

/* Callbacks of lwIP that have ended a connection by force must say so. */
static err_t abandon(struct connection *c) {
  struct tcp_pcb *tcp = c->tcp;
  forget(c);
  tcp_arg(tcp, NULL);
  tcp_err(tcp, NULL);
  tcp_abort(tcp);
  return ERR_ABRT;
}

static err_t finish(struct connection *c) {
  struct tcp_pcb *tcp = c->tcp;
  tcp_arg(tcp, NULL);
  tcp_recv(tcp, NULL);
  tcp_sent(tcp, NULL);
  tcp_poll(tcp, NULL, 0);
  tcp_err(tcp, NULL);
  if (tcp_close(tcp) != ERR_OK)
    return abandon(c);
  forget(c);
  return ERR_OK;
}

/* --- Requests ------------------------------------------------------------------------------------------------------ */

static bool unreserved(char c) {
  return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' || c == '.' || c == '_' || c == '~' ||
         c == '/';
}

/* "/PATH/" in the form in which it may stand in a head; false when it is too long. */
static bool make_location(const struct http_request *request, char *location, size_t size) {
  size_t at = format_text(location, size, "/");
  for (size_t i = 0; i < request->path_length; i++) {
    if (at + 5 >= size)
      return false;
    at += format_text(location + at, size - at, unreserved(request->path[i]) ? "%c" : "%%%02x", (uint8_t)request->path[i]);
  }
  format_text(location + at, size - at, "/");
  return true;
}

/* The file that a path names, or the index of the folder; `redirect`: the folder's name lacks its slash. */
static bool find(struct http_request *request, struct archive_file *file, bool *redirect) {
  static const char name[] = "/index.html";
  char path[HTTP_PATH + sizeof name];
  size_t length = request->path_length;
  *redirect = false;
  if (archive_find(&files_archive, request->path, length, file))
    return true;
  bool folder = length == 0 || request->path[length - 1] == '/';
  memcpy(path, request->path, length);
  memcpy(path + length, name + (folder ? 1 : 0), sizeof name);
  length += sizeof name - 1 - (folder ? 1 : 0);
  if (!archive_find(&files_archive, path, length, file))
    return false;
  *redirect = !folder;
  return true;
}

static void answer(struct connection *c, struct http_request *request, int status) {
  char location[256];
  struct archive_file file = {0, 0, 0};
  struct http_answer answer = {.status = status, .keep_alive = status == HTTP_PARSED && request->keep_alive};
  bool redirect;
  if (status == HTTP_PARSED) {
    if (!find(request, &file, &redirect)) {
      answer.status = 404;
    } else if (redirect) {
      answer.status = make_location(request, location, sizeof location) ? 301 : 404;
      answer.location = location;
    } else {
      answer.whole = file.length;
      answer.crc = file.crc;
      bool folder = request->path_length == 0 || request->path[request->path_length - 1] == '/';
      answer.type = folder ? http_type("index.html", 10) : http_type(request->path, request->path_length);
      http_choose(request, &answer);
    }
  }
  bool head_only = status == HTTP_PARSED && request->head;
  c->head_length = http_head(&answer, head_only, clock_wall_seconds(NULL), c->head);
  c->next = file.offset + answer.first;
  c->left = head_only ? 0 : answer.length;
  c->answering = true;
  c->closing = !answer.keep_alive;
  if (option_present("log"))
    print("web: %d %lu bytes\n", answer.status, answer.length);
}

/* Takes as much of what came as there is room for. After the last request nothing is looked at any more. */
static void take_input(struct connection *c) {
  if (!c->pending)
    return;
  size_t room = c->closing ? c->pending->tot_len : sizeof c->input - c->input_length;
  uint16_t length = c->pending->tot_len < room ? c->pending->tot_len : room;
  if (!c->closing)
    c->input_length += pbuf_copy_partial(c->pending, c->input + c->input_length, length, 0);
  c->pending = pbuf_free_header(c->pending, length);
  tcp_recved(c->tcp, length);
}

/* Answers what has come, as far as the answers go out. */
static err_t serve(struct connection *c) {
  for (;;) {
    take_input(c);
    send_more(c);
    if (c->answering || c->closing)
      break;
    struct http_request request;
    size_t used = 0;
    int status = http_parse(c->input, c->input_length, &request, &used);
    if (status == HTTP_MORE) {
      c->closing = c->peer_closed;
      break;
    }
    answer(c, &request, status);
    c->input_length -= used;
    memmove(c->input, c->input + used, c->input_length);
  }
  if (c->closing && !c->answering && c->acknowledged == c->queued)
    return finish(c);
  tcp_output(c->tcp);
  return ERR_OK;
}

/* --- lwIP's calls -------------------------------------------------------------------------------------------------- */

static err_t on_receive(void *context, struct tcp_pcb *tcp, struct pbuf *packet, err_t error) {
  struct connection *c = context;
  (void)tcp;
  (void)error;
  /* While an answer goes out, further requests wait in TCP. */
  if (packet && c->pending)
    return ERR_MEM;
  if (packet)
    c->pending = packet;
  else
    c->peer_closed = true;
  c->patience = PATIENCE;
  return serve(c);
}

static err_t on_sent(void *context, struct tcp_pcb *tcp, u16_t length) {
  struct connection *c = context;
  (void)tcp;
  c->acknowledged += length;
  c->patience = PATIENCE;
  release_acknowledged(c);
  return serve(c);
}

static err_t on_timer(void *context, struct tcp_pcb *tcp) {
  struct connection *c = context;
  (void)tcp;
  if (c->patience-- > 0)
    return serve(c);
  /* One that only waits for a request ends in peace. */
  return c->answering || c->acknowledged != c->queued ? abandon(c) : finish(c);
}

static void on_error(void *context, err_t error) {
  (void)error;
  if (context)
    forget(context); /* lwIP has freed its part */
}

static err_t on_connection(void *context, struct tcp_pcb *tcp, err_t error) {
  (void)context;
  if (error != ERR_OK || !tcp)
    return ERR_VAL;
  for (unsigned i = 0; i < CONNECTIONS; i++) {
    struct connection *c = &connections[i];
    if (c->tcp)
      continue;
    memset(c, 0, sizeof *c);
    c->tcp = tcp;
    c->patience = PATIENCE;
    tcp_arg(tcp, c);
    tcp_recv(tcp, on_receive);
    tcp_sent(tcp, on_sent);
    tcp_err(tcp, on_error);
    tcp_poll(tcp, on_timer, POLL_TICKS);
    tcp_nagle_disable(tcp);
    return ERR_OK;
  }
  tcp_abort(tcp);
  return ERR_ABRT;
}

void connection_chunk_ready(struct connection *c, struct chunk *chunk, bool good) {
  (void)chunk;
  if (good)
    serve(c);
  else
    abandon(c);
}

void connections_chunk_free(void) {
  for (unsigned i = 0; i < CONNECTIONS; i++) {
    struct connection *c = &connections[(turn + i) % CONNECTIONS];
    if (c->tcp && c->wants_chunk)
      serve(c);
  }
  turn++;
}

void connections_begin(void) {
  struct tcp_pcb *bound = tcp_new();
  if (!bound || tcp_bind(bound, IP_ANY_TYPE, PORT) != ERR_OK)
    guest_fail("port %u cannot be opened", PORT);
  struct tcp_pcb *listener = tcp_listen(bound);
  if (!listener)
    guest_fail("port %u cannot be listened on", PORT);
  tcp_accept(listener, on_connection);
}
