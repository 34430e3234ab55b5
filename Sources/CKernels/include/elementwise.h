// Fused elementwise expressions: a short program of register instructions run over blocks that stay in the first-level
// cache, with strided (broadcasting) inputs and dense outputs.
//
// Each register holds one block of elements of one class: f32 (for f32, bf16, f16), f64, or i64 (for all integers and
// bool). Loading converts from the stored type, storing converts to it (integers wrap as in C on two's complement, float
// to integer truncates, saturates at 64 bits and then wraps, NaN gives 0; to bool: not equal 0). Types of 16 bits round
// to nearest even.
#ifndef CK_ELEMENTWISE_H
#define CK_ELEMENTWISE_H

#include "context.h"

#define CK_MAX_RANK 8
#define CK_MAX_INPUTS 16
#define CK_MAX_OUTPUTS 8
#define CK_MAX_REGISTERS 32
#define CK_MAX_INSTRUCTIONS 96

typedef enum { CK_CLASS_F32 = 0, CK_CLASS_F64 = 1, CK_CLASS_I64 = 2 } ck_class;

typedef enum {
  // destination = load of input a (converted to the instruction's class) / store of register a to output `destination`
  CK_LOAD = 0, CK_STORE,
  CK_CONSTANT,                   // destination = the instruction's `immediate` (f32/f64: value; i64: integer)
  CK_CONVERT,                    // destination (class) = register a (class `from`)
  // Unary. Integers: neg, abs, sign, not (logical, for bool), bit_not; the others are for floats.
  CK_NEG, CK_ABS, CK_SIGN, CK_EXP, CK_LOG, CK_SQRT, CK_RSQRT, CK_RECIPROCAL, CK_SIN, CK_COS, CK_TANH, CK_ERF,
  CK_SIGMOID, CK_FLOOR, CK_CEIL, CK_ROUND, CK_LOGICAL_NOT, CK_BIT_NOT,
  CK_UNARY_RELU, CK_UNARY_RELU_SQUARED, CK_UNARY_GELU_TANH, CK_UNARY_GELU_ERF, CK_UNARY_SILU,
  // The derivative of an activation at x (register a), times the incoming gradient (register b).
  CK_GRAD_RELU, CK_GRAD_RELU_SQUARED, CK_GRAD_GELU_TANH, CK_GRAD_GELU_ERF, CK_GRAD_SILU,
  CK_IS_FINITE,                  // destination (i64) = 1 if register a (class `from`) is neither inf nor NaN
  // Binary. mod has the sign of the divisor (floored); integer division truncates towards zero, x/0 = 0, x mod 0 = 0.
  // Shifts of 64 and more give 0 (right: the sign); a negative shift goes the other way. max and min propagate NaN.
  CK_ADD, CK_SUB, CK_MUL, CK_DIV, CK_MAX, CK_MIN, CK_POW, CK_MOD, CK_AND, CK_OR, CK_XOR, CK_SHIFT_LEFT, CK_SHIFT_RIGHT,
  // Comparisons: operands of class `from`, destination is i64, 0 or 1.
  CK_EQ, CK_NE, CK_LT, CK_LE, CK_GT, CK_GE,
  // destination = a (i64) != 0 ? b : c
  CK_SELECT,
  // destination = a * b + c, floats, rounded once
  CK_FMA,
  CK_OPCODE_COUNT,
} ck_opcode;

typedef struct {
  uint8_t opcode;                // ck_opcode
  uint8_t class_;                // ck_class of the result (of the loaded / stored register for load and store)
  uint8_t from;                  // ck_class of the operands where it differs from the result's
  uint8_t destination, a, b, c;
  union { double value; int64_t integer; } immediate;
} ck_instruction;

typedef struct {
  int32_t rank;                  // 0...CK_MAX_RANK; rank 0 is one element
  int64_t dimensions[CK_MAX_RANK];
  int32_t inputs, outputs, instructions;
  const void *input[CK_MAX_INPUTS];
  ck_type input_type[CK_MAX_INPUTS];
  int64_t input_strides[CK_MAX_INPUTS][CK_MAX_RANK];  // elements; 0 broadcasts
  void *output[CK_MAX_OUTPUTS];  // dense, row major; may be the very buffer of a dense input of the same type size,
                                 // which the program then loads before it stores
  ck_type output_type[CK_MAX_OUTPUTS];
  const ck_instruction *program;
} ck_elementwise_arguments;

void ck_elementwise(const ck_context *context, const ck_elementwise_arguments *arguments);

// Strided copy with conversion of type: out[dense, row major over dimensions] = in[strides]. Permutes, broadcasts, casts.
typedef struct {
  int32_t rank;
  int64_t dimensions[CK_MAX_RANK];
  const void *input;
  ck_type input_type;
  int64_t input_strides[CK_MAX_RANK];
  void *output;
  ck_type output_type;
  int64_t output_strides[CK_MAX_RANK];
} ck_copy_arguments;
void ck_copy(const ck_context *context, const ck_copy_arguments *arguments);

// Sets `count` elements of `type` to the value given by `pattern` (one element).
void ck_fill(const ck_context *context, void *output, int64_t count, ck_type type, const void *pattern);

#endif
