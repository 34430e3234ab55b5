// Chooses the variant of attention for an element type and an instruction set.
#include "attention_internal.h"

static const ck_attention_variant *variant(const ck_context *context, const ck_attention_arguments *arguments) {
  if (arguments->type == CK_F64 || context->isa == CK_PORTABLE) return &ck_attention_portable;
#if defined(__x86_64__)
  if (context->isa == CK_AVX2) return &ck_attention_avx2;
  // An int8 cache is read as f32, since its values times their factors are no bf16.
  if (arguments->type == CK_BF16 && context->bf16 && !arguments->k_scales) return &ck_attention_avx512_bf16;
  return &ck_attention_avx512;
#elif defined(__aarch64__)
  return &ck_attention_neon;
#else
  return &ck_attention_portable;
#endif
}

size_t ck_attention_scratch(const ck_context *context, const ck_attention_arguments *arguments) {
  return variant(context, arguments)->forward_scratch(context, arguments);
}

void ck_attention(const ck_context *context, const ck_attention_arguments *arguments, void *scratch) {
  variant(context, arguments)->forward(context, arguments, scratch);
}

size_t ck_attention_backward_scratch(const ck_context *context, const ck_attention_arguments *arguments) {
  return variant(context, arguments)->backward_scratch(context, arguments);
}

void ck_attention_backward(const ck_context *context, const ck_attention_arguments *arguments, void *scratch) {
  variant(context, arguments)->backward(context, arguments, scratch);
}
