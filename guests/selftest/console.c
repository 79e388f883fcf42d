/*
 * console_io (Xen's public/xen.h, CONSOLEIO_*).
 */
#include "suite.h"

static void console_write(void) {
  static const char text[] = "selftest: this line went through CONSOLEIO_write\n";
  EXPECT(console_io(CONSOLEIO_write, sizeof text - 1, text), 0);
  EXPECT(console_io(CONSOLEIO_write, 0, UNMAPPED), 0);
}

/* Longer than the hypervisor's own buffers (128 bytes in Xen): nothing may be lost or refused. */
static void console_write_long(void) {
  static char text[400];
  memset(text, '.', sizeof text);
  text[sizeof text - 1] = '\n';
  EXPECT(console_io(CONSOLEIO_write, sizeof text, text), 0);
}

static void console_write_bad_pointer(void) { EXPECT(console_io(CONSOLEIO_write, 16, UNMAPPED), -XEN_EFAULT); }

static void console_read_refused(void) {
  char buffer[16];
  EXPECT(console_io(CONSOLEIO_read, sizeof buffer, buffer), -XEN_EPERM);
}

/* Xen asks for the privilege first, so an ordinary domain sees -EPERM and the control domain -ENOSYS. */
static void console_unknown(void) {
  long result = console_io(UNKNOWN_COMMAND, 0, NULL);
  CHECK(result == -XEN_EPERM || result == -XEN_ENOSYS);
}

const struct test console_tests[] = {
    {"console-write", console_write},
    {"console-write-long", console_write_long},
    {"console-write-bad-pointer", console_write_bad_pointer},
    {"console-read-refused", console_read_refused},
    {"console-unknown", console_unknown},
    {NULL, NULL},
};
