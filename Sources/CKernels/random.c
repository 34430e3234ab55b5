// Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405) as bits, uniform and
// normal numbers. Element i depends on (key, stream, i) alone, so any split over tasks gives the same bits.
#include "blocks.h"
#include "reduce.h"
#include "tasks.h"

#include <math.h>

// Philox blocks (of four words) made together.
#define LANES 64

typedef struct {
  const ck_blocks *blocks;
  ck_distribution distribution;
  ck_type type;
  uint64_t key, stream;
  int64_t count, count_per_task;
  void *output;
} random_plan;

#define CK_TEMPLATE "random.inc"
#include "instances.h"

void ck_random(
  const ck_context *context, ck_distribution distribution, ck_type type, uint64_t key, uint64_t stream, int64_t count,
  void *output
) {
  if (count == 0) return;
  random_plan plan = {
    .blocks = ck_blocks_for(context), .distribution = distribution, .type = type, .key = key, .stream = stream,
    .count = count, .count_per_task = CK_GRAIN / 2, .output = output,
  };
  ck_run(context, ck_ceil_div(count, plan.count_per_task), CK_PICK(context, random_task), &plan);
}
