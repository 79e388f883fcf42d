/*
 * A guest that talks to xenstore; role=NAME says how.
 */
#include "store.h"

const char guest_name[] = "store";

void expect_value(const char *path, const char *value) {
  char found[256];
  OK(store_read(0, path, found, sizeof found));
  if (!text_equal(found, value))
    guest_fail("%s is \"%s\", not \"%s\"", path, found, value);
}

void expect_event(const char *path, const char *token) {
  const char *got_path, *got_token;
  if (!store_event(5000 * MILLISECOND, &got_path, &got_token))
    guest_fail("no event for %s, token %s", path, token);
  if (!text_equal(path, got_path) || !text_equal(token, got_token))
    guest_fail("an event for %s, token %s, instead of %s, %s", got_path, got_token, path, token);
}

void expect_no_event(void) {
  const char *path, *token;
  if (store_event(50 * MILLISECOND, &path, &token))
    guest_fail("an event for %s, token %s", path, token);
}

void guest_main(void) {
  char role[16] = "alone";
  if (option_text("role"))
    format_text(role, sizeof role, "%s", option_text("role"));
  int remote = (int)option_number("remote", 0);
  if (!store_open())
    guest_fail("the domain has no xenstore ring");
  if (text_equal(role, "alone"))
    role_alone();
  else if (text_equal(role, "victim"))
    role_victim(remote);
  else if (text_equal(role, "attacker"))
    role_attacker(remote);
  else if (text_equal(role, "obey"))
    role_obey();
  else
    guest_fail("no role %s", role);
}
