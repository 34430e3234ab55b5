// Products with weights in blocks as programs take them: where the context asks for it, a row of y has the same bits however
// many rows x has. All other products have that in any case: an element is one chain of sums along k.
#ifndef CK_ROW_INVARIANT_H
#define CK_ROW_INVARIANT_H

#include "block_matmul.h"

size_t ck_row_block_matmul_scratch(const ck_context *context, const ck_block_matmul_arguments *arguments);
void ck_row_block_matmul(const ck_context *context, const ck_block_matmul_arguments *arguments, void *scratch);

#endif
