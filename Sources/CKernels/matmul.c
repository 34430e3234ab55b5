// The entry of matrix products: picks the path for the types and the instruction set.
#include "matmul.h"

#include "matmul_plain.h"

size_t ck_matmul_scratch(const ck_context *context, const ck_matmul_arguments *arguments) {
  (void)context;
  (void)arguments;
  return 0;
}

void ck_matmul(const ck_context *context, const ck_matmul_arguments *arguments, void *scratch) {
  (void)scratch;
  ck_matmul_plain(context->pool, arguments);
}

size_t ck_matmul_serial_scratch(const ck_context *context, const ck_matmul_arguments *arguments) {
  (void)context;
  (void)arguments;
  return 0;
}

void ck_matmul_serial(const ck_context *context, const ck_matmul_arguments *arguments, void *scratch) {
  (void)context;
  (void)scratch;
  ck_matmul_plain(NULL, arguments);
}
