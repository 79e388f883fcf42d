/* Everest's Curve25519 includes it for the integer types alone. */
#include <stdint.h>
