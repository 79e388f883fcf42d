/* mbedTLS and Everest include it, and use nothing of it but this name. */
#ifndef TLS_STDIO_H
#define TLS_STDIO_H

typedef struct file FILE;

#endif
