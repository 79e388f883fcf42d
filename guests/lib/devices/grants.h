/*
 * The domain's grant table (version 1), and other domains' pages.
 */
#ifndef GUEST_GRANTS_H
#define GUEST_GRANTS_H

#include <stdbool.h>

#include "../xen.h"

/*
 * Guest-physical addresses where there is no RAM, for frames of the grant table and for other domains' pages. They are in the
 * 2 MiB below 4 GiB that Xen's special pages are in, so that no further nested page table is needed for them.
 */
#define GRANT_TABLE_AT 0xfef00000ull
#define GRANT_TABLE_FRAMES 8
#define GRANT_MAP_AT 0xfef10000ull
#define GRANT_MAP_PAGES 64

/* Grants a page of RAM to another domain. The reference stays valid until grant_end(); guest_fail when there are no more. */
grant_ref_t grant_begin(domid_t to, const void *page, bool readonly);
/* Takes it back. False when the other domain has the page mapped: it is then not taken back. */
bool grant_end(grant_ref_t ref);
/* Maps a page that another domain granted; null when that is refused. */
void *grant_map(domid_t from, grant_ref_t ref);
/* The same for a page that may only be read. */
const void *grant_map_readonly(domid_t from, grant_ref_t ref);
/* Writes the entries of all grants again: for a domain that was restored, whose new table is empty. */
void grants_restore(void);

#endif
