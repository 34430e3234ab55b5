// The plain C product (matmul_plain.c), for matmul.c.
#ifndef CK_MATMUL_PLAIN_H
#define CK_MATMUL_PLAIN_H

#include "matmul.h"

// Any types, any sizes; needs no scratch. A NULL pool runs on the caller alone.
void ck_matmul_plain(ck_pool *pool, const ck_matmul_arguments *arguments);

#endif
