/*
 * What a guest may expect of its own store.
 */
#include "store.h"

static void own_nodes(void) {
  char value[64], number[16], home[40];
  format_text(number, sizeof number, "%d", own_domid());
  format_text(home, sizeof home, "/local/domain/%d", own_domid());
  expect_value("domid", number);
  OK(store_read(0, "name", value, sizeof value));
  print("name %s\n", value);
  OK(store_read(0, "memory/target", value, sizeof value));
  OK(store_read(0, "vm", value, sizeof value));
  CHECK(memcmp(value, "/vm/", 4) == 0);
  OK(store_read(0, value, value, sizeof value));
  expect_value("cpu/0/availability", "online");
  expect_value("control/shutdown", "");
  struct store_answer path = store_request(XS_GET_DOMAIN_PATH, 0, number, text_length(number) + 1);
  CHECK(!path.error && text_equal(path.payload, home));
  REFUSED("EACCES", store_write(0, "name", "other"));
  REFUSED("EACCES", store_write(0, "memory/target", "1"));
  REFUSED("EACCES", store_remove(0, "device"));
  REFUSED("EACCES", store_set_permissions("name", "b0"));
  REFUSED("ENOENT", store_read(0, "nothing", value, sizeof value));
  REFUSED("EACCES", store_read(0, "/", value, sizeof value));
  REFUSED("EINVAL", store_read(0, "a//b", value, sizeof value));
  REFUSED("EACCES", store_request(XS_INTRODUCE, 0, "1\0" "1\0" "1", 6).error);
  REFUSED("ENOSYS", store_request(XS_TYPE_COUNT, 0, "", 1).error);
}

static void values(void) {
  static char large[2000], back[2100];
  OK(store_write(0, "data/a/b", "value"));
  expect_value("data/a/b", "value");
  OK(store_write(0, "control/feature-poweroff", "1"));
  memset(large, 'l', sizeof large - 1);
  OK(store_write(0, "data/large", large));
  OK(store_read(0, "data/large", back, sizeof back));
  CHECK(text_equal(large, back));
  struct store_answer list = store_request(XS_DIRECTORY, 0, "data", 5);
  CHECK(!list.error && list.length == 8 && memcmp(list.payload, "a\0large", 8) == 0);
  struct store_answer part = store_request(XS_DIRECTORY_PART, 0, "data\0" "2", 7);
  CHECK(!part.error && memcmp(part.payload + text_length(part.payload) + 1, "large\0", 7) == 0);
  struct store_answer permissions = store_request(XS_GET_PERMS, 0, "data", 5);
  CHECK(!permissions.error && permissions.payload[0] == 'n');
  OK(store_mkdir(0, "data/directory"));
  OK(store_remove(0, "data"));
}

static void transactions(void) {
  uint32_t one, two;
  char value[16];
  OK(store_write(0, "attr/x", "1"));
  OK(store_transaction_start(&one));
  OK(store_transaction_start(&two));
  OK(store_read(two, "attr/x", value, sizeof value));
  OK(store_write(one, "attr/x", "2"));
  expect_value("attr/x", "1");
  OK(store_transaction_end(one, true));
  expect_value("attr/x", "2");
  OK(store_write(two, "attr/y", "n"));
  REFUSED("EAGAIN", store_transaction_end(two, true));
  REFUSED("ENOENT", store_transaction_end(two, true));
  REFUSED("ENOENT", store_read(0, "attr/y", value, sizeof value));
}

static void watches(void) {
  OK(store_watch("attr", "token"));
  expect_event("attr", "token");
  OK(store_write(0, "attr/w", "1"));
  expect_event("attr/w", "token");
  REFUSED("EEXIST", store_watch("attr", "token"));
  OK(store_unwatch("attr", "token"));
  REFUSED("ENOENT", store_unwatch("attr", "token"));
  OK(store_write(0, "attr/w", "2"));
  expect_no_event();
  OK(store_watch("@releaseDomain", "release"));
  expect_event("@releaseDomain", "release");
  OK(store_request(XS_RESET_WATCHES, 0, "", 1).error);
}

/* A broken connection says why, and can be made again. */
static void reconnection(void) {
  CHECK(store_ring->server_features == (XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR));
  struct xsd_sockmsg message = {.type = XS_READ, .len = XENSTORE_PAYLOAD_MAX + 1};
  store_send(&message, sizeof message);
  for (int i = 0; i < 100 && store_ring->error == XENSTORE_ERROR_NONE; i++)
    sleep_ns(10 * MILLISECOND);
  CHECK(store_ring->error == XENSTORE_ERROR_PROTO);
  CHECK(store_reconnect());
  CHECK(store_ring->error == XENSTORE_ERROR_NONE);
  expect_value("cpu/0/availability", "online");
}

void role_alone(void) {
  own_nodes();
  values();
  transactions();
  watches();
  reconnection();
}
