/*
 * Never gives the CPU up by itself. Option `interrupts`: spins with interrupts on and a periodic timer, else with them off.
 * share=ID: counts the time that it gets, for the domain ID (lib/devices/idle-time.h).
 */
#include "lib/devices/idle-time.h"
#include "lib/guest.h"

const char guest_name[] = "spin";

void guest_main(void) {
  if (option_present("share"))
    idle_time_count(option_number("share", 0));
  bool interrupts = option_present("interrupts");
  print("spinning with interrupts %s\n", interrupts ? "on" : "off");
  if (interrupts) {
    struct vcpu_set_periodic_timer timer = {.period_ns = 10 * MILLISECOND};
    timer_port();
    vcpu_op(VCPUOP_set_periodic_timer, 0, &timer);
    interrupts_on();
  }
  for (;;)
    __asm__ volatile("");
}
