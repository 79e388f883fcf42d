/*
 * Console output. A back end that does not read the ring must not stop the guest: after a timeout the rest of the
 * text goes to the hypervisor's own console.
 */
#include "guest.h"

#define LINE_SIZE 256
#define RING_PATIENCE 50

static struct xencons_interface *ring;
static uint32_t ring_port;
static char line[LINE_SIZE];
static size_t line_length;

static uint64_t parameter(unsigned index) {
  struct xen_hvm_param parameter = {.domid = DOMID_SELF, .index = index};
  return hvm_op(HVMOP_get_param, &parameter) == 0 ? parameter.value : 0;
}

void console_init(void) {
  uint64_t frame = parameter(HVM_PARAM_CONSOLE_PFN);
  ring_port = parameter(HVM_PARAM_CONSOLE_EVTCHN);
  if (frame != 0 && frame < 1ull << 20 && ring_port != 0)
    ring = (struct xencons_interface *)(frame << 12);
}

unsigned console_port(void) { return ring ? ring_port : 0; }

void console_use_port(unsigned port) { ring_port = port; }

void console_forget_ring(void) {
  console_flush();
  ring = NULL;
}

static void ring_notify(void) {
  struct evtchn_send send = {.port = ring_port};
  event_channel_op(EVTCHNOP_send, &send);
}

/* Waits up to 20 ms for the back end's notification that it took something; it need not come. */
static void ring_wait(void) {
  evtchn_port_t port = ring_port;
  struct sched_poll poll = {.nr_ports = 1, .timeout = clock_ns() + 20 * MILLISECOND};
  set_xen_guest_handle(poll.ports, &port);
  event_clear(ring_port);
  sched_op(SCHEDOP_poll, &poll);
}

/* Puts what it can into the ring; returns the bytes taken. */
static size_t ring_write(const char *text, size_t length) {
  size_t done = 0;
  for (int tries = 0; done < length && tries < RING_PATIENCE; tries++) {
    XENCONS_RING_IDX producer = ring->out_prod;
    XENCONS_RING_IDX consumer = __atomic_load_n(&ring->out_cons, __ATOMIC_ACQUIRE);
    while (done < length && producer - consumer < sizeof ring->out) {
      ring->out[MASK_XENCONS_IDX(producer, ring->out)] = text[done++];
      producer++;
    }
    __atomic_store_n(&ring->out_prod, producer, __ATOMIC_RELEASE);
    ring_notify();
    if (done < length)
      ring_wait();
  }
  return done;
}

static void write_out(const char *text, size_t length) {
  size_t done = 0;
  if (ring) {
    done = ring_write(text, length);
    if (done < length)
      ring = NULL;
  }
  if (done < length)
    console_io(CONSOLEIO_write, length - done, text + done);
}

void console_flush(void) {
  for (int tries = 0; ring && tries < RING_PATIENCE; tries++) {
    if (__atomic_load_n(&ring->out_cons, __ATOMIC_ACQUIRE) == ring->out_prod)
      return;
    ring_notify();
    ring_wait();
  }
}

static void put_number(char **at, char *end, uint64_t value, unsigned base, bool negative, int width, char pad,
                       bool left) {
  char digits[24];
  int count = 0;
  do {
    digits[count++] = "0123456789abcdef"[value % base];
    value /= base;
  } while (value);
  if (negative)
    digits[count++] = '-';
  for (int space = width - count; !left && space > 0; space--)
    if (*at < end)
      *(*at)++ = pad;
  for (int i = count; i > 0; i--)
    if (*at < end)
      *(*at)++ = digits[i - 1];
  for (int space = width - count; left && space > 0; space--)
    if (*at < end)
      *(*at)++ = ' ';
}

size_t format_list(char *buffer, size_t size, const char *format, va_list arguments) {
  char *at = buffer, *end = buffer + size - 1;
  for (; *format; format++) {
    if (*format != '%') {
      if (at < end)
        *at++ = *format;
      continue;
    }
    bool left = false, wide = false;
    char pad = ' ';
    int width = 0;
    format++;
    for (; *format == '-' || *format == '0'; format++) {
      left |= *format == '-';
      pad = *format == '0' ? '0' : pad;
    }
    for (; *format >= '0' && *format <= '9'; format++)
      width = width * 10 + *format - '0';
    for (; *format == 'l'; format++)
      wide = true;
    switch (*format) {
      case 'd': {
        int64_t value = wide ? va_arg(arguments, long) : va_arg(arguments, int);
        put_number(&at, end, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, value < 0, width, pad, left);
        break;
      }
      case 'u':
      case 'x': {
        uint64_t value = wide ? va_arg(arguments, unsigned long) : va_arg(arguments, unsigned);
        put_number(&at, end, value, *format == 'x' ? 16 : 10, false, width, pad, left);
        break;
      }
      case 'p':
        put_number(&at, end, (uint64_t)va_arg(arguments, void *), 16, false, width, pad, left);
        break;
      case 'c':
        if (at < end)
          *at++ = (char)va_arg(arguments, int);
        break;
      case 's': {
        const char *text = va_arg(arguments, const char *);
        int length = (int)text_length(text);
        for (int i = 0; i < length && at < end; i++)
          *at++ = text[i];
        for (int i = length; left && i < width && at < end; i++)
          *at++ = ' ';
        break;
      }
      default:
        if (at < end)
          *at++ = *format;
    }
  }
  *at = 0;
  return at - buffer;
}

size_t format_text(char *buffer, size_t size, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  size_t length = format_list(buffer, size, format, arguments);
  va_end(arguments);
  return length;
}

void console_text(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++) {
    line[line_length++] = text[i];
    if (text[i] == '\n' || line_length == sizeof line) {
      write_out(line, line_length);
      line_length = 0;
    }
  }
}

void print_list(const char *format, va_list arguments) {
  char text[LINE_SIZE];
  console_text(text, format_list(text, sizeof text, format, arguments));
}

void print(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  print_list(format, arguments);
  va_end(arguments);
}
