/*
 * Two domains: one that wants to be left alone, one that does not leave it alone.
 */
#include "store.h"

#define PRIVATE "data/private"
#define SHARED "data/shared"
#define QUOTA_NODES 1000
#define QUOTA_WATCHES 128
#define QUOTA_TRANSACTIONS 10

void role_victim(int remote) {
  char permissions[16];
  const char *path, *token;
  OK(store_write(0, PRIVATE, "secret"));
  OK(store_write(0, SHARED, "begin"));
  OK(store_watch(PRIVATE, "private"));
  expect_event(PRIVATE, "private");
  OK(store_watch(SHARED, "shared"));
  expect_event(SHARED, "shared");
  format_text(permissions, sizeof permissions, "n%d b%d", own_domid(), remote);
  for (unsigned rounds = 0;; rounds++) {
    char said[16];
    /* Repeatedly: a permission for a domain that does not exist yet has no effect. */
    OK(store_set_permissions(SHARED, permissions));
    expect_value(PRIVATE, "secret");
    OK(store_write(0, "data/mine", "served"));
    OK(store_read(0, SHARED, said, sizeof said));
    if (text_equal(said, "done"))
      break;
    if (rounds == 10000)
      guest_fail("domain %d never came to an end", remote);
    if (store_event(10 * MILLISECOND, &path, &token) && !text_equal(token, "shared"))
      guest_fail("an event for %s", path);
  }
  expect_value(PRIVATE, "secret");
}

static void intrude(const char *home) {
  char path[64], value[16];
  static const char *const nodes[] = {"", "/data", "/data/private", "/data/none", "/control/shutdown", "/name"};
  for (unsigned i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
    format_text(path, sizeof path, "%s%s", home, nodes[i]);
    REFUSED("EACCES", store_read(0, path, value, sizeof value));
    REFUSED("EACCES", store_write(0, path, "x"));
    REFUSED("EACCES", store_mkdir(0, path));
    REFUSED("EACCES", store_remove(0, path));
    REFUSED("EACCES", store_set_permissions(path, "b0"));
    REFUSED("EACCES", store_request(XS_DIRECTORY, 0, path, text_length(path) + 1).error);
    REFUSED("EACCES", store_request(XS_GET_PERMS, 0, path, text_length(path) + 1).error);
  }
  uint32_t transaction;
  OK(store_transaction_start(&transaction));
  format_text(path, sizeof path, "%s/data/private", home);
  REFUSED("EACCES", store_write(transaction, path, "x"));
  OK(store_transaction_end(transaction, true));
  /* Anything may be watched; only what can be read is heard of. */
  OK(store_watch(home, "home"));
  expect_event(home, "home");
}

static void exhaust(void) {
  char path[64];
  const char *error = NULL;
  unsigned made = 0, watching = 0, open = 0;
  for (; !error && made < 2 * QUOTA_NODES; made++) {
    format_text(path, sizeof path, "data/%u/%u", made / 50, made);
    error = store_write(0, path, "x");
  }
  CHECK(error && text_equal(error, "ENOSPC") && made <= QUOTA_NODES);
  for (error = NULL; !error && watching < 2 * QUOTA_WATCHES; watching++) {
    format_text(path, sizeof path, "w%u", watching);
    error = store_watch("drivers", path);
  }
  CHECK(error && text_equal(error, "E2BIG") && watching <= QUOTA_WATCHES + 2);
  for (error = NULL; !error && open < 2 * QUOTA_TRANSACTIONS; open++) {
    uint32_t transaction;
    error = store_transaction_start(&transaction);
  }
  CHECK(error && text_equal(error, "ENOSPC") && open <= QUOTA_TRANSACTIONS + 2);
  print("quotas: %u nodes, %u watches, %u transactions\n", made - 1, watching - 1, open - 1);
  static char large[3000];
  memset(large, 'x', sizeof large - 1);
  REFUSED("ENOSPC", store_write(0, "error", large));
  OK(store_request(XS_RESET_WATCHES, 0, "", 1).error);
}

void role_attacker(int remote) {
  char home[32], shared[48], value[16];
  format_text(home, sizeof home, "/local/domain/%d", remote);
  format_text(shared, sizeof shared, "%s/data/shared", home);
  for (int i = 0; i < 500 && store_read(0, shared, value, sizeof value); i++)
    sleep_ns(10 * MILLISECOND);
  intrude(home);
  exhaust();
  OK(store_write(0, shared, "done"));
}
