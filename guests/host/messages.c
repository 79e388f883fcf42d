/*
 * Frames and orders, by standard input and output. Console lines of the guest go to standard error.
 */
#include "host.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define MOST 65536

static uint8_t input[sizeof(struct message) + MOST];
static size_t filled;

void host_send(const struct message *header, const void *bytes) {
  static uint8_t out[sizeof *header + MOST];
  size_t length = sizeof *header + header->length;
  memcpy(out, header, sizeof *header);
  memcpy(out + sizeof *header, bytes, header->length);
  for (size_t done = 0; done < length;) {
    ssize_t written = write(1, out + done, length - done);
    if (written <= 0)
      _exit(5); /* nobody reads any more */
    done += written;
  }
}

static void pass_on(const struct message *header, const uint8_t *bytes) {
  switch (header->kind) {
    case MESSAGE_SYSCTL:
      sysctlback_request(header->flags);
      break;
    default:
      netback_message(header, bytes);
  }
}

bool host_receive(int timeout_ms) {
  struct pollfd wait = {.fd = 0, .events = POLLIN};
  if (poll(&wait, 1, timeout_ms) <= 0)
    return false;
  ssize_t length = read(0, input + filled, sizeof input - filled);
  if (length < 0 && errno == EINTR)
    return false;
  if (length <= 0)
    _exit(6); /* the test is over */
  filled += length;
  size_t at = 0;
  struct message header;
  while (filled - at >= sizeof header) {
    memcpy(&header, input + at, sizeof header);
    if (header.length > MOST)
      host_fail("a message of %u bytes", header.length);
    if (filled - at < sizeof header + header.length)
      break;
    pass_on(&header, input + at + sizeof header);
    at += sizeof header + header.length;
  }
  memmove(input, input + at, filled - at);
  filled -= at;
  return at > 0;
}
