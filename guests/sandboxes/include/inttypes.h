/* Formats of <inttypes.h> are for messages that are compiled away. */
#ifndef SANDBOX_INTTYPES_H
#define SANDBOX_INTTYPES_H

#include <stdint.h>

#endif
