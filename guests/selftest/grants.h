/*
 * The domain's own grant table, as the grant tests share it.
 */
#ifndef GRANTS_H
#define GRANTS_H

#include "suite.h"

/* Maps the first frame of the grant table at first use. Reserved references (0..7) are left alone. */
grant_entry_v1_t *grant_table(void);
/* Writes an entry; flags are GTF_*. */
void grant_give(grant_ref_t ref, domid_t domain, uint64_t frame, uint16_t flags);
/* Takes it back; fails the test when it is still in use. */
void grant_take_back(grant_ref_t ref);
/* This domain's number; skips the test where Xen's leaves do not tell it. */
domid_t self(void);

#endif
