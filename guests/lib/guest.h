/*
 * A tiny library for Xen PVH guests. A guest defines guest_name and guest_main(); start.c has brought up long mode,
 * traps, the hypercall page, the console, shared info and the callback vector by then. Interrupts are still off.
 */
#ifndef GUEST_H
#define GUEST_H

#include "xen.h"

#include "bytes.h"
#include "clock.h"
#include "console.h"
#include "cpu.h"
#include "events.h"
#include "options.h"
#include "smp.h"
#include "survive.h"
#include "traps.h"
#include "xenstore.h"

extern const char guest_name[];
void guest_main(void);

/* Print the verdict, the last line that anybody reads, and power the domain off. */
void guest_pass(void) __attribute__((noreturn));
/* The same verdict as guest_pass(), and a reboot. */
void guest_reboot(void) __attribute__((noreturn));
void guest_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Ends the domain without a verdict: SHUTDOWN_poweroff, ... */
void guest_shut_down(unsigned reason) __attribute__((noreturn));

/* What the domain was started with. */
extern struct hvm_start_info *start_info;
extern struct shared_info *shared_info; /* mapped over a page of the image */
extern uint32_t xen_leaf;               /* base of Xen's CPUID leaves: 0x40000000 + n * 0x100 */
extern uint32_t hypercall_msr;
extern uint64_t first_tsc;              /* TSC at the very first instruction */
extern char image_start[], image_end[]; /* identity mapped */
extern uint64_t image_appended;         /* bytes behind image_end that belong to the image, too; set before pages are taken */

/* Bytes of RAM in the memory map, or in the reservation when no map was given. */
uint64_t memory_bytes(void);
/* Numbers of this domain and vCPU when Xen's leaf 4 tells them; -1 otherwise. */
int own_domid(void);

/* Page tables: 2 MiB identity pages of the first 4 GiB, and 4 KiB pages anywhere for tests. */
extern uint64_t page_map[512], page_directories[2048];
#define PTE_PRESENT 0x001ull
#define PTE_WRITE 0x002ull
#define PTE_USER 0x004ull
#define PTE_LARGE 0x080ull
/* Maps one 4 KiB page (flags 0: unmaps). The address must be at or above 4 GiB; false when out of table pages. */
bool paging_map(uint64_t address, uint64_t frame, uint64_t flags);

/* Pages of RAM that follow each other, never given back (page aligned, zeroed; none left: guest_fail). */
void *pages_take(unsigned count);
/* The same with whatever is in them. */
void *pages_take_raw(unsigned count);

#endif
