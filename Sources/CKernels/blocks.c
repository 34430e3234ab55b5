// The block loaders and storers of every instruction set.
#include "blocks.h"

#define CK_TEMPLATE "blocks.inc"
#include "instances.h"

const ck_blocks *ck_blocks_for(const ck_context *context) { return CK_PICK(context, ck_blocks); }
