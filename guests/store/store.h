/*
 * What the roles share: checks that end the guest with a message.
 */
#ifndef STORE_H
#define STORE_H

#include "../lib/guest.h"

/* The request must succeed. */
#define OK(call)                                                     \
  do {                                                               \
    const char *error_ = (call);                                     \
    if (error_)                                                      \
      guest_fail("%s:%d: %s gave %s", __FILE__, __LINE__, #call, error_); \
  } while (0)
/* The request must fail with that error. */
#define REFUSED(wanted, call)                                                                           \
  do {                                                                                                  \
    const char *error_ = (call);                                                                        \
    if (!error_ || !text_equal(error_, wanted))                                                         \
      guest_fail("%s:%d: %s gave %s, not " wanted, __FILE__, __LINE__, #call, error_ ? error_ : "success"); \
  } while (0)
#define CHECK(condition)                                                  \
  do {                                                                    \
    if (!(condition))                                                     \
      guest_fail("%s:%d: not true: %s", __FILE__, __LINE__, #condition);   \
  } while (0)

/* The value at a path must be that text. */
void expect_value(const char *path, const char *value);
/* The next event must be that one; and there must be none for a while. */
void expect_event(const char *path, const char *token);
void expect_no_event(void);

void role_alone(void);
void role_victim(int remote);
void role_attacker(int remote);
void role_obey(void);

#endif
