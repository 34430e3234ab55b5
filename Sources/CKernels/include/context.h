// What every kernel is given: a thread pool and the instruction set to use.
//
// Invariants of all kernels in this target:
//  - they allocate nothing: a kernel that needs room has a `..._scratch` function that says how many bytes,
//    and takes a 64-byte aligned pointer to them;
//  - results are bit-identical for any number of threads: work is cut into tasks that do not depend on the number of
//    threads, each output element is computed by one task in a fixed order, and partial sums are combined in task order;
//  - sizes of 0 are legal and write nothing (or the identity of the reduction).
#ifndef CK_CONTEXT_H
#define CK_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Element types, numbered as `Tensors.ElementType`.
typedef enum {
  CK_F64 = 0,
  CK_F32 = 1,
  CK_BF16 = 2,
  CK_F16 = 3,
  CK_I8 = 4,
  CK_U8 = 5,
  CK_I32 = 6,
  CK_I64 = 7,
  CK_BOOL = 8,
} ck_type;

// Instruction sets, slowest first. A context may use any that `ck_isa_available` reports.
typedef enum {
  CK_PORTABLE = 0,  // plain C, the reference
  CK_NEON = 1,      // AArch64
  CK_AVX2 = 2,      // AVX2 and FMA
  CK_AVX512 = 3,    // AVX-512 F, BW, DQ, VL (with BF16 and VNNI where present, else converted to f32)
  CK_AMX = 4,       // AVX-512 plus AMX tiles for bf16 and int8 products
  CK_AMX_EMULATED = 5,  // the AMX code with its tile instructions written out in C, to test it on any AVX-512 machine
} ck_isa;

// A task of a parallel region: `index` in 0..<tasks, `worker` in 0..<threads (for per-worker scratch only; results must
// not depend on it).
typedef void (*ck_task)(void *argument, int64_t index, int worker);

typedef struct ck_pool ck_pool;

// A pool of `threads` threads, the caller included (so `threads - 1` are started). Between regions workers spin for
// `spins` pauses, then park in the kernel. Returns NULL if threads could not be started.
ck_pool *ck_pool_create(int threads, int spins);
void ck_pool_destroy(ck_pool *pool);
int ck_pool_threads(const ck_pool *pool);
// Runs `task(argument, 0..<tasks)` on all threads of the pool and returns when all are done. Tasks are claimed one by
// one in index order. Not reentrant: one region at a time per pool.
void ck_pool_run(ck_pool *pool, int64_t tasks, ck_task task, void *argument);

typedef struct {
  ck_pool *pool;
  ck_isa isa;
  bool bf16;  // native bf16 dot products may be used (AVX512-BF16, or the Arm bf16 extension)
  bool vnni;  // native int8 dot products may be used (AVX512-VNNI, AVX-VNNI, or the Arm dotprod extension)
  bool vbmi;  // bytes may be moved anywhere within a register (AVX512-VBMI)
  bool row_invariant;  // a row of a product has the same bits however many rows there are, at a cost (row_invariant.h)
} ck_context;

bool ck_isa_available(ck_isa isa);
ck_isa ck_isa_best(void);
const char *ck_isa_name(ck_isa isa);
bool ck_has_bf16(void);
bool ck_has_vnni(void);
bool ck_has_vbmi(void);
// Asks the operating system for the AMX tile state (Linux: arch_prctl); true if tiles may be used from now on.
bool ck_amx_request(void);

static inline int64_t ck_type_size(ck_type type) {
  switch (type) {
    case CK_F64: case CK_I64: return 8;
    case CK_F32: case CK_I32: return 4;
    case CK_BF16: case CK_F16: return 2;
    default: return 1;
  }
}

#endif
