// The CPU kernels. One header and one or more .c files per concept; see context.h for what holds of all of them.
#ifndef CKERNELS_H
#define CKERNELS_H

#include "attention.h"
#include "block_formats.h"
#include "block_matmul.h"
#include "context.h"
#include "crossentropy.h"
#include "elementwise.h"
#include "groups.h"
#include "logits.h"
#include "matmul.h"
#include "optimizer.h"
#include "paged_attention.h"
#include "peaks.h"
#include "reduce.h"
#include "row_invariant.h"
#include "rows.h"

#endif
